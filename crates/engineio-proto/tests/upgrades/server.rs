//! The server: the machines, driven as a program with sockets drives them, and what is expected of them.

use std::time::Duration;

use tidewire_engineio_proto::server::{CandidateStep, Due, Received, Session};
use tidewire_engineio_proto::{
    CloseReason, EncodedMessage, Framing, MessageEncoder, Packet, Packets, ParseError, Payload, Settings,
    Transport, encode_payload,
};
use ws_proto::{Event, Time};

use crate::connection::End;
use crate::world::{Get, MESSAGES, Post, World};

const PING_INTERVAL: Duration = Duration::from_millis(700);
/// So long that no history is over before it.
const PING_TIMEOUT: Duration = Duration::from_secs(3_600);
const UPGRADE_TIMEOUT: Duration = Duration::from_millis(1_500);
const RELEASE_INTERVAL: Duration = Duration::from_millis(100);

const MICROSECOND: Duration = Duration::from_micros(1);

#[derive(Debug)]
pub(crate) struct Server {
    machine: Session,
    /// Packets that wait for a GET, or for the move.
    waiting: Vec<u8>,
    /// The GET that waits is to come back with a noop at least.
    released: bool,
    /// Messages sent and received.
    pub(crate) sent: u32,
    pub(crate) received: u32,
    pub(crate) pings: u32,
    pub(crate) pongs: u32,
    /// When the next ping is expected, while no pong is.
    ping_at: Time,
    candidate: Option<Candidate>,
    /// The connection that is the transport.
    pub(crate) websocket: Option<usize>,
}

/// What is expected of the upgrade under way.
#[derive(Debug)]
struct Candidate {
    number: usize,
    until: Time,
    /// Once it has been probed: when the next release of a waiting GET is expected.
    release_at: Option<Time>,
}

impl Server {
    pub(crate) fn new(now: Time) -> Self {
        let settings = Settings {
            ping_interval: PING_INTERVAL,
            ping_timeout: PING_TIMEOUT,
            upgrade_timeout: UPGRADE_TIMEOUT,
            ..Settings::default()
        };
        Self {
            machine: Session::new(Transport::Polling, &settings, now),
            waiting: Vec::new(),
            released: false,
            sent: 0,
            received: 0,
            pings: 0,
            pongs: 0,
            ping_at: now + PING_INTERVAL,
            candidate: None,
            websocket: None,
        }
    }

    /// A packet of the current transport.
    fn handle_packet(&mut self, packet: Result<Packet<'_>, ParseError>, now: Time) {
        if packet == Ok(Packet::Pong("")) {
            self.pongs += 1;
            self.ping_at = now + PING_INTERVAL;
        }
        let number = match self.machine.handle_packet(packet, now).expect("nothing ends the session") {
            Received::Text(text) => text.parse().expect("a number"),
            Received::Binary(bytes) => u32::from_be_bytes((*bytes).try_into().expect("four bytes")),
            Received::Nothing => return,
        };
        assert_eq!(number, self.received, "from the client");
        self.received += 1;
    }

    fn is_candidate(&self, number: usize) -> bool {
        self.candidate.as_ref().is_some_and(|candidate| candidate.number == number)
    }
}

impl World {
    /// The program sends a message, with the next ones as its attachments.
    pub(crate) fn program_sends(&mut self, how: u8) {
        let server = &mut self.server;
        let mut encoder = MessageEncoder::new();
        encoder.begin();
        encoder.text().extend_from_slice(server.sent.to_string().as_bytes());
        server.sent += 1;
        for _ in 0..how % 3 {
            if server.sent < MESSAGES {
                encoder.parts().1.push(&server.sent.to_be_bytes());
                server.sent += 1;
            }
        }
        self.write_message(encoder.finish());
    }

    fn write_message(&mut self, message: EncodedMessage<'_>) {
        let (framing, to) = self.outgoing();
        message.write(framing, |part| to.extend_from_slice(part));
        self.answer();
    }

    fn write_packet(&mut self, packet: &Packet<'_>) {
        let (framing, to) = self.outgoing();
        framing.write_packet(packet, to);
        self.answer();
    }

