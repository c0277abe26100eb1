//! The time type of the state machines.

use std::ops::Add;
use std::time::Duration;

/// A point in time: microseconds since an origin that the driver chooses. It must never go backwards.
///
/// The state machines only add to it and compare it. This crate does not use `std::time::Instant`, because that
/// panics on wasm32 and a test cannot create arbitrary values of it.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(u64);

/// A deadline that is noticed later than this may have passed while the program did not run. The timers of a runtime are
/// late by a millisecond or two.
const LATE_MICROS: u64 = 5_000;

/// A deadline that is noticed later than this was not noticed because the process was stopped or the machine slept. The
/// network of the peer may have been stopped as well.
const LONG_OVERDUE_MICROS: u64 = 1_000_000;

/// The time in which the program reads what lies in a buffer of the operating system. It is so short that an overloaded
/// machine, which notices every deadline late, hardly keeps a silent peer longer.
const GRACE: Duration = Duration::from_millis(200);

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

    /// Returns how much more time the peer gets if `self`, its deadline, is noticed at `now`. `period` is the whole time
    /// that it had.
    ///
    /// | noticed late by | more time |
    /// |---|---|
    /// | at most 5 ms | none: the deadline has expired, or lies ahead |
    /// | more than that | 200 ms, but not more than `period` |
    /// | more than a second | `period` |
    ///
    /// A deadline is noticed late if the program did not run when it passed: the process was stopped, the machine slept,
    /// or a virtual machine was paused. What the peer has sent in time may still lie in a buffer of the operating
    /// system. A read that finds nothing does not prove the opposite: when the program goes on, the timers of the runtime
    /// expire before it asks the system what has arrived. [`restart_once`](Self::restart_once) says how often this holds.
    #[must_use]
    pub fn extension(self, period: Duration, now: Time) -> Option<Duration> {
        match now.0.saturating_sub(self.0) {
            0..=LATE_MICROS => None,
            late if late <= LONG_OVERDUE_MICROS => Some(GRACE.min(period)),
            _ => Some(period),
        }
    }

    /// Returns the next deadline of a peer if `self`, its deadline, is [noticed late](Self::extension). `restarted` is set
    /// then. While it is set, the peer does not get more time again; the caller clears it when the peer makes progress.
    ///
    /// Without this limit, no timeout would fire on a machine that is overloaded for longer: all are noticed late, and
    /// what they should release would keep the machine overloaded.
    #[must_use]
    pub fn restart_once(self, period: Duration, now: Time, restarted: &mut bool) -> Option<Time> {
        let extension = self.extension(period, now).filter(|_| !*restarted)?;
        *restarted = true;
        Some(now + extension)
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

/// The time by which a peer must do something. If it is [noticed late](Time::extension), it starts again, but only
/// [once](Time::restart_once). A new value may do so again. So when the peer makes progress, create a new one.
///
/// It has the size of a [`Time`], because every connection keeps some of them.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PeerDeadline(u64);

/// The bit of a [`PeerDeadline`] that is set after the restart. The other bits are microseconds, enough for 292,000 years.
const RESTARTED: u64 = 1 << 63;

impl PeerDeadline {
    /// A deadline that never expires. It stands for "no deadline" without the memory of an `Option`.
    pub const NEVER: PeerDeadline = PeerDeadline(RESTARTED - 1);

    /// Creates a deadline that has not started again yet.
    pub const fn new(time: Time) -> Self {
        if time.0 < Self::NEVER.0 { PeerDeadline(time.0) } else { Self::NEVER }
    }

    /// Returns when the deadline expires, or starts again.
    pub const fn time(self) -> Time {
        Time(self.0 & !RESTARTED)
    }

    /// Returns whether the time of the peer, `period`, is over at `now`. If the deadline is noticed late for the first
    /// time, this starts it again and returns `false`.
    #[must_use]
    pub fn expired_or_restart(&mut self, period: Duration, now: Time) -> bool {
        self.time() <= now && !self.restart_if_late(period, now)
    }

    /// Starts the deadline again if it is [noticed late](Time::extension) for the first time. Returns whether it was.
    pub fn restart_if_late(&mut self, period: Duration, now: Time) -> bool {
        let mut restarted = self.0 & RESTARTED != 0;
        let next = self.time().restart_once(period, now, &mut restarted);
        if let Some(next) = next {
            *self = PeerDeadline(Self::new(next).0 | RESTARTED);
        }
        next.is_some()
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
    fn a_deadline_that_is_noticed_late_gives_a_short_time_and_a_very_late_one_the_whole_time() {
        let (period, short) = (Duration::from_secs(10), Duration::from_millis(50));
        let grace = Duration::from_millis(200);
        let deadline = Time::from_micros(5);
        for (late, extension, of_short) in [
            (0, None, None),
            (5_000, None, None),
            (5_001, Some(grace), Some(short)),
            (1_000_000, Some(grace), Some(short)),
            (1_000_001, Some(period), Some(short)),
            (u64::MAX - 5, Some(period), Some(short)),
        ] {
            let now = Time::from_micros(5 + late);
            assert_eq!(deadline.extension(period, now), extension, "{late}");
            assert_eq!(deadline.extension(short, now), of_short, "{late}");
        }
        assert_eq!(deadline.extension(period, Time::ZERO), None);
        assert_eq!(Time::from_micros(u64::MAX).extension(period, Time::from_micros(u64::MAX)), None);
    }

    #[test]
    fn a_deadline_of_a_peer_starts_again_once() {
        let period = Duration::from_secs(10);
        let at = |millis| Time::ZERO + Duration::from_millis(millis);
        for (noticed, next) in [(10_006, 10_206), (11_000, 11_200), (11_001, 21_001), (60_000, 70_000)] {
            let mut deadline = PeerDeadline::new(at(10_000));
            assert!(!deadline.expired_or_restart(period, at(9_999)));
            assert!(deadline.expired_or_restart(period, at(10_000)), "it is noticed in time");
            assert!(deadline.expired_or_restart(period, at(10_005)), "it is noticed almost in time");
            assert!(!deadline.expired_or_restart(period, at(noticed)));
            assert_eq!(deadline.time(), at(next));
            assert!(!deadline.expired_or_restart(period, at(next - 1)));
            for late in [0, 500, 100_000] {
                let mut again = deadline;
                assert!(again.expired_or_restart(period, at(next + late)), "{late} ms late, twice in a row");
            }
            deadline = PeerDeadline::new(at(next));
            assert!(!deadline.expired_or_restart(period, at(next + 500)), "a new deadline may start again");
        }
    }

    #[test]
    fn a_deadline_of_a_peer_that_is_too_far_away_never_expires() {
        for far in [PeerDeadline::NEVER, PeerDeadline::new(Time::ZERO + Duration::MAX)] {
            let mut far = far;
            assert_eq!(far, PeerDeadline::NEVER);
            assert!(!far.expired_or_restart(Duration::MAX, Time::ZERO + Duration::from_secs(1 << 40)));
        }
        let mut restarted = PeerDeadline::new(Time::ZERO);
        assert!(restarted.restart_if_late(Duration::MAX, Time::from_micros(2_000_000)));
        assert_eq!(restarted.time(), PeerDeadline::NEVER.time());
    }

    #[test]
    fn time_saturates_at_both_ends() {
        assert_eq!(Time::from_micros(1) + Duration::MAX, Time::from_micros(u64::MAX));
        assert_eq!(Time::ZERO.saturating_since(Time::from_micros(1)), Duration::ZERO);
    }
}
