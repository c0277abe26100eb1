//! The client's state machine. Events go in; actions and packets to send come out.

use std::time::Duration;

use ws_proto::{PeerDeadline, Time};

use super::upgrade::{Upgrade, UpgradeAction};
use super::{Action, Closed, Handshake, ReadyState, Received, SessionError, Settings, Transmit};
use crate::error::CloseReason;
use crate::handshake::Transport;
use crate::packet::{Packet, ParseError};

/// The state of one session.
#[derive(Debug)]
pub struct Session {
    transport: Transport,
    phase: Phase,
    handshake: Option<Box<Handshake>>,
    upgrade: Upgrade,
    requests: Requests,
    /// A ping has arrived, and no pong has been sent since. One pong responds to several pings. Otherwise a server
    /// could make the client queue pongs without limit.
    pong_pending: bool,
    /// While this is true, the driver does not read. A missing ping then does not mean that the server is gone.
    read_paused: bool,
    /// The transports that the session may upgrade to. Empty once the session is open.
    candidates: Vec<Transport>,
    max_id_len: usize,
}

#[derive(Debug)]
enum Phase {
    /// The open packet must arrive before `deadline`.
    Opening { deadline: PeerDeadline, timeout: Duration },
    /// The next ping must arrive before `deadline`.
    Open { deadline: PeerDeadline },
    /// The next ping must arrive before `deadline`. The session ends once no message is queued.
    Closing { deadline: PeerDeadline },
    /// The session is over, but the driver has not polled the last action yet.
    ClosePending(Closed),
    /// The session is over, and the driver has polled the last action.
    Closed,
}

/// Which requests of the polling transport are in flight.
#[derive(Debug, Default)]
struct Requests {
    get: bool,
    post: bool,
}

impl Session {
    /// Creates a session that starts on `transport`. On polling, the first action is an [`Action::Poll`]. On WebSocket,
    /// the driver opens the connection without an action.
    #[must_use]
    pub fn new(transport: Transport, settings: &Settings, now: Time) -> Self {
        // Only a polling session can upgrade.
        let may_move = settings.upgrade && transport == Transport::Polling;
        let better = settings.transports.iter().copied().filter(|other| *other != transport && may_move);
        Self {
            transport,
            phase: Phase::Opening {
                deadline: PeerDeadline::new(now + settings.connect_timeout),
                timeout: settings.connect_timeout,
            },
            handshake: None,
            upgrade: Upgrade::new(settings.probe_timeout),
            requests: Requests::default(),
            pong_pending: false,
            read_paused: false,
            candidates: better.collect(),
            max_id_len: settings.max_id_len,
        }
    }

    /// Returns the transport that carries packets now.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns the state of the session.
    #[must_use]
    pub fn ready_state(&self) -> ReadyState {
        match self.phase {
            Phase::Opening { .. } => ReadyState::Opening,
            Phase::Open { .. } => ReadyState::Open,
            Phase::Closing { .. } => ReadyState::Closing,
            Phase::ClosePending(_) | Phase::Closed => ReadyState::Closed,
        }
    }

    /// Returns what the server announced in the open packet, once the session has opened.
    #[must_use]
    pub fn handshake(&self) -> Option<&Handshake> {
        self.handshake.as_deref()
    }

