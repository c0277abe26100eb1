//! Decides when a silent peer gets a Ping, and when it times out.
//!
//! Hot path.

use std::num::NonZeroU32;
use std::time::Duration;

use ws_proto::Time;

use crate::limits::Limits;

/// The time of the peer's last sign of life, and the deadlines that follow. It takes 32 bytes per connection: limits
/// are stored in milliseconds, so durations above 49 days count as 49 days.
#[derive(Debug)]
pub(crate) struct Keepalive {
    /// The time at which something was last received, or at which a later Ping was sent.
    idle_since: Time,
    /// The time since which the peer has accepted none of the queued bytes. Valid if `stalled`.
    stalled_since: Time,
    ping_after: Option<NonZeroU32>,
    idle_timeout: Option<NonZeroU32>,
    pinged: bool,
    /// The idle timeout has started again because it was noticed late, and nothing was received since. It is beside
    /// `pinged`, so that one instruction clears both.
    restarted: bool,
    stalled: bool,
    /// The same for a peer that accepts no bytes.
    stall_restarted: bool,
}

/// The action for a peer from which nothing was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeepaliveAction {
    Wait,
    /// Send a Ping, and check again later.
    SendPing,
    /// End the connection.
    TimedOut,
}

impl Keepalive {
    pub(crate) fn new(limits: &Limits, now: Time) -> Self {
        let millis = |duration: Duration| {
            let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
            NonZeroU32::new(millis).unwrap_or(NonZeroU32::MIN)
        };
        Self {
            idle_since: now,
            stalled_since: now,
            ping_after: limits.ping_after.map(millis),
            idle_timeout: limits.idle_timeout.map(millis),
            pinged: false,
            restarted: false,
            stalled: false,
            stall_restarted: false,
        }
    }

    /// Called when something was received.
    pub(crate) fn received(&mut self, now: Time) {
        self.idle_since = now;
        self.pinged = false;
        self.restarted = false;
    }

    /// Checks the deadlines. Call it only after a read that found nothing: a peer may have sent something that was not
    /// read yet.
    pub(crate) fn check(&mut self, now: Time) -> KeepaliveAction {
        let Some(deadline) = self.deadline().filter(|deadline| *deadline <= now) else {
            return KeepaliveAction::Wait;
        };
        if !self.times_out_next() {
            self.idle_since = now;
            self.pinged = true;
            return KeepaliveAction::SendPing;
        }
        // If the deadline is noticed late, the program was not receiving, or the process was stopped. The silence then
        // says nothing about the peer, which may also have waited for the program's response.
        let period = deadline.saturating_since(self.idle_since);
        let Some(next) = deadline.restart_once(period, now, &mut self.restarted) else {
            return KeepaliveAction::TimedOut;
        };
        self.idle_since = later(self.idle_since, deadline, next);
        KeepaliveAction::Wait
    }

    /// Returns when [`check`](Self::check) next has something to do.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let millis = match (self.pinged, self.ping_after, self.idle_timeout) {
            (false, Some(ping_after), Some(idle_timeout)) => ping_after.min(idle_timeout).get(),
            // After the Ping, the peer has the rest of the idle timeout to respond, even if the Ping was sent late.
            (true, Some(ping_after), Some(idle_timeout)) => {
                idle_timeout.get().saturating_sub(ping_after.get())
            }
            (_, ping_after, idle_timeout) => idle_timeout.or(ping_after)?.get(),
        };
        Some(add_millis(self.idle_since, millis))
    }

    fn times_out_next(&self) -> bool {
        self.idle_timeout.is_some_and(|idle_timeout| {
            self.pinged || self.ping_after.is_none_or(|ping_after| idle_timeout <= ping_after)
        })
    }

    /// Called when all queued bytes were written.
    pub(crate) fn write_finished(&mut self) {
        self.stalled = false;
    }

    /// Called when bytes are queued and the peer accepts no more at the moment. `progressed` is `true` if it has just
    /// accepted some.
    pub(crate) fn write_stalled(&mut self, progressed: bool, now: Time) {
        if progressed || !self.stalled {
            self.stalled_since = now;
            self.stall_restarted = false;
        }
        self.stalled = true;
    }

    /// Returns how long a peer may give no sign of life.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout.map(|millis| Duration::from_millis(millis.get().into()))
    }

    /// Returns whether a peer that accepts no bytes times out at `now`. A deadline that is
    /// [noticed late](Time::extension) starts again once.
    pub(crate) fn check_stall(&mut self, now: Time) -> bool {
        let Some(deadline) = self.stall_deadline().filter(|deadline| *deadline <= now) else { return false };
        let period = deadline.saturating_since(self.stalled_since);
        let Some(next) = deadline.restart_once(period, now, &mut self.stall_restarted) else { return true };
        self.stalled_since = later(self.stalled_since, deadline, next);
        false
    }

    /// Returns when a peer that accepts no bytes times out.
    pub(crate) fn stall_deadline(&self) -> Option<Time> {
        let idle_timeout = self.idle_timeout.filter(|_| self.stalled)?;
        Some(add_millis(self.stalled_since, idle_timeout.get()))
    }
}

