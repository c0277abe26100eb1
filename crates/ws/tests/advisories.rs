//! What went wrong in other implementations, on a connection, and does not here. Each test is named after its advisory.
//!
//! The list, and those that the machine can show by itself, are in `advisories.rs` of the crate `ws-proto`. Of those that
//! need a connection, these are shown elsewhere: tungstenite #480 (a read buffer of 128 KiB for each idle connection) by
//! `a_connection_costs_no_more_than_it_must_beside_its_handler` in `src/upgrade.rs`, and its write buffer without a limit
//! by `slow_readers.rs`.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use support::{REQUEST, connect, echo, soon, text};
use tidewire_ws::{Message, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// An echo on a free port.
async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(tidewire_ws::serve(listener, echo));
    address
}

/// The good handshake with these lines in front of its headers.
fn request(lines: &str) -> Vec<u8> {
    let good = str::from_utf8(REQUEST).expect("text");
    good.replacen("\r\n", &format!("\r\n{lines}"), 1).into_bytes()
}

/// The status line of what the server answers to these pieces.
async fn answer(server: SocketAddr, pieces: impl Iterator<Item = &[u8]>) -> String {
    let mut stream = TcpStream::connect(server).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    for piece in pieces {
        soon(stream.write_all(piece)).await.expect("the server reads");
    }
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(soon(stream.read_u8()).await.expect("an answer"));
    }
    String::from_utf8(line).expect("text")
}

/// tungstenite: a head without a limit, parsed anew at each piece of it.
#[tokio::test]
async fn cve_2023_43669_a_long_head_is_refused_and_one_in_small_pieces_is_read() {
    let server = serve().await;
    let long = request(&format!("X: {}\r\n", "x".repeat(15_000)));
    assert_eq!(answer(server, long.chunks(3)).await, "HTTP/1.1 101 Switching Protocols\r\n");
    let longer = vec![b'x'; 32 << 20];
    let endless = [b"GET /chat HTTP/1.1\r\nX: ", &longer[..]].concat();
    // It is read and dropped for a moment, so that the answer is not lost, but never parsed.
    let mut stream = TcpStream::connect(server).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut answer = Vec::new();
    let (ended, _) = tokio::join!(soon(read.read_to_end(&mut answer)), soon(write.write_all(&endless)));
    ended.expect("no reset");
    assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
}

/// ws: where headers above a number were dropped, the server looked for the Upgrade in vain, and crashed.
#[tokio::test]
async fn cve_2024_37890_more_headers_than_are_read_are_an_error_of_their_request() {
    let server = serve().await;
    for (count, status) in [(95, "101"), (96, "431"), (2_000, "431")] {
        let headers: String = (0..count).map(|number| format!("X{number}: x\r\n")).collect();
        let request = request(&headers);
        // Those of the handshake are behind them: the last of 100, or beyond.
        let answer = answer(server, std::iter::once(&request[..])).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{count} more headers: {answer}");
    }
}

/// engineioxide, on tungstenite: messages that a program kept held the whole buffer that they were read into.
#[test]
fn socketioxide_issue_450_a_message_that_is_kept_keeps_only_its_own_bytes() {
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
    // The buffers of the thread and of the stream come with the first of them.
    exchange(MESSAGES);
    let memory = allocation_counter::measure(|| exchange(MESSAGES));
    let each = usize::try_from(memory.bytes_current).unwrap_or(0) / MESSAGES;
    assert!((64..=80).contains(&each), "{each} bytes for each message of 64");
}