    /// Returns the session id, once the session has opened. It is the `sid` parameter of every further request and of
    /// the candidate. The server may choose any text, so percent-encode it.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.handshake().map(|handshake| &*handshake.session_id)
    }

    /// Handles a packet of the current transport, or the error of data that is not a packet.
    ///
    /// Such an error ends the session, and so does an open packet that is not usable: an [`Action::Close`] follows.
    /// Packets that arrive after the end of the session are ignored.
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
                // Packets before the open packet are ignored. The JavaScript client delivers such messages, but its
                // only user, the Socket.IO client, does not listen yet.
                _ => Received::Nothing,
            },
            Phase::Open { deadline } | Phase::Closing { deadline } => match packet {
                Packet::Message(text) => Received::Text(text),
                Packet::Binary(data) => Received::Binary(data),
                Packet::Ping(_) => {
                    // Only pings extend the deadline: a message does not show that the server still waits for pongs.
                    *deadline = PeerDeadline::new(now + heartbeat);
                    self.pong_pending = true;
                    Received::Nothing
                }
                // The JavaScript client takes the session id from a second open packet. No server sends a second open
                // packet.
                Packet::Open(_) | Packet::Close | Packet::Pong(_) | Packet::Upgrade | Packet::Noop => {
                    Received::Nothing
                }
            },
            Phase::ClosePending(_) | Phase::Closed => Received::Nothing,
        }
    }

    /// Handles the end of the response to the GET. Call this after all its packets have been passed in.
    pub fn handle_poll_finished(&mut self) {
        self.requests.get = false;
        if let (Phase::Opening { .. }, Transport::Polling) = (&self.phase, self.transport) {
            self.end(CloseReason::TransportError, Some(SessionError::NoOpenPacket));
        }
    }

    /// Handles the response to the POST.
    pub fn handle_post_finished(&mut self) {
        self.requests.post = false;
    }

    /// Handles the clean end of the transport's connection. Also call this if the network is known to be gone.
    pub fn handle_transport_closed(&mut self) {
        self.end(CloseReason::TransportClose, None);
    }

    /// Handles a failed request, or an error that ended the transport's connection. [`Closed::error`] stays `None`,
    /// because only the driver has the cause.
    pub fn handle_transport_failed(&mut self) {
        self.end(CloseReason::TransportError, None);
    }

    /// Handles the candidate's connection: it is open now.
    pub fn handle_candidate_connected(&mut self) {
        self.upgrade.handle_connected();
    }

    /// Handles a packet of the candidate. Only the pong to the probe is valid. After any other packet, an
    /// [`Action::CloseCandidate`] follows.
    pub fn handle_candidate_packet(&mut self, packet: &Result<Packet<'_>, ParseError>) {
        self.upgrade.handle_packet(packet);
    }

    /// Handles a candidate that could not connect, or whose connection ended before it became the transport.
    pub fn handle_candidate_closed(&mut self) {
        self.upgrade.handle_closed();
    }

    /// Closes the session. Queued messages are sent first, so the driver must not queue new ones. If an upgrade waits
    /// for the last requests, nothing can be sent, so the session ends only after this upgrade has succeeded or failed.
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

    /// Tells the machine that the driver stops reading (`true`) or reads again (`false`). While the driver does not
    /// read, a missing ping does not end the session, and no GET starts. When the driver reads again, the server has
    /// the full time for its next ping.
    ///
    /// The server's own timeout keeps running. If a client reads nothing for longer than the server's `pingTimeout`, it
    /// loses the session.
    pub fn set_read_paused(&mut self, paused: bool, now: Time) {
        let heartbeat = self.heartbeat_timeout();
        if self.read_paused
            && !paused
            && let Phase::Open { deadline } | Phase::Closing { deadline } = &mut self.phase
        {
            *deadline = PeerDeadline::new(now + heartbeat);
        }
        self.read_paused = paused;
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        match (self.deadline(), self.upgrade.poll_timeout()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Handles the timers that have expired. Pass in the available input first: see [the module](super). A deadline of the
    /// server that is [noticed late](Time::extension) starts again once.
    pub fn handle_timeout(&mut self, now: Time) {
        let heartbeat = self.heartbeat_timeout();
        let expired = match &mut self.phase {
            Phase::Opening { deadline, timeout } => deadline
                .expired_or_restart(*timeout, now)
                .then_some((CloseReason::TransportError, Some(SessionError::ConnectTimeout))),
            Phase::Open { deadline } | Phase::Closing { deadline } if !self.read_paused => {
                deadline.expired_or_restart(heartbeat, now).then_some((CloseReason::PingTimeout, None))
            }
            _ => None,
        };
        if let Some((reason, error)) = expired {
            self.end(reason, error);
        }
        self.upgrade.handle_timeout(now);
    }

    /// Returns whether the server's next ping is overdue. If it is, keep a new message for another session instead of
    /// sending it. The result is correct even if a browser has throttled the timer that calls
    /// [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn is_ping_overdue(&self, now: Time) -> bool {
        match self.phase {
            Phase::Open { deadline } | Phase::Closing { deadline } => {
                deadline.time() < now && !self.read_paused
            }
            Phase::Opening { .. } | Phase::ClosePending(_) | Phase::Closed => false,
        }
    }

    /// Returns whether a message may be sent now: the session is open, it is not about to upgrade, and no POST is in
    /// flight.
    #[must_use]
    pub fn can_send(&self) -> bool {
        matches!(self.phase, Phase::Open { .. } | Phase::Closing { .. })
            && !self.upgrade.is_pausing()
            && !self.requests.post
    }

    /// Returns what to send next. `queued_lens` are the [lengths](Packet::encoded_len) of the queued messages in their
    /// text form, in order.
    ///
    /// On polling, send the packets of one call in one POST. The next POST starts after
    /// [`handle_post_finished`](Self::handle_post_finished). The body is never longer than the server's `maxPayload`,
    /// except if a single packet alone is longer. On WebSocket, send queued messages as long as the connection accepts
    /// more, and call this method only while it does.
    ///
    /// If the session is closing and nothing is left to send, this call ends it.
    pub fn poll_transmit(&mut self, queued_lens: impl IntoIterator<Item = usize>) -> Option<Transmit> {
        if !self.can_send() {
            return None;
        }
        let packet = self.pong_pending.then_some(Packet::Pong(""));
        let mut waiting = queued_lens.into_iter();
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

    /// Returns the next action. Call this again until it returns `None`.
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
        match Handshake::parse(json, self.max_id_len) {
            Ok(handshake) => {
                let own = std::mem::take(&mut self.candidates);
                let both = handshake.upgrades.iter().copied().filter(|transport| own.contains(transport));
                self.upgrade.set_candidates(both);
                self.handshake = Some(Box::new(handshake));
                self.phase = Phase::Open { deadline: PeerDeadline::new(now + self.heartbeat_timeout()) };
                Received::Open
            }
            Err(error) => {
                self.end(CloseReason::TransportError, Some(SessionError::Handshake(error)));
                Received::Nothing
            }
        }
    }

    /// Returns the longest time from one ping to the next. Zero before the session has opened.
    fn heartbeat_timeout(&self) -> Duration {
        self.handshake().map_or(Duration::ZERO, |handshake| handshake.ping_interval + handshake.ping_timeout)
    }

    fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Opening { deadline, .. } => Some(deadline.time()),
            Phase::Open { deadline } | Phase::Closing { deadline } => {
                (!self.read_paused).then_some(deadline.time())
            }
            Phase::ClosePending(_) | Phase::Closed => None,
        }
    }

    fn end(&mut self, reason: CloseReason, error: Option<SessionError>) {
        // Before the open packet there is no session to close, and a WebSocket has its own closing handshake.
        let is_known = matches!(self.phase, Phase::Open { .. } | Phase::Closing { .. });
        let packet = (is_known && self.transport == Transport::Polling).then_some(Packet::Close);
        self.end_with(Closed { reason, error, close_packet: packet });
    }

    /// Ends the session after the server has closed it. The server needs no close packet.
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

/// Returns how many packets with these `lengths` fit into a POST of at most `limit` bytes, after a packet of length
/// `first` if there is one. The very first packet always counts, because otherwise it would wait forever.
///
/// The JavaScript client estimates these lengths, so its body may exceed the limit by a few bytes. Here the lengths are
/// exact.
fn count_fitting(first: Option<usize>, lengths: impl Iterator<Item = usize>, limit: usize) -> usize {
    let mut body = first;
    lengths
        .take_while(|length| {
            // One separator byte goes between two packets.
            let longer = body.map(|body| body.saturating_add(1).saturating_add(*length));
            let fits = longer.is_none_or(|longer| longer <= limit);
            body = longer.or(Some(*length));
            fits
        })
        .count()
}
