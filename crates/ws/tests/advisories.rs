//! Bugs of other implementations that affect a connection, tested against this one. Each test is named after its
//! advisory.
//!
//! The full list, and the tests that need only the protocol state machine, are in `advisories.rs` of the crate
//! `ws-proto`. Some advisories that need a connection are tested elsewhere: tungstenite #480 (a read buffer of 128 KiB
//! per idle connection), for servers, by `a_connection_costs_no_more_than_it_must_beside_its_handler` in
//! `src/server/upgrade.rs`; tungstenite's unlimited write buffer by `slow_readers.rs` and `client/messages.rs`; Pings
//! whose Pongs accumulate without limit (faye, ws) by `slow_readers.rs`; peers that are gone or never close by
//! `keepalive.rs` and `closing.rs`; invalid certificates and wrong host names by `client/tls.rs`.

use std::net::SocketAddr;
use std::time::Duration;

use tidewire_ws::{ConnectError, Connector, Message, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::{REQUEST, connect, echo, soon, text};

/// Starts an echo server on a free port.
async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(tidewire_ws::serve(listener, echo));
    address
}

/// A valid handshake, with `lines` before its headers.
fn request(lines: &str) -> Vec<u8> {
    let good = str::from_utf8(REQUEST).expect("text");
    good.replacen("\r\n", &format!("\r\n{lines}"), 1).into_bytes()
}

/// Sends these pieces, and returns the status line of the response.
async fn status_line(server: SocketAddr, pieces: impl Iterator<Item = &[u8]>) -> String {
    let mut stream = TcpStream::connect(server).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    for piece in pieces {
        soon(stream.write_all(piece)).await.expect("the server reads");
    }
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(soon(stream.read_u8()).await.expect("a response"));
    }
    String::from_utf8(line).expect("text")
}

/// tungstenite: a request head of unlimited size, parsed again after each piece.
#[tokio::test]
async fn cve_2023_43669_a_long_request_head_is_rejected_and_small_pieces_are_accepted() {
    let server = serve().await;
    let long = request(&format!("X: {}\r\n", "x".repeat(15_000)));
    assert_eq!(status_line(server, long.chunks(3)).await, "HTTP/1.1 101 Switching Protocols\r\n");
    let longer = vec![b'x'; 32 << 20];
    let endless = [b"GET /chat HTTP/1.1\r\nX: ", &longer[..]].concat();
    // The server reads and drops the rest for a moment, so that the client gets the response. It does not parse the
    // rest.
    let mut stream = TcpStream::connect(server).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut response = Vec::new();
    let (ended, _) = tokio::join!(soon(read.read_to_end(&mut response)), soon(write.write_all(&endless)));
    ended.expect("no reset");
    assert!(response.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&response));
}

/// tungstenite, as a client: the same for the head of a response.
#[tokio::test(start_paused = true)]
async fn cve_2023_43669_a_long_response_head_is_rejected_and_small_pieces_are_accepted() {
    let lines = format!("X: {}\r\n", "x".repeat(15_000));
    let (mut server, connecting) = begin_client();
    let long = accept(&mut server, &lines).await;
    for piece in long.as_bytes().chunks(3) {
        soon(server.write_all(piece)).await.expect("the client reads");
        tokio::task::yield_now().await;
    }
    soon(connecting).await.expect("no panic").expect("a connection");

    let (mut server, connecting) = begin_client();
    accept(&mut server, "").await;
    let endless = [b"HTTP/1.1 101 \r\nX: ", &vec![b'x'; 32 << 20][..]].concat();
    let write = async { while soon(server.write_all(&endless)).await.is_ok() {} };
    let (connected, ()) = tokio::join!(soon(connecting), write);
    let error = connected.expect("no panic").expect_err("no connection");
    assert_eq!(error.to_string(), "no response to the handshake: the response head is too large");
}

