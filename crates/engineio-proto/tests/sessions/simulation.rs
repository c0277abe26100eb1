//! Both ends, the data in flight between them, and the events that can happen next.

use std::time::Duration;

use tidewire_engineio_proto::{CloseReason, PostPayload, ResponseBody, Revision, WireFormat};
use ws_proto::Time;

use crate::client::Client;
use crate::connection::{Connection, End};
use crate::misbehaving_client::{Step, Stranger};
use crate::server::Server;

/// The number of messages of each end.
pub(crate) const MESSAGES: u32 = 60;

/// The one GET of the session.
#[derive(Debug)]
pub(crate) enum Get {
    None,
    Coming,
    Waiting,
    Answered(ResponseBody),
    /// The response is partly handled.
    Reading(PostPayload),
    Refused,
}

/// The one POST of the session.
#[derive(Debug)]
pub(crate) enum Post {
    None,
    Coming(ResponseBody),
    /// The POST is partly handled.
    Held(PostPayload),
    Handled,
}

/// The events that a history may contain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// The most candidates of strangers.
    pub(crate) strangers: usize,
    /// The client's candidate may break before it is the transport.
    pub(crate) candidate_breaks: bool,
    /// Either end may close the session, and the transport may fail.
    pub(crate) ends: bool,
    /// The revision, and whether the client asks for base64.
    pub(crate) format: (Revision, bool),
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) get: Get,
    pub(crate) post: Post,
    pub(crate) connections: Vec<Connection>,
    rules: Rules,
    /// The network or the server has ended the session, so data in flight may be lost.
    failed: bool,
}

/// An event that can happen. The number is the index of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    ServerProgramSends,
    ServerPauses,
    ServerCloses,
    ClientProgramSends,
    ClientPauses,
    ClientPings,
    ClientCloses,
    GetArrives,
    AnswerArrives,
    GetFails,
    PostArrives,
    OkArrives,
    StrangerComes,
    StrangerActs(usize),
    ConnectionArrives(usize),
    ClientConnects(usize),
    ServerReads(usize),
    ClientReads(usize),
    ConnectionBreaks(usize),
    BreakArrives(usize),
    TimePasses,
}

impl World {
    pub(crate) fn new(rules: Rules) -> Self {
        let (revision, _) = rules.format;
        let server = Server::new(Time::ZERO, revision);
        let client = Client::new(Time::ZERO, &server.open_packet(), rules.candidate_breaks, revision);
        let mut world = Self {
            now: Time::ZERO,
            server,
            client,
            get: Get::None,
            post: Post::None,
            connections: Vec::new(),
            rules,
            failed: false,
        };
        world.client_program_sends(0);
        world
    }

    /// Returns the form of the packets on the wire.
    pub(crate) fn format(&self) -> WireFormat {
        let (revision, base64) = self.rules.format;
        WireFormat { revision, base64, jsonp: None }
    }

    /// Returns every event that can happen next, as many times as its weight.
    pub(crate) fn moves(&self) -> Vec<Move> {
        let Self { client, server, .. } = self;
        let goes_on = client.is_open() && server.over.is_none();
        let client_reads = !client.paused && client.closed.is_none();
        let mut moves = vec![Move::TimePasses];
        let mut add = |weight, possible, next| {
            if possible {
                moves.extend(std::iter::repeat_n(next, weight));
            }
        };
        add(1, server.sent < MESSAGES && server.over.is_none(), Move::ServerProgramSends);
        add(1, client.sent < MESSAGES && client.is_open(), Move::ClientProgramSends);
        let may_ping = self.rules.format.0 == Revision::V3 && client.heartbeat_rests();
        add(1, may_ping && client.is_open(), Move::ClientPings);
        add(if client.paused { 2 } else { 1 }, client.closed.is_none(), Move::ClientPauses);
        add(if server.paused { 2 } else { 1 }, server.over.is_none(), Move::ServerPauses);
        // An end is rare, so that most histories get far before it.
        let is_rare = self.now.as_micros() / 1_000 % 16 == 7;
        add(1, self.rules.ends && goes_on && is_rare, Move::ClientCloses);
        add(1, self.rules.ends && goes_on && is_rare, Move::ServerCloses);
        match self.get {
            Get::None => {}
            Get::Coming => add(2, true, Move::GetArrives),
            Get::Waiting => add(1, self.rules.ends && is_rare, Move::GetFails),
            Get::Answered(_) | Get::Reading(_) => add(2, client_reads, Move::AnswerArrives),
            Get::Refused => add(2, true, Move::GetFails),
        }
        match self.post {
            Post::None => {}
            Post::Coming(_) | Post::Held(_) => add(2, !server.paused, Move::PostArrives),
            Post::Handled => add(2, true, Move::OkArrives),
        }
        let strangers = self.connections.iter().filter(|connection| connection.stranger.is_some()).count();
        add(1, goes_on && strangers < self.rules.strangers, Move::StrangerComes);
        for (number, connection) in self.connections.iter().enumerate() {
            let arrived = connection.end != End::Coming;
            let is_clients = connection.stranger.is_none();
            let is_transport = client.websocket == Some(number);
            let is_read_by_server = server.websocket != Some(number) || !server.paused;
            let is_read_by_client = !connection.broken && !connection.left && (!is_transport || client_reads);
            add(2, !arrived, Move::ConnectionArrives(number));
            add(
                2,
                arrived && is_clients && is_read_by_client && !connection.connected,
                Move::ClientConnects(number),
            );
            let stranger_acts = connection.stranger.as_ref().is_some_and(Stranger::can_act);
            add(2, stranger_acts && !connection.broken, Move::StrangerActs(number));
            add(
                4,
                arrived && is_read_by_server && !connection.to_server.is_empty(),
                Move::ServerReads(number),
            );
            let has_connected = connection.connected || !is_clients;
            add(
                4,
                is_read_by_client && has_connected && !connection.to_client.is_empty(),
                Move::ClientReads(number),
            );
            let may_break = match &connection.stranger {
                Some(stranger) => connection.end != End::Closed && stranger.step != Step::Done,
                None if is_transport => self.rules.ends && is_rare && client.closed.is_none(),
                None => client.candidate == Some(number),
            };
            add(1, may_break && connection.breaks && !connection.broken, Move::ConnectionBreaks(number));
            let nothing_before = connection.broken && connection.to_server.is_empty();
            add(2, nothing_before && connection.is_open(), Move::BreakArrives(number));
        }
        moves
    }

