//! How long the peer may give no sign of life.
//!
//! Hot path.

use std::num::NonZeroU32;
use std::time::Duration;

use ws_proto::Time;

use crate::limits::Limits;

/// A judgement so long after its time is of a peer that nobody has listened to.
const LATE_MILLIS: u32 = 1_000;

/// What the last sign of life was, and what follows if none comes. 32 bytes for each connection: limits are kept in
/// milliseconds, so that more than 49 days count as 49 days.
#[derive(Debug)]
pub(crate) struct Patience {
    /// When the peer was heard last; once it has been asked, when that was.
    since: Time,
    /// Since when, if it is stalled, the peer has taken none of the bytes that wait for it.
    stalled_since: Time,
    ping_after: Option<NonZeroU32>,
    idle_timeout: Option<NonZeroU32>,
    asked: bool,
    stalled: bool,
}

/// What to do about a peer from which nothing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wait,
    /// Send a Ping.
    Ask,
    /// End the connection.
    GiveUp,
}

impl Patience {
    pub(crate) fn new(limits: &Limits, now: Time) -> Self {
        let millis = |duration: Duration| {
            let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
            NonZeroU32::new(millis).unwrap_or(NonZeroU32::MIN)
        };
        Self {
            since: now,
            stalled_since: now,
            ping_after: limits.ping_after.map(millis),
            idle_timeout: limits.idle_timeout.map(millis),
            asked: false,
            stalled: false,
        }
    }

    /// Something has come.
    pub(crate) fn heard(&mut self, now: Time) {
        self.since = now;
        self.asked = false;
    }

    /// Everything has been read, and nothing was there. Only whoever has read may judge the peer: what nobody reads says
    /// nothing about who sends it.
    pub(crate) fn judge(&mut self, now: Time) -> Verdict {
        let Some(until) = self.until().filter(|until| *until <= now) else { return Verdict::Wait };
        let late = !self.asked && now >= later(until, LATE_MILLIS);
        if self.gives_up_next() && !late {
            return Verdict::GiveUp;
        }
        self.since = now;
        if self.gives_up_next() {
            // It is not to be asked, and may have waited for the program's answer, which leaves now.
            return Verdict::Wait;
        }
        self.asked = true;
        Verdict::Ask
    }

    /// When [`judge`](Self::judge) comes to something new.
    pub(crate) fn until(&self) -> Option<Time> {
        let millis = match (self.asked, self.ping_after, self.idle_timeout) {
            (false, Some(ping_after), Some(idle_timeout)) => ping_after.min(idle_timeout).get(),
            // What is left of it when it has been asked: the time of the answer, whenever the question was.
            (true, Some(ping_after), Some(idle_timeout)) => {
                idle_timeout.get().saturating_sub(ping_after.get())
            }
            (_, ping_after, idle_timeout) => idle_timeout.or(ping_after)?.get(),
        };
        Some(later(self.since, millis))
    }

    fn gives_up_next(&self) -> bool {
        self.idle_timeout.is_some_and(|idle_timeout| {
            self.asked || self.ping_after.is_none_or(|ping_after| idle_timeout <= ping_after)
        })
    }

    /// Nothing waits to be taken any more.
    pub(crate) fn caught_up(&mut self) {
        self.stalled = false;
    }

    /// Bytes wait that the peer does not take now; `progressed` says whether it has just taken some.
    pub(crate) fn stalls(&mut self, progressed: bool, now: Time) {
        if progressed || !self.stalled {
            self.stalled_since = now;
        }
        self.stalled = true;
    }

    /// How long a peer may give no sign of life.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout.map(|millis| Duration::from_millis(millis.get().into()))
    }

    /// When a peer that takes nothing is given up.
    pub(crate) fn stalled_until(&self) -> Option<Time> {
        let idle_timeout = self.idle_timeout.filter(|_| self.stalled)?;
        Some(later(self.stalled_since, idle_timeout.get()))
    }
}

/// It is asked for in every turn; `Duration` would divide twice.
fn later(time: Time, millis: u32) -> Time {
    Time::from_micros(time.as_micros().saturating_add(u64::from(millis) * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn patience(ping_after: Option<u64>, idle_timeout: Option<u64>) -> Patience {
        let limits = Limits {
            ping_after: ping_after.map(Duration::from_secs),
            idle_timeout: idle_timeout.map(Duration::from_secs),
            ..Limits::default()
        };
        Patience::new(&limits, Time::ZERO)
    }

    #[test]
    fn who_is_silent_is_asked_and_then_given_up() {
        let mut patience = patience(Some(50), Some(120));
        assert_eq!((patience.judge(at(49)), patience.until()), (Verdict::Wait, Some(at(50))));
        assert_eq!((patience.judge(at(50)), patience.until()), (Verdict::Ask, Some(at(120))));
        assert_eq!(patience.judge(at(119)), Verdict::Wait);
        assert_eq!(patience.judge(at(120)), Verdict::GiveUp);
        patience.heard(at(119));
        assert_eq!((patience.judge(at(168)), patience.until()), (Verdict::Wait, Some(at(169))));
    }

    #[test]
    fn who_was_not_listened_to_is_asked_before_it_is_given_up() {
        let mut patience = patience(Some(50), Some(120));
        assert_eq!(patience.judge(at(10_000)), Verdict::Ask);
        assert_eq!(patience.judge(at(10_069)), Verdict::Wait);
        assert_eq!(patience.judge(at(10_070)), Verdict::GiveUp);
    }

    #[test]
    fn who_was_not_listened_to_and_is_not_to_be_asked_gets_as_long_once_more() {
        for mut patience in [patience(None, Some(120)), patience(Some(120), Some(120))] {
            assert_eq!((patience.judge(at(10_000)), patience.until()), (Verdict::Wait, Some(at(10_120))));
            assert_eq!(patience.judge(at(10_119)), Verdict::Wait);
            assert_eq!(patience.judge(at(10_120)), Verdict::GiveUp);
        }
    }

    #[test]
    fn each_half_can_be_off() {
        let mut only_pings = patience(Some(50), None);
        for ping in 1..5 {
            assert_eq!(only_pings.judge(at(50 * ping - 1)), Verdict::Wait);
            assert_eq!(only_pings.judge(at(50 * ping)), Verdict::Ask);
        }
        for mut without_pings in [patience(None, Some(120)), patience(Some(120), Some(120))] {
            assert_eq!(without_pings.judge(at(119)), Verdict::Wait);
            assert_eq!(without_pings.judge(at(120)), Verdict::GiveUp);
        }
        let mut off = patience(None, None);
        assert_eq!((off.judge(at(1_000_000)), off.until()), (Verdict::Wait, None));
        off.stalls(false, at(0));
        assert_eq!(off.stalled_until(), None);
    }

    #[test]
    fn who_takes_a_little_now_and_then_is_not_given_up() {
        let mut patience = patience(Some(50), Some(120));
        assert_eq!(patience.stalled_until(), None);
        patience.stalls(false, at(100));
        patience.stalls(false, at(150));
        assert_eq!(patience.stalled_until(), Some(at(220)));
        patience.stalls(true, at(200));
        assert_eq!(patience.stalled_until(), Some(at(320)));
        patience.caught_up();
        assert_eq!(patience.stalled_until(), None);
    }
}