/// ws, as a client: a response with more headers than the limit must fail only this attempt.
#[tokio::test(start_paused = true)]
async fn cve_2024_37890_a_response_with_too_many_headers_fails_the_attempt() {
    for (count, is_read) in [(97, true), (98, false), (1_000, false)] {
        let lines: String = (0..count).map(|number| format!("X{number}: x\r\n")).collect();
        let (mut server, connecting) = begin_client();
        let response = accept(&mut server, &lines).await;
        // The write may fail: a client that has rejected the response reads no further.
        let _ = soon(server.write_all(response.as_bytes())).await;
        match soon(connecting).await.expect("no panic") {
            Ok(_) => assert!(is_read, "{count} more headers"),
            Err(error) => {
                assert!(!is_read && matches!(error, ConnectError::NoResponse(_)), "{count}: {error:?}");
            }
        }
    }
}

/// tungstenite: a read buffer of 128 KiB for each connection from its start.
#[test]
fn tungstenite_issue_480_an_idle_client_holds_no_buffer() {
    const CLIENTS: usize = 100;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut open = Vec::with_capacity(2 * CLIENTS);
    let mut connect = |count: usize| {
        runtime.block_on(async {
            for _ in 0..count {
                let (mut server, connecting) = begin_client();
                let response = accept(&mut server, "").await;
                server.write_all(response.as_bytes()).await.unwrap();
                let mut socket = soon(connecting).await.unwrap().unwrap();
                server.write_all(&[0x81, 2, b'h', b'i']).await.unwrap();
                assert_eq!(soon(socket.recv()).await, Some(Message::from("hi")));
                open.push((server, socket));
            }
        });
    };
    // The first connections also allocate the buffers of the thread.
    connect(CLIENTS);
    let memory = allocation_counter::measure(|| connect(CLIENTS));
    let each = usize::try_from(memory.bytes_current).unwrap_or(0) / CLIENTS;
    // The in-memory stream accounts for about one kilobyte.
    assert!(each < 3_000, "{each} bytes for each client");
}

/// Starts a client, and returns the server's end of the stream.
fn begin_client() -> (DuplexStream, JoinHandle<Result<WebSocket, ConnectError>>) {
    let (client, server) = tokio::io::duplex(1024);
    (server, tokio::spawn(async move { Connector::new("ws://server.example/").connect_over(client).await }))
}

/// Reads the request, and returns the response that accepts it, with `lines` before its headers.
async fn accept(server: &mut DuplexStream, lines: &str) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(server.read_u8()).await.expect("a request"));
    }
    let head = String::from_utf8(head).expect("text");
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).expect("a key");
    format!(
        "HTTP/1.1 101 Switching Protocols\r\n{lines}Upgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        ws_proto::accept_key(key)
    )
}

/// ws: headers beyond a maximum number were dropped, so the server did not find `Upgrade` and crashed.
#[tokio::test]
async fn cve_2024_37890_a_request_with_too_many_headers_is_rejected() {
    let server = serve().await;
    for (count, status) in [(95, "101"), (96, "431"), (2_000, "431")] {
        let headers: String = (0..count).map(|number| format!("X{number}: x\r\n")).collect();
        let request = request(&headers);
        // The handshake's own headers come last: they are at most the 100th header, or beyond.
        let response = status_line(server, std::iter::once(&request[..])).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{count} more headers: {response}");
    }
}

/// engineioxide, on tungstenite: a message that the program kept also kept the whole read buffer.
#[test]
fn socketioxide_issue_450_a_stored_message_keeps_only_its_own_bytes() {
    const MESSAGES: usize = 1_000;
    let (keep, mut kept) = mpsc::unbounded_channel::<Message>();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let mut messages = Vec::with_capacity(2 * MESSAGES);
    let mut client = runtime.block_on(connect(move |mut socket: WebSocket| async move {
        while let Some(message) = socket.recv().await {
            keep.send(message).unwrap();
        }
    }));
    let mut exchange = |count: usize| {
        let wire = text(&"x".repeat(64)).repeat(count);
        runtime.block_on(async {
            client.write(&wire).await;
            for _ in 0..count {
                messages.push(soon(kept.recv()).await.unwrap());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        });
    };
    // The first messages also allocate the buffers of the thread and of the stream.
    exchange(MESSAGES);
    let memory = allocation_counter::measure(|| exchange(MESSAGES));
    let each = usize::try_from(memory.bytes_current).unwrap_or(0) / MESSAGES;
    assert!((64..=80).contains(&each), "{each} bytes for each message of 64");
}
