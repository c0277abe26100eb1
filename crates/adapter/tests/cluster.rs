//! The adapter of a cluster: order, loss, offsets, heartbeats and limits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tidewire_adapter::cluster::{LocalDelivery, Message, NodeId, RequestId};
use tidewire_adapter::testing::{Probe, TestHost, event, event_with_ack, id};
use tidewire_adapter::{
    Adapter, BroadcastOptions, ClaimError, DeliveryPolicy, Host, LinkChange, LocalSocket, Missing,
    MissingReason, RecoveryOptions, Replies, Reply, Request, Session, Time,
};

use crate::support::Cluster;

fn request(cluster: &Cluster, seconds: u64) -> (Request, Arc<Mutex<Vec<Reply>>>) {
    let received = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&received);
    let replies = Replies::new(move |reply| to.lock().expect("nothing panics").push(reply));
    (Request { timeout: Duration::from_secs(seconds), now: cluster.bus.now(), replies }, received)
}

fn all() -> BroadcastOptions {
    BroadcastOptions::new()
}

fn take(received: &Mutex<Vec<Reply>>) -> Vec<Reply> {
    std::mem::take(&mut received.lock().expect("nothing panics"))
}

#[test]
fn an_event_waits_for_the_bus_and_arrives_in_order() {
    let cluster = Cluster::start(2, LocalDelivery::AtOnce, |_| {});
    let [one, two] = &*cluster.nodes else { panic!("two") };
    assert_eq!(one.adapter.broadcast(&event("first"), &all()), Some(1));
    assert_eq!(one.adapter.broadcast(&event("second"), &all()), Some(1));
    assert_eq!(cluster.texts(), [vec!["first", "second"], vec![]]);
    assert!(cluster.bus.accept_one());
    assert_eq!(cluster.texts(), [[""; 0]; 2], "the bus has accepted it and not delivered it");
    assert!(two.server.deliver_one());
    assert_eq!(cluster.texts(), [vec![], vec!["first"]]);
    cluster.bus.settle();
    assert_eq!(cluster.texts(), [vec![], vec!["second"]]);
}

