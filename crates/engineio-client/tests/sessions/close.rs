//! How sessions end, and which reason each side gets.

use std::time::Duration;

use tidewire_engineio_client::CloseReason;

use crate::scripted_server::{OPEN, ScriptedServer};
use crate::support::{Client, EchoServer, POLLING, WEBSOCKET, soon, until};

#[tokio::test]
async fn a_close_of_the_program_is_forced_here_and_a_transport_close_there() {
    let mut server = EchoServer::start().await;
    for transports in [&WEBSOCKET[..], &POLLING] {
        let mut client = Client::open(&server.connector().transports(transports)).await;
        client.session.close();
        assert_eq!(client.closed().await, (CloseReason::ForcedClose, String::new()));
        assert_eq!(server.close_reason().await, CloseReason::TransportClose, "{transports:?}");
        client.done().await;
    }
}

#[tokio::test]
async fn a_close_of_the_server_is_a_transport_close_here() {
    let mut server = EchoServer::start().await;
    for transports in [&WEBSOCKET[..], &POLLING] {
        let mut client = Client::open(&server.connector().transports(transports)).await;
        client.session.send_text("close");
        assert_eq!(client.closed().await, (CloseReason::TransportClose, String::new()));
        assert_eq!(server.close_reason().await, CloseReason::ForcedClose, "{transports:?}");
        client.session.send_text("too late");
        client.done().await;
    }
}

#[tokio::test]
async fn what_was_sent_before_a_close_arrives() {
    for polls in [true, false] {
        let scripted = ScriptedServer::start().await;
        let transports = if polls { POLLING } else { WEBSOCKET };
        let client = Client::start(&scripted.connector().transports(transports));
        for number in 0..3 {
            client.session.send_text(&number.to_string());
        }
        if polls {
            let mut get = scripted.open(OPEN).await;
            get.request().await;
            let (mut post, request) = scripted.request().await;
            client.session.close();
            client.session.send_text("refused");
            assert_eq!(request.body, "40\x1e41\x1e42");
            post.respond("ok").await;
            let last = post.request().await;
            assert_eq!((last.method.as_str(), last.body.as_str()), ("POST", "1"));
            post.respond("ok").await;
            get.closed().await;
        } else {
            let (mut websocket, _) = scripted.websocket().await;
            websocket.send(OPEN).await;
            websocket.expect("40").await;
            client.session.close();
            client.session.send_text("refused");
            websocket.expect("41").await;
            websocket.expect("42").await;
            assert_eq!(websocket.recv().await, None);
            drop(websocket);
        }
        client.done().await;
    }
}

#[tokio::test]
async fn a_session_that_is_not_open_yet_closes_at_once() {
    let scripted = ScriptedServer::start().await;
    for transports in [&WEBSOCKET[..], &POLLING] {
        let mut client = Client::start(&scripted.connector().transports(transports));
        let mut peer = scripted.accept().await;
        client.session.close();
        assert_eq!(client.closed().await, (CloseReason::ForcedClose, String::new()));
        peer.closed().await;
        client.done().await;
    }
}

#[tokio::test]
async fn a_server_that_takes_nothing_does_not_delay_a_close_for_ever() {
    let scripted = ScriptedServer::start().await;
    let connector = scripted.connector().transports(POLLING).close_timeout(Duration::from_millis(50));
    let mut client = Client::start(&connector);
    client.session.send_text("hello");
    let _get = scripted.open(OPEN).await;
    let (_post, request) = scripted.request().await;
    assert_eq!(request.body, "4hello");
    client.session.close();
    let (reason, error) = client.closed().await;
    assert_eq!(reason, CloseReason::ForcedClose);
    assert_eq!(error, "the queued messages were not sent within `close_timeout`");
    client.done().await;
}

#[tokio::test]
async fn a_dropped_driver_closes_its_connections_and_wakes_who_waits() {
    let server = EchoServer::start().await;
    for transports in [&WEBSOCKET[..], &POLLING] {
        let client = Client::open(&server.connector().transports(transports)).await;
        client.driver.abort();
        until(|| client.session.is_closed()).await;
        assert!(soon(std::future::poll_fn(|cx| client.session.poll_capacity(1, cx))).await.is_err());
    }
    until(|| server.server.session_count() == 0).await;
}

#[tokio::test]
async fn the_close_frame_of_a_server_is_in_the_error() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector().transports(WEBSOCKET));
    let (mut websocket, _) = scripted.websocket().await;
    websocket.send(OPEN).await;
    client.opened().await;
    websocket.peer.write(b"\x88\x06\x03\xf5busy").await;
    let (reason, error) = client.closed().await;
    assert_eq!(reason, CloseReason::TransportClose);
    assert_eq!(error, "websocket: the server closed the connection with code 1013: busy");
}
