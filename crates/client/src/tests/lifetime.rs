//! When the client ends, and that it leaves nothing behind.

use std::sync::Weak;

use super::*;
use crate::client::ClientShared;
use crate::{AckError, ConnectError, EmitError};

fn weak(socket: &Socket) -> Weak<ClientShared> {
    Arc::downgrade(socket.client().shared())
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_sends_what_is_queued_and_closes() {
    let (network, socket) = connected().await;
    let shared = weak(&socket);
    let clone = socket.clone();
    drop(socket);
    settle().await;
    assert_eq!(network.open_links(), 1, "one handle is left");
    clone.emit("last", ());
    drop(clone);
    settle().await;
    assert_eq!(network.take_received(), [r#"2["last"]"#, "1"]);
    assert_eq!(network.open_links(), 0);
    assert!(shared.upgrade().is_none(), "nothing is left of the client");
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_handle_keeps_the_client_open() {
    let (network, socket) = connected().await;
    network.state().acknowledges = false;
    let (client, events, asked) = (socket.client(), socket.events(), socket.emit_with_ack::<()>("x", ()));
    drop(socket);
    drop(events);
    drop(asked);
    settle().await;
    assert_eq!(network.open_links(), 1);
    let asked = client.socket("/").emit_with_ack::<()>("y", ());
    drop(client);
    settle().await;
    network.send("31[]");
    assert_eq!(within(asked).await, Ok(()));
    settle().await;
    assert_eq!(network.open_links(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handle_inside_a_running_handler_keeps_the_client_open() {
    let (network, socket) = connected().await;
    let log = Log::default();
    socket.on("work", {
        let log = log.clone();
        move |socket: Socket| {
            let log = log.clone();
            async move {
                tokio::time::sleep(secs(60)).await;
                socket.emit("result", ());
                log.say("done");
            }
        }
    });
    socket.start();
    network.send(r#"2["work"]"#);
    settle().await;
    drop(socket);
    assert_eq!(log.wait(1).await, ["done"]);
    settle().await;
    assert_eq!(network.take_received(), [r#"2["result"]"#, "1"]);
    assert_eq!(network.open_links(), 0);
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_the_disconnect_handler() {
    let (network, socket) = connected().await;
    let log = Log::default();
    socket.on_disconnect({
        let log = log.clone();
        move |reason: crate::DisconnectReason| {
            let log = log.clone();
            async move {
                tokio::time::sleep(secs(1)).await;
                log.say(reason);
            }
        }
    });
    socket.start();
    settle().await;
    network.state().acknowledges = false;
    let asked = socket.emit_with_ack::<()>("x", ());
    within(socket.client().close()).await;
    assert_eq!(log.lines(), ["io client disconnect"]);
    assert_eq!(within(asked).await, Err(AckError::Disconnected));
    assert_eq!(socket.try_emit("y", ()), Err(EmitError::Closed));
    assert!(matches!(within(socket.connected()).await, Err(ConnectError::Closed)));
    within(socket.client().close()).await;
    socket.connect();
    assert!(matches!(within(socket.connected()).await, Err(ConnectError::Closed)));
    let late = socket.client().socket("/late");
    assert!(matches!(within(late.connected()).await, Err(ConnectError::Closed)));
    assert_eq!(network.open_links(), 0);
    let shared = weak(&socket);
    drop((socket, late));
    assert!(shared.upgrade().is_none(), "nothing is left of the client");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_awaits_close_does_not_block_it_for_ever() {
    let (network, socket) = connected().await;
    socket.on("bye", async |client: Client| client.close().await);
    socket.start();
    network.send(r#"2["bye"]"#);
    settle().await;
    within(socket.client().close()).await;
    assert_eq!(network.take_received(), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_during_an_attempt_or_a_delay_ends_at_once() {
    use crate::engine::simulation::Attempt;
    for attempt in [Attempt::Hang, Attempt::Refuse] {
        let (network, builder) = client();
        network.state().attempts.push_back(attempt);
        let socket = builder.connect();
        socket.emit("lost", ());
        let shared = weak(&socket);
        settle().await;
        drop(socket);
        settle().await;
        assert!(shared.upgrade().is_none());
        assert_eq!((network.open_links(), network.state().attempt_times.len()), (0, 1));
    }
}

/// The driver would otherwise poll without end until the connection is closed, and the paused clock would stand still.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_before_its_handlers_start_ends() {
    let (network, builder) = client();
    let socket = builder.connect();
    let shared = weak(&socket);
    tokio::time::sleep(Duration::from_millis(20)).await;
    network.send(r#"2["x"]"#);
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(socket);
    settle().await;
    assert!(shared.upgrade().is_none());
    assert_eq!(network.open_links(), 0);
}

#[test]
fn a_runtime_that_shuts_down_ends_the_client() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_network, builder) = client();
    let socket = {
        let _guard = runtime.enter();
        builder.connect()
    };
    runtime.block_on(socket.connected()).unwrap();
    let asked = socket.timeout(secs(60)).volatile().emit_with_ack::<String>("x", "y");
    drop(runtime);
    assert_eq!(socket.try_emit("x", ()), Err(EmitError::Closed));
    drop(asked);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_emitted_just_before_a_disconnect_or_a_close_is_sent_first() {
    for closes in [false, true] {
        let (network, socket) = connected().await;
        socket.emit("last", ());
        if closes {
            within(socket.client().close()).await;
        } else {
            socket.disconnect();
            settle().await;
        }
        assert_eq!(network.take_received(), [r#"2["last"]"#, "1"]);
    }
}
