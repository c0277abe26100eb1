//! Clients of two servers recover at random moments, while the messages between the servers come late.
//!
//! The message bus orders all events, so the log has them in the order in which the programs send them. A `join` takes
//! effect at once, so an event that is on its way may still reach the socket. What a server sends without a link is not in the
//! log.
//!
//! A failure names its seed. The decisions of the test depend on the seed only. How far the messages move while a client
//! connects depends on the network.

mod check;
mod model;

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use super::client::Recovering;
use crate::cluster::Cluster;
use crate::support::soon;
use check::note;
use model::{Change, Event, Session, To};

const ROOMS: [&str; 3] = ["a", "b", "c"];
const CLIENTS: usize = 4;
const STEPS: usize = 150;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("below a usize")
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn room(&mut self) -> &'static str {
        ROOMS[self.below(ROOMS.len())]
    }
}

struct Client {
    /// `None` while it comes back.
    connection: Option<Recovering>,
    session: usize,
    last_volatile: usize,
}

struct Test {
    seed: u64,
    random: Random,
    /// Decides while the network decides how often.
    moves: Random,
    cluster: Cluster,
    /// Counts what the test does.
    time: usize,
    /// The argument of an event is its place here.
    events: Vec<Event>,
    sessions: Vec<Session>,
    clients: Vec<Client>,
    /// It never loses its connection, and gets all events of the log.
    observer: Recovering,
    volatile: usize,
    has_link: bool,
    /// Former connections.
    open: Vec<Recovering>,
    recovered: usize,
    recovered_elsewhere: usize,
    refused: usize,
}

impl Test {
    async fn start(seed: u64) -> Self {
        let mut cluster = super::cluster::start().await;
        let observer = Recovering::new(cluster.addresses[1]).await;
        let socket = cluster.programs[1].joined().await;
        socket.join("observers").await.expect("it may join");
        let mut test = Self {
            seed,
            random: Random(seed),
            moves: Random(!seed),
            cluster,
            time: 0,
            events: vec![],
            sessions: vec![],
            clients: vec![],
            observer,
            volatile: 0,
            has_link: true,
            open: vec![],
            recovered: 0,
            recovered_elsewhere: 0,
            refused: 0,
        };
        for number in 0..CLIENTS {
            let server = number % 2;
            let client = Recovering::new(test.cluster.addresses[server]).await;
            let session = test.begin_session(server, 0).await;
            test.clients.push(Client { connection: Some(client), session, last_volatile: 0 });
        }
        // Without an event, the servers have no common place in the log.
        test.emit(0, To::All);
        test.settle();
        test
    }

    async fn begin_session(&mut self, server: usize, after: usize) -> usize {
        let socket = self.cluster.programs[server].joined().await;
        assert!(!socket.recovered());
        self.time += 1;
        self.sessions.push(Session {
            socket,
            server,
            began: (after, self.time),
            rooms: BTreeMap::new(),
            has_gap: false,
            received: vec![],
        });
        self.sessions.len() - 1
    }

    fn emit(&mut self, server: usize, to: To) {
        self.time += 1;
        let io = &self.cluster.servers[server];
        let number = self.events.len();
        match &to {
            To::All => io.emit("event", number),
            To::Room { room, except: None } => io.to([*room, "observers"]).emit("event", number),
            To::Room { room, except: Some(except) } => {
                io.to([*room, "observers"]).except(*except).emit("event", number);
            }
            To::Session(session) => {
                let id = self.sessions[*session].socket.id();
                io.to([id.as_str(), "observers"]).emit("event", number);
            }
        }
        self.events.push(Event { to, server, sent: self.time, settled: usize::MAX });
    }

    fn emit_at_random(&mut self) {
        let server = self.random.below(2);
        let to = match self.random.below(4) {
            0 => To::All,
            1 => To::Session(self.clients[self.random.below(CLIENTS)].session),
            _ => {
                let (room, except) = (self.random.room(), self.random.room());
                To::Room { room, except: (room != except).then_some(except) }
            }
        };
        self.emit(server, to);
    }

    fn change_room(&mut self, client: usize, room: &'static str, joins: bool) {
        self.time += 1;
        let session = &mut self.sessions[self.clients[client].session];
        assert!(session.socket.is_connected(), "seed {}", self.seed);
        if joins {
            drop(session.socket.join(room));
        } else {
            session.socket.leave(room);
        }
        let change = Change { at: self.time, server: session.server, is_in: joins };
        session.rooms.entry(room).or_default().push(change);
    }

    /// Delivers everything.
    fn settle(&mut self) {
        self.cluster.bus.settle();
        self.time += 1;
        for event in self.events.iter_mut().rev().take_while(|event| event.settled == usize::MAX) {
            event.settled = self.time;
        }
    }

    fn cut_link(&mut self) {
        self.has_link = false;
        self.cluster.attached[0].cut();
        self.note_gap();
    }

    fn restore_link(&mut self) {
        // What was sent without a link is lost.
        while self.cluster.bus.accept_one() {}
        self.cluster.attached[0].restore();
        self.has_link = true;
        self.note_gap();
        self.settle();
        // After this, the servers know again who is there.
        self.cluster.bus.advance(Duration::from_secs(6));
    }

    fn note_gap(&mut self) {
        for session in self.sessions.iter_mut().filter(|session| session.server == 0) {
            session.has_gap = true;
        }
    }

