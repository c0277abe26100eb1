//! The server: the state machine, driven as an application with sockets drives it, and checks of what it does.

use std::time::Duration;

use tidewire_engineio_proto::server::{CandidateAction, Received, Session, Settings, TimeoutAction};
use tidewire_engineio_proto::{CloseReason, Packet, ParseError, Revision, SessionId, Transport, open_packet};
use ws_proto::Time;

use crate::connection::End;
use crate::simulation::{Get, MESSAGES, Post, World};
use crate::wire::{Waiting, body, number, number_of_bytes, packet, payload};

pub(crate) const PING_INTERVAL: Duration = Duration::from_millis(700);
/// So long that every history is over before.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(3_600);
const UPGRADE_TIMEOUT: Duration = Duration::from_millis(1_500);
const RELEASE_INTERVAL: Duration = Duration::from_millis(100);
/// So short that a client often has more than fits into one POST.
pub(crate) const MAX_PAYLOAD: usize = 12;

const MICROSECOND: Duration = Duration::from_micros(1);

#[derive(Debug)]
pub(crate) struct Server {
    machine: Session,
    settings: Settings,
    /// Packets that are queued for a GET, or for the upgrade.
    waiting: Vec<Waiting>,
    /// Pongs of revision 3 that are not written yet.
    replies: Vec<Waiting>,
    /// The waiting GET must get a response, with a noop if nothing is queued.
    released: bool,
    /// The number of messages that the application has sent, and the number that it has received.
    pub(crate) sent: u32,
    pub(crate) received: u32,
    pub(crate) pings: u32,
    pub(crate) pongs: u32,
    /// When the next ping is expected, unless a pong is expected first.
    ping_at: Time,
    candidate: Option<Candidate>,
    /// The connection that is the transport.
    pub(crate) websocket: Option<usize>,
    /// The server does not read.
    pub(crate) paused: bool,
    /// Why the session is over for the server.
    pub(crate) over: Option<CloseReason>,
    /// The packets for the next GET after the end.
    farewell: Vec<Waiting>,
}

/// The expected state of an upgrade in progress.
#[derive(Debug)]
struct Candidate {
    number: usize,
    until: Time,
    /// The candidate got more time, because its deadline was noticed late.
    restarted: bool,
    /// After the probe: when a waiting GET is expected to get its next noop.
    release_at: Option<Time>,
}

impl Server {
    pub(crate) fn new(now: Time, revision: Revision) -> Self {
        let settings = Settings {
            ping_interval: PING_INTERVAL,
            ping_timeout: PING_TIMEOUT,
            upgrade_timeout: UPGRADE_TIMEOUT,
            max_payload: MAX_PAYLOAD,
            ..Settings::default()
        };
        Self {
            machine: Session::new(revision, Transport::Polling, &settings, now),
            settings,
            waiting: Vec::new(),
            replies: Vec::new(),
            released: false,
            sent: 0,
            received: 0,
            pings: 0,
            pongs: 0,
            ping_at: now + PING_INTERVAL,
            candidate: None,
            websocket: None,
            paused: false,
            over: None,
            farewell: Vec::new(),
        }
    }

    /// Returns the response to the first GET.
    pub(crate) fn open_packet(&self) -> String {
        open_packet(&SessionId::from_random([0; 15]), Transport::Polling, &self.settings)
    }

    /// Handles a packet of the current transport.
    fn handle_packet(
        &mut self,
        packet: Result<Packet<'_>, ParseError>,
        now: Time,
    ) -> Result<(), CloseReason> {
        if packet == Ok(Packet::Pong("")) {
            self.pongs += 1;
            self.ping_at = now + PING_INTERVAL;
        }
        let number = match self.machine.handle_packet(packet, now) {
            Ok(Received::Text(text)) => number(text),
            Ok(Received::Binary(bytes)) => number_of_bytes(&bytes),
            Ok(Received::Nothing) => return Ok(()),
            Ok(Received::SendPong(data)) => {
                assert_eq!((self.machine.revision(), data), (Revision::V3, ""));
                self.replies.push(Waiting::Engine(Packet::Pong("")));
                return Ok(());
            }
            Err(reason) => return Err(reason),
        };
        assert_eq!(number, self.received, "from the client");
        self.received += 1;
        Ok(())
    }

    fn is_candidate(&self, number: usize) -> bool {
        self.candidate.as_ref().is_some_and(|candidate| candidate.number == number)
    }
}

impl World {
    /// The application on the server sends one to three messages.
    pub(crate) fn program_sends(&mut self, how: u8) {
        for _ in 0..=how % 3 {
            if self.server.sent < MESSAGES {
                self.write(Waiting::message(self.server.sent));
                self.server.sent += 1;
            }
        }
        self.answer();
    }

    /// Sends a packet on the WebSocket, or queues it for a GET.
    fn write(&mut self, waiting: Waiting) {
        match self.server.websocket {
            Some(number) => self.connections[number].server_says(&waiting.packet()),
            None => self.server.waiting.push(waiting),
        }
    }