    /// Packets leave by the WebSocket, or wait for a GET.
    fn outgoing(&mut self) -> (Framing, &mut Vec<u8>) {
        match self.server.websocket {
            Some(number) => (Framing::WebSocket, &mut self.connections[number].to_client),
            None => (Framing::Packets, &mut self.server.waiting),
        }
    }

    /// Answers the GET that waits, if there is something to say.
    fn answer(&mut self) {
        let server = &mut self.server;
        if !matches!(self.get, Get::Waiting) || (server.waiting.is_empty() && !server.released) {
            return;
        }
        if server.waiting.is_empty() {
            Framing::Packets.write_packet(&Packet::Noop, &mut server.waiting);
        }
        let mut body = Vec::new();
        encode_payload(Packets::new(&server.waiting), &mut body);
        server.waiting.clear();
        server.released = false;
        self.get = Get::Answered(String::from_utf8(body).expect("text"));
    }

    pub(crate) fn get_arrives(&mut self) {
        self.get = Get::Waiting;
        self.answer();
    }

    /// A POST has come, or goes on: some of its packets are handled.
    pub(crate) fn handle_post(&mut self, packets: usize) {
        let mut payload = match std::mem::replace(&mut self.post, Post::Handled) {
            Post::Coming(body) => Payload::new(body),
            Post::Held(payload) => payload,
            Post::None | Post::Handled => unreachable!("there is a POST"),
        };
        for _ in 0..packets {
            let Some(packet) = payload.next_packet() else { return };
            self.server.handle_packet(packet, self.now);
        }
        self.post = Post::Held(payload);
    }

    pub(crate) fn connection_arrives(&mut self, number: usize) {
        let is_free = self.server.candidate.is_none() && self.server.websocket.is_none();
        assert_eq!(self.server.machine.begin_upgrade(self.now), is_free, "one candidate at a time, one move");
        self.connections[number].end = End::Open;
        if is_free {
            let until = self.now + UPGRADE_TIMEOUT;
            self.server.candidate = Some(Candidate { number, until, release_at: None });
        } else {
            self.connections[number].close_by_server(self.now);
        }
    }

    pub(crate) fn server_reads(&mut self, number: usize, length: usize) {
        for event in self.connections[number].server_reads(length, self.now) {
            let packet = match &event {
                Some(Event::Text(text)) => Packet::parse(text),
                Some(Event::Binary(bytes)) => Ok(Packet::Binary((&**bytes).into())),
                Some(Event::Close(_)) | None => {
                    self.candidate_is_lost(number);
                    continue;
                }
                Some(other) => panic!("{other:?}"),
            };
            if self.server.websocket == Some(number) {
                self.server.handle_packet(packet, self.now);
            } else if self.server.is_candidate(number) {
                self.candidate_says(number, &packet);
            }
        }
        self.run_timers();
    }

    fn candidate_says(&mut self, number: usize, packet: &Result<Packet<'_>, ParseError>) {
        let server = &mut self.server;
        let Some(candidate) = &mut server.candidate else { unreachable!("it is the candidate") };
        let expected = match packet {
            Ok(Packet::Ping("probe")) => CandidateStep::AnswerProbe,
            Ok(Packet::Upgrade) if candidate.release_at.is_some() => CandidateStep::Switch,
            _ => CandidateStep::Refuse,
        };
        assert_eq!(server.machine.handle_candidate(packet, self.now), expected, "{packet:?}");
        match expected {
            CandidateStep::AnswerProbe => {
                candidate.release_at = Some(self.now);
                self.connections[number].server_says(&Packet::Pong("probe"));
            }
            CandidateStep::Switch => {
                server.candidate = None;
                server.websocket = Some(number);
                let waiting = std::mem::take(&mut server.waiting);
                Packets::new(&waiting).write(Framing::WebSocket, &mut self.connections[number].to_client);
            }
            CandidateStep::Refuse => {
                server.candidate = None;
                self.connections[number].close_by_server(self.now);
            }
        }
        self.expect_the_right_transport();
    }

