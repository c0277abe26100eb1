//! The client: the real state machine, driven as an application with sockets drives it. The machine knows only revision
//! 4. For revision 3, the driver adds what differs: the pings come from the client.

use std::collections::VecDeque;
use std::time::Duration;

use tidewire_engineio_proto::client::{Action, Closed, ReadyState, Received, Session, Settings};
use tidewire_engineio_proto::{CloseReason, Packet, ParseError, Revision, Transport};
use ws_proto::Time;

use crate::connection::Connection;
use crate::server::{MAX_PAYLOAD, PING_INTERVAL, PING_TIMEOUT};
use crate::simulation::{Get, MESSAGES, Post, World};
use crate::wire::{Waiting, body, number, number_of_bytes, packet, payload};

const PROBE_TIMEOUT: Duration = Duration::from_millis(900);

#[derive(Debug)]
pub(crate) struct Client {
    session: Session,
    revision: Revision,
    /// The number of pings of revision 3, and of their pongs.
    pub(crate) pings: u32,
    pub(crate) pongs: u32,
    /// Messages that are queued, and pings of revision 3.
    waiting: VecDeque<Waiting>,
    /// The number of messages that the application has sent, and the number that it has received.
    pub(crate) sent: u32,
    pub(crate) received: u32,
    /// The client does not read.
    pub(crate) paused: bool,
    /// The connection that is the candidate, and the connection that is the transport.
    pub(crate) candidate: Option<usize>,
    pub(crate) websocket: Option<usize>,
    candidates: usize,
    pub(crate) closed: Option<Closed>,
    /// The candidate may break before it is the transport.
    candidate_breaks: bool,
}

impl Client {
    pub(crate) fn new(now: Time, open: &str, candidate_breaks: bool, revision: Revision) -> Self {
        let settings = Settings { probe_timeout: PROBE_TIMEOUT, ..Settings::default() };
        let mut session = Session::new(Transport::Polling, &settings, now);
        assert_eq!(session.poll_action(now), Some(Action::Poll), "the first GET");
        assert_eq!(session.handle_packet(Packet::parse(open), now), Received::Open);
        session.handle_poll_finished();
        Self {
            session,
            revision,
            pings: 0,
            pongs: 0,
            waiting: VecDeque::new(),
            sent: 0,
            received: 0,
            paused: false,
            candidate: None,
            websocket: None,
            candidates: 0,
            closed: None,
            candidate_breaks,
        }
    }

    fn handle_packet(&mut self, packet: Result<Packet<'_>, ParseError>, now: Time) {
        if self.revision == Revision::V3 && packet == Ok(Packet::Pong("")) {
            self.pongs += 1;
            return;
        }
        let number = match self.session.handle_packet(packet, now) {
            Received::Text(text) => number(text),
            Received::Binary(bytes) => number_of_bytes(&bytes),
            Received::Nothing => return,
            Received::Open => panic!("the session opens once"),
        };
        assert_eq!(number, self.received, "from the server");
        self.received += 1;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.session.ready_state() == ReadyState::Open
    }

    /// Returns whether each ping has its pong.
    pub(crate) fn heartbeat_rests(&self) -> bool {
        self.pings == self.pongs
    }

    /// Returns whether the session may still try to upgrade.
    pub(crate) fn may_move(&self) -> bool {
        self.websocket.is_none() && (self.candidates == 0 || self.candidate.is_some())
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.session.poll_timeout()
    }
}

impl World {
    pub(crate) fn client_program_sends(&mut self, messages: u32) {
        for _ in 0..messages.min(MESSAGES - self.client.sent) {
            self.client.waiting.push_back(Waiting::message(self.client.sent));
            self.client.sent += 1;
        }
        self.client_turn();
    }

    /// The client of revision 3 sends a ping.
    pub(crate) fn client_pings(&mut self) {
        self.client.pings += 1;
        self.client.waiting.push_back(Waiting::Engine(Packet::Ping("")));
        self.client_turn();
    }

    pub(crate) fn client_pauses(&mut self) {
        self.client.paused = !self.client.paused;
        self.client.session.set_read_paused(self.client.paused, self.now);
        self.client_turn();
    }

    pub(crate) fn client_closes(&mut self) {
        self.client.session.close();
        self.client_turn();
    }

    /// The response to the GET arrives, or more of it: some of its packets are handled.
    pub(crate) fn client_handles_answer(&mut self, packets: usize) {
        let mut payload = match std::mem::replace(&mut self.get, Get::None) {
            Get::Answered(body) => payload(&self.format(), body),
            Get::Reading(payload) => payload,
            other => unreachable!("{other:?}"),
        };
        let mut is_finished = false;
        for _ in 0..packets {
            match payload.next_packet() {
                Some(packet) => self.client.handle_packet(packet, self.now),
                None => is_finished = true,
            }
        }
        if is_finished {
            self.client.session.handle_poll_finished();
        } else {
            self.get = Get::Reading(payload);
        }
        self.client_turn();
    }

    /// The GET has failed.
    pub(crate) fn client_loses_get(&mut self) {
        self.get = Get::None;
        self.client.session.handle_transport_failed();
        self.client_turn();
    }

    pub(crate) fn post_is_answered(&mut self) {
        self.post = Post::None;
        self.client.session.handle_post_finished();
        self.client_turn();
    }

    pub(crate) fn client_connects(&mut self, number: usize) {
        self.connections[number].connected = true;
        if self.client.candidate == Some(number) {
            self.client.session.handle_candidate_connected();
        }
        self.client_turn();
    }