    pub(crate) fn make(&mut self, next: Move, how: u8) {
        let few = 1 + usize::from(how % 4);
        let length = 1 + usize::from(how % 32);
        match next {
            Move::ServerProgramSends => self.program_sends(how),
            Move::ServerPauses => self.server_pauses(),
            Move::ServerCloses => {
                self.failed = true;
                self.server_ends(CloseReason::ForcedClose);
            }
            Move::ClientProgramSends => self.client_program_sends(1 + u32::from(how % 4)),
            Move::ClientPauses => self.client_pauses(),
            Move::ClientPings => self.client_pings(),
            Move::ClientCloses => self.client_closes(),
            Move::GetArrives => self.get_arrives(),
            Move::AnswerArrives => self.client_handles_answer(few),
            Move::GetFails => {
                self.failed = true;
                self.client_loses_get();
            }
            Move::PostArrives => self.handle_post(few),
            Move::OkArrives => self.post_is_answered(),
            Move::StrangerComes => {
                let connection = Connection::new(Some(Stranger::new(how)), how >= 0x80, &self.format());
                self.connections.push(connection);
            }
            Move::StrangerActs(number) => self.stranger_acts(number),
            Move::ConnectionArrives(number) => self.connection_arrives(number),
            Move::ClientConnects(number) => self.client_connects(number),
            Move::ServerReads(number) => self.server_reads(number, length),
            Move::ClientReads(number) => self.client_reads(number, length),
            Move::ConnectionBreaks(number) => {
                self.failed |= self.client.websocket == Some(number);
                self.connection_breaks(number, how);
            }
            Move::BreakArrives(number) => self.server_loses(number),
            Move::TimePasses => self.time_passes(Duration::from_millis(how.into()), how & 1 == 0),
        }
    }

    /// Returns whether the client upgraded after the server had closed its candidate. This ends the session without a
    /// fault of either end.
    fn moved_too_late(&self) -> bool {
        self.client.websocket.is_some_and(|number| {
            self.server.websocket != Some(number) && self.connections[number].end == End::Closed
        })
    }

    /// Lets the session continue without failures, until everything has arrived or both ends have been told that it
    /// will not.
    pub(crate) fn settle(&mut self) {
        for number in 0..self.connections.len() {
            if self.connections[number].stranger.is_some() && !self.connections[number].broken {
                self.make(Move::ConnectionBreaks(number), 1);
            }
        }
        for _ in 0..10_000 {
            if self.client.paused {
                self.client_pauses();
            }
            if self.server.paused {
                self.server_pauses();
            }
            if self.is_settled() {
                return self.expect_a_good_end();
            }
            let fails = |next: &Move| {
                matches!(
                    next,
                    Move::StrangerComes
                        | Move::ConnectionBreaks(_)
                        | Move::TimePasses
                        | Move::ClientPauses
                        | Move::ClientPings
                        | Move::ServerPauses
                        | Move::ClientCloses
                        | Move::ServerCloses
                ) || (*next == Move::GetFails && matches!(self.get, Get::Waiting))
            };
            match self.moves().into_iter().find(|next| !fails(next)) {
                Some(next) => self.make(next, 0xff),
                None => self.make(Move::TimePasses, 50),
            }
        }
        panic!("the session makes no progress: {self:#?}");
    }

    fn is_settled(&self) -> bool {
        let Self { client, server, .. } = self;
        if client.closed.is_some() {
            return server.over.is_some() || self.failed || self.moved_too_late();
        }
        let all_arrived = server.received == MESSAGES && client.received == MESSAGES;
        let heartbeat_rests = server.pings == server.pongs && client.heartbeat_rests();
        let moved = client.websocket.is_some() == server.websocket.is_some();
        all_arrived && heartbeat_rests && moved && !client.may_move()
    }

    /// Expects that a session that was closed cleanly has delivered everything that the client had sent before.
    fn expect_a_good_end(&self) {
        let Some(closed) = &self.client.closed else { return };
        if self.failed || self.moved_too_late() {
            return;
        }
        assert_eq!(closed.reason, CloseReason::ForcedClose);
        assert_eq!(self.server.over, Some(CloseReason::TransportClose));
        assert_eq!(self.server.received, self.client.sent, "a close comes after the messages");
    }
}
