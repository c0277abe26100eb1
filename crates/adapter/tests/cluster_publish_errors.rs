//! Messages that the bus of a cluster refuses, loses or returns too late.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidewire_adapter::cluster::{LocalDelivery, Message, PublishError};
use tidewire_adapter::testing::{Probe, event, event_with_ack, id};
use tidewire_adapter::{
    Adapter, BroadcastOptions, ClaimError, LocalSocket, Missing, MissingReason, RecoveryOptions, Replies,
    Reply, Request,
};

use crate::support::{Cluster, Node};

const LOG_TIMEOUT: Duration = Duration::from_secs(5);

fn start(count: u8) -> Cluster {
    Cluster::start(count, LocalDelivery::InLogOrder, |_| {})
}

fn too_large() -> PublishError {
    PublishError::TooLarge { size: 9_000, max: 8_000 }
}

/// Makes the bus refuse the messages with these names.
fn refuse(cluster: &Cluster, names: &'static [&'static str]) {
    cluster.bus.refuse(|message| if names.contains(&message.name()) { Err(too_large()) } else { Ok(()) });
}

/// Takes the names of the messages that the server could not send, with the errors.
fn errors(node: &Node) -> Vec<String> {
    let errors = node.host.take_publish_errors();
    errors.iter().map(|(message, error)| format!("{}: {error}", message.name())).collect()
}

const TOO_LARGE: &str = "broadcast: the message has 9000 bytes, but the message bus accepts only 8000";
const NOT_RETURNED: &str = "broadcast: the message bus has not returned the event";

