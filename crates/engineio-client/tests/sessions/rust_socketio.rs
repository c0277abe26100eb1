//! Defects of the engine of `rust_socketio` that its users have met. The other ones are in the tests of the Socket.IO client.

use tidewire_engineio_client::CloseReason;

use crate::scripted_server::{OPEN, ScriptedServer};
use crate::support::{Client, WEBSOCKET};

/// There, a client begins with a pong that nobody has requested.
#[tokio::test]
async fn no_pong_comes_before_the_first_ping() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector().transports(WEBSOCKET));
    let (mut websocket, _) = scripted.websocket().await;
    websocket.send(OPEN).await;
    client.opened().await;
    client.session.send_text("first");
    websocket.expect("4first").await;
}

/// There, the program panics with "EngineIO Error" if the server sends something else than expected.
#[tokio::test]
async fn a_packet_that_nobody_expects_is_an_error_and_not_a_panic() {
    for packet in ["9", "b!", "hello", "0{", OPEN] {
        let scripted = ScriptedServer::start().await;
        let mut client = Client::start(&scripted.connector().transports(WEBSOCKET));
        let (mut websocket, _) = scripted.websocket().await;
        websocket.send(OPEN).await;
        client.opened().await;
        websocket.send(packet).await;
        drop(websocket); // ends the session if the packet was ignored
        let (reason, _) = client.closed().await;
        assert!(
            matches!(reason, CloseReason::TransportError | CloseReason::TransportClose),
            "{packet}: {reason:?}"
        );
        client.done().await;
    }
}
