//! Our client recovers its session with our server while its connection is cut at random moments.
//!
//! Everything runs on one thread, so the test knows exactly which events each session must get. A failure names its seed.
//! `TIDEWIRE_SEED` is the first seed, and `TIDEWIRE_ROUNDS` the number of seeds.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidewire::client::{self, Client, MessagePackParser, Transport};
use tidewire::server::{self, ConnectionStateRecovery, Server};
use tidewire::{Data, State};

use crate::relay::Relay;

const ROOMS: [&str; 3] = ["a", "b", "c"];
const CLIENTS: usize = 4;

/// SplitMix64.
struct Random(Cell<u64>);

impl Random {
    fn below(&self, end: usize) -> usize {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut mixed = self.0.get();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("below a usize")
    }

    fn room(&self) -> &'static str {
        ROOMS[self.below(ROOMS.len())]
    }
}

/// What the sessions must get.
#[derive(Default)]
struct Model {
    sessions: BTreeMap<String, Session>,
}

struct Session {
    socket: server::Socket,
    rooms: BTreeSet<&'static str>,
    expected: Vec<u32>,
}

/// What a client has noticed, in order.
#[derive(Debug)]
enum Noticed {
    Event(u32),
    Volatile(u32),
    Connected { id: String, recovered: bool },
}

type Log = Arc<Mutex<Vec<Noticed>>>;

fn note(log: &Log, noticed: Noticed) {
    log.lock().expect("no panic").push(noticed);
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Json,
    MessagePack,
}

fn connect(address: SocketAddr, transports: &[Transport], format: Format) -> (client::Socket, Log) {
    let log = Log::default();
    let mut builder = Client::builder(format!("http://{address}"));
    if let Format::MessagePack = format {
        builder = builder.parser(MessagePackParser);
    }
    let socket = builder
        .transports(transports)
        .reconnection_delay(Duration::from_millis(1))
        .reconnection_delay_max(Duration::from_millis(5))
        .state(Arc::clone(&log))
        .on("event", async |Data((number,)): Data<(u32,)>, log: State<Log>| {
            note(&log.0, Noticed::Event(number));
        })
        .on("volatile", async |Data((number, text)): Data<(u32, String)>, log: State<Log>| {
            assert_eq!(text, "text");
            note(&log.0, Noticed::Volatile(number));
        })
        .on_connect(async |socket: client::Socket, log: State<Log>| {
            let id = socket.id().expect("it is connected");
            note(&log.0, Noticed::Connected { id, recovered: socket.is_recovered() });
        })
        .connect();
    (socket, log)
}

/// Returns the events of each session of a client, the last session last, and how often the client has recovered.
fn received(log: &Log) -> (Vec<(String, Vec<u32>)>, usize) {
    let (mut sessions, mut recoveries) = (Vec::<(String, Vec<u32>)>::new(), 0);
    let mut last_volatile = 0;
    for noticed in &*log.lock().expect("no panic") {
        match noticed {
            Noticed::Event(number) => sessions.last_mut().expect("a session").1.push(*number),
            Noticed::Volatile(number) => {
                assert!(*number > last_volatile, "a volatile event comes twice");
                last_volatile = *number;
            }
            Noticed::Connected { id, recovered: false } => sessions.push((id.clone(), Vec::new())),
            Noticed::Connected { id, recovered: true } => {
                assert_eq!(sessions.last().map(|(id, _)| id), Some(id));
                recoveries += 1;
            }
        }
    }
    (sessions, recoveries)
}

