//! Recovery in a cluster whose message bus assigns the offsets. The test moves the messages.
//!
//! The names of the first tests are the faults of Node's adapters.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adapter::cluster::LocalDelivery;
use tidewire_server::{
    Builder, ClaimError, ConnectionStateRecovery, Limits, Observation, RecoveryRefusal, Socket,
};

use super::client::{Recovering, answer_sync};
use crate::cluster::Cluster;
use crate::support::{Client, soon, until};

async fn start() -> Cluster {
    start_with(|builder| builder).await
}

pub(super) async fn start_with(configure: impl Fn(Builder) -> Builder) -> Cluster {
    let cluster = Cluster::start_with(LocalDelivery::InLogOrder, |builder| {
        configure(builder)
            .connection_state_recovery(ConnectionStateRecovery::default())
            .ping_interval(Duration::from_secs(300))
    })
    .await;
    cluster.servers.iter().for_each(answer_sync);
    cluster
}

impl Cluster {
    async fn recovering(&mut self, server: usize) -> (Recovering, Socket) {
        (Recovering::new(self.addresses[server]).await, self.programs[server].joined().await)
    }
}

#[tokio::test]
async fn an_emit_before_a_leave_or_a_disconnect_reaches_the_socket() {
    let mut cluster = start().await;
    let io = cluster.servers[0].clone();
    let (mut left, to_left) = cluster.recovering(0).await;
    let (mut removed, to_removed) = cluster.recovering(0).await;
    let (mut closed, to_closed) = cluster.recovering(0).await;
    for socket in [&to_left, &to_removed, &to_closed] {
        socket.join("room");
    }
    io.to("room").emit("before", ());
    to_left.leave("room");
    to_removed.disconnect();
    to_closed.close_connection();
    io.to("room").emit("after", ());
    assert!(!to_removed.is_connected() && !to_closed.is_connected());
    cluster.bus.settle();
    left.expect(["before"]).await;
    io.emit("last", ());
    cluster.bus.settle();
    left.expect(["last"]).await;
    for client in [&mut removed, &mut closed] {
        client.expect(["before"]).await;
        assert_eq!(client.packet().await.as_deref(), Some("41"));
    }
    assert_eq!(closed.packet().await, None, "its connection is closed");
    assert_eq!(io.sockets().len(), 1);
}

#[tokio::test]
async fn an_emit_before_a_leave_is_recovered_by_a_client_that_has_missed_it() {
    let mut cluster = start().await;
    let io = cluster.servers[0].clone();
    let (client, socket) = cluster.recovering(0).await;
    socket.join("room");
    io.to("room").emit("before", ());
    socket.leave("room");
    io.to("room").emit("after", ());
    socket.emit("private", ());
    let address = cluster.addresses[0];
    let client = client.cut(address).await;
    soon(socket.disconnected()).await;
    cluster.bus.settle();
    until(|| io.sockets().is_empty()).await;
    let (client, missed) = client.back(address).await;
    assert!(client.recovered);
    assert_eq!(missed, ["before", "private"]);
}

#[tokio::test]
async fn no_event_arrives_below_an_offset_that_was_seen() {
    let mut cluster = start().await;
    let (mut a, _to_a) = cluster.recovering(0).await;
    let (mut b, _to_b) = cluster.recovering(1).await;
    for number in 0..40 {
        cluster.servers[number % 2].emit("number", number);
        if number % 3 == 0 {
            // The bus accepts one event, and the servers get what it has accepted at different times.
            let _ = cluster.bus.accept_one();
            let _ = cluster.attached[number % 2].deliver_one();
        }
    }
    cluster.bus.settle();
    let (mut from_a, mut from_b) = (vec![], vec![]);
    let mut last = (None, None);
    for _ in 0..40 {
        from_a.push(a.next().await);
        assert!(a.offset > last.0, "the offsets of the loopback are sorted");
        last.0 = a.offset.clone();
        from_b.push(b.next().await);
        assert!(b.offset > last.1);
        last.1 = b.offset.clone();
    }
    assert_eq!(from_a, from_b);
}

