//! The delay before the next attempt to connect.

use std::time::Duration;

/// The default first delay.
const DELAY: Duration = Duration::from_secs(1);

/// The default maximum delay.
const DELAY_MAX: Duration = Duration::from_secs(5);

/// The default randomization factor.
const RANDOMIZATION_FACTOR: f64 = 0.5;

/// The minimum of both delays, so that a setting of zero does not cause a busy loop.
const MIN_DELAY: Duration = Duration::from_millis(1);

/// Computes the delays between attempts to connect: exponential, with a maximum, and randomized. Clients that lost
/// their server at the same moment therefore do not reconnect at the same moment.
///
/// Before attempt `n`, counted from 0, the delay is `delay · 2ⁿ`, plus or minus a random part of it. The random part is
/// at most `randomization_factor` of the delay. Until `delay · 2ⁿ` reaches `delay_max`, the delays equal the delays of
/// Socket.IO's clients to the millisecond. After that, Socket.IO's clients always wait exactly `delay_max`, while this
/// type subtracts a random part from it. Without that part, clients that a crashing server disconnected at the same
/// moment would keep reconnecting at the same moment.
///
/// ```
/// use std::time::Duration;
///
/// use tidewire_ws_proto::Backoff;
///
/// let mut backoff = Backoff::default();
/// let random = 0x4000_0000_0000_0000; // a quarter of the range; use random bits from the system instead
/// assert_eq!(backoff.next_delay(random), Duration::from_millis(1_000 - 125));
/// assert_eq!(backoff.next_delay(random), Duration::from_millis(2_000 - 250));
/// backoff.reset();
/// assert_eq!(backoff.next_delay(random), Duration::from_millis(1_000 - 125));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    delay: Duration,
    delay_max: Duration,
    randomization_factor: f64,
    attempts: u32,
}

impl Backoff {
    /// Creates a backoff whose first delay is `delay` and whose maximum is `delay_max`. Values below one millisecond
    /// are treated as one millisecond. `randomization_factor` must be above 0 and at most 1. Any other value turns
    /// randomization off.
    #[must_use]
    pub fn new(delay: Duration, delay_max: Duration, randomization_factor: f64) -> Self {
        let is_factor = randomization_factor > 0.0 && randomization_factor <= 1.0;
        Self {
            delay: delay.max(MIN_DELAY),
            delay_max: delay_max.max(MIN_DELAY),
            randomization_factor: if is_factor { randomization_factor } else { 0.0 },
            attempts: 0,
        }
    }

    /// Returns the delay before the next attempt, and counts the attempt. `random` must be 64 random bits.
    pub fn next_delay(&mut self, random: u64) -> Duration {
        // Saturates. In `backo2.js` the power becomes infinite after 1014 failures, and then every other delay
        // is zero.
        let power = 1_u128.checked_shl(self.attempts).unwrap_or(u128::MAX);
        self.attempts = self.attempts.saturating_add(1);
        // An `f64` below 1 has 53 bits.
        let random = (random >> 11) as f64 / (1_u64 << 53) as f64;
        let part = random * self.randomization_factor;
        let nanos = self.delay.as_nanos().saturating_mul(power);
        if nanos >= self.delay_max.as_nanos() {
            return self.delay_max.saturating_sub(self.delay_max.mul_f64(part));
        }
        let delay = from_nanos(nanos);
        // As in Socket.IO's clients, the first decimal of the same number decides the sign.
        let is_shorter = ((random * 10.0) as u8).is_multiple_of(2);
        let deviation = delay.mul_f64(part);
        if is_shorter {
            delay.saturating_sub(deviation)
        } else {
            delay.saturating_add(deviation).min(self.delay_max)
        }
    }

    /// Returns the number of attempts since the start, or since the last [`reset`](Self::reset).
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the maximum delay.
    #[must_use]
    pub fn delay_max(&self) -> Duration {
        self.delay_max
    }

