//! The time type of the state machines.

use std::ops::Add;
use std::time::Duration;

/// A point in time: microseconds since an origin that the driver chooses. It must never go backwards.
///
/// The state machines only add to it and compare it. This crate does not use `std::time::Instant`, because that
/// panics on wasm32 and a test cannot create arbitrary values of it.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(u64);

/// Timers are rarely late by more than some milliseconds, even on a busy machine.
const LONG_OVERDUE_MICROS: u64 = 1_000_000;

impl Time {
    /// The origin.
    pub const ZERO: Time = Time(0);

    /// Creates the time that is `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Time(micros)
    }

    /// Returns the microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Returns whether `self`, the deadline of a peer, passed more than a second before `now`.
    ///
    /// The program then did not run when the deadline passed: the process was stopped, the machine slept, or a virtual
    /// machine was paused. What the peer has sent in time may still lie in a buffer of the operating system, and a read
    /// that finds nothing does not prove the opposite, because the runtime may not have asked the system yet. So a
    /// state machine does not end anything. It gives the peer the whole time again.
    pub const fn is_long_overdue(self, now: Time) -> bool {
        now.0.saturating_sub(self.0) > LONG_OVERDUE_MICROS
    }

    /// Returns the duration since `earlier`, or zero if `earlier` is not earlier.
    pub fn saturating_since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates: a timeout that is too long to be represented never expires, and never wraps into the past.
impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, duration: Duration) -> Time {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_moves_time_forward_by_whole_microseconds() {
        let time = Time::from_micros(5) + Duration::from_millis(2);
        assert_eq!(time, Time::from_micros(2_005));
        assert_eq!(time.saturating_since(Time::from_micros(5)), Duration::from_millis(2));
    }

    #[test]
    fn a_deadline_is_long_overdue_after_more_than_a_second() {
        let deadline = Time::from_micros(5);
        for (late, overdue) in [(0, false), (1_000_000, false), (1_000_001, true)] {
            assert_eq!(deadline.is_long_overdue(Time::from_micros(5 + late)), overdue, "{late}");
        }
        assert!(!deadline.is_long_overdue(Time::ZERO));
        assert!(!Time::from_micros(u64::MAX).is_long_overdue(Time::from_micros(u64::MAX)));
    }

    #[test]
    fn time_saturates_at_both_ends() {
        assert_eq!(Time::from_micros(1) + Duration::MAX, Time::from_micros(u64::MAX));
        assert_eq!(Time::ZERO.saturating_since(Time::from_micros(1)), Duration::ZERO);
    }
}
