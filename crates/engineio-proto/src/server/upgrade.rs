//! The upgrade from polling to another transport, on the server side.
//!
//! While it polls, the client opens a WebSocket (the *candidate*), sends `2probe`, receives `3probe`, lets its polls
//! return, and sends `5`. Until then polling goes on in both directions. An error on the candidate closes only the
//! candidate.
//!
//! Some clients send `5` without a probe. The session then upgrades at once, as in the Node server.

use std::time::Duration;

use ws_proto::{PeerDeadline, Time};

use crate::handshake::Transport;
use crate::packet::{PROBE, Packet, ParseError};

/// How often the server responds to a waiting poll with a noop after the probe, so that the client can stop polling.
/// The Node server uses the same interval.
const NOOP_INTERVAL: Duration = Duration::from_millis(100);

/// What the driver must do after a packet of the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateAction {
    /// Send [`Packet::PROBE_PONG`] on the candidate.
    SendProbePong,
    /// Use the candidate as the transport from now on.
    Switch(Transport),
    /// Close the candidate. The polling session goes on.
    CloseCandidate,
}

/// The state of the upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upgrade {
    /// The session may still upgrade.
    Possible,
    /// A candidate is connected, and must complete the upgrade before `deadline`.
    Candidate { to: Transport, deadline: PeerDeadline },
    /// The pong to the probe has been sent. A waiting poll gets a noop at `noop_at`.
    Probed { to: Transport, deadline: PeerDeadline, noop_at: Time },
    /// The session has upgraded, or cannot upgrade.
    Finished,
}

/// An action of the upgrade that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpgradeTimeoutAction {
    SendNoop,
    CloseCandidate,
}

impl Upgrade {
    /// Starts an upgrade to a candidate that has connected. Returns `false` if the session is already upgrading, has
    /// upgraded, or cannot upgrade.
    pub(crate) fn begin(&mut self, to: Transport, now: Time, timeout: Duration) -> bool {
        let possible = *self == Self::Possible;
        if possible {
            *self = Self::Candidate { to, deadline: PeerDeadline::new(now + timeout) };
        }
        possible
    }

    pub(crate) fn handle_packet(
        &mut self,
        packet: &Result<Packet<'_>, ParseError>,
        now: Time,
    ) -> CandidateAction {
        match (*self, packet) {
            (
                Self::Candidate { to, deadline } | Self::Probed { to, deadline, .. },
                Ok(Packet::Ping(PROBE)),
            ) => {
                // A waiting poll gets its noop at once: the client stops polling when it has read the pong to its
                // probe, and then waits for that poll. The Node server lets the client wait for one interval, so every
                // upgrade takes a tenth of a second there. If the noop arrives before the pong, the client polls once
                // more, and this poll gets its noop one interval later.
                *self = Self::Probed { to, deadline, noop_at: now };
                CandidateAction::SendProbePong
            }
            (Self::Candidate { to, .. } | Self::Probed { to, .. }, Ok(Packet::Upgrade)) => {
                *self = Self::Finished;
                CandidateAction::Switch(to)
            }
            _ => {
                self.handle_candidate_closed();
                CandidateAction::CloseCandidate
            }
        }
    }

    /// Handles the end of the candidate. The client may try again.
    pub(crate) fn handle_candidate_closed(&mut self) {
        if *self != Self::Finished {
            *self = Self::Possible;
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match *self {
            Self::Candidate { deadline, .. } => Some(deadline.time()),
            Self::Probed { deadline, noop_at, .. } => Some(deadline.time().min(noop_at)),
            Self::Possible | Self::Finished => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Time, timeout: Duration) -> Option<UpgradeTimeoutAction> {
        if let Self::Candidate { deadline, .. } | Self::Probed { deadline, .. } = self
            && deadline.expired_or_restart(timeout, now)
        {
            *self = Self::Possible;
            return Some(UpgradeTimeoutAction::CloseCandidate);
        }
        match *self {
            Self::Probed { to, deadline, noop_at } if noop_at <= now => {
                *self = Self::Probed { to, deadline, noop_at: now + NOOP_INTERVAL };
                Some(UpgradeTimeoutAction::SendNoop)
            }
            _ => None,
        }
    }
}