    pub(crate) fn break_arrives(&mut self, number: usize) {
        assert_ne!(self.server.websocket, Some(number), "the transport does not break");
        self.candidate_is_lost(number);
    }

    fn candidate_is_lost(&mut self, number: usize) {
        self.connections[number].close_by_server(self.now);
        if self.server.is_candidate(number) {
            self.server.machine.candidate_lost();
            self.server.candidate = None;
        }
        self.expect_the_right_transport();
    }

    fn expect_the_right_transport(&self) {
        let is_websocket = self.server.machine.transport() == Transport::WebSocket;
        assert_eq!(is_websocket, self.server.websocket.is_some());
    }

    /// Time passes. A server in time does what is due at the moment; one that is late does it in the end.
    pub(crate) fn time_passes(&mut self, duration: Duration, in_time: bool) {
        let end = self.now + duration;
        while in_time
            && let Some(due) = self.server.machine.poll_timeout()
            && due <= end
        {
            self.now = self.now.max(due);
            self.run_timers();
        }
        self.now = end;
        self.run_timers();
    }

    /// Does what is due, and holds it against what is expected.
    fn run_timers(&mut self) {
        let now = self.now;
        loop {
            let server = &mut self.server;
            let ping_at = (server.pings == server.pongs).then_some(server.ping_at);
            let until = server.candidate.as_ref().map(|candidate| candidate.until);
            let release_at = server.candidate.as_ref().and_then(|candidate| candidate.release_at);
            let timers =
                [(ping_at, Due::Ping), (until, Due::AbandonCandidate), (release_at, Due::ReleasePoll)];
            let expected = timers.into_iter().find(|(at, _)| at.is_some_and(|at| at <= now));
            let expected = expected.map(|(_, due)| due);
            assert_eq!(server.machine.handle_timeout(now), expected);
            match expected {
                None => {
                    // Without a timer of these it is the pong that is waited for.
                    let next = [ping_at, until, release_at].into_iter().flatten().min();
                    let poll_timeout = server.machine.poll_timeout();
                    assert!(next.is_none_or(|next| poll_timeout == Some(next)), "{next:?}, {poll_timeout:?}");
                    assert!(poll_timeout.is_some_and(|due| due > now), "{poll_timeout:?} stays due");
                    return;
                }
                Some(Due::Ping) => {
                    server.pings += 1;
                    self.write_packet(&Packet::Ping(""));
                }
                Some(Due::AbandonCandidate) => {
                    if let Some(candidate) = server.candidate.take() {
                        self.connections[candidate.number].close_by_server(now);
                    }
                }
                Some(Due::ReleasePoll) => {
                    if let Some(candidate) = &mut server.candidate {
                        candidate.release_at = Some(now + RELEASE_INTERVAL);
                    }
                    server.released = matches!(self.get, Get::Waiting);
                    self.answer();
                }
                Some(Due::Close(_)) => unreachable!("it is not expected"),
            }
        }
    }

    /// The heartbeat goes on after all that, and ends the session of a client that is silent: a whole timeout after the
    /// handler has begun to read again.
    pub(crate) fn expect_the_end_of_a_silent_client(&mut self) {
        if self.server.pings == self.server.pongs {
            self.time_passes(self.server.ping_at.saturating_since(self.now), true);
        }
        assert_eq!(self.server.pings, self.server.pongs + 1);
        let machine = &mut self.server.machine;
        machine.set_paused(true, self.now);
        self.now = self.now + PING_TIMEOUT * 10;
        while let Some(due) = machine.handle_timeout(self.now) {
            assert!(matches!(due, Due::AbandonCandidate | Due::ReleasePoll), "{due:?}");
        }
        machine.set_paused(false, self.now);
        self.now = self.now + (PING_TIMEOUT - MICROSECOND);
        assert_eq!(machine.handle_timeout(self.now), None);
        self.now = self.now + MICROSECOND;
        assert_eq!(machine.handle_timeout(self.now), Some(Due::Close(CloseReason::PingTimeout)));
    }
}
