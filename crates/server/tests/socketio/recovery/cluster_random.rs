//! Clients of two servers recover at random moments, while the messages between the servers come late.
//!
//! The message bus orders all events, so the log has them in the order in which the programs send them. A `join` takes
//! effect at once, so an event that is on its way may still reach the socket. What a server sends without a link is not in the
//! log.
//!
//! A failure names its seed, which also decides on the format. Each connection uses another transport. The decisions of the test
//! depend on the seed only. How far the messages move while a client connects depends on the network. `TIDEWIRE_SEED` is the first
//! seed, and `TIDEWIRE_ROUNDS` the number of seeds.

mod check;
mod model;
mod steps;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::pin::pin;
use std::time::Duration;

use tidewire_server::{AckError, AckFuture, Data, MessagePackParser, Reply, State, Transport};

use super::client::Recovering;
use super::connection::{Format, Wire};
use crate::cluster::Cluster;
use crate::support::{Log, soon};
use check::note;
use model::{Event, Session, To};

const ROOMS: [&str; 3] = ["a", "b", "c"];
const CLIENTS: usize = 4;
const STEPS: usize = 150;
/// The last one upgrades.
const TRANSPORTS: [&[Transport]; 3] =
    [&[Transport::WebSocket], &[Transport::Polling], &[Transport::Polling, Transport::WebSocket]];

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
    /// The questions of its server that it has not answered.
    asked: VecDeque<(usize, AckFuture<usize>)>,
    /// Its own questions, which the server has not answered.
    awaited: VecDeque<usize>,
}

/// Returns the id of the acknowledgement of a client's question. The first two are those of `sync`.
fn question_id(number: usize) -> usize {
    number + 2
}

struct Test {
    seed: u64,
    format: Format,
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
    /// The number of questions to clients, and to servers.
    questions: (usize, usize),
    has_link: bool,
    /// Former connections.
    open: Vec<Recovering>,
    recovered: usize,
    recovered_elsewhere: usize,
    refused: usize,
}

impl Test {
    async fn start(seed: u64) -> Self {
        let format = if seed.is_multiple_of(2) { Format::Json } else { Format::MessagePack };
        let mut cluster = super::cluster::start_with(|builder| match format {
            Format::Json => builder,
            Format::MessagePack => builder.parser(MessagePackParser),
        })
        .await;
        for io in &cluster.servers {
            io.on("question", async |Data((number,)): Data<(usize,)>, log: State<Log>| {
                log.say(number);
                Reply(number)
            });
        }
        let wire = Wire { transports: TRANSPORTS[0], format };
        let observer = Recovering::over(cluster.addresses[1], Some(wire)).await;
        let socket = cluster.programs[1].joined().await;
        socket.join("observers").await.expect("it may join");
        let mut test = Self {
            seed,
            format,
            random: Random(seed),
            moves: Random(!seed),
            cluster,
            time: 0,
            events: vec![],
            sessions: vec![],
            clients: vec![],
            observer,
            volatile: 0,
            questions: (0, 0),
            has_link: true,
            open: vec![],
            recovered: 0,
            recovered_elsewhere: 0,
            refused: 0,
        };
        for number in 0..CLIENTS {
            let server = number % 2;
            let wire = test.wire();
            let client = Recovering::over(test.cluster.addresses[server], wire).await;
            let session = test.begin_session(server, 0).await;
            test.clients.push(Client {
                connection: Some(client),
                session,
                last_volatile: 0,
                asked: VecDeque::new(),
                awaited: VecDeque::new(),
            });
        }
        // Without an event, the servers have no common place in the log.
        test.emit(0, To::All);
        test.settle();
        test
    }

    /// Returns how the next connection sends its packets.
    fn wire(&mut self) -> Option<Wire> {
        let transports = TRANSPORTS[self.random.below(TRANSPORTS.len())];
        Some(Wire { transports, format: self.format })
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

    /// Receives everything that was sent to the client before, and answers the questions. After `limit` packets, the rest is
    /// lost.
    async fn read(&mut self, client: usize, limit: usize) {
        let Self { clients, sessions, seed, .. } = self;
        let Client { connection, session, last_volatile, asked, awaited } = &mut clients[client];
        let client = connection.as_mut().expect("it is connected");
        client.send(r#"421["sync"]"#).await;
        let (mut count, mut answered) = (0, vec![]);
        loop {
            let packet = client.packet().await.unwrap_or_else(|| panic!("seed {seed}: a packet"));
            if packet == "431[]" {
                break;
            }
            count += 1;
            if count > limit {
                continue;
            }
            if let Some(answer) = packet.strip_prefix("43") {
                let number = awaited.pop_front().unwrap_or_else(|| panic!("seed {seed}: {packet}"));
                assert_eq!(answer, format!("{}[{number}]", question_id(number)), "seed {seed}");
            } else if let Some(id) = packet.strip_prefix("42").and_then(|rest| rest.split('[').next())
                && !id.is_empty()
            {
                let (number, answer) = asked.pop_front().unwrap_or_else(|| panic!("seed {seed}: {packet}"));
                assert_eq!(packet, format!(r#"42{id}["question",{number}]"#), "seed {seed}");
                client.send(&format!("43{id}[{number}]")).await;
                answered.push((number, answer));
            } else {
                let event = client.event(&packet);
                note(&event, &mut sessions[*session].received, last_volatile, *seed);
            }
        }
        for (number, answer) in answered {
            assert_eq!(soon(answer).await, Ok(number), "seed {seed}");
        }
        // A question of the server may wait for the events that were sent before it.
        assert!(limit < usize::MAX || awaited.is_empty(), "seed {seed}: {awaited:?}");
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
        let wire = self.wire();
        let Client { connection, asked, awaited, .. } = &mut self.clients[client];
        let mut former = connection.take().expect("it is connected");
        former.wire = wire;
        awaited.clear();
        let unanswered = std::mem::take(asked);
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
            // A question is not repeated. Its connection has ended.
            for (number, answer) in unanswered {
                assert_eq!(soon(answer).await, Err(AckError::Disconnected), "seed {seed}: question {number}");
            }
        } else {
            self.refused += 1;
            self.clients[client].session = self.begin_session(server, began).await;
        }
        let Client { connection, session, last_volatile, .. } = &mut self.clients[client];
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
}

/// Returns the seeds of a test, which begin with `first` unless somebody wants others.
fn seeds(first: u64) -> Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = number("TIDEWIRE_SEED").unwrap_or(first);
    first..first + number("TIDEWIRE_ROUNDS").unwrap_or(20)
}

#[tokio::test]
async fn a_client_that_recovers_on_either_server_gets_each_event_once_and_in_order() {
    let mut elsewhere = 0;
    for seed in seeds(0) {
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
    for seed in seeds(100) {
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
