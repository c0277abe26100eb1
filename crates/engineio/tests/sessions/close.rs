//! However a session ends, nothing of it stays in memory.

use std::time::Duration;

use http_body_util::BodyExt;
use tidewire_engineio::{CloseReason, Options};

use crate::support::{Seen, Server, soon};

#[tokio::test]
async fn a_closed_engine_ends_every_session_on_every_transport() {
    let mut server = Server::start(Options::default()).await;
    let (polling, mut waiting) = server.open_polling().await;
    let poll = polling.get().await;
    waiting.poll_waits().await;
    let (websocket, mut other) = server.open_websocket().await;
    assert_eq!(server.engine.session_count(), 2);
    server.engine.close();
    poll.response().await.expect(200, "1");
    websocket.expect_close(None).await;
    waiting.expect_end(CloseReason::ServerShuttingDown).await;
    other.expect_end(CloseReason::ServerShuttingDown).await;
    soon(server.engine.closed(Duration::from_secs(30))).await;
    assert_eq!(server.engine.session_count(), 0);
}

#[tokio::test]
async fn a_closed_engine_does_not_wait_for_a_client_between_two_polls() {
    let mut server = Server::start(Options::default()).await;
    let (_client, mut opened) = server.open_polling().await;
    server.engine.close();
    opened.expect_end(CloseReason::ServerShuttingDown).await;
    // Far less than the 30 s for which a session that the application closed would be kept.
    soon(server.engine.closed(Duration::from_secs(30))).await;
    assert_eq!(server.engine.session_count(), 0);
}

#[tokio::test]
async fn a_closed_session_whose_client_never_polls_again_is_forgotten_in_time() {
    let options = Options { close_timeout: Duration::from_millis(50), ..Options::default() };
    let mut server = Server::start(options).await;
    let (client, mut opened) = server.open_polling().await;
    opened.session.close();
    opened.expect_end(CloseReason::ForcedClose).await;
    server.expect_no_sessions().await;
    client.expect_unknown().await;
}

#[tokio::test]
async fn a_closed_session_waits_thirty_seconds_for_its_last_poll() {
    for (seconds, status, body) in
        [(29, 200, "6\x1e1"), (31, 400, r#"{"code":1,"message":"Session ID unknown"}"#)]
    {
        let mut server = Server::start(Options::default()).await;
        let (client, mut opened) = server.open_polling().await;
        // From here on, nothing needs a socket.
        tokio::time::pause();
        opened.session.close();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let response = server.engine.handle(client.poll_request()).await;
        assert_eq!(response.status(), status);
        let collected = response.into_body().collect().await.expect("the body is in memory").to_bytes();
        assert_eq!(collected, body, "after {seconds} s");
        opened.expect_end(CloseReason::ForcedClose).await;
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_handler_that_panics_takes_only_its_own_session_with_it() {
    let mut server = Server::start(Options::default()).await;
    let (polling, mut first) = server.open_polling().await;
    let (mut websocket, mut second) = server.open_websocket().await;
    let (_other, mut third) = server.open_polling().await;
    // The response to the client is not specified, but it must come.
    polling.post("4panic").await;
    websocket.send("4panic").await;
    while websocket.recv().await.is_some() {}
    assert_eq!((first.next().await, second.next().await), (None, None));
    assert!(first.session.is_closed() && second.session.is_closed());
    assert_eq!(server.engine.session_count(), 1);
    third.expect_silence();
    polling.expect_unknown().await;
}

#[tokio::test]
async fn a_session_that_could_not_be_opened_is_forgotten() {
    let server = Server::start(Options::default()).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (transport, headers) in [("polling", ""), ("websocket", upgrade)] {
        let request = format!(
            "GET /engine.io/?EIO=4&transport={transport} HTTP/1.1\r\nHost: h\r\npanic: yes\r\n{headers}\r\n"
        );
        server.send(request.as_bytes()).await.expect_end().await;
        server.expect_no_sessions().await;
    }
    let closed = server.engine.closed(Duration::from_secs(3_600));
    tokio::time::timeout(Duration::from_secs(10), closed).await.expect("no task is left");
}

#[tokio::test]
async fn a_session_that_is_over_takes_a_notice_and_does_not_spin_while_its_handler_finishes() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_websocket().await;
    opened.keep_pending();
    drop(client);
    opened.expect([Seen::Closed(CloseReason::TransportClose)]).await;
    server.expect_no_sessions().await;
    let before = opened.polls();
    opened.session.wake();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let polls = opened.polls() - before;
    assert!(polls < 100, "{polls} polls for one notification");
}

#[tokio::test]
async fn what_is_sent_to_a_session_that_is_over_is_dropped() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_websocket().await;
    drop(client);
    opened.expect([Seen::Closed(CloseReason::TransportClose)]).await;
    opened.session.send_text("to nobody");
    assert_eq!(opened.session.buffered(), 0);
    opened.session.close();
    assert_eq!(opened.next().await, None);
}