    /// Starts again with the first delay.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// Creates a backoff with a first delay of 1 second, a maximum delay of 5 seconds and a randomization factor of 0.5.
impl Default for Backoff {
    fn default() -> Self {
        Self::new(DELAY, DELAY_MAX, RANDOMIZATION_FACTOR)
    }
}

/// Converts nanoseconds to a `Duration`. `nanos` must be less than the nanoseconds of some `Duration`.
fn from_nanos(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    // Neither conversion loses anything, since the seconds are less than those of a `Duration`.
    Duration::new((nanos / SECOND) as u64, (nanos % SECOND) as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the random bits that stand for this number between 0 and 1.
    fn bits(random: f64) -> u64 {
        ((random * (1_u64 << 53) as f64) as u64) << 11
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn below_the_maximum_the_delays_are_those_of_the_official_client() {
        // The delays of `backo2.js` in socket.io-client 4.8 if `Math.random` returns these numbers one after the
        // other.
        type Delays = &'static [(f64, u64)];
        #[rustfmt::skip]
        const OFFICIAL: &[(u64, u64, f64, Delays)] = &[
            (1_000, 5_000, 0.5, &[(0.0, 1_000), (0.0625, 1_938), (0.125, 4_250)]),
            (1_000, 5_000, 0.5, &[(0.25, 875), (0.375, 2_375), (0.5, 5_000)]),
            (1_000, 5_000, 0.5, &[(0.75, 1_375), (0.875, 1_125), (0.984375, 5_000)]),
            (1_000, 60_000, 0.5, &[
                (0.75, 1_375), (0.875, 1_125), (0.984375, 5_968), (0.0, 8_000), (0.0625, 15_500),
                (0.125, 34_000)]),
            (250, 1_000_000_000, 1.0, &[
                (0.25, 188), (0.375, 687), (0.5, 1_500), (0.625, 750), (0.75, 7_000), (0.875, 1_000),
                (0.984375, 31_750), (0.0, 32_000), (0.0625, 60_000), (0.125, 144_000)]),
            (3, 1_000_000, 0.25, &[
                (0.75, 3), (0.875, 5), (0.984375, 14), (0.0, 24), (0.0625, 48), (0.125, 99), (0.25, 180),
                (0.375, 420), (0.5, 864), (0.625, 1_296)]),
            (1_000, 5_000, 0.0, &[
                (0.0, 1_000), (0.0625, 2_000), (0.125, 4_000), (0.25, 5_000), (0.375, 5_000)]),
            (1_000, 5_000, 1.5, &[(0.0, 1_000), (0.0625, 2_000), (0.125, 4_000)]),
        ];
        for &(delay, delay_max, factor, delays) in OFFICIAL {
            let mut backoff = Backoff::new(millis(delay), millis(delay_max), factor);
            for &(random, official) in delays {
                let ours = backoff.next_delay(bits(random)).as_secs_f64() * 1_000.0;
                // The official client counts in whole milliseconds.
                assert!((ours - official as f64).abs() < 1.0, "{ours} for {official}: {backoff:?}, {random}");
            }
        }
    }

    #[test]
    fn at_the_maximum_the_random_part_is_subtracted() {
        let mut backoff = Backoff::default();
        for _ in 0..3 {
            backoff.next_delay(0);
        }
        for (random, expected) in [(0.0, 5_000), (0.25, 4_375), (0.5, 3_750), (0.75, 3_125)] {
            assert_eq!(backoff.next_delay(bits(random)), millis(expected));
        }
        // This also holds if the first delay is longer than the maximum.
        assert_eq!(Backoff::new(millis(7), millis(4), 0.5).next_delay(bits(0.5)), millis(3));
    }

    #[test]
    fn there_is_a_delay_after_any_number_of_failures() {
        let mut backoff = Backoff { attempts: u32::MAX - 1, ..Backoff::default() };
        for _ in 0..3 {
            assert_eq!(backoff.next_delay(bits(0.5)), millis(3_750));
        }
        assert_eq!(backoff.attempts(), u32::MAX);
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX, 1.0);
        assert_eq!(backoff.next_delay(0), Duration::MAX);
        backoff.next_delay(u64::MAX);
    }

    #[test]
    fn zero_is_treated_as_a_millisecond() {
        let mut backoff = Backoff::new(Duration::ZERO, Duration::ZERO, f64::NAN);
        for _ in 0..3 {
            assert_eq!(backoff.next_delay(u64::MAX), millis(1));
        }
    }

    proptest! {
        #[test]
        fn a_delay_is_within_its_bounds_and_never_beyond_the_maximum(
            delay in 1..100_000_u64,
            delay_max in 1..100_000_000_u64,
            factor in 0.0..=1.0,
            randoms in prop::collection::vec(any::<u64>(), 1..80),
        ) {
            let mut backoff = Backoff::new(millis(delay), millis(delay_max), factor);
            for (attempt, &random) in randoms.iter().enumerate() {
                prop_assert_eq!(backoff.attempts() as usize, attempt);
                let exact = (delay as f64 * 2_f64.powi(attempt as i32)).min(delay_max as f64);
                let ours = backoff.next_delay(random).as_secs_f64() * 1_000.0;
                prop_assert!(ours <= delay_max as f64 + 1e-3, "{ours} is too long");
                prop_assert!(ours >= exact * (1.0 - factor) - 1e-3, "{ours} is too short");
                prop_assert!(ours <= exact * (1.0 + factor) + 1e-3, "{ours} deviates too much");
            }
        }
    }
}