    /// Passes a packet of the current transport to the server. Returns `false` if it has ended the session.
    fn server_handles(&mut self, packet: Result<Packet<'_>, ParseError>) -> bool {
        if let Err(reason) = self.server.handle_packet(packet, self.now) {
            self.server_ends(reason);
            return false;
        }
        for reply in std::mem::take(&mut self.server.replies) {
            self.write(reply);
            self.answer();
        }
        true
    }

    /// Responds to the waiting GET, if there is something to send.
    fn answer(&mut self) {
        let format = self.format();
        let server = &mut self.server;
        if !matches!(self.get, Get::Waiting) || (server.waiting.is_empty() && !server.released) {
            return;
        }
        if server.waiting.is_empty() {
            server.waiting.push(Waiting::Engine(Packet::Noop));
        }
        self.get = Get::Answered(body(&format, &server.waiting));
        server.waiting.clear();
        server.released = false;
    }

    pub(crate) fn get_arrives(&mut self) {
        if self.server.over.is_some() {
            let farewell = std::mem::take(&mut self.server.farewell);
            let is_known = !farewell.is_empty();
            self.get = if is_known { Get::Answered(body(&self.format(), &farewell)) } else { Get::Refused };
            return;
        }
        self.get = Get::Waiting;
        self.answer();
    }

    pub(crate) fn server_pauses(&mut self) {
        self.server.paused = !self.server.paused;
        self.server.machine.set_read_paused(self.server.paused, self.now);
    }

    /// Ends the session on the server, which tells the client as a driver does.
    pub(crate) fn server_ends(&mut self, reason: CloseReason) {
        if self.server.over.replace(reason).is_some() {
            return;
        }
        if let Some(number) = self.server.websocket {
            return self.connections[number].close_by_server(self.now);
        }
        if let Some(candidate) = self.server.candidate.take() {
            self.connections[candidate.number].close_by_server(self.now);
        }
        self.server.farewell = vec![Waiting::Engine(Packet::Noop), Waiting::Engine(Packet::Close)];
        if matches!(self.get, Get::Waiting) {
            self.get = Get::Answered(body(&self.format(), &self.server.farewell));
            self.server.farewell.clear();
        }
    }

    /// A POST arrives, or more of it: some of its packets are handled.
    pub(crate) fn handle_post(&mut self, packets: usize) {
        let mut payload = match std::mem::replace(&mut self.post, Post::Handled) {
            Post::Coming(body) => payload(&self.format(), body),
            Post::Held(payload) => payload,
            Post::None | Post::Handled => unreachable!("there is a POST"),
        };
        for _ in 0..packets {
            if self.server.over.is_some() {
                return;
            }
            let Some(packet) = payload.next_packet() else { return };
            if !self.server_handles(packet) {
                return;
            }
        }
        self.post = Post::Held(payload);
    }

    pub(crate) fn connection_arrives(&mut self, number: usize) {
        if self.server.over.is_some() {
            return self.connections[number].close_by_server(self.now);
        }
        let is_free = self.server.candidate.is_none() && self.server.websocket.is_none();
        assert_eq!(
            self.server.machine.begin_upgrade(Transport::WebSocket, self.now),
            is_free,
            "one candidate at a time, one move"
        );
        self.connections[number].end = End::Open;
        if is_free {
            let until = self.now + UPGRADE_TIMEOUT;
            self.server.candidate = Some(Candidate { number, until, restarted: false, release_at: None });
        } else {
            self.connections[number].close_by_server(self.now);
        }
    }