    pub(crate) fn client_reads(&mut self, number: usize, length: usize) {
        let events = self.connections[number].client_reads(length, self.now);
        if self.connections[number].stranger.is_some() {
            return self.stranger_reads(number, &events);
        }
        let revision = self.client.revision;
        for event in &events {
            match packet(revision, event) {
                None => self.client_loses(number, true),
                Some(packet) if self.client.websocket == Some(number) => {
                    self.client.handle_packet(packet, self.now);
                }
                Some(packet) if self.client.candidate == Some(number) => {
                    self.client.session.handle_candidate_packet(&packet);
                }
                Some(_) => {}
            }
        }
        self.client_turn();
    }

    /// The connection breaks, and some of the bytes in flight are lost.
    pub(crate) fn connection_breaks(&mut self, number: usize, how: u8) {
        let connection = &mut self.connections[number];
        connection.broken = true;
        connection.to_client.clear();
        if how & 1 == 0 {
            connection.to_server.truncate(usize::from(how));
        }
        self.client_loses(number, false);
        self.client_turn();
    }

    fn client_loses(&mut self, number: usize, in_order: bool) {
        if self.client.candidate == Some(number) {
            self.client.candidate = None;
            self.client.session.handle_candidate_closed();
        } else if self.client.websocket == Some(number) && in_order {
            self.client.session.handle_transport_closed();
        } else if self.client.websocket == Some(number) {
            self.client.session.handle_transport_failed();
        }
    }

    pub(crate) fn client_handles_timeout(&mut self) {
        self.client.session.handle_timeout(self.now);
        self.client_turn();
        let next = self.client.session.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "{next:?} stays due");
    }

    /// Does what a driver does at the end of each iteration of its loop.
    fn client_turn(&mut self) {
        loop {
            let lengths = self.client.waiting.iter().map(|waiting| waiting.packet().encoded_len());
            if let Some(transmit) = self.client.session.poll_transmit(lengths) {
                assert_eq!(self.client.closed, None, "nothing is sent after the end");
                let messages = transmit.messages.min(self.client.waiting.len());
                let packets: Vec<_> = transmit
                    .packet
                    .map(Waiting::Engine)
                    .into_iter()
                    .chain(self.client.waiting.drain(..messages))
                    .collect();
                self.client_transmits(&packets);
            } else if let Some(action) = self.client.session.poll_action(self.now) {
                assert_eq!(self.client.closed, None, "nothing happens after the end");
                self.client_acts(action);
            } else {
                return;
            }
        }
    }

    fn client_transmits(&mut self, packets: &[Waiting]) {
        assert!(!packets.is_empty());
        match self.client.websocket {
            Some(number) => {
                let connection = &mut self.connections[number];
                packets.iter().for_each(|waiting| connection.client_says(&waiting.packet()));
            }
            None => {
                assert!(matches!(self.post, Post::None), "one POST at a time");
                let body = body(&self.format(), packets);
                let fits = body.bytes.len() <= MAX_PAYLOAD || packets.len() == 1;
                // A client of revision 3 knows no limit.
                assert!(fits || self.client.revision == Revision::V3, "{body:?}");
                self.post = Post::Coming(body);
            }
        }
    }

    fn client_acts(&mut self, action: Action) {
        match action {
            Action::Poll => {
                assert!(matches!(self.get, Get::None), "one GET at a time");
                self.get = Get::Coming;
            }
            Action::OpenCandidate(transport) => {
                assert_eq!((transport, self.client.candidate), (Transport::WebSocket, None));
                self.client.candidate = Some(self.connections.len());
                self.client.candidates += 1;
                self.connections.push(Connection::new(None, self.client.candidate_breaks, &self.format()));
            }
            Action::SendToCandidate(packet) => {
                let number = self.client.candidate.expect("there is a candidate");
                self.connections[number].client_says(&packet);
            }
            Action::SwitchToCandidate(packet) => {
                assert!(matches!((&self.get, &self.post), (Get::None, Post::None)), "nothing is in flight");
                let number = self.client.candidate.take().expect("there is a candidate");
                self.client.websocket = Some(number);
                self.connections[number].client_says(&packet);
            }
            Action::CloseCandidate => {
                let number = self.client.candidate.take().expect("there is a candidate");
                self.connections[number].close_by_client(self.now);
            }
            Action::Close(closed) => self.client_ends(closed),
        }
    }

    fn client_ends(&mut self, closed: Closed) {
        assert_eq!(self.client.candidate, None, "the candidate was closed before");
        self.get = Get::None;
        if let Some(number) = self.client.websocket {
            assert_eq!(closed.close_packet, None);
            self.connections[number].close_by_client(self.now);
        } else if let (Some(packet), Post::None) = (&closed.close_packet, &self.post) {
            self.post = Post::Coming(body(&self.format(), [&Waiting::Engine(packet.clone())]));
        }
        self.client.closed = Some(closed);
    }

    /// Expects the session to end because the server is silent, one whole heartbeat after the client has started to
    /// read again.
    pub(crate) fn expect_the_end_of_a_silent_server(&mut self) {
        if !self.client.is_open() {
            return;
        }
        let session = &mut self.client.session;
        session.set_read_paused(true, self.now);
        self.now = self.now + (PING_INTERVAL + PING_TIMEOUT) * 10;
        session.handle_timeout(self.now);
        session.set_read_paused(false, self.now);
        assert_eq!(session.ready_state(), ReadyState::Open, "silence while nothing is read is not a failure");
        self.now = self.now + (PING_INTERVAL + PING_TIMEOUT - Duration::from_micros(1));
        session.handle_timeout(self.now);
        assert_eq!(session.ready_state(), ReadyState::Open);
        self.now = self.now + Duration::from_micros(1);
        self.client_handles_timeout();
        assert_eq!(self.client.closed.as_ref().map(|closed| closed.reason), Some(CloseReason::PingTimeout));
    }
}
