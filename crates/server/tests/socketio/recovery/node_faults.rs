//! What Node's connection state recovery does wrong. Each test is named after the fault.

use serde_json::{Value, json};
use tidewire_server::{Auth, ConnectError, Socket};

use super::client::{Recovering, recoverable};
use crate::support::{Gate, soon};
use tidewire_server::State;

#[tokio::test]
async fn no_event_is_lost_while_an_async_middleware_runs_on_recovery() {
    let (io, mut program, address) = recoverable(|recovery| recovery.skip_middlewares = false).await;
    io.middleware(async |State(gate): State<Gate>| gate.pass().await);
    program.gate.open();
    let client = Recovering::new(address).await;
    let socket = program.joined().await;
    io.emit("missed", 1);
    let emits = async {
        socket.disconnected().await;
        for number in 2..=60 {
            io.emit("missed", number);
            tokio::task::yield_now().await;
        }
        program.gate.open();
    };
    let ((client, missed), ()) = soon(async { tokio::join!(client.back(address), emits) }).await;
    assert!(client.recovered && program.joined().await.recovered());
    assert_eq!(missed, (1..=60).map(|number| format!("missed {number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_that_a_middleware_refuses_receives_nothing_that_it_has_missed() {
    let (io, mut program, address) = recoverable(|recovery| recovery.skip_middlewares = false).await;
    io.middleware(
        async |Auth(auth): Auth<Value>| {
            if auth["banned"] == true { Err(ConnectError::new("banned")) } else { Ok(()) }
        },
    );
    let client = Recovering::new(address).await;
    let socket = program.joined().await;
    let mut refused = crate::support::Client::open(address).await;
    refused.send(&format!("40{}", json!({ "pid": client.pid, "banned": true }))).await;
    soon(socket.disconnected()).await;
    socket.emit("secret", ());
    refused.expect(r#"44{"message":"banned"}"#).await;
    // The session is still there for a client that the middleware accepts.
    let (client, missed) = client.back(address).await;
    assert!(client.recovered);
    assert_eq!(missed, ["secret"]);
}

#[tokio::test]
async fn an_event_from_before_a_socket_joined_the_room_is_not_delivered() {
    let (io, mut program, address) = recoverable(|_| {}).await;
    let mut client = Recovering::new(address).await;
    let socket = program.joined().await;
    io.emit("first", ());
    io.to("room").emit("before", ());
    socket.join("room");
    io.to("room").emit("after", ());
    client.expect(["first"]).await;
    let (_, missed) = client.cut_and_back(address).await;
    assert_eq!(missed, ["after"]);
}

#[tokio::test]
async fn an_event_from_before_a_socket_left_the_room_is_delivered() {
    let (io, mut program, address) = recoverable(|_| {}).await;
    let mut client = Recovering::new(address).await;
    let socket = program.joined().await;
    socket.join("room");
    io.emit("first", ());
    io.to("room").emit("before", ());
    socket.leave("room");
    io.to("room").emit("after", ());
    client.expect(["first"]).await;
    let (client, missed) = client.cut_and_back(address).await;
    assert!(client.recovered);
    assert_eq!(missed, ["before"]);
}

#[tokio::test]
async fn the_text_of_a_volatile_event_is_not_taken_for_the_offset() {
    let (io, mut program, address) = recoverable(|_| {}).await;
    let mut client = Recovering::new(address).await;
    let socket = program.joined().await;
    io.emit("logged", 1);
    client.expect(["logged 1"]).await;
    let offset = client.offset.clone();
    for emit in [
        &(|| io.volatile().emit("text", "a text")) as &dyn Fn(),
        &|| socket.volatile().emit("text", "a text"),
        &|| io.local().emit("text", "a text"),
    ] {
        emit();
        client.expect(["text a text"]).await;
        assert_eq!(client.offset, offset);
    }
    // Only text needs an offset behind it.
    socket.volatile().emit("number", 1);
    assert_eq!(client.packet().await.unwrap(), r#"42["number",1]"#);
    socket.keep_latest("key").emit("state", "text");
    assert_eq!(client.packet().await.unwrap(), r#"42["state","text",null]"#);
    io.emit("missed", 2);
    let (client, missed) = client.cut_and_back(address).await;
    assert!(client.recovered);
    assert_eq!(missed, ["missed 2"]);
}

#[tokio::test]
async fn a_client_that_is_back_before_the_server_has_noticed_the_cut_recovers() {
    let (io, mut program, address) = recoverable(|_| {}).await;
    let mut client = Recovering::new(address).await;
    let former = program.joined().await;
    former.join("room");
    io.emit("received", ());
    client.expect(["received"]).await;
    io.to("room").emit("missed", 1);
    // Its connection is open: for the server, it is connected.
    assert!(former.is_connected());
    let (mut back, missed) = client.back(address).await;
    let socket = program.joined().await;
    assert!(back.recovered && socket.recovered());
    assert_eq!((missed, &back.id), (vec!["missed 1".to_owned()], &client.id));
    assert_eq!(soon(former.disconnected()).await.as_str(), "transport close");
    // The old connection ends, and only the new one gets events.
    while client.packet().await.is_some() {}
    io.to("room").emit("after", ());
    back.expect(["after"]).await;
    assert_eq!(io.sockets().len(), 1);
}

#[tokio::test]
async fn a_stale_offset_after_a_failed_recovery_replays_nothing_older_than_the_session() {
    let (io, mut program, address) = recoverable(|_| {}).await;
    let mut client = Recovering::new(address).await;
    let socket = program.joined().await;
    io.emit("first", ());
    client.expect(["first"]).await;
    // The program ends the session, so it cannot be recovered.
    socket.disconnect();
    assert_eq!(client.packet().await.unwrap(), "41");
    io.emit("older", ());
    let (client, missed) = client.back(address).await;
    let _ = program.joined().await;
    assert_eq!((client.recovered, missed.len()), (false, 0));
    // The official client keeps the offset of the former session.
    assert!(client.offset.is_some());
    io.emit("newer", ());
    let (client, missed) = client.cut_and_back(address).await;
    assert!(client.recovered);
    assert_eq!(missed, ["newer"]);
}

#[tokio::test]
async fn recovery_works_before_the_first_event() {
    let (io, mut program, address) = recoverable(|_| {}).await;
    io.emit("older", ());
    let client = Recovering::new(address).await;
    let socket = program.joined().await;
    assert_eq!((client.offset.as_deref(), socket.recovered()), (None, false));
    io.emit("missed", ());
    let (client, missed) = client.cut_and_back(address).await;
    assert!(client.recovered && program.joined().await.recovered());
    assert_eq!(missed, ["missed"]);
    // And with nothing missed.
    let (client, missed) = client.cut_and_back(address).await;
    assert_eq!((client.recovered, missed.len()), (true, 0));
}

#[tokio::test]
async fn an_event_that_a_middleware_sends_does_not_depend_on_recovery() {
    // Node loses it with recovery; without recovery, the client gets it. Here it is dropped in both cases, and says so.
    let (io, _program, address) = recoverable(|_| {}).await;
    io.middleware(async |socket: Socket| assert!(socket.try_emit("early", ()).is_err()));
    let mut client = Recovering::new(address).await;
    io.emit("first", ());
    client.expect(["first"]).await;
}