#[tokio::test]
async fn every_client_gets_an_offset_and_nothing_else_behind_the_arguments() {
    let mut cluster = start().await;
    let (mut a, _to_a) = cluster.recovering(0).await;
    let (mut b, _to_b) = cluster.recovering(1).await;
    cluster.servers[0].emit("event", 1);
    cluster.servers[0].local().emit("local", 2);
    cluster.servers[1].volatile().emit("volatile", 3);
    cluster.bus.settle();
    let offset = r#""0001""#;
    for expected in
        [format!(r#"42["event",1,{offset}]"#), r#"42["local",2]"#.into(), r#"42["volatile",3]"#.into()]
    {
        assert_eq!(a.packet().await, Some(expected));
    }
    for expected in [format!(r#"42["event",1,{offset}]"#), r#"42["volatile",3]"#.into()] {
        assert_eq!(b.packet().await, Some(expected));
    }
}

#[tokio::test]
async fn an_emit_right_after_a_join_reaches_the_socket() {
    let mut cluster = start().await;
    for number in 0..50 {
        let (mut client, socket) = cluster.recovering(number % 2).await;
        socket.join("room");
        socket.namespace().to("room").emit("welcome", number);
        cluster.bus.settle();
        client.expect([format!("welcome {number}")]).await;
        socket.disconnect();
    }
}

#[tokio::test]
async fn an_event_that_requests_an_acknowledgement_does_not_overtake_earlier_ones() {
    let mut cluster = start().await;
    let (mut client, socket) = cluster.recovering(0).await;
    socket.emit("first", ());
    let answers = ["second", "third"].map(|name| socket.emit_with_ack::<u8>(name, ()));
    socket.emit("fourth", ());
    cluster.bus.settle();
    client.expect(["first"]).await;
    for (id, name) in ["second", "third"].into_iter().enumerate() {
        assert_eq!(client.packet().await, Some(format!(r#"42{id}["{name}"]"#)));
        client.send(&format!("43{id}[{id}]")).await;
    }
    client.expect(["fourth"]).await;
    for (id, answer) in (0..).zip(answers) {
        assert_eq!(soon(answer).await, Ok(id));
    }
}

#[tokio::test]
async fn a_socket_that_leaves_a_room_and_joins_it_again_is_in_it() {
    let mut cluster = start().await;
    let io = cluster.servers[0].clone();
    let (mut client, socket) = cluster.recovering(0).await;
    socket.join(["a", "b"]);
    // This event is on its way, so what leaves a room waits for it.
    io.emit("before", ());
    socket.leave("a");
    socket.join("a");
    io.to(socket.id()).sockets_leave("b");
    io.to(socket.id()).sockets_join("b");
    socket.join("c");
    socket.leave("c");
    cluster.bus.settle();
    let mut rooms: Vec<_> = socket.rooms().iter().skip(1).map(ToString::to_string).collect();
    rooms.sort();
    assert_eq!(rooms, ["a", "b"]);
    for room in ["a", "b", "c"] {
        io.to(room).emit(room, ());
    }
    io.emit("last", ());
    cluster.bus.settle();
    client.expect(["before", "a", "b", "last"]).await;
}

#[tokio::test]
async fn offsets_that_come_late_are_recovered() {
    let mut cluster = start().await;
    let [one, two] = [0, 1].map(|server| cluster.servers[server].clone());
    let (mut client, socket) = cluster.recovering(0).await;
    one.emit("received", ());
    cluster.bus.settle();
    client.expect(["received"]).await;
    assert_eq!(client.offset.as_deref(), Some("0001"));
    two.emit("from two", ());
    socket.emit("from one", ());
    // The bus has accepted nothing yet, and the client comes back.
    let address = cluster.addresses[0];
    let (back, missed) = cluster.moved(client.back(address)).await;
    assert!(back.recovered);
    assert_eq!(missed, ["from two", "from one"]);
}

#[tokio::test]
async fn a_client_recovers_on_another_server_and_back() {
    let mut cluster = start().await;
    let [one, two] = [0, 1].map(|server| cluster.servers[server].clone());
    let addresses = cluster.addresses.clone();
    two.emit("before", ());
    cluster.bus.settle();
    let (mut client, socket) = cluster.recovering(0).await;
    socket.join(["a", "b"]);
    socket.set_data("ann").unwrap();
    one.to("a").emit("received", ());
    cluster.bus.settle();
    client.expect(["received"]).await;
    two.to("b").emit("before it left", ());
    cluster.bus.settle();
    socket.leave("b");
    two.to("b").emit("for others", ());
    one.to("a").emit("missed", 1);
    two.to(socket.id()).emit("missed", 2);
    cluster.bus.settle();
    // The first server has not noticed that the connection is of no use any more.
    let (mut client, missed) = cluster.moved(client.back(addresses[1])).await;
    assert!(client.recovered);
    assert_eq!(missed, ["before it left", "missed 1", "missed 2"]);
    let moved = cluster.programs[1].joined().await;
    assert_eq!((moved.id(), moved.data::<String>().unwrap()), (socket.id(), "ann".to_owned()));
    let rooms: Vec<_> = moved.rooms().iter().map(ToString::to_string).collect();
    assert_eq!(rooms, [socket.id().as_str(), "a"]);
    assert_eq!(soon(socket.disconnected()).await.as_str(), "transport close");
    one.to("a").emit("live", ());
    cluster.bus.settle();
    client.expect(["live"]).await;
    moved.join("c");
    one.to("c").emit("missed", 3);
    let client = client.cut(addresses[0]).await;
    soon(moved.disconnected()).await;
    two.to("a").emit("missed", 4);
    cluster.bus.settle();
    let (client, missed) = cluster.moved(client.back(addresses[0])).await;
    assert!(client.recovered);
    assert_eq!(missed, ["missed 3", "missed 4"]);
    assert_eq!(one.kept_for_recovery().sessions + two.kept_for_recovery().sessions, 0);
}

#[tokio::test]
async fn a_session_of_a_server_that_does_not_answer_is_not_recovered() {
    let mut cluster = start().await;
    let (mut client, _socket) = cluster.recovering(0).await;
    cluster.servers[0].emit("received", ());
    cluster.bus.settle();
    client.expect(["received"]).await;
    let address = cluster.addresses[1];
    // The message that asks for the session is lost.
    cluster.attached[0].cut();
    let back = client.back(address);
    let passing = async {
        loop {
            cluster.bus.settle();
            cluster.bus.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
    };
    let (back, missed) = tokio::select! {
        back = soon(back) => back,
        () = passing => unreachable!("it does not end"),
    };
    assert_eq!((back.recovered, missed.len()), (false, 0));
}

#[tokio::test]
async fn one_connection_may_ask_for_some_sessions_at_a_time() {
    let refusals = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refusals);
    let cluster = Cluster::start_with(LocalDelivery::InLogOrder, |builder| {
        let counted = Arc::clone(&counted);
        builder
            .connection_state_recovery(ConnectionStateRecovery::default())
            .limits(Limits { max_pending_claims: 2, ..Limits::default() })
            .observer(move |observation: &Observation<'_>| {
                if let Observation::RecoveryRefused { reason, .. } = observation {
                    assert_eq!(*reason, RecoveryRefusal::Session(ClaimError::TooManyClaims));
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            })
    })
    .await;
    let mut client = Client::open(cluster.addresses[0]).await;
    for name in ["/a", "/b", "/c"] {
        cluster.servers.iter().for_each(|io| drop(io.of(name)));
        client.send(&format!(r#"40{name},{{"pid":"unknown"}}"#)).await;
    }
    // The first two wait for the bus, which does not move.
    let response = client.recv().await.expect("a response");
    assert!(response.starts_with("40/c,"), "{response}");
    assert_eq!(refusals.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn nothing_is_recovered_across_a_lost_link() {
    let mut cluster = start().await;
    let [one, two] = [0, 1].map(|server| cluster.servers[server].clone());
    let (mut client, _socket) = cluster.recovering(0).await;
    one.emit("received", ());
    cluster.bus.settle();
    client.expect(["received"]).await;
    let address = cluster.addresses[0];
    cluster.attached[0].cut();
    two.emit("lost", ());
    cluster.bus.settle();
    let (back, missed) = client.back(address).await;
    assert_eq!((back.recovered, missed.len()), (false, 0), "while the link is lost");
    cluster.attached[0].restore();
    cluster.bus.settle();
    let (mut back, missed) = back.back(address).await;
    assert_eq!(
        (back.recovered, missed.len()),
        (false, 0),
        "it may have missed the event of the other server"
    );
    // From here on, the log has no gap.
    two.emit("after", ());
    cluster.bus.settle();
    back.expect(["after"]).await;
    two.emit("missed", ());
    cluster.bus.settle();
    let (back, missed) = back.cut_and_back(address).await;
    assert!(back.recovered);
    assert_eq!(missed, ["missed"]);
}

#[tokio::test]
async fn a_cluster_whose_servers_see_events_in_different_orders_has_no_recovery() {
    let cluster = Cluster::start_with(LocalDelivery::AtOnce, |builder| {
        builder.connection_state_recovery(ConnectionStateRecovery::default())
    })
    .await;
    let mut client = Client::open(cluster.addresses[0]).await;
    client.send("40").await;
    let response = client.recv().await.expect("a response");
    assert!(!response.contains("pid"), "{response}");
}
