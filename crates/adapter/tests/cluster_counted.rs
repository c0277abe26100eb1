//! The adapter of a cluster whose message bus counts the servers, and whose replies may be anonymous.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tidewire_adapter::cluster::{
    Bus, ClusterAdapter, ClusterOptions, Membership, Message, NodeId, PublishError, Recipient, RequestId,
};
use tidewire_adapter::testing::{Loopback, Probe, Server, TestHost, event, event_with_ack, id};
use tidewire_adapter::{
    Adapter, Arguments, BroadcastOptions, Host, LinkChange, Missing, MissingReason, Ready, Replies, Reply,
    Request, Time,
};

/// A server without others. The test plays the bus and the other servers.
struct Alone {
    bus: Loopback,
    adapter: Arc<ClusterAdapter>,
    /// Keeps the namespace.
    _host: Arc<TestHost>,
    _server: Server,
}

/// What has arrived for a request, and whether it waits for more.
#[derive(Clone)]
struct Received {
    replies: Arc<Mutex<Vec<Reply>>>,
    is_open: Weak<()>,
}

impl Received {
    fn take(&self) -> Vec<Reply> {
        std::mem::take(&mut self.replies.lock().expect("nothing panics"))
    }

    fn is_open(&self) -> bool {
        self.is_open.strong_count() > 0
    }
}

impl Alone {
    fn start() -> Self {
        let bus = Loopback::counting(false);
        let (server, host) = (bus.attach(), TestHost::new(0));
        let weak: Weak<TestHost> = Arc::downgrade(&host);
        let adapter = server.adapter_with("/", weak as Weak<dyn Host>, |options| {
            assert_eq!(options.membership, Membership::Counted);
            options.max_peers = 2;
        });
        adapter.start(Time::ZERO);
        Self { bus, adapter, _host: host, _server: server }
    }

    fn request(&self) -> (Request, Received) {
        let (replies, open) = (Arc::new(Mutex::new(Vec::new())), Arc::new(()));
        let received = Received { replies: Arc::clone(&replies), is_open: Arc::downgrade(&open) };
        let replies = Replies::new(move |reply| {
            let _ = &open;
            replies.lock().expect("nothing panics").push(reply);
        });
        (Request { timeout: Duration::from_secs(5), now: self.bus.now(), replies }, received)
    }

    fn fetch(&self) -> Received {
        let (request, received) = self.request();
        self.adapter.fetch_sockets(&BroadcastOptions::new(), request);
        received
    }

    fn ask(&self) -> Received {
        let (request, received) = self.request();
        self.adapter.broadcast_with_ack(&event_with_ack("x", 0), 0, &BroadcastOptions::new(), request);
        received
    }

    /// The id of the request with this number.
    fn id(number: u64) -> RequestId {
        RequestId::from(u64::from_be_bytes([1, 2, 3, 0, 0, 0, 0, 0]) + number)
    }

    fn reply(&self, sender: Option<&str>, message: Message) {
        let sender = sender.map(NodeId::from);
        self.adapter.handle_message(sender.as_ref(), message, None, self.bus.now());
    }

    fn sockets(&self, sender: Option<&str>) {
        let message = Message::FetchSocketsResponse { request: Self::id(0), sockets: vec![] };
        self.reply(sender, message);
    }

    fn count(&self, sender: Option<&str>, count: usize) {
        self.reply(sender, Message::BroadcastClientCount { request: Self::id(0), count });
    }

    fn ack(&self, sender: Option<&str>) {
        let arguments = Arguments::from_json("[1]", vec![]).expect("it is a list").into_owned();
        self.reply(sender, Message::BroadcastAck { request: Self::id(0), arguments });
    }
}

fn server(reason: MissingReason) -> Reply {
    Reply::Missing(Missing::Server { node: None, reason })
}

fn clients(node: Option<&str>, count: usize, reason: MissingReason) -> Reply {
    Reply::Missing(Missing::Clients { node: node.map(NodeId::from), count, reason })
}

#[test]
fn replies_that_arrive_before_the_number_of_servers_count() {
    let alone = Alone::start();
    let received = alone.fetch();
    alone.sockets(None);
    assert_eq!(received.take(), [Reply::Sockets(vec![])]);
    assert!(received.is_open(), "the number is not known");
    alone.adapter.handle_server_count(Some(Alone::id(0)), 3);
    assert!(received.is_open(), "one is missing");
    alone.sockets(None);
    assert_eq!((received.take().len(), received.is_open()), (1, false));
    alone.sockets(None);
    assert_eq!(received.take(), [], "it is late");
}

