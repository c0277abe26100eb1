//! The upgrade from polling to another transport, on the client side.
//!
//! The client tries one candidate after the other. An error on a candidate closes only that candidate.

use std::time::Duration;

use ws_proto::{PeerDeadline, Time};

use crate::handshake::Transport;
use crate::packet::{PROBE, Packet, ParseError};

/// The state of the upgrade.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// The transports that have not been tried yet. The last one in the list is tried next.
    remaining: Vec<Transport>,
    state: State,
    probe_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is no candidate.
    Idle,
    /// The driver has a candidate, which must become the transport before `deadline`.
    Candidate { transport: Transport, step: Step, deadline: PeerDeadline },
    /// The driver has a candidate that it must close.
    Closing,
}

/// The progress of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Connecting,
    /// The probe must be sent next.
    Connected,
    Probing,
    /// The pong to the probe has arrived. The session upgrades as soon as no request is in flight.
    Pausing,
}

/// What the driver must do about the candidate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UpgradeAction {
    Open(Transport),
    Send(Packet<'static>),
    /// Send the packet, and use the candidate as the transport from now on.
    Switch(Transport, Packet<'static>),
    Close,
}

impl Upgrade {
    pub(super) fn new(probe_timeout: Duration) -> Self {
        Self { remaining: Vec::new(), state: State::Idle, probe_timeout }
    }

    /// Sets the transports that the session may upgrade to, in the order in which they are tried.
    pub(super) fn set_candidates(&mut self, candidates: impl DoubleEndedIterator<Item = Transport>) {
        self.remaining = candidates.rev().collect();
    }

    /// Returns whether the session is about to upgrade. While it is, no request may start and no message may be sent.
    pub(super) fn is_pausing(&self) -> bool {
        matches!(self.state, State::Candidate { step: Step::Pausing, .. })
    }

    pub(super) fn handle_connected(&mut self) {
        if let State::Candidate { step: step @ Step::Connecting, .. } = &mut self.state {
            *step = Step::Connected;
        }
    }

    pub(super) fn handle_packet(&mut self, packet: &Result<Packet<'_>, ParseError>) {
        match (&mut self.state, packet) {
            (State::Candidate { step: step @ Step::Probing, .. }, Ok(Packet::Pong(PROBE))) => {
                *step = Step::Pausing;
            }
            _ => self.abandon(),
        }
    }

    /// Handles the end of the candidate's connection.
    pub(super) fn handle_closed(&mut self) {
        self.state = State::Idle;
    }

    /// Handles the closing of the session: an upgrade that is about to happen still completes, and no other one starts.
    pub(super) fn handle_session_closing(&mut self) {
        self.remaining = Vec::new();
        if !self.is_pausing() {
            self.abandon();
        }
    }

    /// Handles the end of the session.
    pub(super) fn stop(&mut self) {
        self.remaining = Vec::new();
        self.abandon();
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match self.state {
            State::Candidate { deadline, .. } => Some(deadline.time()),
            State::Idle | State::Closing => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        if let State::Candidate { deadline, .. } = &mut self.state
            && deadline.expired_or_restart(self.probe_timeout, now)
        {
            self.abandon();
        }
    }

    /// Returns the next action. `is_quiet` says that the current transport has no requests in flight.
    pub(super) fn poll_action(&mut self, is_quiet: bool, now: Time) -> Option<UpgradeAction> {
        match self.state {
            State::Idle => {
                let transport = self.remaining.pop()?;
                let deadline = PeerDeadline::new(now + self.probe_timeout);
                self.state = State::Candidate { transport, step: Step::Connecting, deadline };
                Some(UpgradeAction::Open(transport))
            }
            State::Candidate { transport, step: Step::Connected, deadline } => {
                self.state = State::Candidate { transport, step: Step::Probing, deadline };
                Some(UpgradeAction::Send(Packet::Ping(PROBE)))
            }
            State::Candidate { transport, step: Step::Pausing, .. } if is_quiet => {
                self.state = State::Idle;
                self.remaining = Vec::new();
                Some(UpgradeAction::Switch(transport, Packet::Upgrade))
            }
            State::Candidate { .. } => None,
            State::Closing => {
                self.state = State::Idle;
                Some(UpgradeAction::Close)
            }
        }
    }

    fn abandon(&mut self) {
        if let State::Candidate { .. } = self.state {
            self.state = State::Closing;
        }
    }
}
