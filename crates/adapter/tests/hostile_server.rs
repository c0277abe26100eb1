//! A program on the message bus that pretends to be a server of the cluster, and sends what it likes.
//!
//! It must not make a server panic, wait for ever, or keep more than its limits. A failure names its seed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidewire_adapter::cluster::{
    AckRequest, ClaimReply, LocalDelivery, Message, MovedSession, NodeId, RequestId,
};
use tidewire_adapter::testing::{Probe, event, id};
use tidewire_adapter::{
    Adapter, Arguments, BroadcastOptions, ClaimError, LocalSocket, MissingReason, RecoveryOptions, Replies,
    Request,
};

use crate::support::Cluster;

const SECOND: Duration = Duration::from_secs(1);
const STEPS: usize = 400;
const MAX_SESSIONS: usize = 5;
const MAX_BYTES_PER_SESSION: usize = 4_000;
const MAX_LOG_BYTES: usize = 20_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    /// A small number, the largest one, or any.
    fn number(&mut self) -> u64 {
        match self.below(4) {
            0 | 1 => self.next() % 8,
            2 => u64::MAX - self.next() % 2,
            _ => self.next(),
        }
    }

    fn word(&mut self) -> &'static str {
        ["", "a", "b", "pid", "other", "0001", "0002"][self.below(7)]
    }

    fn options(&mut self) -> BroadcastOptions {
        let mut options = BroadcastOptions::new();
        for _ in 0..self.below(3) {
            options = options.to(self.word());
        }
        if self.below(4) == 0 {
            options = options.except(self.word());
        }
        options
    }
}

/// The number of claims and requests that have not ended.
type Open = Arc<Mutex<i32>>;

struct Test {
    random: Random,
    cluster: Cluster,
    /// The copy of a session, which the hostile server changes.
    copy: MovedSession,
    open: Open,
}

fn change(open: &Open, by: i32) {
    *open.lock().unwrap_or_else(PoisonError::into_inner) += by;
}

/// Counts as open until it is dropped.
struct Guard(Open);

impl Drop for Guard {
    fn drop(&mut self) {
        change(&self.0, -1);
    }
}

/// Returns the copy of a session as a server sends it.
fn copy() -> MovedSession {
    let cluster = Cluster::start(2, LocalDelivery::InLogOrder, |_| {});
    let found = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&found);
    cluster.bus.refuse(move |message| {
        if let Message::ClaimSessionResponse { reply: ClaimReply::Found(copy), .. } = message {
            *seen.lock().expect("nothing panics") = Some(MovedSession::clone(copy));
        }
        Ok(())
    });
    for node in &cluster.nodes {
        node.enable_recovery(RecoveryOptions::new([7; 8]));
    }
    cluster.nodes[0].emit("first");
    cluster.bus.settle();
    cluster.bus.advance(2 * SECOND);
    let (node, probe) = (&cluster.nodes[0], Probe::new(id(100)));
    node.recovery().begin("pid", Arc::clone(&probe) as Arc<dyn LocalSocket>);
    node.recovery().suspend(&*probe, probe.generation(), node.server.now());
    let now = cluster.nodes[1].server.now();
    cluster.nodes[1].recovery().claim("pid", None, now, Box::new(drop));
    cluster.bus.settle();
    let copy = found.lock().expect("nothing panics").take();
    copy.expect("the first server has it")
}

impl Test {
    fn new(seed: u64, copy: MovedSession) -> Self {
        let cluster = Cluster::start(1, LocalDelivery::InLogOrder, |options| options.max_peers = 4);
        let mut options = RecoveryOptions::new([7; 8]);
        options.max_sessions = MAX_SESSIONS;
        options.max_bytes_per_session = MAX_BYTES_PER_SESSION;
        options.max_log_bytes = MAX_LOG_BYTES;
        cluster.nodes[0].enable_recovery(options);
        Self { random: Random(seed), cluster, copy, open: Open::default() }
    }

    fn replies(&self) -> Replies {
        change(&self.open, 1);
        let guard = Guard(Arc::clone(&self.open));
        Replies::new(move |_| {
            let _ = &guard;
        })
    }

    /// The server does something itself, so that the hostile one can reply.
    fn act(&mut self) {
        let node = &self.cluster.nodes[0];
        let now = node.server.now();
        match self.random.below(7) {
            0 => drop(node.adapter.broadcast(&event("own"), &self.random.options())),
            1 => {
                let (offset, pid) = (self.random.word(), self.random.word());
                change(&self.open, 1);
                let (guard, adapter) = (Guard(Arc::clone(&self.open)), Arc::clone(&node.adapter));
                let then = move |claimed: Result<_, ClaimError>| {
                    let Ok(session) = claimed else { return drop(guard) };
                    let socket = Probe::new(id(100));
                    let recovery = adapter.recovery().expect("it is enabled");
                    recovery.resume(session, socket, now, Box::new(move |_| drop(guard)));
                };
                node.recovery().claim(pid, Some(offset), now, Box::new(then));
            }
            2 => {
                let probe = Probe::new(id(100));
                node.recovery().begin(self.random.word(), Arc::clone(&probe) as Arc<dyn LocalSocket>);
                node.recovery().suspend(&*probe, probe.generation(), now);
            }
            3 => {
                let request = Request { timeout: 5 * SECOND, now, replies: self.replies() };
                node.adapter.fetch_sockets(&BroadcastOptions::new(), request);
            }
            4 => {
                let request = Request { timeout: 5 * SECOND, now, replies: self.replies() };
                node.adapter.server_side_emit(&event("load"), Some(request));
            }
            5 => self.cluster.bus.settle(),
            _ => {
                let by = Duration::from_millis(self.random.next() % 900);
                self.cluster.bus.advance(by);
            }
        }
    }

