//! The end of a server: it closes its sessions in batches, refuses new ones, and ends what is left at the deadline.

use std::time::Duration;

use net::{HttpLimits, Listener};
use tidewire_engineio::{ClosePace, CloseReason, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::support::{
    Opened, Seen, Server, WebSocket, frames, soon, until, websocket_request, with_small_buffers,
};

const LONG: Duration = Duration::from_secs(3_600);
const AT_ONCE: ClosePace = ClosePace { batch_size: 1, pause: Duration::ZERO };

/// Starts a server with this many polling sessions.
async fn server_with(sessions: usize) -> (Server, Vec<Opened>) {
    let mut server = Server::start(Options::default()).await;
    let mut opened = Vec::new();
    for _ in 0..sessions {
        opened.push(server.open_polling().await.1);
    }
    (server, opened)
}

fn count_closed(sessions: &[Opened]) -> usize {
    sessions.iter().filter(|opened| opened.session.is_closed()).count()
}

#[tokio::test]
async fn sessions_are_closed_in_batches_with_pauses() {
    let (server, sessions) = server_with(25).await;
    // From here on, nothing needs a socket.
    tokio::time::pause();
    let pace = ClosePace { batch_size: 10, pause: Duration::from_secs(10) };
    let closing = tokio::spawn({
        let engine = server.engine.clone();
        async move { engine.close_with(pace, LONG).await }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    for closed in [10, 20, 25] {
        assert_eq!(count_closed(&sessions), closed);
        assert_eq!(closing.is_finished(), closed == 25);
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    closing.await.expect("no panic");
}

#[tokio::test]
async fn the_batches_are_larger_if_the_time_is_short() {
    let (server, sessions) = server_with(25).await;
    tokio::time::pause();
    let pace = ClosePace { batch_size: 1, pause: Duration::from_secs(10) };
    let begun = tokio::time::Instant::now();
    // Five batches, of five sessions each, fit into half of this.
    server.engine.close_with(pace, Duration::from_secs(80)).await;
    assert_eq!(count_closed(&sessions), 25);
    assert_eq!(begun.elapsed().as_secs(), 40);
}

#[tokio::test]
async fn every_transport_is_told_and_an_upgrade_in_progress_ends_with_its_session() {
    let mut server = Server::start(Options::default()).await;
    let (polling, mut waiting) = server.open_polling().await;
    let poll = polling.get().await;
    waiting.poll_waits().await;
    let (websocket, mut other) = server.open_websocket().await;
    let (upgrading, mut third) = server.open_polling().await;
    let mut candidate = upgrading.candidate(&frames(["2probe"])).await;
    candidate.expect("3probe").await;
    let closing = tokio::spawn({
        let engine = server.engine.clone();
        async move { engine.close_with(ClosePace::default(), LONG).await }
    });
    poll.response().await.expect(200, "1");
    websocket.expect_close(None).await;
    candidate.expect_close(None).await;
    for opened in [&mut waiting, &mut other, &mut third] {
        opened.expect_end(CloseReason::ServerShuttingDown).await;
    }
    soon(closing).await.expect("no panic");
    assert_eq!(server.engine.session_count(), 0);
}

#[tokio::test]
async fn while_the_server_closes_it_serves_its_sessions_and_refuses_new_ones() {
    let mut server = Server::start(Options::default()).await;
    let sessions = [server.open_polling().await, server.open_polling().await];
    let closing = tokio::spawn({
        let engine = server.engine.clone();
        let pace = ClosePace { batch_size: 1, pause: LONG };
        async move { engine.close_with(pace, LONG * 100).await }
    });
    server.expect_sessions(1).await;
    let is_open = |(_, opened): &(_, Opened)| !opened.session.is_closed();
    let (polling, mut opened) = sessions.into_iter().find(is_open).expect("one was closed");
    polling.post_ok("4still here").await;
    opened.expect([Seen::Text("still here".into())]).await;
    opened.session.send_text("so am I");
    assert_eq!(polling.poll().await, "4so am I");
    let refused = server.get("EIO=4&transport=polling").await.response().await;
    refused.expect(503, "the server is closing\n");
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    let head = server.send(websocket_request("EIO=4&transport=websocket").as_bytes()).await;
    let head = head.response_head().await;
    assert!(head.starts_with("http/1.1 503 ") && head.contains("retry-after: 1"), "{head}");
    closing.abort();
}

#[tokio::test]
async fn a_client_that_reads_nothing_does_not_hold_the_server_beyond_the_deadline() {
    let mut server = Server::start(Options::default()).await;
    let deaf = WebSocket::open(with_small_buffers(server.address).await).await;
    let mut opened = server.opened().await;
    // More than the buffers of both kernels hold.
    opened.session.send_text(&"x".repeat(10_000_000));
    until(|| opened.session.buffered() > 0 || !opened.session.is_writable()).await;
    let silent = {
        // This one gets the close frame, and never answers.
        let (client, opened) = server.open_websocket().await;
        (client, opened)
    };
    soon(server.engine.close_with(AT_ONCE, Duration::from_millis(200))).await;
    opened.expect_end(CloseReason::ServerShuttingDown).await;
    let (mut client, mut silent) = silent;
    silent.expect_end(CloseReason::ServerShuttingDown).await;
    while client.recv().await.is_some() {}
    drop(deaf);
}

#[tokio::test]
async fn work_that_never_ends_does_not_hold_the_server_beyond_the_deadline() {
    let mut server = Server::start(Options::default()).await;
    let (_client, mut opened) = server.open_polling().await;
    opened.keep_pending();
    soon(server.engine.close_with(AT_ONCE, Duration::from_millis(50))).await;
    opened.expect([Seen::Closed(CloseReason::ServerShuttingDown)]).await;
    assert_eq!(server.engine.session_count(), 0);
}

#[tokio::test]
async fn a_server_without_sessions_closes_at_once_and_can_be_closed_again() {
    let (server, _) = server_with(0).await;
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    for _ in 0..2 {
        server.engine.close_with(ClosePace::default(), LONG).await;
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_second_close_does_not_double_the_pace_and_its_own_timeout_ends_everything() {
    let (server, sessions) = server_with(20).await;
    tokio::time::pause();
    let pace = ClosePace { batch_size: 5, pause: Duration::from_secs(10) };
    let close = |timeout| {
        let engine = server.engine.clone();
        tokio::spawn(async move { engine.close_with(pace, timeout).await })
    };
    let (patient, hasty) = (close(LONG), close(Duration::from_secs(25)));
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(count_closed(&sessions), 10);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(count_closed(&sessions), 20);
    hasty.await.expect("no panic");
    patient.await.expect("no panic");
}

#[tokio::test]
async fn a_close_that_is_dropped_leaves_the_other_sessions_open_and_another_close_goes_on() {
    let (server, sessions) = server_with(3).await;
    tokio::time::pause();
    let pace = ClosePace { batch_size: 1, pause: Duration::from_secs(10) };
    let dropped = tokio::time::timeout(Duration::from_secs(5), server.engine.close_with(pace, LONG)).await;
    assert!(dropped.is_err());
    assert_eq!(count_closed(&sessions), 1);
    assert!(server.engine.is_closing());
    server.engine.close_with(pace, LONG).await;
    assert_eq!(count_closed(&sessions), 3);
}

#[tokio::test]
async fn a_listener_that_stops_refuses_connections_and_serves_open_ones_until_their_sessions_are_told() {
    let options = Options { close_pace: ClosePace { batch_size: 1, pause: LONG }, ..Options::default() };
    let server = Server::start(options).await;
    let limits = HttpLimits { shutdown_timeout: LONG * 100, ..HttpLimits::default() };
    let listener = Listener::bind("127.0.0.1:0", limits).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn({
        let engine = server.engine.clone();
        async move {
            let stop = async { drop(stopped.await) };
            engine.serve(listener, engine.service(), stop, LONG * 100).await;
        }
    });
    // Both connections are kept alive.
    let mut streams = Vec::new();
    let mut paths = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let open = exchange(&mut stream, "GET /engine.io/?EIO=4&transport=polling").await;
        let (_, rest) = open.split_once("\"sid\":\"").expect("an open packet");
        paths.push(format!("/engine.io/?EIO=4&transport=polling&sid={}", &rest[..20]));
        streams.push(stream);
    }
    drop(stop);
    until(|| server.engine.is_closing()).await;
    server.expect_sessions(1).await;
    assert!(TcpStream::connect(address).await.is_err(), "nothing listens any more");
    // One session is closed. The other one is not, and its client polls, after a handshake was refused.
    let mut served = 0;
    for (stream, path) in streams.iter_mut().zip(&paths) {
        let refused = exchange(stream, "GET /engine.io/?EIO=4&transport=polling").await;
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
        let posted = exchange_with(stream, &format!("POST {path}"), "4hello").await;
        served += usize::from(posted.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(served, 1);
    serving.abort();
}

async fn exchange(stream: &mut TcpStream, request: &str) -> String {
    exchange_with(stream, request, "").await
}

/// Sends a request on a connection that stays open, and returns the response.
async fn exchange_with(stream: &mut TcpStream, request: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut response = Vec::new();
    let body_start = loop {
        response.push(soon(stream.read_u8()).await.expect("a response"));
        if response.ends_with(b"\r\n\r\n") {
            break response.len();
        }
    };
    let head = String::from_utf8(response.clone()).expect("text").to_ascii_lowercase();
    let (_, length) = head.split_once("content-length: ").expect("a length");
    let length: usize = length.lines().next().expect("a line").parse().expect("a number");
    response.resize(body_start + length, 0);
    soon(stream.read_exact(&mut response[body_start..])).await.expect("a body");
    String::from_utf8(response).expect("text")
}