/// Adds milliseconds. This runs at every poll of the driver; adding a `Duration` would divide twice.
fn add_millis(time: Time, millis: u32) -> Time {
    Time::from_micros(time.as_micros().saturating_add(u64::from(millis) * 1_000))
}

/// Returns `since` moved such that the deadline that follows from it moves from `deadline` to `next`.
fn later(since: Time, deadline: Time, next: Time) -> Time {
    since + next.saturating_since(deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn keepalive(ping_after: Option<u64>, idle_timeout: Option<u64>) -> Keepalive {
        let limits = Limits {
            ping_after: ping_after.map(Duration::from_secs),
            idle_timeout: idle_timeout.map(Duration::from_secs),
            ..Limits::default()
        };
        Keepalive::new(&limits, Time::ZERO)
    }

    #[test]
    fn a_silent_peer_is_sent_a_ping_and_then_times_out() {
        let mut keepalive = keepalive(Some(50), Some(120));
        assert_eq!((keepalive.check(at(49)), keepalive.deadline()), (KeepaliveAction::Wait, Some(at(50))));
        assert_eq!(
            (keepalive.check(at(50)), keepalive.deadline()),
            (KeepaliveAction::SendPing, Some(at(120)))
        );
        assert_eq!(keepalive.check(at(119)), KeepaliveAction::Wait);
        assert_eq!(keepalive.check(at(120)), KeepaliveAction::TimedOut);
        keepalive.received(at(119));
        assert_eq!((keepalive.check(at(168)), keepalive.deadline()), (KeepaliveAction::Wait, Some(at(169))));
    }

    #[test]
    fn a_peer_that_was_not_read_from_gets_a_ping_before_it_times_out() {
        let mut keepalive = keepalive(Some(50), Some(120));
        assert_eq!(keepalive.check(at(10_000)), KeepaliveAction::SendPing);
        assert_eq!(keepalive.check(at(10_069)), KeepaliveAction::Wait);
        assert_eq!(keepalive.check(at(10_070)), KeepaliveAction::TimedOut);
    }

    #[test]
    fn a_peer_that_was_not_read_from_gets_the_whole_timeout_again_if_pings_are_off() {
        for mut keepalive in [keepalive(None, Some(120)), keepalive(Some(120), Some(120))] {
            assert_eq!(
                (keepalive.check(at(10_000)), keepalive.deadline()),
                (KeepaliveAction::Wait, Some(at(10_120)))
            );
            assert_eq!(keepalive.check(at(10_119)), KeepaliveAction::Wait);
            assert_eq!(keepalive.check(at(10_120)), KeepaliveAction::TimedOut);
        }
    }

    #[test]
    fn a_process_that_was_stopped_gives_the_peer_the_time_for_its_pong_again() {
        let mut keepalive = keepalive(Some(50), Some(120));
        assert_eq!(keepalive.check(at(50)), KeepaliveAction::SendPing);
        assert_eq!(
            (keepalive.check(at(180)), keepalive.deadline()),
            (KeepaliveAction::Wait, Some(at(250))),
            "the pong may not be read yet"
        );
        assert_eq!(keepalive.check(at(250)), KeepaliveAction::TimedOut);
    }

    #[test]
    fn a_process_that_goes_on_soon_after_the_deadline_gives_the_peer_a_short_time() {
        let millis = |millis| Time::ZERO + Duration::from_millis(millis);
        let mut keepalive = keepalive(Some(50), Some(120));
        assert_eq!(keepalive.check(at(50)), KeepaliveAction::SendPing);
        assert_eq!(
            (keepalive.check(millis(120_500)), keepalive.deadline()),
            (KeepaliveAction::Wait, Some(millis(120_700))),
            "the pong may not be read yet"
        );
        assert_eq!(keepalive.check(millis(120_699)), KeepaliveAction::Wait);
        assert_eq!(keepalive.check(millis(120_700)), KeepaliveAction::TimedOut);

        keepalive.write_stalled(false, at(0));
        assert!(!keepalive.check_stall(millis(120_500)));
        assert_eq!(keepalive.stall_deadline(), Some(millis(120_700)));
        assert!(keepalive.check_stall(millis(120_700)));
    }

    #[test]
    fn a_peer_that_makes_no_progress_between_two_stops_times_out() {
        for (ping_after, idle_timeout) in [(Some(50), Some(120)), (None, Some(120))] {
            let mut keepalive = keepalive(ping_after, idle_timeout);
            if ping_after.is_some() {
                assert_eq!(keepalive.check(at(50)), KeepaliveAction::SendPing);
            }
            assert_eq!(keepalive.check(at(1_000)), KeepaliveAction::Wait);
            assert_eq!(keepalive.check(at(2_000)), KeepaliveAction::TimedOut);
            keepalive.received(at(2_000));
            if ping_after.is_some() {
                assert_eq!(keepalive.check(at(2_050)), KeepaliveAction::SendPing);
            }
            assert_eq!(keepalive.check(at(3_000)), KeepaliveAction::Wait, "it has sent something");

            keepalive.write_stalled(false, at(0));
            assert!(!keepalive.check_stall(at(1_000)));
            keepalive.write_stalled(false, at(1_001));
            assert!(keepalive.check_stall(at(2_000)), "it has accepted nothing");
            keepalive.write_stalled(true, at(2_000));
            assert!(!keepalive.check_stall(at(3_000)), "it has accepted something");
        }
    }

    #[test]
    fn a_process_that_was_stopped_gives_the_peer_the_time_to_read_again() {
        let mut keepalive = keepalive(Some(50), Some(120));
        keepalive.write_stalled(false, at(0));
        assert!(!keepalive.check_stall(at(119)));
        assert!(!keepalive.check_stall(at(180)));
        assert_eq!(keepalive.stall_deadline(), Some(at(300)));
        assert!(keepalive.check_stall(at(300)));
    }

    #[test]
    fn each_half_can_be_off() {
        let mut only_pings = keepalive(Some(50), None);
        for ping in 1..5 {
            assert_eq!(only_pings.check(at(50 * ping - 1)), KeepaliveAction::Wait);
            assert_eq!(only_pings.check(at(50 * ping)), KeepaliveAction::SendPing);
        }
        for mut without_pings in [keepalive(None, Some(120)), keepalive(Some(120), Some(120))] {
            assert_eq!(without_pings.check(at(119)), KeepaliveAction::Wait);
            assert_eq!(without_pings.check(at(120)), KeepaliveAction::TimedOut);
        }
        let mut off = keepalive(None, None);
        assert_eq!((off.check(at(1_000_000)), off.deadline()), (KeepaliveAction::Wait, None));
        off.write_stalled(false, at(0));
        assert_eq!(off.stall_deadline(), None);
    }

    #[test]
    fn a_peer_that_accepts_bytes_slowly_does_not_time_out() {
        let mut keepalive = keepalive(Some(50), Some(120));
        assert_eq!(keepalive.stall_deadline(), None);
        keepalive.write_stalled(false, at(100));
        keepalive.write_stalled(false, at(150));
        assert_eq!(keepalive.stall_deadline(), Some(at(220)));
        keepalive.write_stalled(true, at(200));
        assert_eq!(keepalive.stall_deadline(), Some(at(320)));
        keepalive.write_finished();
        assert_eq!(keepalive.stall_deadline(), None);
    }
}