    pub(crate) fn server_reads(&mut self, number: usize, length: usize) {
        let revision = self.format().revision;
        for event in self.connections[number].server_reads(length, self.now) {
            let Some(packet) = event.as_ref().and_then(|event| packet(revision, event)) else {
                self.server_loses(number);
                continue;
            };
            if self.server.over.is_some() {
                continue;
            }
            if self.server.websocket == Some(number) {
                self.server_handles(packet);
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
            Ok(Packet::Ping("probe")) => CandidateAction::SendProbePong,
            Ok(Packet::Upgrade) => CandidateAction::Switch(Transport::WebSocket),
            _ => CandidateAction::CloseCandidate,
        };
        assert_eq!(server.machine.handle_candidate_packet(packet, self.now), expected, "{packet:?}");
        match expected {
            CandidateAction::SendProbePong => {
                candidate.release_at = Some(self.now);
                self.connections[number].server_says(&Packet::Pong("probe"));
            }
            CandidateAction::Switch(_) => {
                server.candidate = None;
                server.websocket = Some(number);
                let requests = (&self.get, &self.post);
                assert!(
                    matches!(requests, (Get::None, Post::None)),
                    "the client has waited for its requests"
                );
                for waiting in std::mem::take(&mut server.waiting) {
                    self.connections[number].server_says(&waiting.packet());
                }
            }
            CandidateAction::CloseCandidate => {
                server.candidate = None;
                self.connections[number].close_by_server(self.now);
            }
        }
        self.expect_the_right_transport();
    }

    /// Handles a connection that has ended or broken.
    pub(crate) fn server_loses(&mut self, number: usize) {
        if self.server.websocket == Some(number) {
            self.server_ends(CloseReason::TransportClose);
        }
        self.connections[number].close_by_server(self.now);
        if self.server.is_candidate(number) {
            self.server.machine.handle_candidate_closed();
            self.server.candidate = None;
        }
        self.expect_the_right_transport();
    }

    fn expect_the_right_transport(&self) {
        let is_websocket = self.server.machine.transport() == Transport::WebSocket;
        assert_eq!(is_websocket, self.server.websocket.is_some());
    }

    /// Lets time pass. If `in_time` is true, both ends handle each timer when it is due, otherwise only at the end.
    pub(crate) fn time_passes(&mut self, duration: Duration, in_time: bool) {
        let end = self.now + duration;
        while in_time
            && let Some(due) = self.next_timeout()
            && due <= end
        {
            self.now = self.now.max(due);
            self.run_timers();
            self.client_handles_timeout();
        }
        self.now = end;
        self.run_timers();
        self.client_handles_timeout();
    }

    fn next_timeout(&self) -> Option<Time> {
        let server = self.server.over.is_none().then(|| self.server.machine.poll_timeout()).flatten();
        server.into_iter().chain(self.client.poll_timeout()).min()
    }

    /// Handles the timers that are due, and compares them with the expected ones.
    fn run_timers(&mut self) {
        let now = self.now;
        if self.server.over.is_some() {
            return;
        }
        loop {
            let server = &mut self.server;
            if let Some(candidate) = &mut server.candidate
                && !candidate.restarted
                && let Some(extension) = candidate.until.extension(UPGRADE_TIMEOUT, now)
            {
                (candidate.until, candidate.restarted) = (now + extension, true);
            }
            let pings = server.machine.revision() == Revision::V4 && server.pings == server.pongs;
            let ping_at = pings.then_some(server.ping_at);
            let until = server.candidate.as_ref().map(|candidate| candidate.until);
            let release_at = server.candidate.as_ref().and_then(|candidate| candidate.release_at);
            let timers = [
                (ping_at, TimeoutAction::Ping),
                (until, TimeoutAction::CloseCandidate),
                (release_at, TimeoutAction::SendNoop),
            ];
            let expected = timers.into_iter().find(|(at, _)| at.is_some_and(|at| at <= now));
            let expected = expected.map(|(_, due)| due);
            assert_eq!(server.machine.handle_timeout(now), expected);
            match expected {
                None => {
                    // If none of these timers is set, the server waits for the pong (in revision 3, for the ping), unless
                    // it does not read.
                    let next = [ping_at, until, release_at].into_iter().flatten().min();
                    let poll_timeout = server.machine.poll_timeout();
                    assert!(next.is_none_or(|next| poll_timeout == Some(next)), "{next:?}, {poll_timeout:?}");
                    assert!(poll_timeout.is_none_or(|due| due > now), "{poll_timeout:?} stays due");
                    assert!(poll_timeout.is_some() || self.server.paused);
                    return;
                }
                Some(TimeoutAction::Ping) => {
                    server.pings += 1;
                    self.write(Waiting::Engine(Packet::Ping("")));
                    self.answer();
                }
                Some(TimeoutAction::CloseCandidate) => {
                    if let Some(candidate) = server.candidate.take() {
                        self.connections[candidate.number].close_by_server(now);
                    }
                }
                Some(TimeoutAction::SendNoop) => {
                    if let Some(candidate) = &mut server.candidate {
                        candidate.release_at = Some(now + RELEASE_INTERVAL);
                    }
                    server.released = matches!(self.get, Get::Waiting);
                    self.answer();
                }
                Some(TimeoutAction::Close(_)) => unreachable!("it is not expected"),
            }
        }
    }

    /// Expects the heartbeat to go on after the history, and to end the session of a silent client, one whole timeout
    /// after the server has started to read again.
    pub(crate) fn expect_the_end_of_a_silent_client(&mut self) {
        if self.server.over.is_some() {
            return;
        }
        let mut timeout = PING_TIMEOUT;
        if self.format().revision == Revision::V3 {
            timeout += PING_INTERVAL;
        } else {
            if self.server.pings == self.server.pongs {
                self.now = self.now.max(self.server.ping_at);
                self.run_timers();
            }
            assert_eq!(self.server.pings, self.server.pongs + 1);
        }
        let machine = &mut self.server.machine;
        // The upgrade has its own timeout, and its own noops.
        machine.handle_candidate_closed();
        machine.set_read_paused(true, self.now);
        self.now = self.now + PING_TIMEOUT * 10;
        assert_eq!(machine.handle_timeout(self.now), None);
        machine.set_read_paused(false, self.now);
        self.now = self.now + (timeout - MICROSECOND);
        assert_eq!(machine.handle_timeout(self.now), None);
        self.now = self.now + MICROSECOND;
        assert_eq!(machine.handle_timeout(self.now), Some(TimeoutAction::Close(CloseReason::PingTimeout)));
    }
}