#[test]
fn in_log_order_all_servers_deliver_all_events_in_one_order_with_their_offsets() {
    let cluster = Cluster::start(3, LocalDelivery::InLogOrder, |_| {});
    assert_eq!(cluster.nodes[0].adapter.broadcast(&event("a"), &all()), None, "it is delivered later");
    assert_eq!(cluster.nodes[1].adapter.broadcast(&event("b"), &all()), None);
    assert_eq!(cluster.nodes[0].adapter.broadcast(&event("c"), &all()), None);
    let mut local = all();
    local.local = true;
    assert_eq!(cluster.nodes[2].adapter.broadcast(&event("local"), &local), Some(1));
    assert_eq!(cluster.texts(), [vec![], vec![], vec!["local"]]);
    cluster.bus.settle();
    let log = [r#"a","0001"#, r#"b","0002"#, r#"c","0003"#];
    assert_eq!(cluster.texts(), [log; 3]);
    // A volatile event has its place in the order, and no offset that a client could come back with. The same is true
    // for an event that a later one may replace.
    for policy in [DeliveryPolicy::Volatile, DeliveryPolicy::KeepLatest("key".into())] {
        let mut options = all();
        options.policy = policy;
        cluster.nodes[1].adapter.broadcast(&event("d"), &options);
        cluster.bus.settle();
        assert_eq!(cluster.texts(), [["d"]; 3]);
    }
}

#[test]
fn what_is_published_without_a_link_is_lost_and_the_namespace_knows_it() {
    use tidewire_adapter::LinkChange::{Lost, Restored};

    for local_delivery in [LocalDelivery::AtOnce, LocalDelivery::InLogOrder] {
        let cluster = Cluster::start(2, local_delivery, |_| {});
        let [one, two] = &*cluster.nodes else { panic!("two") };
        two.adapter.broadcast(&event("late"), &all());
        assert!(cluster.bus.accept_one());
        one.server.cut();
        one.adapter.broadcast(&event("alone"), &all());
        cluster.bus.settle();
        let [here, there] = &*cluster.texts() else { panic!("two") };
        assert_eq!(*here, ["alone"], "its own clients are served");
        assert_eq!(there.len(), 1, "{there:?}");
        assert_eq!(cluster.bus.lost(), 2, "one in each direction");
        one.server.restore();
        assert_eq!(one.host.take_links(), [Lost, Restored { gap: true }]);
        assert_eq!(two.host.take_links(), []);
    }
}

#[test]
fn a_session_that_has_seen_events_of_a_server_without_a_link_is_not_recovered() {
    let cluster = Cluster::start(2, LocalDelivery::InLogOrder, |_| {});
    let node = &cluster.nodes[0];
    node.enable_recovery(RecoveryOptions::new([7; 8]));
    let recovery = node.recovery();
    node.adapter.handle_link(LinkChange::Lost);
    let probe = Probe::new(id(7));
    recovery.begin("pid", Arc::clone(&probe) as Arc<dyn LocalSocket>);
    node.adapter.broadcast(&event("alone"), &all());
    assert_eq!(probe.texts().len(), 1);
    // The driver has lost no message of the others. But they do not have this event in their logs.
    node.adapter.handle_link(LinkChange::Restored { gap: false });
    recovery.suspend(&*probe, probe.generation(), Time::ZERO);
    let claimed = Arc::new(Mutex::new(Vec::new()));
    let then = {
        let claimed = Arc::clone(&claimed);
        move |result: Result<_, ClaimError>| claimed.lock().expect("nothing panics").push(result.map(|_| ()))
    };
    recovery.claim("pid", None, Time::ZERO, Box::new(then));
    assert_eq!(*claimed.lock().expect("nothing panics"), [Err(ClaimError::Gap)]);
}

#[test]
fn a_client_that_has_received_everything_recovers_on_any_server_although_the_logs_forgot_its_offset() {
    for back_to in [0, 1] {
        let cluster = Cluster::start(2, LocalDelivery::InLogOrder, |_| {});
        for node in &cluster.nodes {
            let mut options = RecoveryOptions::new([7; 8]);
            options.max_log_bytes = 4096;
            node.enable_recovery(options);
        }
        let recovery = |index: usize| cluster.nodes[index].recovery();
        let probe = Probe::new(id(7));
        recovery(0).begin("pid", Arc::clone(&probe) as Arc<dyn LocalSocket>);
        cluster.nodes[0].adapter.broadcast(&event("received"), &all());
        cluster.bus.settle();
        let received = probe.texts().pop().expect("an event");
        let offset = received.rsplit('"').next().expect("it is the last argument").to_owned();
        for _ in 0..100 {
            cluster.nodes[1].adapter.broadcast(&event("others"), &all().to("others"));
        }
        cluster.bus.settle();
        recovery(0).suspend(&*probe, probe.generation(), cluster.bus.now());
        cluster.nodes[1].adapter.broadcast(&event("missed"), &all());
        cluster.bus.settle();
        let session = Arc::new(Mutex::new(None));
        let claimed = Arc::clone(&session);
        let then = move |result: Result<Session, ClaimError>| {
            *claimed.lock().expect("nothing panics") = Some(result);
        };
        recovery(back_to).claim("pid", Some(&offset), cluster.bus.now(), Box::new(then));
        cluster.bus.settle();
        let session = session.lock().expect("nothing panics").take().expect("an answer").expect("recovered");
        let back = Probe::new(id(7));
        let then = |missed: Result<usize, ClaimError>| assert_eq!(missed, Ok(1));
        recovery(back_to).resume(
            session,
            Arc::clone(&back) as Arc<dyn LocalSocket>,
            cluster.bus.now(),
            Box::new(then),
        );
        assert!(back.texts()[0].starts_with("missed"));
    }
}

#[test]
fn a_server_that_is_silent_for_ten_seconds_is_dead_and_nobody_waits_for_it() {
    let cluster = Cluster::start(3, LocalDelivery::AtOnce, |_| {});
    let [one, two, three] = &*cluster.nodes else { panic!("three") };
    cluster.bus.advance(Duration::from_secs(60));
    assert_eq!(one.adapter.server_count(), Some(3), "heartbeats keep them alive");
    let (request, received) = request(&cluster, 3600);
    one.adapter.server_side_emit(&event("load"), Some(request));
    two.server.cut();
    cluster.bus.settle();
    let [answer] = &mut *three.host.take_events() else { panic!("one event") };
    answer.responder.take().expect("it waits");
    cluster.bus.advance(Duration::from_secs(11));
    assert_eq!(one.adapter.server_count(), Some(2));
    let dead = Missing::Server { node: Some(two.adapter.id().clone()), reason: MissingReason::Disconnected };
    assert_eq!(take(&received), [Reply::Missing(dead)]);
    two.server.restore();
    cluster.bus.settle();
    assert_eq!(one.adapter.server_count(), Some(3));
}

#[test]
fn the_number_of_clients_may_arrive_after_the_first_acknowledgement() {
    let cluster = Cluster::start(2, LocalDelivery::AtOnce, |_| {});
    let [one, two] = &*cluster.nodes else { panic!("two") };
    let (request, received) = request(&cluster, 5);
    let only_two = all().to(id(1));
    one.adapter.broadcast_with_ack(&event_with_ack("x", 0), 0, &only_two, request);
    let (from, request, now) = (Some(two.adapter.id()), RequestId::from(first_request()), cluster.bus.now());
    for number in 0..2 {
        let missing = Message::BroadcastMissing {
            request,
            socket: format!("{number}").into(),
            reason: MissingReason::TimedOut,
        };
        one.adapter.handle_message(from, missing, None, now);
    }
    let count = |count| Message::BroadcastClientCount { request, count };
    one.adapter.handle_message(from, count(3), None, now);
    one.adapter.handle_message(from, count(1), None, now);
    assert_eq!(take(&received).len(), 2);
    cluster.bus.advance(Duration::from_secs(5));
    let node = Some(two.adapter.id().clone());
    let rest = Missing::Clients { node, count: 1, reason: MissingReason::TimedOut };
    assert_eq!(take(&received), [Reply::Missing(rest)]);
}

#[test]
fn replies_that_nobody_waits_for_are_ignored() {
    let cluster = Cluster::start(2, LocalDelivery::AtOnce, |_| {});
    let [one, two] = &*cluster.nodes else { panic!("two") };
    let (request, received) = request(&cluster, 5);
    one.adapter.fetch_sockets(&all(), request);
    let now = cluster.bus.now();
    for sender in [None, Some(one.adapter.id()), Some(&NodeId::from("stranger")), Some(two.adapter.id())] {
        for request in [RequestId::from(first_request()), RequestId::from(7)] {
            one.adapter.handle_message(
                sender,
                Message::BroadcastClientCount { request, count: 0 },
                None,
                now,
            );
        }
    }
    assert_eq!(take(&received), [], "it is not a reply to this request");
    cluster.bus.settle();
    assert!(matches!(take(&received)[..], [Reply::Sockets(_)]));
}

/// The id of the first request of the first server.
fn first_request() -> u64 {
    u64::from_be_bytes([1, 2, 3, 0, 0, 0, 0, 0])
}

#[test]
fn a_program_that_is_no_server_may_emit_and_nobody_waits_for_it() {
    let cluster = Cluster::start(1, LocalDelivery::AtOnce, |_| {});
    let [one] = &*cluster.nodes else { panic!("one") };
    let message = Message::Broadcast { event: event("emitter"), options: all(), ack: None, sequence: None };
    one.adapter.handle_message(None, message, None, Time::ZERO);
    assert_eq!(one.probe.texts(), ["emitter"]);
    assert_eq!(one.adapter.server_count(), Some(1));
}

#[test]
fn the_limits_bound_servers_and_requests() {
    let cluster = Cluster::start(2, LocalDelivery::AtOnce, |options| {
        options.max_peers = 2;
        options.max_requests = 1;
        options.max_ack_timeout = Duration::from_secs(7);
    });
    let [one, two] = &*cluster.nodes else { panic!("two") };
    for name in ["a", "b", "c"] {
        one.adapter.handle_message(Some(&NodeId::from(name)), Message::Heartbeat, None, Time::ZERO);
    }
    assert_eq!(one.adapter.server_count(), Some(3), "itself, the other, and one more");

    let (first, first_replies) = request(&cluster, 3600);
    two.adapter.fetch_sockets(&all(), first);
    let (second, second_replies) = request(&cluster, 3600);
    two.adapter.fetch_sockets(&all(), second);
    cluster.bus.settle();
    let limit = Missing::Server { node: Some(one.adapter.id().clone()), reason: MissingReason::Limit };
    assert_eq!(take(&second_replies), [Reply::Missing(limit)]);
    assert!(matches!(take(&first_replies)[..], [Reply::Sockets(_)]));

    let (request, _) = request(&cluster, 3600);
    two.adapter.broadcast_with_ack(&event_with_ack("x", 0), 0, &all(), request);
    cluster.bus.settle();
    assert_eq!(one.probe.ack_timeouts(), [Duration::from_secs(7)]);
    assert_eq!(two.probe.ack_timeouts(), [Duration::from_secs(3600)]);
}

#[test]
fn namespaces_do_not_hear_each_other() {
    let cluster = Cluster::start(2, LocalDelivery::AtOnce, |_| {});
    let host = TestHost::new(0);
    let weak: Weak<TestHost> = Arc::downgrade(&host);
    let chat = cluster.nodes[0].server.adapter("/chat", weak as Weak<dyn Host>);
    chat.start(Time::ZERO);
    chat.broadcast(&event("chat"), &all());
    cluster.bus.settle();
    assert_eq!(cluster.texts(), [[""; 0]; 2]);
    assert_eq!(chat.server_count(), Some(1));
}

#[test]
fn a_server_that_gets_a_reply_may_call_the_adapter() {
    for ends in ["reply", "timeout", "link", "close"] {
        let cluster = Cluster::start(2, LocalDelivery::AtOnce, |_| {});
        let [one, two] = &*cluster.nodes else { panic!("two") };
        let (adapter, count) = (Arc::clone(&one.adapter), Arc::new(Mutex::new(0)));
        let counted = Arc::clone(&count);
        // This would block for ever if the adapter held its lock.
        let replies = Replies::new(move |_| {
            *counted.lock().expect("nothing panics") += adapter.server_count().unwrap_or(0);
        });
        let request = Request { timeout: Duration::from_secs(1), now: cluster.bus.now(), replies };
        one.adapter.fetch_sockets(&all(), request);
        match ends {
            "reply" => cluster.bus.settle(),
            "timeout" => {
                two.server.cut();
                cluster.bus.advance(Duration::from_secs(1));
            }
            "link" => one.server.cut(),
            _ => drop(one.adapter.close()),
        }
        assert!(*count.lock().expect("nothing panics") > 0, "{ends}");
    }
}

#[test]
fn a_panic_of_what_waits_for_the_bus_stops_nothing_that_waits_behind_it() {
    let cluster = Cluster::start(1, LocalDelivery::InLogOrder, |_| {});
    let node = &cluster.nodes[0];
    node.enable_recovery(RecoveryOptions::new([7; 8]));
    let recovery = node.recovery();
    // After this, a lone server knows that it is alone.
    cluster.bus.advance(Duration::from_secs(6));
    let claimed = Arc::new(Mutex::new(Vec::new()));
    let claim = |panics: bool| {
        let claimed = Arc::clone(&claimed);
        let then = move |result: Result<_, ClaimError>| {
            assert!(!panics, "the program's code");
            claimed.lock().expect("nothing panics").push(result.map(|_| ()));
        };
        recovery.claim("no such session", None, Time::ZERO, Box::new(then));
    };
    node.adapter.broadcast(&event("on its way"), &all());
    claim(true);
    claim(false);
    assert!(claimed.lock().expect("nothing panics").is_empty(), "they wait for the event");
    assert!(catch_unwind(AssertUnwindSafe(|| cluster.bus.settle())).is_err());
    claim(false);
    let unknown = Err(ClaimError::UnknownSession);
    assert_eq!(*claimed.lock().expect("nothing panics"), [unknown, unknown]);
}

#[test]
fn a_server_tells_a_server_of_node_its_rooms_and_the_ids_of_its_sockets() {
    let cluster = Cluster::start(1, LocalDelivery::AtOnce, |_| {});
    let [one] = &*cluster.nodes else { panic!("one") };
    drop(one.adapter.add_all(one.probe.id(), &["news"]).expect("it may join"));
    let sent = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&sent);
    cluster.bus.refuse(move |message| {
        to.lock().expect("nothing panics").push(message.clone());
        Ok(())
    });
    let (node, request, now) = (NodeId::from("node"), RequestId::from(7), cluster.bus.now());
    one.adapter.handle_message(Some(&node), Message::AllRooms { request }, None, now);
    let ids = |room| Message::SocketIds { request, options: all().to(room) };
    one.adapter.handle_message(Some(&node), ids("news"), None, now);
    one.adapter.handle_message(Some(&node), ids("other"), None, now);
    let sent = sent.lock().expect("nothing panics");
    let [
        Message::AllRoomsResponse { request: first, rooms },
        Message::SocketIdsResponse { ids: some, .. },
        Message::SocketIdsResponse { ids: none, .. },
    ] = &sent[..]
    else {
        panic!("three replies, not {sent:?}")
    };
    let own = one.probe.id().as_str();
    assert_eq!((*first, rooms.len()), (request, 2));
    assert!(["news", own].iter().all(|room| rooms.iter().any(|other| &**other == *room)), "{rooms:?}");
    assert_eq!((some.iter().map(|id| &**id).collect::<Vec<_>>(), none.len()), (vec![own], 0));
}