#[test]
fn an_event_that_the_bus_refuses_reaches_its_own_server_in_order_and_stops_nothing() {
    for refused_at_once in [true, false] {
        let cluster = start(2);
        if refused_at_once {
            cluster.bus.refuse(|message| match message {
                Message::Broadcast { event, .. } if event.json().contains("large") => Err(too_large()),
                _ => Ok(()),
            });
        }
        let [one, two] = &*cluster.nodes else { panic!("two") };
        for name in ["a", "large", "b"] {
            one.emit(name);
        }
        if !refused_at_once {
            assert!(cluster.bus.accept_one());
            assert!(cluster.bus.refuse_one(&too_large()));
        }
        assert_eq!(cluster.texts(), [[""; 0]; 2], "the first event is on its way");
        cluster.bus.settle();
        assert_eq!(
            cluster.texts(),
            [vec![r#"a","0001"#, "large", r#"b","0002"#], vec![r#"a","0001"#, r#"b","0002"#]]
        );
        assert_eq!((errors(one), errors(two)), (vec![TOO_LARGE.to_owned()], vec![]));
    }
}

#[test]
fn an_event_that_the_bus_loses_is_known_to_be_lost_when_a_later_one_returns() {
    let cluster = start(2);
    let [one, two] = &*cluster.nodes else { panic!("two") };
    one.emit("lost");
    one.emit("b");
    assert!(cluster.bus.lose_one());
    cluster.bus.settle();
    assert_eq!(cluster.texts(), [vec!["lost", r#"b","0001"#], vec![r#"b","0001"#]]);
    assert_eq!((errors(one), errors(two)), (vec![NOT_RETURNED.to_owned()], vec![]));
}

#[test]
fn an_event_that_does_not_return_holds_up_others_for_a_limited_time() {
    let cluster = start(1);
    let [node] = &*cluster.nodes else { panic!("one") };
    let only_room = BroadcastOptions::new().to("room");
    drop(node.adapter.add_all(node.probe.id(), &["room"]).expect("it may join"));
    node.adapter.broadcast(&event("lost"), &only_room);
    assert!(cluster.bus.lose_one());
    node.adapter.del(node.probe.id(), "room");
    cluster.bus.advance(LOG_TIMEOUT - Duration::from_millis(1));
    assert_eq!(node.probe.texts(), [""; 0]);
    cluster.bus.advance(Duration::from_millis(1));
    assert_eq!(node.probe.texts(), ["lost"], "it was in the room");
    assert_eq!(errors(node), [NOT_RETURNED]);
    node.adapter.broadcast(&event("not for it"), &only_room);
    node.emit("later");
    cluster.bus.settle();
    assert_eq!(node.probe.texts(), [r#"later","0002"#]);
    assert_eq!(node.adapter.poll_timeout().map(|due| due > cluster.bus.now()), Some(true), "nothing waits");
}

#[test]
fn events_of_a_bus_that_answers_slowly_do_not_wait_for_ever() {
    let cluster = start(1);
    let [node] = &*cluster.nodes else { panic!("one") };
    for round in 0..4 {
        node.emit("lost");
        assert!(cluster.bus.lose_one());
        // Each one is published when the one before has waited for half of its time.
        cluster.bus.advance(LOG_TIMEOUT / 2);
        let received = node.probe.texts().len();
        assert!(round < 3 || received > 0, "round {round}");
    }
    cluster.bus.advance(2 * LOG_TIMEOUT);
    assert_eq!(errors(node).len(), 4);
}

#[test]
fn what_waits_for_a_bus_that_hangs_is_bounded_in_number_and_in_bytes() {
    let start_with = |max_messages, max_bytes| {
        Cluster::start(1, LocalDelivery::InLogOrder, |options| {
            options.log_limits.max_messages = max_messages;
            options.log_limits.max_bytes = max_bytes;
        })
    };
    let cluster = start_with(3, usize::MAX);
    let [node] = &*cluster.nodes else { panic!("one") };
    node.emit("a");
    node.adapter.del(node.probe.id(), "room");
    node.emit("b");
    assert_eq!(node.probe.texts(), [""; 0], "they wait");
    node.emit("c");
    assert_eq!(node.probe.texts(), ["a", "b", "c"]);
    node.emit("d");
    for room in ["one", "two", "three"] {
        drop(node.adapter.add_all(node.probe.id(), &[room]).expect("it may join"));
    }
    assert_eq!(node.probe.texts(), ["d"], "what comes after events counts too");
    assert_eq!(errors(node), [NOT_RETURNED; 4]);
    cluster.bus.settle();
    assert_eq!(node.probe.texts(), [""; 0], "they return too late");
    node.emit("e");
    cluster.bus.settle();
    assert_eq!(node.probe.texts(), [r#"e","0005"#], "nothing waits");

    let cluster = start_with(usize::MAX, 4_000);
    let [node] = &*cluster.nodes else { panic!("one") };
    let long = "x".repeat(2_500);
    node.emit(&long);
    assert_eq!(node.probe.texts(), [""; 0]);
    node.emit(&long);
    assert_eq!(node.probe.texts(), [&*long; 2]);
    node.emit(&long);
    cluster.bus.settle();
    assert_eq!(node.probe.texts().len(), 1, "it returns, and fits again");
    assert_eq!(errors(node).len(), 2);
}

#[test]
fn an_event_that_returns_too_late_is_not_delivered_twice() {
    let cluster = start(2);
    let [one, two] = &*cluster.nodes else { panic!("two") };
    one.enable_recovery(RecoveryOptions::new([7; 8]));
    one.emit("late");
    let now = cluster.bus.now();
    one.adapter.handle_timeout(now);
    one.adapter.handle_timeout(now + LOG_TIMEOUT);
    assert_eq!(one.probe.texts().len(), 1);
    // This one was not connected, but the logs of the other servers will say that it was.
    let probe = connect(one, "pid");
    cluster.bus.settle();
    assert_eq!((one.probe.texts(), two.probe.texts().len()), (vec![], 1));
    one.emit("next");
    cluster.bus.settle();
    assert_eq!((one.probe.texts().len(), probe.texts().len()), (1, 1));
    one.recovery().suspend(&*probe, probe.generation(), cluster.bus.now());
    assert_eq!(claim(&cluster, 0, "pid"), Some(Err(ClaimError::Gap)));
}

#[test]
fn events_on_their_way_reach_their_own_server_when_the_link_is_lost() {
    let cluster = start(1);
    let [node] = &*cluster.nodes else { panic!("one") };
    drop(node.adapter.add_all(node.probe.id(), &["room"]).expect("it may join"));
    node.adapter.broadcast(&event("on its way"), &BroadcastOptions::new().to("room"));
    node.adapter.del(node.probe.id(), "room");
    node.server.cut();
    assert_eq!(node.probe.texts(), ["on its way"]);
    assert!(errors(node).is_empty(), "the namespace knows that the link is lost");
}

/// Connects a socket with a session.
fn connect(node: &Node, pid: &str) -> Arc<Probe> {
    let number = if pid == "pid" { 100 } else { 101 };
    let probe = Probe::new(id(number));
    node.recovery().begin(pid, Arc::clone(&probe) as Arc<dyn LocalSocket>);
    probe
}

/// Returns the result of a claim, if there is one as soon as all messages have arrived.
fn claim(cluster: &Cluster, node: usize, pid: &str) -> Option<Result<(), ClaimError>> {
    let claimed = Arc::new(Mutex::new(None));
    let result = Arc::clone(&claimed);
    let then = move |claimed: Result<_, _>| {
        *result.lock().expect("nothing panics") = Some(claimed.map(|_| ()));
    };
    let now = cluster.nodes[node].server.now();
    cluster.nodes[node].recovery().claim(pid, None, now, Box::new(then));
    cluster.bus.settle();
    *claimed.lock().expect("nothing panics")
}

#[test]
fn no_session_is_recovered_across_an_event_that_the_others_have_not_got() {
    for was_connected in [true, false] {
        let cluster = start(2);
        // After this, the servers know each other.
        cluster.bus.advance(Duration::from_secs(2));
        let [one, two] = &*cluster.nodes else { panic!("two") };
        cluster.nodes.iter().for_each(|node| node.enable_recovery(RecoveryOptions::new([7; 8])));
        one.emit("first");
        cluster.bus.settle();
        let probe = connect(one, "pid");
        let suspend = |probe: &Probe| one.recovery().suspend(probe, probe.generation(), one.server.now());
        if !was_connected {
            suspend(&probe);
        }
        refuse(&cluster, &["broadcast"]);
        one.emit("large");
        cluster.bus.refuse(|_| Ok(()));
        assert_eq!(probe.texts().len(), usize::from(was_connected));
        if was_connected {
            suspend(&probe);
        }
        for node in [1, 0] {
            let refused = claim(&cluster, node, "pid");
            assert!(
                matches!(refused, Some(Err(ClaimError::Gap | ClaimError::UnknownSession))),
                "{refused:?}"
            );
        }
        // What comes later has no gap.
        let later = connect(one, "later");
        two.emit("second");
        cluster.bus.settle();
        suspend(&later);
        assert_eq!(claim(&cluster, 1, "later"), Some(Ok(())));
    }
}

#[test]
fn a_volatile_event_that_is_lost_is_no_gap() {
    let cluster = start(1);
    let [node] = &*cluster.nodes else { panic!("one") };
    node.enable_recovery(RecoveryOptions::new([7; 8]));
    let probe = connect(node, "pid");
    node.recovery().suspend(&*probe, probe.generation(), node.server.now());
    refuse(&cluster, &["broadcast"]);
    let mut options = BroadcastOptions::new();
    options.policy = tidewire_adapter::DeliveryPolicy::Volatile;
    node.adapter.broadcast(&event("volatile"), &options);
    assert_eq!(errors(node), [TOO_LARGE]);
    assert_eq!(claim(&cluster, 0, "pid"), Some(Ok(())));
}

fn request(cluster: &Cluster) -> (Request, Arc<Mutex<Vec<Reply>>>) {
    let received = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&received);
    let replies = Replies::new(move |reply| to.lock().expect("nothing panics").push(reply));
    (Request { timeout: Duration::from_secs(60), now: cluster.bus.now(), replies }, received)
}

#[test]
fn nobody_waits_for_a_request_or_an_acknowledgement_that_the_bus_refuses() {
    let cluster = Cluster::start(2, LocalDelivery::AtOnce, |_| {});
    let [one, two] = &*cluster.nodes else { panic!("two") };
    let (all, only_two) = (BroadcastOptions::new(), BroadcastOptions::new().to(id(1)));
    refuse(&cluster, &["fetch_sockets", "server_side_emit", "broadcast"]);
    let limit = Missing::Server { node: Some(two.adapter.id().clone()), reason: MissingReason::Limit };
    let (fetch, fetched) = request(&cluster);
    let (emit, emitted) = request(&cluster);
    let (acks, acknowledged) = request(&cluster);
    one.adapter.fetch_sockets(&all, fetch);
    one.adapter.server_side_emit(&event("load"), Some(emit));
    one.adapter.broadcast_with_ack(&event_with_ack("x", 0), 0, &only_two, acks);
    for received in [fetched, emitted, acknowledged] {
        assert_eq!(*received.lock().expect("nothing panics"), [Reply::Missing(limit.clone())]);
    }
    assert_eq!(errors(one).len(), 3);

    refuse(&cluster, &["broadcast_ack"]);
    let (acks, acknowledged) = request(&cluster);
    one.adapter.broadcast_with_ack(&event_with_ack("x", 0), 0, &only_two, acks);
    cluster.bus.settle();
    two.probe.acknowledge("[1]");
    cluster.bus.settle();
    let missing = Missing::Client { id: id(1).as_str().into(), reason: MissingReason::Limit };
    assert_eq!(*acknowledged.lock().expect("nothing panics"), [Reply::Missing(missing)]);
    assert_eq!(errors(two).len(), 1);
}

#[test]
fn a_session_that_is_too_large_for_the_bus_is_refused_at_once_and_stays() {
    let cluster = start(2);
    cluster.bus.advance(Duration::from_secs(2));
    let [one, two] = &*cluster.nodes else { panic!("two") };
    cluster.nodes.iter().for_each(|node| node.enable_recovery(RecoveryOptions::new([7; 8])));
    one.emit("first");
    cluster.bus.settle();
    let probe = connect(one, "pid");
    one.recovery().suspend(&*probe, probe.generation(), one.server.now());
    cluster.bus.refuse(|message| match message {
        Message::ClaimSessionResponse { reply, .. } if format!("{reply:?}").starts_with("Found") => {
            Err(too_large())
        }
        _ => Ok(()),
    });
    assert_eq!(claim(&cluster, 1, "pid"), Some(Err(ClaimError::ServerUnavailable)));
    assert_eq!(errors(one).len(), 1);
    assert_eq!(two.recovery().kept().sessions, 0);
    assert_eq!(claim(&cluster, 0, "pid"), Some(Ok(())), "it is still here");
}
