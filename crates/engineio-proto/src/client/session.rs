//! The machine: what has happened goes in, what to send and to do comes out.

use std::time::Duration;

use ws_proto::Time;

use super::upgrade::{Upgrade, UpgradeAction};
use super::{Action, Closed, ReadyState, Received, SessionError, Settings, Transmit};
use crate::error::CloseReason;
use crate::handshake::{Handshake, Transport};
use crate::packet::{Packet, ParseError};

/// The state of one session.
#[derive(Debug)]
pub struct Session {
    transport: Transport,
    phase: Phase,
    handshake: Option<Box<Handshake>>,
    upgrade: Upgrade,
    requests: Requests,
    /// A ping has come and no pong has left. Several pings are answered by one pong, so that a server cannot make its
    /// client collect pongs.
    pong_pending: bool,
    /// While true the driver does not read, so the silence of the server says nothing about the server.
    read_paused: bool,
    /// The transports that the session may move to; empty once it is open.
    candidates: Vec<Transport>,
    max_id_length: usize,
}

#[derive(Debug)]
enum Phase {
    /// The open packet must come before `deadline`.
    Opening { deadline: Time },
    /// A ping must come before `deadline`.
    Open { deadline: Time },
    /// The same, and the session ends once no message waits.
    Closing { deadline: Time },
    /// The session is over, and the driver has not been told.
    ClosePending(Closed),
    /// The driver knows.
    Closed,
}

/// Requests of the polling transport that have not come back.
#[derive(Debug, Default)]
struct Requests {
    get: bool,
    post: bool,
}

impl Session {
    /// A session that begins on `transport`. On polling the first action is a [`Action::Poll`]; on WebSocket the driver
    /// connects by itself.
    #[must_use]
    pub fn new(transport: Transport, settings: &Settings, now: Time) -> Self {
        // Polling is what a session moves away from.
        let may_move = settings.upgrade && transport == Transport::Polling;
        let better = settings.transports.iter().copied().filter(|other| *other != transport && may_move);
        Self {
            transport,
            phase: Phase::Opening { deadline: now + settings.connect_timeout },
            handshake: None,
            upgrade: Upgrade::new(settings.probe_timeout),
            requests: Requests::default(),
            pong_pending: false,
            read_paused: false,
            candidates: better.collect(),
            max_id_length: settings.max_id_length,
        }
    }

    /// The transport that packets travel on now.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// How far the session has come.
    #[must_use]
    pub fn ready_state(&self) -> ReadyState {
        match self.phase {
            Phase::Opening { .. } => ReadyState::Opening,
            Phase::Open { .. } => ReadyState::Open,
            Phase::Closing { .. } => ReadyState::Closing,
            Phase::ClosePending(_) | Phase::Closed => ReadyState::Closed,
        }
    }

    /// What the server announced, once the session has opened.
    #[must_use]
    pub fn handshake(&self) -> Option<&Handshake> {
        self.handshake.as_deref()
    }