    /// Receives everything that was sent to the client before, and at most `limit` events before the rest is lost.
    async fn read(&mut self, client: usize, limit: usize) {
        let Self { clients, sessions, seed, .. } = self;
        let Client { connection, session, last_volatile } = &mut clients[client];
        let client = connection.as_mut().expect("it is connected");
        client.send(r#"421["sync"]"#).await;
        let mut count = 0;
        loop {
            let packet = client.packet().await.unwrap_or_else(|| panic!("seed {seed}: a packet"));
            if packet == "431[]" {
                return;
            }
            if count < limit {
                let event = client.event(&packet);
                note(&event, &mut sessions[*session].received, last_volatile, *seed);
            }
            count += 1;
        }
    }

    /// Cuts the connection of a client, which comes back at once to one of the servers.
    async fn cut(&mut self, client: usize) {
        let limit = if self.random.one_in(3) { usize::MAX } else { self.random.below(6) };
        self.read(client, limit).await;
        let server = self.random.below(2);
        let address = self.cluster.addresses[server];
        let is_noticed = self.random.one_in(2);
        let mut events = self.random.below(4);
        let began = self.time;
        let mut former = self.clients[client].connection.take().expect("it is connected");
        if is_noticed {
            former = former.cut(address).await;
        }
        let (back, missed) = {
            let mut back = pin!(former.back(address));
            soon(std::future::poll_fn(|cx| {
                if events > 0 {
                    events -= 1;
                    self.emit_at_random();
                }
                self.move_some();
                let polled = back.as_mut().poll(cx);
                if polled.is_pending() {
                    // The bus wakes nobody.
                    cx.waker().wake_by_ref();
                }
                polled
            }))
            .await
        };
        // A cut that the server does not notice leaves the connection open.
        self.open.push(former);
        let seed = self.seed;
        let former = self.clients[client].session;
        if back.recovered {
            let socket = self.cluster.programs[server].joined().await;
            let session = &mut self.sessions[former];
            assert!(!session.has_gap, "seed {seed}: a session is recovered although its server had no link");
            assert!(socket.recovered() && socket.id() == session.socket.id(), "seed {seed}");
            self.recovered += 1;
            self.recovered_elsewhere += usize::from(session.server != server);
            (session.socket, session.server) = (socket, server);
        } else {
            self.refused += 1;
            self.clients[client].session = self.begin_session(server, began).await;
        }
        let Client { connection, session, last_volatile } = &mut self.clients[client];
        for event in &missed {
            note(event, &mut self.sessions[*session].received, last_volatile, seed);
        }
        *connection = Some(back);
    }

    /// Moves some messages between the servers.
    fn move_some(&mut self) {
        if !self.has_link {
            // Nobody waits forever for the other server.
            self.cluster.bus.advance(Duration::from_millis(100));
        }
        for _ in 0..self.moves.below(4) {
            let _ = self.cluster.bus.accept_one();
        }
        for server in &self.cluster.attached {
            for _ in 0..self.moves.below(4) {
                let _ = server.deliver_one();
            }
        }
    }

    async fn step(&mut self) {
        match self.random.below(16) {
            0..=2 => {
                let (client, room) = (self.random.below(CLIENTS), self.random.room());
                let changes: &[bool] = match self.random.below(6) {
                    0..=2 => &[true],
                    3 | 4 => &[false],
                    _ => &[false, true],
                };
                changes.iter().for_each(|joins| self.change_room(client, room, *joins));
            }
            3..=9 => self.emit_at_random(),
            10 => {
                self.volatile += 1;
                let io = self.cluster.servers[self.random.below(2)].volatile();
                if self.random.one_in(2) {
                    io.emit("volatile", (self.volatile, "text"));
                } else {
                    io.to(self.random.room()).emit("volatile", (self.volatile, "text"));
                }
            }
            11 | 12 => {
                let client = self.random.below(CLIENTS);
                self.cut(client).await;
            }
            13 => {
                let client = self.random.below(CLIENTS);
                self.read(client, usize::MAX).await;
            }
            _ => self.settle(),
        }
        for _ in 0..self.random.below(3) {
            let _ = self.cluster.bus.accept_one();
        }
        for server in 0..2 {
            for _ in 0..self.random.below(3) {
                let _ = self.cluster.attached[server].deliver_one();
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_recovers_on_either_server_gets_each_event_once_and_in_order() {
    let mut elsewhere = 0;
    for seed in 0..20 {
        let mut test = Test::start(seed).await;
        for _ in 0..STEPS {
            test.step().await;
        }
        assert!(test.recovered > 0, "seed {seed}: nobody has recovered");
        assert_eq!(test.refused, 0, "seed {seed}: nothing was lost, so everybody recovers");
        elsewhere += test.recovered_elsewhere;
        test.check().await;
    }
    assert!(elsewhere > 0, "nobody has recovered on the other server");
}

#[tokio::test]
async fn no_client_that_has_missed_an_event_recovers_after_a_lost_link() {
    let (mut recovered_afterwards, mut refused) = (0, 0);
    for seed in 100..120 {
        let mut test = Test::start(seed).await;
        let cut = 20 + test.random.below(60);
        let restored = cut + 5 + test.random.below(40);
        let mut recovered_before = 0;
        for step in 0..STEPS {
            if step == cut {
                test.cut_link();
            }
            if step == restored {
                test.restore_link();
                recovered_before = test.recovered;
            }
            test.step().await;
        }
        recovered_afterwards += test.recovered - recovered_before;
        refused += test.refused;
        test.check().await;
    }
    assert!(recovered_afterwards > 0 && refused > 0, "{recovered_afterwards} recovered, {refused} refused");
}
