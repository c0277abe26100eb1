//! The server side of an Engine.IO session, with random events in virtual time.

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use engineio_proto::server::{CandidateAction, Received, Session, Settings, TimeoutAction};
use engineio_proto::{CloseReason, Packet, ParseError, Revision, Transport};
use ws_proto::Time;

use crate::late::started_before;

/// The input is a sequence of actions of a driver, a client and the clock.
pub fn session(data: &[u8]) {
    let mut choices = Unstructured::new(data);
    let Ok(mut run) = Run::begin(&mut choices) else { return };
    while !choices.is_empty() {
        match run.step(&mut choices) {
            Ok(Life::GoesOn) => run.check(),
            Ok(Life::Over) | Err(_) => return,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Life {
    GoesOn,
    Over,
}

/// A session, and its promises so far.
struct Run {
    revision: Revision,
    session: Session,
    settings: Settings,
    now: Time,
    /// When the last ping was sent, if no pong has arrived since.
    pinged: Option<Time>,
    /// When the last pong arrived, or the session started.
    answered: Time,
    /// The last time at which the client got a whole timeout: at the ping, at the packet that extends the deadline, or
    /// at the end of a pause. In revision 3 the ping is the client's, and the timeout includes the interval.
    granted: Time,
    /// That time was granted because the deadline was long overdue. This happens once in a row.
    restarted: bool,
    prolonged: bool,
    paused: bool,
    upgrade: Upgrade,
}

/// The state of the upgrade, as far as an observer can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upgrade {
    Possible,
    Candidate { since: Time, restarted: bool, probed: bool },
    Impossible,
    Done,
}

impl Run {
    fn begin(choices: &mut Unstructured<'_>) -> Result<Self> {
        let kind: u8 = choices.arbitrary()?;
        let transport = if kind & 1 == 0 { Transport::Polling } else { Transport::WebSocket };
        let revision = if kind & 2 == 0 { Revision::V4 } else { Revision::V3 };
        let mut milliseconds = || choices.int_in_range(1..=60_000).map(Duration::from_millis);
        let settings = Settings {
            ping_interval: milliseconds()?,
            ping_timeout: milliseconds()?,
            upgrade_timeout: milliseconds()?,
            allow_upgrades: choices.ratio(7_u8, 8)?,
            ..Settings::default()
        };
        let upgradable = transport == Transport::Polling && settings.allow_upgrades;
        Ok(Run {
            revision,
            session: Session::new(revision, transport, &settings, Time::ZERO),
            settings,
            now: Time::ZERO,
            pinged: None,
            answered: Time::ZERO,
            granted: Time::ZERO,
            restarted: false,
            prolonged: false,
            paused: false,
            upgrade: if upgradable { Upgrade::Possible } else { Upgrade::Impossible },
        })
    }

    fn step(&mut self, choices: &mut Unstructured<'_>) -> Result<Life> {
        match choices.int_in_range(0..=7_u8)? {
            0 | 1 => return packet(choices).map(|packet| self.take(packet)),
            2 => {
                let expected = self.upgrade == Upgrade::Possible;
                assert_eq!(self.session.begin_upgrade(Transport::WebSocket, self.now), expected);
                if expected {
                    self.upgrade = Upgrade::Candidate { since: self.now, restarted: false, probed: false };
                }
            }
            3 | 4 => {
                let packet = packet(choices)?;
                self.take_from_candidate(packet);
            }
            5 => {
                self.session.handle_candidate_closed();
                self.lose_candidate();
            }
            6 => {
                let paused = choices.arbitrary()?;
                self.session.set_read_paused(paused, self.now);
                if self.paused && !paused {
                    self.grant();
                }
                self.paused = paused;
            }
            _ => {
                let to_the_deadline: bool = choices.arbitrary()?;
                let target = match self.session.poll_timeout() {
                    Some(deadline) if to_the_deadline => deadline.max(self.now),
                    _ => self.now + Duration::from_millis(choices.int_in_range(0..=100_000)?),
                };
                return Ok(self.sleep_until(target));
            }
        }
        Ok(Life::GoesOn)
    }

    /// Handles a packet of the transport.
    fn take(&mut self, packet: std::result::Result<Packet<'static>, ParseError>) -> Life {
        let received = self.session.handle_packet(packet.clone(), self.now);
        let polling = self.session.transport() == Transport::Polling;
        let expected = match packet {
            Err(_) => Err(CloseReason::ParseError),
            Ok(Packet::Ping(data)) if self.revision == Revision::V3 => {
                self.grant();
                Ok(Received::SendPong(data))
            }
            Ok(Packet::Pong(_)) if self.revision == Revision::V3 => Err(CloseReason::TransportError),
            Ok(Packet::Ping(_)) => Err(CloseReason::TransportError),
            Ok(Packet::Close) if polling => Err(CloseReason::TransportClose),
            Ok(Packet::Message(text)) => Ok(Received::Text(text)),
            Ok(Packet::Binary(data)) => Ok(Received::Binary(data)),
            Ok(Packet::Pong(_)) => {
                (self.pinged, self.answered, self.prolonged) = (None, self.now, false);
                Ok(Received::Nothing)
            }
            Ok(_) => Ok(Received::Nothing),
        };
        assert_eq!(received, expected);
        if self.pinged.is_some() && !self.prolonged {
            self.grant();
            self.prolonged = true;
        }
        if received.is_err() { Life::Over } else { Life::GoesOn }
    }

    fn take_from_candidate(&mut self, packet: std::result::Result<Packet<'static>, ParseError>) {
        let step = self.session.handle_candidate_packet(&packet, self.now);
        let expected = match (self.upgrade, packet) {
            (Upgrade::Candidate { since, restarted, .. }, Ok(Packet::Ping("probe"))) => {
                self.upgrade = Upgrade::Candidate { since, restarted, probed: true };
                CandidateAction::SendProbePong
            }
            (Upgrade::Candidate { .. }, Ok(Packet::Upgrade)) => {
                self.upgrade = Upgrade::Done;
                CandidateAction::Switch(Transport::WebSocket)
            }
            _ => {
                self.lose_candidate();
                CandidateAction::CloseCandidate
            }
        };
        assert_eq!(step, expected);
    }

    fn lose_candidate(&mut self) {
        if matches!(self.upgrade, Upgrade::Candidate { .. }) {
            self.upgrade = Upgrade::Possible;
        }
    }

    /// Sleeps like a driver: wakes at each deadline on the way, and handles everything that is due.
    fn sleep_until(&mut self, target: Time) -> Life {
        // A late driver wakes only at the target time.
        let late = target.as_micros().is_multiple_of(3);
        loop {
            let deadline = self.session.poll_timeout();
            let wake = match deadline {
                Some(deadline) if deadline <= target && !late => deadline.max(self.now),
                _ => target,
            };
            self.now = wake;
            let mut taken = u32::from(self.grant_again());
            while let Some(due) = self.session.handle_timeout(self.now) {
                assert!(deadline.is_some_and(|deadline| deadline <= self.now), "{due:?} came early");
                if self.take_due(due) == Life::Over {
                    return Life::Over;
                }
                taken += 1;
                assert!(taken <= 4, "the actions that are due at one time do not end");
            }
            assert!(
                taken > 0 || deadline.is_none_or(|deadline| deadline > self.now),
                "nothing was due at the deadline"
            );
            let next = self.session.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "everything that was due has been handled");
            if self.now == target {
                return Life::GoesOn;
            }
        }
    }

    /// Gives the client a whole timeout.
    fn grant(&mut self) {
        (self.granted, self.restarted) = (self.now, false);
    }

    /// Gives the client more time if its deadline is noticed late for the first time. Returns whether it is.
    fn grant_again(&mut self) -> bool {
        let mut granted = false;
        let awaited = self.pinged.is_some() || self.revision == Revision::V3;
        let timeout = self.timeout();
        if awaited
            && !self.paused
            && !self.restarted
            && let Some(extension) = (self.granted + timeout).extension(timeout, self.now)
        {
            (self.granted, self.restarted) = (started_before(self.now + extension, timeout), true);
            granted = true;
        }
        let timeout = self.settings.upgrade_timeout;
        if let Upgrade::Candidate { since, restarted: restarted @ false, .. } = &mut self.upgrade
            && let Some(extension) = (*since + timeout).extension(timeout, self.now)
        {
            (*since, *restarted) = (started_before(self.now + extension, timeout), true);
            granted = true;
        }
        granted
    }

    fn take_due(&mut self, due: TimeoutAction) -> Life {
        match due {
            TimeoutAction::Ping => {
                assert_eq!(self.revision, Revision::V4, "in revision 3 the client pings");
                assert_eq!(self.pinged, None, "one ping at a time");
                assert!(self.now >= self.answered + self.settings.ping_interval);
                self.grant();
                (self.pinged, self.prolonged) = (Some(self.now), false);
            }
            TimeoutAction::Close(reason) => {
                assert_eq!(reason, CloseReason::PingTimeout);
                assert!(!self.paused && self.pinged.is_some() == (self.revision == Revision::V4));
                assert!(self.now >= self.granted + self.timeout(), "the client did not get a whole timeout");
                return Life::Over;
            }
            TimeoutAction::SendNoop => {
                assert!(matches!(self.upgrade, Upgrade::Candidate { probed: true, .. }));
            }
            TimeoutAction::CloseCandidate => {
                let Upgrade::Candidate { since, .. } = self.upgrade else {
                    panic!("there is no candidate to abandon");
                };
                assert!(self.now >= since + self.settings.upgrade_timeout);
                self.upgrade = Upgrade::Possible;
            }
        }
        Life::GoesOn
    }

    /// How long the client may be silent once it has been granted a timeout.
    fn timeout(&self) -> Duration {
        match self.revision {
            Revision::V4 => self.settings.ping_timeout,
            Revision::V3 => self.settings.ping_interval + self.settings.ping_timeout,
        }
    }

    /// Checks that must hold between any two steps.
    fn check(&self) {
        assert_eq!(self.session.revision(), self.revision);
        let moved = self.upgrade == Upgrade::Done;
        if moved {
            assert_eq!(self.session.transport(), Transport::WebSocket);
        } else if self.upgrade != Upgrade::Impossible {
            assert_eq!(self.session.transport(), Transport::Polling);
        }
        // The session's next timer is never later than its deadlines.
        let heartbeat = match self.pinged {
            None if self.revision == Revision::V3 => (!self.paused).then(|| self.granted + self.timeout()),
            None => Some(self.answered + self.settings.ping_interval),
            Some(_) if self.paused => None,
            Some(_) => Some(self.granted + self.settings.ping_timeout),
        };
        let upgrade = match self.upgrade {
            Upgrade::Candidate { since, .. } => Some(since + self.settings.upgrade_timeout),
            Upgrade::Possible | Upgrade::Impossible | Upgrade::Done => None,
        };
        let latest = heartbeat.into_iter().chain(upgrade).min();
        let next = self.session.poll_timeout();
        match latest {
            Some(latest) => {
                assert!(next.is_some_and(|next| next <= latest), "{next:?}, and {latest:?} at the latest");
            }
            None => assert_eq!(next, None),
        }
    }
}

fn packet(choices: &mut Unstructured<'_>) -> Result<std::result::Result<Packet<'static>, ParseError>> {
    Ok(match choices.int_in_range(0..=11_u8)? {
        0 => Ok(Packet::Open("{}")),
        1 => Ok(Packet::Close),
        2 => Ok(Packet::Ping("")),
        3 | 4 => Ok(Packet::Ping("probe")),
        5 | 6 => Ok(Packet::Pong("")),
        7 => Ok(Packet::Message("é")),
        8 => Ok(Packet::Binary(vec![0, 0xff].into())),
        9 => Ok(Packet::Upgrade),
        10 => Ok(Packet::Noop),
        _ => Err(ParseError::UnknownType),
    })
}