    /// The session id, once the session has opened: the `sid` parameter of every further request and of the candidate. It
    /// is any text, so it must be percent-encoded.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.handshake().map(|handshake| &*handshake.session_id)
    }

    /// A packet of the current transport, or what stands in the place of one.
    ///
    /// What is no packet ends the session, and so does an open packet that is not usable: an [`Action::Close`] follows.
    /// Once the session is over, packets bring nothing.
    pub fn handle_packet<'a>(&mut self, packet: Result<Packet<'a>, ParseError>, now: Time) -> Received<'a> {
        let packet = match packet {
            Ok(packet) => packet,
            Err(error) => {
                self.end(CloseReason::TransportError, Some(SessionError::Packet(error)));
                return Received::Nothing;
            }
        };
        // A WebSocket connection closes by its own close frame; a close packet on it has no meaning.
        if packet == Packet::Close && self.transport == Transport::Polling {
            self.end_without_packet(CloseReason::TransportClose);
            return Received::Nothing;
        }
        let heartbeat = self.heartbeat_timeout();
        match &mut self.phase {
            Phase::Opening { .. } => match packet {
                Packet::Open(json) => self.handle_open(json, now),
                // Nothing counts before the open packet. The JavaScript client hands such messages on, and its one user,
                // the client of Socket.IO, does not listen yet.
                _ => Received::Nothing,
            },
            Phase::Open { deadline } | Phase::Closing { deadline } => match packet {
                Packet::Message(text) => Received::Text(text),
                Packet::Binary(data) => Received::Binary(data),
                Packet::Ping(_) => {
                    // Only pings count: messages alone do not show that the server still waits for pongs.
                    *deadline = now + heartbeat;
                    self.pong_pending = true;
                    Received::Nothing
                }
                // A second open packet would give the JavaScript client another session id. No server sends one.
                Packet::Open(_) | Packet::Close | Packet::Pong(_) | Packet::Upgrade | Packet::Noop => {
                    Received::Nothing
                }
            },
            Phase::ClosePending(_) | Phase::Closed => Received::Nothing,
        }
    }

    /// The response to the GET has ended, and all its packets have been handed over.
    pub fn handle_poll_finished(&mut self) {
        self.requests.get = false;
        if let (Phase::Opening { .. }, Transport::Polling) = (&self.phase, self.transport) {
            self.end(CloseReason::TransportError, Some(SessionError::NoOpenPacket));
        }
    }

    /// The POST has been answered.
    pub fn handle_post_finished(&mut self) {
        self.requests.post = false;
    }

    /// The transport's connection has ended in order, or the network is known to be gone.
    pub fn handle_transport_closed(&mut self) {
        self.end(CloseReason::TransportClose, None);
    }

    /// A request has failed, or the transport's connection has ended by an error. Only the driver knows the cause.
    pub fn handle_transport_failed(&mut self) {
        self.end(CloseReason::TransportError, None);
    }

    /// The candidate has connected.
    pub fn handle_candidate_connected(&mut self) {
        self.upgrade.handle_connected();
    }

    /// A packet of the candidate. Any but the answer to the probe costs the candidate: an [`Action::CloseCandidate`]
    /// follows.
    pub fn handle_candidate_packet(&mut self, packet: &Result<Packet<'_>, ParseError>) {
        self.upgrade.handle_packet(packet);
    }

    /// The candidate could not connect, or its connection has ended, before it was the transport.
    pub fn handle_candidate_closed(&mut self) {
        self.upgrade.handle_closed();
    }

    /// The program closes the session. Messages that wait are sent first, so it may take no new ones. A move that is about
    /// to happen is finished, or has failed, before the session ends, since nothing can be sent meanwhile.
    ///
    /// A session that has not opened ends at once.
    pub fn close(&mut self) {
        match self.phase {
            Phase::Opening { .. } => self.end(CloseReason::ForcedClose, None),
            Phase::Open { deadline } => {
                self.phase = Phase::Closing { deadline };
                self.upgrade.handle_session_closing();
            }
            Phase::Closing { .. } | Phase::ClosePending(_) | Phase::Closed => {}
        }
    }

    /// The driver stops reading (`true`) or reads again. While it does not read, a missing ping is not held against the
    /// server, and no GET begins; from the moment it reads again the server has its whole time.
    ///
    /// The server's patience goes on: a client that reads nothing for longer than its `pingTimeout` loses the session.
    pub fn set_read_paused(&mut self, paused: bool, now: Time) {
        let heartbeat = self.heartbeat_timeout();
        if self.read_paused
            && !paused
            && let Phase::Open { deadline } | Phase::Closing { deadline } = &mut self.phase
        {
            *deadline = now + heartbeat;
        }
        self.read_paused = paused;
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        match (self.deadline(), self.upgrade.poll_timeout()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Time has passed. Input comes before: see [the module](super).
    pub fn handle_timeout(&mut self, now: Time) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            match self.phase {
                Phase::Opening { .. } => {
                    self.end(CloseReason::TransportError, Some(SessionError::ConnectTimeout));
                }
                _ => self.end(CloseReason::PingTimeout, None),
            }
        }
        self.upgrade.handle_timeout(now);
    }

    /// Whether the server is overdue, so that a message that is sent now had better wait for another session. A timer that
    /// a browser has throttled may not have said so yet.
    #[must_use]
    pub fn is_ping_overdue(&self, now: Time) -> bool {
        match self.phase {
            Phase::Open { deadline } | Phase::Closing { deadline } => deadline < now && !self.read_paused,
            Phase::Opening { .. } | Phase::ClosePending(_) | Phase::Closed => false,
        }
    }

    /// Whether a message may leave now: the session is open, it is not about to move, and no POST is in flight.
    #[must_use]
    pub fn can_send(&self) -> bool {
        matches!(self.phase, Phase::Open { .. } | Phase::Closing { .. })
            && !self.upgrade.is_pausing()
            && !self.requests.post
    }

    /// What leaves next, given the messages that wait: the [length](Packet::encoded_len) of each in its text form, in order.
    ///
    /// On polling, one POST takes the packets of one call, and the next POST begins after
    /// [`handle_post_finished`](Self::handle_post_finished). Its body is never longer than `maxPayload` of the server, but
    /// for a single packet that is longer by itself. On WebSocket the driver takes what waits for as long as its connection
    /// takes more, and calls this only then.
    ///
    /// A session that closes ends by this call, once no message waits.
    pub fn poll_transmit(&mut self, waiting: impl IntoIterator<Item = usize>) -> Option<Transmit> {
        if !self.can_send() {
            return None;
        }
        let packet = self.pong_pending.then_some(Packet::Pong(""));
        let mut waiting = waiting.into_iter();
        let messages = match self.transport {
            Transport::Polling => {
                let limit = self.handshake().and_then(|handshake| handshake.max_payload);
                count_fitting(packet.as_ref().map(Packet::encoded_len), waiting, limit.unwrap_or(usize::MAX))
            }
            Transport::WebSocket => waiting.next().map_or(0, |_| usize::MAX),
        };
        if packet.is_none() && messages == 0 {
            if let Phase::Closing { .. } = self.phase {
                self.end(CloseReason::ForcedClose, None);
            }
            return None;
        }
        self.pong_pending = false;
        self.requests.post = self.transport == Transport::Polling;
        Some(Transmit { packet, messages })
    }

    /// The next thing to do, or `None`. Call again until `None`.
    pub fn poll_action(&mut self, now: Time) -> Option<Action> {
        let is_quiet = !self.requests.get && !self.requests.post;
        if let Some(task) = self.upgrade.poll_action(is_quiet, now) {
            return Some(match task {
                UpgradeAction::Open(transport) => Action::OpenCandidate(transport),
                UpgradeAction::Send(packet) => Action::SendToCandidate(packet),
                UpgradeAction::Switch(transport, packet) => {
                    self.transport = transport;
                    Action::SwitchToCandidate(packet)
                }
                UpgradeAction::Close => Action::CloseCandidate,
            });
        }
        if let Phase::ClosePending(_) = self.phase
            && let Phase::ClosePending(closed) = std::mem::replace(&mut self.phase, Phase::Closed)
        {
            return Some(Action::Close(closed));
        }
        self.should_poll().then(|| {
            self.requests.get = true;
            Action::Poll
        })
    }

    fn should_poll(&self) -> bool {
        let is_over = matches!(self.phase, Phase::ClosePending(_) | Phase::Closed);
        self.transport == Transport::Polling
            && !is_over
            && !self.requests.get
            && !self.upgrade.is_pausing()
            && !self.read_paused
    }

    fn handle_open(&mut self, json: &str, now: Time) -> Received<'static> {
        match Handshake::parse(json, self.max_id_length) {
            Ok(handshake) => {
                let own = std::mem::take(&mut self.candidates);
                let both = handshake.upgrades.iter().copied().filter(|transport| own.contains(transport));
                self.upgrade.offer(both);
                self.handshake = Some(Box::new(handshake));
                self.phase = Phase::Open { deadline: now + self.heartbeat_timeout() };
                Received::Open
            }
            Err(error) => {
                self.end(CloseReason::TransportError, Some(SessionError::Handshake(error)));
                Received::Nothing
            }
        }
    }

    /// The longest time from one ping to the next. Nothing before the session has opened.
    fn heartbeat_timeout(&self) -> Duration {
        self.handshake().map_or(Duration::ZERO, |handshake| handshake.ping_interval + handshake.ping_timeout)
    }

    fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Opening { deadline } => Some(deadline),
            Phase::Open { deadline } | Phase::Closing { deadline } => (!self.read_paused).then_some(deadline),
            Phase::ClosePending(_) | Phase::Closed => None,
        }
    }

    fn end(&mut self, reason: CloseReason, error: Option<SessionError>) {
        // Without a session there is nothing to close, and a WebSocket closes by its own means.
        let is_known = matches!(self.phase, Phase::Open { .. } | Phase::Closing { .. });
        let packet = (is_known && self.transport == Transport::Polling).then_some(Packet::Close);
        self.end_with(Closed { reason, error, close_packet: packet });
    }

    /// The server has closed the session by itself.
    fn end_without_packet(&mut self, reason: CloseReason) {
        self.end_with(Closed { reason, error: None, close_packet: None });
    }

    fn end_with(&mut self, closed: Closed) {
        if let Phase::ClosePending(_) | Phase::Closed = self.phase {
            return;
        }
        self.phase = Phase::ClosePending(closed);
        self.upgrade.stop();
    }
}

/// How many packets with these `lengths` a POST takes of at most `limit` bytes, behind a packet of length `first` where
/// there is one. The very first packet goes in any case: it would wait for ever.
///
/// The JavaScript client estimates these lengths; they are exact here, so the body never exceeds the limit by a few bytes.
fn count_fitting(first: Option<usize>, lengths: impl Iterator<Item = usize>, limit: usize) -> usize {
    let mut body = first;
    lengths
        .take_while(|length| {
            // One byte stands between two packets.
            let longer = body.map(|body| body.saturating_add(1).saturating_add(*length));
            let fits = longer.is_none_or(|longer| longer <= limit);
            body = longer.or(Some(*length));
            fits
        })
        .count()
}
