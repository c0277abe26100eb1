//! Pings and pongs, and servers that fall silent.

use tidewire_engineio_client::{CloseReason, Time};

use crate::scripted_server::{OPEN, ScriptedServer};
use crate::support::{Client, POLLING, WEBSOCKET};

const FAST: &str = r#"0{"sid":"abc","upgrades":[],"pingInterval":30,"pingTimeout":30}"#;

#[tokio::test]
async fn a_ping_gets_one_pong_on_each_transport() {
    let scripted = ScriptedServer::start().await;
    let _client = Client::start(&scripted.connector().transports(WEBSOCKET));
    let (mut websocket, _) = scripted.websocket().await;
    websocket.send(OPEN).await;
    for _ in 0..3 {
        websocket.send("2").await;
        websocket.expect("3").await;
    }

    let client = Client::start(&scripted.connector().transports(POLLING));
    let mut get = scripted.open(OPEN).await;
    get.request().await;
    get.respond("2").await;
    let (mut post, request) = scripted.request().await;
    assert_eq!(request.body, "3");
    client.session.send_text("waits for the POST");
    get.request().await;
    get.respond("2").await;
    get.request().await;
    post.respond("ok").await;
    assert_eq!(post.request().await.body, "3\x1e4waits for the POST");
}

#[tokio::test]
async fn a_server_that_sends_no_ping_is_gone() {
    for transports in [WEBSOCKET, POLLING] {
        let scripted = ScriptedServer::start().await;
        let mut client = Client::start(&scripted.connector().transports(transports));
        if transports == POLLING {
            let mut get = scripted.open(FAST).await;
            get.request().await;
            assert_eq!(client.closed().await, (CloseReason::PingTimeout, String::new()));
            // The server may still be there.
            let (mut post, request) = scripted.request().await;
            assert_eq!(request.body, "1");
            post.respond("ok").await;
        } else {
            let (mut websocket, _) = scripted.websocket().await;
            websocket.send(FAST).await;
            assert_eq!(client.closed().await, (CloseReason::PingTimeout, String::new()));
            assert_eq!(websocket.recv().await, None);
        }
    }
}

#[tokio::test]
async fn messages_do_not_replace_pings() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector().transports(WEBSOCKET));
    let (mut websocket, _) = scripted.websocket().await;
    websocket.send(FAST).await;
    client.opened().await;
    let sending = tokio::spawn(async move {
        while websocket.peer.try_write(b"\x81\x024x").await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    assert_eq!(client.closed().await.0, CloseReason::PingTimeout);
    drop(client);
    sending.abort();
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_miss_pings() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector().transports(WEBSOCKET));
    let (mut websocket, _) = scripted.websocket().await;
    websocket.send(FAST).await;
    client.opened().await;
    client.want_input(false);
    websocket.send("4kept").await;
    // A client that reads and started later is the clock.
    let mut reading = Client::start(&scripted.connector().transports(WEBSOCKET));
    let (mut other, _) = scripted.websocket().await;
    other.send(FAST).await;
    assert_eq!(reading.closed().await.0, CloseReason::PingTimeout);
    assert!(client.try_next().is_none(), "the handler wants nothing");
    client.want_input(true);
    assert_eq!(client.text().await, "kept");
    assert_eq!(client.closed().await.0, CloseReason::PingTimeout);
}

#[tokio::test]
async fn an_overdue_ping_is_visible_before_the_driver_notices() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector().transports(WEBSOCKET));
    let far = Time::from_micros(u64::MAX - 1);
    assert!(!client.session.is_ping_overdue(far), "no ping is expected before the open packet");
    let (mut websocket, _) = scripted.websocket().await;
    websocket.send(OPEN).await;
    client.opened().await;
    assert!(!client.session.is_ping_overdue(Time::ZERO));
    assert!(client.session.is_ping_overdue(far));
    websocket.send("4x").await;
    client.text().await;
    drop(websocket);
    client.closed().await;
    assert!(!client.session.is_ping_overdue(far), "the session is over");
}