/// Runs a server and its clients. Returns how often a client has recovered, and how often it could not.
async fn run(
    seed: u64,
    format: Format,
    transports: &[Transport],
    recovery: ConnectionStateRecovery,
) -> (usize, usize) {
    let random = Random(Cell::new(seed));
    let mut builder = Server::builder();
    if let Format::MessagePack = format {
        builder = builder.parser(MessagePackParser);
    }
    let io =
        builder.connection_state_recovery(recovery).state(Arc::new(Mutex::new(Model::default()))).build();
    type SharedModel = Arc<Mutex<Model>>;
    let kept = Arc::new(Mutex::new(None::<SharedModel>));
    let to_test = Arc::clone(&kept);
    io.on_connection(move |socket: server::Socket, model: State<SharedModel>| {
        to_test.lock().expect("no panic").get_or_insert_with(|| Arc::clone(&model.0));
        let id = socket.id().to_string();
        let sessions = &mut model.0.lock().expect("no panic").sessions;
        if socket.recovered() {
            let session = sessions.get_mut(&id).expect("the session is known");
            let rooms: BTreeSet<_> = socket.rooms().iter().skip(1).map(ToString::to_string).collect();
            assert_eq!(rooms, session.rooms.iter().map(ToString::to_string).collect());
            session.socket = socket;
        } else {
            let session = Session { socket, rooms: BTreeSet::new(), expected: Vec::new() };
            assert!(sessions.insert(id, session).is_none(), "a new session has a new id");
        }
        std::future::ready(())
    });
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = io.clone();
    let serving = tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let relay = Relay::new(address).await;
        let (socket, log) = connect(relay.address, transports, format);
        clients.push((socket, log, relay));
    }
    while clients.iter().any(|(socket, ..)| !socket.is_connected()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let model = kept.lock().expect("no panic").clone().expect("a client has connected");
    let mut unnoticed = Vec::new();
    let mut number = 0;
    for _ in 0..300 {
        {
            let sessions = &mut model.lock().expect("no panic").sessions;
            let ids: Vec<_> = sessions.keys().cloned().collect();
            let one = &ids[random.below(ids.len())];
            number += 1;
            match random.below(12) {
                0 | 1 => {
                    let session = sessions.get_mut(one).expect("it is one of them");
                    let room = random.room();
                    if session.socket.is_connected() {
                        session.socket.join(room);
                        session.rooms.insert(room);
                    }
                }
                2 => {
                    let session = sessions.get_mut(one).expect("it is one of them");
                    let room = random.room();
                    if session.socket.is_connected() {
                        session.socket.leave(room);
                        session.rooms.remove(room);
                    }
                }
                3 | 4 => {
                    io.emit("event", number);
                    sessions.values_mut().for_each(|session| session.expected.push(number));
                }
                5 | 6 => {
                    let (to, except) = (random.room(), random.room());
                    io.to(to).except(except).emit("event", (number, "text"));
                    let is_selected = |session: &&mut Session| {
                        session.rooms.contains(to) && !session.rooms.contains(except)
                    };
                    sessions
                        .values_mut()
                        .filter(is_selected)
                        .for_each(|session| session.expected.push(number));
                }
                7 | 8 => {
                    let session = sessions.get_mut(one).expect("it is one of them");
                    if session.socket.try_emit("event", number).is_ok() {
                        session.expected.push(number);
                    }
                }
                9 => io.volatile().emit("volatile", (number, "text")),
                10 => sessions[one].socket.volatile().emit("volatile", (number, "text")),
                _ => drop(sessions[one].socket.emit_with_ack::<()>("with ack", "text")),
            }
        }
        if random.below(12) == 0 {
            let (_, _, relay) = &clients[random.below(CLIENTS)];
            unnoticed.extend(relay.cut(random.below(2) == 0));
        }
        match random.below(4) {
            0 => tokio::time::sleep(Duration::from_millis(1)).await,
            1 => tokio::task::yield_now().await,
            _ => {}
        }
    }
    // Everybody gets a last event.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let is_complete =
        |log: &Log, last| received(log).0.last().is_some_and(|(_, events)| events.last() == Some(&last));
    number += 1;
    loop {
        {
            let sessions = &mut model.lock().expect("no panic").sessions;
            io.emit("event", number);
            sessions.values_mut().for_each(|session| session.expected.push(number));
        }
        let round = tokio::time::Instant::now() + Duration::from_millis(500);
        while tokio::time::Instant::now() < round
            && !clients.iter().all(|(_, log, _)| is_complete(log, number))
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if clients.iter().all(|(_, log, _)| is_complete(log, number)) {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "seed {seed}, {format:?}: a client does not come back"
        );
        number += 1;
    }
    let (mut recovered, mut refused) = (0, 0);
    for (_, log, _) in &clients {
        let (sessions, recoveries) = received(log);
        recovered += recoveries;
        refused += sessions.len() - 1;
        let last = sessions.len() - 1;
        for (index, (id, events)) in sessions.iter().enumerate() {
            let expected = &model.lock().expect("no panic").sessions[id].expected;
            if index == last {
                assert_eq!(events, expected, "seed {seed}, {format:?}, {transports:?}");
            } else {
                assert_eq!(
                    events[..],
                    expected[..events.len()],
                    "seed {seed}, {format:?}, {transports:?}, a refused session"
                );
            }
        }
    }
    drop(unnoticed);
    for (socket, ..) in &clients {
        socket.client().close().await;
    }
    serving.abort();
    (recovered, refused)
}

const TRANSPORTS: [&[Transport]; 3] =
    [&[Transport::WebSocket], &[Transport::Polling], &[Transport::Polling, Transport::WebSocket]];

/// Returns the seeds of a test: `count` from `first`, unless somebody wants others.
fn seeds(first: u64, count: u64) -> Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = number("TIDEWIRE_SEED").unwrap_or(first);
    first..first + number("TIDEWIRE_ROUNDS").unwrap_or(count)
}

async fn everybody_recovers(format: Format) {
    for seed in seeds(0, 20) {
        let transports = TRANSPORTS[seed as usize % TRANSPORTS.len()];
        let (recovered, refused) = run(seed, format, transports, ConnectionStateRecovery::default()).await;
        assert!(recovered > 0, "seed {seed}, {format:?}: nobody has recovered");
        assert_eq!(
            refused, 0,
            "seed {seed}, {format:?}, {transports:?}: nothing was lost, so everybody recovers"
        );
    }
}

#[tokio::test]
async fn a_recovered_client_gets_each_event_once_and_in_order() {
    everybody_recovers(Format::Json).await;
}

#[tokio::test]
async fn with_message_pack_a_recovered_client_gets_each_event_once_and_in_order() {
    everybody_recovers(Format::MessagePack).await;
}

#[tokio::test]
async fn a_client_that_has_missed_too_much_is_told_so() {
    let mut all_refused = 0;
    for seed in seeds(100, 6) {
        let transports = TRANSPORTS[seed as usize % TRANSPORTS.len()];
        let format = if seed % 2 == 0 { Format::Json } else { Format::MessagePack };
        let recovery = ConnectionStateRecovery { max_log_bytes: 2_000, ..ConnectionStateRecovery::default() };
        let (_, refused) = run(seed, format, transports, recovery).await;
        all_refused += refused;
    }
    assert!(all_refused > 0, "the log is short");
}
