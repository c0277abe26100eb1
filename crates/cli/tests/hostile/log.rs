//! A log that nobody reads, and peers that fill it.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use crate::raw_client::{Connection, WebSocket};
use crate::support::Server;

/// The capacity of a pipe on Linux.
const PIPE: usize = 64 * 1024;

/// Causes at least one line at the level `debug`.
fn cause_line(server: &Server) {
    let mut connection = Connection::open(server.address);
    connection.write("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(connection.response().expect("a response").status, 400);
}

#[test]
fn a_log_that_nobody_reads_blocks_neither_the_server_nor_its_shutdown() {
    let (_reader, writer) = full_pipe();
    let mut server = Server::with_log("debug", writer);
    let canary = server.canary();
    for _ in 0..200 {
        cause_line(&server);
    }
    canary.noticed_nothing();
    server.terminate();
    assert!(server.exit_within(Duration::from_secs(8)).success());
}

/// Returns a pipe without free capacity. Nobody reads it while the reader exists.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(&[b'x'; PIPE]).expect("the pipe has capacity");
    (reader, writer)
}

/// `2>&1` makes standard output and standard error the same pipe. When the queue of the log is full too, there is no
/// place where the end of the process could report anything.
#[test]
fn output_and_a_log_in_one_pipe_that_nobody_reads_block_neither_the_server_nor_its_shutdown() {
    let (_reader, writer) = full_pipe();
    let mut server = Server::with_output("debug", writer);
    let canary = server.canary();
    // More lines than the queue takes.
    for _ in 0..6_000 {
        cause_line(&server);
    }
    canary.noticed_nothing();
    server.terminate();
    assert!(server.exit_within(Duration::from_secs(8)).success());
}

#[test]
fn a_server_that_cannot_start_ends_although_nobody_reads_why() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let (_reader, writer) = full_pipe();
    let mut server = Server::spawn_with_output("warn", address, writer);
    assert!(!server.exit_within(Duration::from_secs(8)).success());
}

#[test]
fn the_log_says_how_many_lines_are_missing() {
    let (reader, writer) = full_pipe();
    let server = Server::with_log("debug", writer);
    for _ in 0..6_000 {
        cause_line(&server);
    }
    let mut reader = BufReader::new(reader);
    reader.read_exact(&mut [0; PIPE]).expect("what the test wrote");
    let reading = std::thread::spawn(move || {
        reader
            .lines()
            .map(|line| line.expect("text"))
            .find(|line| line.contains("lines of the log were dropped"))
    });
    while !reading.is_finished() {
        cause_line(&server);
    }
    let line = reading.join().expect("no panic").expect("the server runs");
    let count = line.split(' ').next().expect("a first word").parse::<usize>().expect("a number");
    assert!((1..=6_000 * 10).contains(&count), "{line}");
}

/// Streams that are opened and reset in one write make `h2` warn, once per connection.
#[test]
fn warnings_of_dependencies_are_limited() {
    const CONNECTIONS: usize = 100;
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut server = Server::with_log("warn", writer);
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(server.address);
        let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
            let length = &u32::try_from(payload.len()).expect("a short payload").to_be_bytes()[1..];
            [length, &[kind, flags], &stream.to_be_bytes(), payload].concat()
        };
        // `:method: GET`, `:scheme: http`, `:path: /`, and an authority without Huffman code (RFC 7541).
        let headers = |stream| frame(1, 5, stream, b"\x82\x86\x84\x41\x01h");
        let reset = |stream| frame(3, 0, stream, &8u32.to_be_bytes());
        let settings = frame(4, 0, 0, &[]);
        let streams: Vec<_> =
            (0..30).map(|number| [headers(2 * number + 1), reset(2 * number + 1)].concat()).collect();
        let goaway = frame(7, 0, 0, &[0; 8]);
        let preface = &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..];
        connection.write([preface, &settings, &streams.concat(), &goaway].concat());
        let mut rest = Vec::new();
        let _ = connection.stream.read_to_end(&mut rest);
    }
    drop(WebSocket::joined(server.address));
    server.terminate();
    assert!(server.exit_within(Duration::from_secs(8)).success());
    drop(server);
    let lines: Vec<_> = BufReader::new(reader).lines().map(|line| line.expect("text")).collect();
    let warnings = lines.iter().filter(|line| line.contains("h2::")).count();
    assert!((1..CONNECTIONS / 2).contains(&warnings), "{warnings}: {lines:?}");
}

#[test]
fn the_log_shows_connections_in_their_spans_and_the_start_and_the_end_of_the_listener() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut server = Server::with_log("debug", writer);
    let mut client = WebSocket::joined(server.address);
    client.text("41");
    drop(client);
    let mut raw = WebSocket::open(server.address, crate::raw_client::RAW);
    raw.text("x");
    raw.expect("x");
    drop(raw);
    server.terminate();
    assert!(server.exit_within(Duration::from_secs(8)).success());
    drop(server);
    let lines: Vec<_> = BufReader::new(reader).lines().map(|line| line.expect("text")).collect();
    for texts in [
        &["INFO", "accepting connections", "address=127.0.0.1"][..],
        &["INFO", "stopping"],
        &["INFO", "stopped"],
        &["DEBUG", "session{address=127.0.0.1", "transport=\"websocket\"", "session opened"],
        &["DEBUG", "session{address=127.0.0.1", "socket disconnected", "client namespace disconnect"],
        &["DEBUG", "session{address=127.0.0.1", "session closed", "transport close"],
        &["DEBUG", "websocket{address=127.0.0.1", "WebSocket closed"],
    ] {
        let has_all = |line: &String| texts.iter().all(|text| line.contains(text));
        assert!(lines.iter().any(has_all), "{texts:?} in {lines:#?}");
    }
}