#[test]
fn a_server_that_is_alone_waits_for_nobody() {
    for (servers, received) in [0, 1].map(|servers| {
        let alone = Alone::start();
        let received = [alone.fetch(), alone.ask()];
        for number in 0..2 {
            alone.adapter.handle_server_count(Some(Alone::id(number)), servers);
        }
        (servers, received)
    }) {
        for received in received {
            assert_eq!((received.take(), received.is_open()), (vec![], false), "{servers}");
        }
    }
}

#[test]
fn acknowledgements_count_in_any_order_with_the_numbers_of_clients() {
    let alone = Alone::start();
    let received = alone.ask();
    alone.ack(None);
    alone.adapter.handle_server_count(Some(Alone::id(0)), 3);
    alone.count(None, 0);
    assert!(received.is_open());
    alone.count(None, 2);
    assert!(received.is_open(), "one of two clients has acknowledged");
    alone.ack(None);
    assert_eq!((received.take().len(), received.is_open()), (2, false));
}

#[test]
fn what_is_missing_at_the_timeout_has_no_name() {
    let timed_out = MissingReason::TimedOut;
    let alone = Alone::start();
    let received = [alone.fetch(), alone.ask()];
    for number in 0..2 {
        alone.adapter.handle_server_count(Some(Alone::id(number)), 4);
    }
    alone.sockets(None);
    alone.reply(None, Message::BroadcastClientCount { request: Alone::id(1), count: 5 });
    alone.adapter.handle_timeout(Time::ZERO + Duration::from_secs(5));
    assert_eq!(received[0].take(), [Reply::Sockets(vec![]), server(timed_out), server(timed_out)]);
    assert_eq!(received[1].take(), [server(timed_out), server(timed_out), clients(None, 5, timed_out)]);
    assert!(received.iter().all(|received| !received.is_open()));

    let alone = Alone::start();
    let received = alone.fetch();
    alone.adapter.handle_timeout(Time::ZERO + Duration::from_secs(5));
    assert_eq!(received.take(), [server(timed_out)], "the bus has not said how many there are");
}

#[test]
fn a_server_that_names_itself_replies_once() {
    let alone = Alone::start();
    let received = alone.fetch();
    alone.adapter.handle_server_count(Some(Alone::id(0)), 3);
    alone.sockets(Some("two"));
    alone.sockets(Some("two"));
    assert_eq!((received.take().len(), received.is_open()), (1, true));
    alone.sockets(Some("three"));
    assert!(!received.is_open());
}

#[test]
fn if_fewer_servers_are_left_than_replies_are_missing_some_have_left() {
    let gone = MissingReason::Disconnected;
    let alone = Alone::start();
    let received = alone.fetch();
    alone.adapter.handle_server_count(Some(Alone::id(0)), 4);
    alone.sockets(None);
    alone.adapter.handle_server_count(None, 3);
    assert_eq!(received.take(), [Reply::Sockets(vec![])], "perhaps it has replied before it left");
    alone.adapter.handle_server_count(None, 2);
    assert_eq!(received.take(), [server(gone)]);
    alone.adapter.handle_server_count(None, 4);
    assert!(received.is_open());
    alone.sockets(None);
    assert!(!received.is_open(), "those that have joined later are not asked");
}

#[test]
fn the_clients_of_a_server_that_leaves_are_missing_if_it_is_known_by_name() {
    let gone = MissingReason::Disconnected;
    let alone = Alone::start();
    let received = alone.ask();
    alone.adapter.handle_server_count(Some(Alone::id(0)), 3);
    alone.count(Some("two"), 2);
    alone.count(Some("three"), 1);
    alone.ack(Some("two"));
    let _ = received.take();
    alone.reply(Some("two"), Message::Close);
    assert_eq!(received.take(), [clients(Some("two"), 1, gone)]);
    assert!(received.is_open());
    alone.adapter.handle_server_count(None, 1);
    assert_eq!((received.take(), received.is_open()), (vec![clients(Some("three"), 1, gone)], false));
}

#[test]
fn names_beyond_the_limit_are_counted_and_not_kept() {
    let alone = Alone::start();
    let received = alone.ask();
    alone.adapter.handle_server_count(Some(Alone::id(0)), 4);
    for name in ["two", "three", "four"] {
        alone.count(Some(name), 1);
    }
    alone.adapter.handle_link(LinkChange::Lost);
    let missing = received.take();
    let of = |name| missing.contains(&clients(name, 1, MissingReason::Disconnected));
    assert!(of(Some("two")) && of(Some("three")) && of(None), "{missing:?}");
}