    fn request(&mut self) -> RequestId {
        match self.random.below(4) {
            0 => RequestId::parse(self.random.word()).expect("it is short"),
            // Those of the server, which are not secret.
            _ => RequestId::from(u64::from_be_bytes([1, 2, 3, 0, 0, 0, 0, 0]) + self.random.next() % 200),
        }
    }

    fn copy(&mut self) -> Box<MovedSession> {
        let random = &mut self.random;
        let mut copy = self.copy.clone();
        copy.pid = random.word().into();
        if random.below(3) > 0 {
            copy.id = id(u8::try_from(random.below(256)).expect("it fits"));
        }
        copy.generation = random.number();
        copy.remaining = Duration::from_secs(random.number());
        copy.head = random.word().into();
        copy.sent_offset = (random.below(2) == 0).then(|| random.word().into());
        [copy.started, copy.sent, copy.suspended, copy.complete_after] = [(); 4].map(|()| random.number());
        let many = if random.below(8) == 0 { 3_000 } else { 4 };
        copy.rooms = (0..random.below(many)).map(|at| (at.to_string().as_str().into(), at as u64)).collect();
        copy.left = (0..random.below(many))
            .map(|_| (random.word().into(), random.number(), random.number()))
            .collect();
        Box::new(copy)
    }

    fn message(&mut self) -> Message {
        let request = self.request();
        let random = &mut self.random;
        let arguments = Arguments::from_json("[1]", vec![]).expect("it is a list").into_owned();
        let socket = random.word().into();
        let rooms = vec![random.word().into()];
        match random.below(22) {
            0 => Message::InitialHeartbeat,
            1 => Message::Heartbeat,
            2..4 => {
                let timeout = Duration::from_secs(random.number());
                let ack = (random.below(3) == 0).then_some(AckRequest { request, timeout });
                let sequence = (random.below(2) == 0).then(|| random.number());
                Message::Broadcast { event: event("x"), options: random.options(), ack, sequence }
            }
            4 => Message::SocketsJoin { options: random.options(), rooms },
            5 => Message::SocketsLeave { options: random.options(), rooms },
            6 => Message::DisconnectSockets {
                options: random.options(),
                close_connection: random.below(2) == 0,
            },
            7 => Message::FetchSockets { request, options: random.options() },
            8 => Message::FetchSocketsResponse { request, sockets: vec![] },
            9 => Message::ServerSideEmit { event: event("x"), request: Some(request) },
            10 => Message::ServerSideEmitResponse { request, arguments },
            11 => {
                let count = usize::try_from(random.number()).unwrap_or(usize::MAX);
                Message::BroadcastClientCount { request, count }
            }
            12 => Message::BroadcastAck { request, arguments },
            13 => Message::BroadcastMissing { request, socket, reason: MissingReason::TimedOut },
            14 => Message::Close,
            15 => Message::ClaimSession { request, pid: random.word().into() },
            16 => {
                let reply = [ClaimReply::Unknown, ClaimReply::Unavailable][random.below(2)].clone();
                Message::ClaimSessionResponse { request, reply }
            }
            17 | 18 => Message::ClaimSessionResponse { request, reply: ClaimReply::Found(self.copy()) },
            19 => {
                let generation = random.number();
                Message::TakeSession { request, pid: random.word().into(), generation }
            }
            20 => {
                let is_taken = random.below(4) > 0;
                Message::TakeSessionResponse { request, pid: random.word().into(), is_taken }
            }
            _ => Message::SessionTaken { request, pid: random.word().into(), is_taken: random.below(2) == 0 },
        }
    }

    fn receive(&mut self) {
        let message = self.message();
        let node = &self.cluster.nodes[0];
        let sender = match self.random.below(8) {
            0 => None,
            // It takes the name of the server itself.
            1 => Some(node.adapter.id().clone()),
            _ => Some(NodeId::from(["evil", "worse"][self.random.below(2)])),
        };
        let offset = (self.random.below(2) == 0).then(|| self.random.word());
        node.adapter.handle_message(sender.as_ref(), message, offset, node.server.now());
    }

    fn check(&self, seed: u64) {
        let kept = self.cluster.nodes[0].recovery().kept();
        assert!(kept.sessions <= MAX_SESSIONS, "seed {seed}: {kept:?}");
        assert!(kept.session_bytes <= MAX_SESSIONS * MAX_BYTES_PER_SESSION, "seed {seed}: {kept:?}");
        assert!(kept.event_bytes <= MAX_LOG_BYTES + MAX_LOG_BYTES / 2, "seed {seed}: {kept:?}");
    }
}

#[test]
fn a_hostile_server_causes_no_panic_no_endless_wait_and_nothing_beyond_the_limits() {
    let rounds = std::env::var("TIDEWIRE_ROUNDS").map_or(50, |text| text.parse().expect("a number"));
    let first = std::env::var("TIDEWIRE_SEED").map_or(0, |text| text.parse().expect("a number"));
    let copy = copy();
    for seed in first..first + rounds {
        let mut test = Test::new(seed, copy.clone());
        for _ in 0..STEPS {
            if test.random.below(3) == 0 {
                test.act();
            } else {
                test.receive();
            }
            test.check(seed);
        }
        // A deadline that is noticed late starts again once.
        for _ in 0..6 {
            test.cluster.bus.advance(10 * SECOND);
        }
        assert_eq!(*test.open.lock().expect("nothing panics"), 0, "seed {seed}: somebody waits still");
        let due = test.cluster.nodes[0].adapter.poll_timeout();
        assert!(due.is_none_or(|due| due > test.cluster.nodes[0].server.now()), "seed {seed}: {due:?}");
    }
}
