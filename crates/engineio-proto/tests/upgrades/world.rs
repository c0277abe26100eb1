//! Both ends, what is on its way between them, and what can happen next.

use std::time::Duration;

use tidewire_engineio_proto::Payload;
use ws_proto::Time;

use crate::client::Client;
use crate::connection::{Connection, End, Plan, Step};
use crate::server::Server;

/// Messages of each end.
pub(crate) const MESSAGES: u32 = 60;

/// The one GET of the session.
#[derive(Debug)]
pub(crate) enum Get {
    None,
    Coming,
    Waiting,
    Answered(String),
}

/// The one POST of the session.
#[derive(Debug)]
pub(crate) enum Post {
    None,
    Coming(String),
    /// Handled in part.
    Held(Payload),
    Handled,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) get: Get,
    pub(crate) post: Post,
    pub(crate) connections: Vec<Connection>,
}

/// Something that can happen. The number is that of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    ProgramSends,
    GetLeaves,
    GetArrives,
    AnswerArrives,
    PostLeaves,
    PostArrives,
    PostGoesOn,
    OkArrives,
    ConnectionLeaves,
    ConnectionArrives(usize),
    ClientActs(usize),
    ClientMoves(usize),
    ClientSends(usize),
    ServerReads(usize),
    ClientReads(usize),
    ConnectionBreaks(usize),
    BreakArrives(usize),
    TimePasses,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            now: Time::ZERO,
            server: Server::new(Time::ZERO),
            client: Client::default(),
            get: Get::None,
            post: Post::None,
            connections: Vec::new(),
        }
    }

    /// Everything that can happen next, once for each grain of its weight.
    pub(crate) fn moves(&self) -> Vec<Move> {
        const CONNECTIONS: usize = 20;
        let Self { client, server, .. } = self;
        let polls = client.transport.is_none() && client.pausing.is_none();
        let client_has_more = client.sent < MESSAGES || client.pongs > 0;
        let mut moves = vec![Move::TimePasses];
        let mut add = |weight, possible, next| {
            if possible {
                moves.extend(std::iter::repeat_n(next, weight));
            }
        };
        add(1, server.sent < MESSAGES, Move::ProgramSends);
        match self.get {
            Get::None => add(2, polls, Move::GetLeaves),
            Get::Coming => add(2, true, Move::GetArrives),
            Get::Waiting => {}
            Get::Answered(_) => add(2, true, Move::AnswerArrives),
        }
        match self.post {
            Post::None => add(1, polls && client_has_more, Move::PostLeaves),
            Post::Coming(_) => add(2, true, Move::PostArrives),
            Post::Held(_) => add(2, true, Move::PostGoesOn),
            Post::Handled => add(2, true, Move::OkArrives),
        }
        add(1, client.transport.is_none() && self.connections.len() < CONNECTIONS, Move::ConnectionLeaves);
        let requests_are_back = matches!((&self.get, &self.post), (Get::None, Post::None));
        for (number, connection) in self.connections.iter().enumerate() {
            let is_transport = client.transport == Some(number);
            let arrived = connection.end != End::Coming;
            add(2, !arrived, Move::ConnectionArrives(number));
            add(2, self.can_act(connection), Move::ClientActs(number));
            add(2, client.pausing == Some(number) && requests_are_back, Move::ClientMoves(number));
            add(1, is_transport && client_has_more && !client.is_over, Move::ClientSends(number));
            add(4, arrived && !connection.to_server.is_empty(), Move::ServerReads(number));
            add(4, !connection.broken && !connection.to_client.is_empty(), Move::ClientReads(number));
            let may_break = connection.end != End::Closed && connection.step != Step::Done;
            add(1, may_break && connection.breaks, Move::ConnectionBreaks(number));
            let nothing_before = connection.broken && connection.to_server.is_empty();
            add(2, nothing_before && connection.is_open(), Move::BreakArrives(number));
        }
        moves
    }

    fn can_act(&self, connection: &Connection) -> bool {
        let may_pause = self.client.pausing.is_none() && self.client.transport.is_none();
        !connection.broken
            && match (connection.plan, connection.step) {
                (Plan::Move, Step::Answered) => may_pause,
                (Plan::Nothing, _) | (_, Step::Probed | Step::Done) => false,
                (_, Step::Opened | Step::Answered) => true,
            }
    }

    pub(crate) fn make(&mut self, next: Move, how: u8) {
        let few = 1 + usize::from(how % 4);
        let length = 1 + usize::from(how % 32);
        match next {
            Move::ProgramSends => self.program_sends(how),
            Move::GetLeaves => self.get = Get::Coming,
            Move::GetArrives => self.get_arrives(),
            Move::AnswerArrives => self.answer_arrives(),
            Move::PostLeaves => self.post_leaves(few),
            Move::PostArrives | Move::PostGoesOn => self.handle_post(few),
            Move::OkArrives => self.post = Post::None,
            Move::ConnectionLeaves => self.connections.push(Connection::new(Plan::of(how), how >= 0x80)),
            Move::ConnectionArrives(number) => self.connection_arrives(number),
            Move::ClientActs(number) => self.client_acts(number),
            Move::ClientMoves(number) => self.client_moves(number, few),
            Move::ClientSends(number) => self.client_sends(number, few),
            Move::ServerReads(number) => self.server_reads(number, length),
            Move::ClientReads(number) => self.client_reads(number, length),
            Move::ConnectionBreaks(number) => self.connection_breaks(number, how),
            Move::BreakArrives(number) => self.break_arrives(number),
            Move::TimePasses => self.time_passes(Duration::from_millis(how.into()), how & 1 == 0),
        }
    }

    /// Nothing fails any more: everything arrives in the end, and the client moves if it is to.
    pub(crate) fn settle(&mut self, moves: bool) {
        for number in 0..self.connections.len() {
            if self.connections[number].plan != Plan::Move && !self.connections[number].broken {
                self.make(Move::ConnectionBreaks(number), 1);
            }
        }
        for _ in 0..10_000 {
            let wants_to_move = moves && self.client.transport.is_none();
            let all_arrived = self.server.received == MESSAGES && self.client.received == MESSAGES;
            let heartbeat_rests = self.server.pings == self.server.pongs;
            let moved = self.client.transport.is_some() == self.server.websocket.is_some();
            if self.client.is_over || (all_arrived && heartbeat_rests && moved && !wants_to_move) {
                return;
            }
            let fails = |next: &Move| {
                matches!(next, Move::ConnectionLeaves | Move::ConnectionBreaks(_) | Move::TimePasses)
            };
            let tries = self.connections.iter().any(|connection| {
                connection.plan == Plan::Move && !connection.broken && connection.end != End::Closed
            });
            match self.moves().into_iter().find(|next| !fails(next)) {
                Some(next) => self.make(next, 0xff),
                None if wants_to_move && !tries => self.connections.push(Connection::new(Plan::Move, false)),
                None => self.make(Move::TimePasses, 50),
            }
        }
        panic!("nothing moves any more: {self:#?}");
    }
}