#[test]
fn without_a_link_as_many_servers_are_missing_as_were_counted_last() {
    let alone = Alone::start();
    assert_eq!(alone.adapter.server_count(), None);
    alone.adapter.handle_server_count(None, 3);
    assert_eq!(alone.adapter.server_count(), Some(3));
    let early = alone.fetch();
    alone.adapter.handle_link(LinkChange::Lost);
    assert_eq!(early.take(), [server(MissingReason::Disconnected)], "nobody has counted for this request");
    let late = alone.fetch();
    assert_eq!(late.take(), [server(MissingReason::Disconnected), server(MissingReason::Disconnected)]);
    assert!(!late.is_open());
}

#[test]
fn servers_are_counted_again_and_again_and_send_no_heartbeats() {
    let bus = Loopback::counting(true);
    let start = || {
        let (server, host) = (bus.attach(), TestHost::new(0));
        let weak: Weak<TestHost> = Arc::downgrade(&host);
        let adapter = server.adapter_with("/", weak as Weak<dyn Host>, |_| {});
        adapter.start(bus.now());
        bus.settle();
        (adapter, host, server)
    };
    bus.refuse(|message| panic!("{}", message.name()));
    let one = start();
    let _two = start();
    assert_eq!(one.0.server_count(), Some(1));
    bus.advance(Duration::from_secs(5));
    assert_eq!(one.0.server_count(), Some(2));
    // A server of another kind may send some.
    one.0.handle_message(Some(&NodeId::from("three")), Message::InitialHeartbeat, None, bus.now());
    bus.settle();
    assert_eq!(one.0.server_count(), Some(2));
}

#[test]
fn a_request_of_a_server_side_event_ends_with_its_anonymous_responses() {
    let alone = Alone::start();
    let (request, received) = alone.request();
    alone.adapter.server_side_emit(&event("load"), Some(request));
    alone.adapter.handle_server_count(Some(Alone::id(0)), 2);
    let arguments = Arguments::from_json("[7]", vec![]).expect("it is a list").into_owned();
    alone.reply(None, Message::ServerSideEmitResponse { request: Alone::id(0), arguments });
    assert!(matches!(received.take()[..], [Reply::Server { node: None, .. }]));
    assert!(!received.is_open());
}

/// A bus with a channel for each room. Its replies are those that the test gives.
#[derive(Default)]
struct RoomBus(Arc<Mutex<Vec<String>>>);

impl Bus for RoomBus {
    fn start(&self, _: Weak<ClusterAdapter>, _: Time) {}

    fn publish(&self, _: Recipient, _: &Message) -> Result<(), PublishError> {
        Ok(())
    }

    fn wake(&self) {}

    fn observes_rooms(&self) -> bool {
        true
    }

    fn room_changed(&self, room: &str) {
        self.0.lock().expect("nothing panics").push(room.to_owned());
    }

    fn joined(&self, rooms: &[&str]) -> Ready {
        self.0.lock().expect("nothing panics").push(format!("joined {rooms:?}"));
        Ready::after(std::future::pending())
    }
}

#[test]
fn a_bus_learns_which_rooms_exist_beside_the_observer_of_the_server() {
    let (bus, seen) = (RoomBus::default(), Arc::new(Mutex::new(0)));
    let calls = Arc::clone(&bus.0);
    let host: Weak<TestHost> = Weak::new();
    let adapter = ClusterAdapter::new("/", host as Weak<dyn Host>, bus, ClusterOptions::new([7; 16]));
    let count = Arc::clone(&seen);
    adapter.local().observe_rooms(Box::new(move |_| *count.lock().expect("nothing panics") += 1));
    let take = || std::mem::take(&mut *calls.lock().expect("nothing panics"));
    let (one, two) = (Probe::new(id(1)), Probe::new(id(2)));
    adapter.insert(one);
    adapter.insert(two);
    assert_eq!(take(), [&*id(1), &*id(2)]);
    assert!(adapter.local().has_room(&id(1)) && !adapter.local().has_room("a"));
    let joined = adapter.add_all(&id(1), &["a"]).expect("the limits allow it");
    assert!(!joined.is_now(), "the bus subscribes");
    assert_eq!(take(), ["a", r#"joined ["a"]"#]);
    assert!(adapter.local().has_room("a"));
    let _ = adapter.add_all(&id(2), &["a"]);
    adapter.del(&id(1), "a");
    assert_eq!(take(), [r#"joined ["a"]"#]);
    adapter.del_all(&id(2));
    assert_eq!(take(), ["a", &*id(2)]);
    assert!(!adapter.local().has_room("a") && !adapter.local().has_room(&id(2)));
    assert_eq!(*seen.lock().expect("nothing panics"), 12, "created, joined, left, deleted");
}
