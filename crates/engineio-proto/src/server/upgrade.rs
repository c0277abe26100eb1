//! The move from polling to another transport, server side.
//!
//! The client opens a WebSocket beside its polling session (the *candidate*), asks `2probe`, gets `3probe`, lets its
//! polls come back, and says `5`. Until then polling goes on in both directions, and whatever goes wrong on the
//! candidate costs the candidate only.

use std::time::Duration;

use ws_proto::Time;

use crate::handshake::Transport;
use crate::packet::{PROBE, Packet, ParseError};

/// How often a waiting poll is answered with a noop after the candidate has been probed, so that the client can stop
/// polling. The figure is that of the Node server.
const NOOP_INTERVAL: Duration = Duration::from_millis(100);

/// What the driver does after a packet on the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateAction {
    /// Send [`Packet::PROBE_PONG`] on the candidate.
    SendProbePong,
    /// The candidate is the transport from now on.
    Switch(Transport),
    /// Close the candidate; the polling session lives on.
    CloseCandidate,
}

/// Where the move stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upgrade {
    /// The session may still move.
    Possible,
    /// A candidate is connected and has until `deadline` to finish.
    Candidate { to: Transport, deadline: Time },
    /// The probe was answered; waiting polls are released at `noop_at`.
    Probed { to: Transport, deadline: Time, noop_at: Time },
    /// The session is on its last transport.
    Finished,
}

/// A timer of the upgrade that has come due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpgradeTimeoutAction {
    SendNoop,
    CloseCandidate,
}

impl Upgrade {
    /// A candidate has connected. `false` when the session already moves or has moved.
    pub(crate) fn begin(&mut self, to: Transport, now: Time, timeout: Duration) -> bool {
        let possible = *self == Self::Possible;
        if possible {
            *self = Self::Candidate { to, deadline: now + timeout };
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
                // A poll that waits is released at once: the client stops polling when it has read the answer to its
                // probe, and waits for that poll. The Node server lets it wait for one interval, so that every upgrade
                // takes a tenth of a second. Should the release overtake the answer, the client polls once more, and
                // that poll is released an interval later.
                *self = Self::Probed { to, deadline, noop_at: now };
                CandidateAction::SendProbePong
            }
            (Self::Probed { to, .. }, Ok(Packet::Upgrade)) => {
                *self = Self::Finished;
                CandidateAction::Switch(to)
            }
            _ => {
                self.handle_candidate_closed();
                CandidateAction::CloseCandidate
            }
        }
    }

    /// The candidate is gone; the client may try again.
    pub(crate) fn handle_candidate_closed(&mut self) {
        if *self != Self::Finished {
            *self = Self::Possible;
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match *self {
            Self::Candidate { deadline, .. } => Some(deadline),
            Self::Probed { deadline, noop_at: release_at, .. } => Some(deadline.min(release_at)),
            Self::Possible | Self::Finished => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) -> Option<UpgradeTimeoutAction> {
        match *self {
            Self::Candidate { deadline, .. } | Self::Probed { deadline, .. } if deadline <= now => {
                *self = Self::Possible;
                Some(UpgradeTimeoutAction::CloseCandidate)
            }
            Self::Probed { to, deadline, noop_at: release_at } if release_at <= now => {
                *self = Self::Probed { to, deadline, noop_at: now + NOOP_INTERVAL };
                Some(UpgradeTimeoutAction::SendNoop)
            }
            _ => None,
        }
    }
}
