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
    /// that finds nothing does not prove the opposite, because the runtime may not have asked the system yet.
    /// [`restarts_once`](Self::restarts_once) says what follows.
    pub const fn is_long_overdue(self, now: Time) -> bool {
        now.0.saturating_sub(self.0) > LONG_OVERDUE_MICROS
    }

    /// Returns whether the peer gets its whole time again instead of losing its connection, because `self`, its
    /// deadline, is [long overdue](Self::is_long_overdue). `restarted` is set then. While it is set, the peer does not get
    /// another restart; the caller clears it when the peer makes progress.
    ///
    /// Without this limit, no timeout would fire on a machine that is overloaded for longer: all are noticed late, and
    /// what they should release would keep the machine overloaded.
    pub const fn restarts_once(self, now: Time, restarted: &mut bool) -> bool {
        let restarts = !*restarted && self.is_long_overdue(now);
        *restarted |= restarts;
        restarts
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

/// The time by which a peer must do something. If it is [long overdue](Time::is_long_overdue), it starts again, but only
/// [once](Time::restarts_once). A new value may do so again. So when the peer makes progress, create a new one.
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

    /// Returns whether the time of the peer is over at `now`. If the deadline is long overdue for the first time, this
    /// starts it again, with `period`, and returns `false`.
    #[must_use]
    pub fn expired_or_restart(&mut self, period: Duration, now: Time) -> bool {
        self.time() <= now && !self.restart_if_long_overdue(period, now)
    }

    /// Starts the deadline again, with `period`, if it is long overdue for the first time. Returns whether it was.
    pub fn restart_if_long_overdue(&mut self, period: Duration, now: Time) -> bool {
        let mut restarted = self.0 & RESTARTED != 0;
        let restarts = self.time().restarts_once(now, &mut restarted);
        if restarts {
            *self = PeerDeadline(Self::new(now + period).0 | RESTARTED);
        }
        restarts
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
    fn a_deadline_of_a_peer_starts_again_once() {
        let period = Duration::from_secs(10);
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let mut deadline = PeerDeadline::new(at(10));
        assert!(!deadline.expired_or_restart(period, at(9)));
        assert!(deadline.expired_or_restart(period, at(10)), "it was noticed in time");
        assert!(deadline.expired_or_restart(period, at(11)), "it was noticed almost in time");
        assert!(!deadline.expired_or_restart(period, at(60)));
        assert_eq!(deadline.time(), at(70));
        let mut in_time = deadline;
        assert!(!in_time.expired_or_restart(period, at(69)));
        assert!(in_time.expired_or_restart(period, at(70)));
        assert!(deadline.expired_or_restart(period, at(1_000)), "long overdue twice in a row");
        deadline = PeerDeadline::new(at(1_010));
        assert!(!deadline.expired_or_restart(period, at(2_000)), "a new deadline may start again");
    }

    #[test]
    fn a_deadline_of_a_peer_that_is_too_far_away_never_expires() {
        for far in [PeerDeadline::NEVER, PeerDeadline::new(Time::ZERO + Duration::MAX)] {
            let mut far = far;
            assert_eq!(far, PeerDeadline::NEVER);
            assert!(!far.expired_or_restart(Duration::MAX, Time::ZERO + Duration::from_secs(1 << 40)));
        }
        let mut restarted = PeerDeadline::new(Time::ZERO);
        assert!(restarted.restart_if_long_overdue(Duration::MAX, Time::from_micros(2_000_000)));
        assert_eq!(restarted.time(), PeerDeadline::NEVER.time());
    }

    #[test]
    fn time_saturates_at_both_ends() {
        assert_eq!(Time::from_micros(1) + Duration::MAX, Time::from_micros(u64::MAX));
        assert_eq!(Time::ZERO.saturating_since(Time::from_micros(1)), Duration::ZERO);
    }
}
