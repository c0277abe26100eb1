//! HTTP/2 without TLS, frame by frame (RFC 9113 §4.1).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::Server;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

const INITIAL_WINDOW_SIZE: u16 = 4;

/// The flow-control window of each stream at the server.
const WINDOW: usize = 128 * 1024;

/// The time after which an attack that the server does not stop fails its test.
const ATTACK: Duration = Duration::from_secs(20);

pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Uncompressed header fields: with literal names, and with names from the static table (RFC 7541 §6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fn text(block: &mut Vec<u8>, text: &str) {
        block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
        block.extend_from_slice(text.as_bytes());
    }
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    block(&[(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", path)])
}

pub(crate) fn websocket(path: &str) -> Vec<u8> {
    block(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "h"),
        (":path", path),
        ("sec-websocket-version", "13"),
    ])
}

/// A masked binary message. The masking key is zero.
fn message(payload: &[u8]) -> Vec<u8> {
    let length = u64::try_from(payload.len()).expect("a length");
    [&[0x82, 0xff][..], &length.to_be_bytes(), &[0; 4], payload].concat()
}

pub(crate) struct Http2 {
    stream: TcpStream,
}

impl Http2 {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::with_settings(address, &[])
    }

    fn with_settings(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("set");
        stream.set_read_timeout(Some(ATTACK)).expect("set");
        stream.set_write_timeout(Some(Duration::from_secs(2))).expect("set");
        let mut http2 = Self { stream };
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        http2
            .write(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &settings)[..]].concat())
            .expect("a new connection");
        // The server's settings apply after they are acknowledged.
        http2.read_until(|frame| frame.kind == SETTINGS && frame.flags & ACK == 0);
        http2.write(&frame(SETTINGS, ACK, 0, &[])).expect("sent");
        http2
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Returns the next frame, or `None` at the end of the connection.
    pub(crate) fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).expect("a short payload")];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    fn read_until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.read().expect("the connection goes on");
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// Opens a WebSocket on this stream.
    pub(crate) fn open(&mut self, stream: u32, path: &str) {
        self.write(&frame(HEADERS, END_HEADERS, stream, &websocket(path))).expect("sent");
        let response = self.read_until(|frame| frame.stream == stream && frame.kind == HEADERS);
        assert_eq!(response.flags & END_STREAM, 0, "refused");
    }

    /// Writes until the server closes the connection. Returns the code of its GOAWAY frame if it has arrived.
    fn flood(mut self, mut next: impl FnMut(u32) -> Vec<u8>) -> Option<u32> {
        let began = Instant::now();
        let mut reader = Self { stream: self.stream.try_clone().expect("a descriptor") };
        let ended = std::thread::spawn(move || {
            let mut code = None;
            while let Some(frame) = reader.read() {
                if frame.kind == GOAWAY {
                    code = Some(u32::from_be_bytes(frame.payload[4..8].try_into().expect("four bytes")));
                }
            }
            code
        });
        let mut number = 0;
        while self.write(&next(number)).is_ok() {
            assert!(began.elapsed() < ATTACK, "the server does not stop the attack");
            number += 1;
        }
        ended.join().expect("no panic")
    }
}

/// Returns the id of the client's stream `number`, counted from 0.
pub(crate) fn stream(number: u32) -> u32 {
    number * 2 + 1
}

/// A frame whose stream id is set later.
fn frame_of_data(payload: &[u8]) -> Vec<u8> {
    frame(DATA, 0, 0, payload)
}

/// The memory in megabytes that none of these attacks may add.
const NOTHING: usize = 8;

#[test]
fn requests_that_are_reset_at_once_end_their_connection() {
    let server = Server::start();
    let canary = server.canary();
    let before = server.memory();
    for (request, what) in [
        (get("/"), "a page"),
        (get("/socket.io/?EIO=4&transport=polling"), "a session by polling"),
        (websocket("/ws"), "a WebSocket"),
        (websocket("/socket.io/?EIO=4&transport=websocket"), "a session by WebSocket"),
    ] {
        let code = Http2::connect(server.address).flood(|number| {
            let id = stream(number);
            let reset = frame(RST_STREAM, 0, id, &8u32.to_be_bytes());
            [frame(HEADERS, END_HEADERS, id, &request), reset].concat()
        });
        // A TCP reset may arrive before the GOAWAY frame.
        assert!(matches!(code, None | Some(ENHANCE_YOUR_CALM)), "{what}: {code:?}");
    }
    assert!(server.peak_memory() < before + NOTHING, "{} MB", server.peak_memory());
    canary.noticed_nothing();
}

#[test]
fn a_head_that_never_ends_ends_its_connection() {
    let server = Server::start();
    let canary = server.canary();
    let before = server.memory();
    let field = block(&[("x", &"y".repeat(120))]);
    for piece in [vec![], block(&[("x", "y")]), field.repeat(100)] {
        let (beginning, piece) =
            (frame(HEADERS, END_STREAM, 1, &get("/")), frame(CONTINUATION, 0, 1, &piece));
        let code = Http2::connect(server.address)
            .flood(|number| if number == 0 { beginning.clone() } else { piece.clone() });
        assert!(matches!(code, None | Some(ENHANCE_YOUR_CALM)), "{code:?}");
    }
    assert!(server.peak_memory() < before + NOTHING, "{} MB", server.peak_memory());
    canary.noticed_nothing();
}

#[test]
fn a_head_that_unpacks_to_megabytes_ends_its_connection() {
    let server = Server::start();
    let canary = server.canary();
    let before = server.memory();
    // A field of 4,000 bytes is added to the dynamic table once and referenced 10,000 times by its index (RFC 7541
    // §6.1).
    let mut bomb = get("/");
    bomb.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend_from_slice(&[b'y'; 4_000]);
    bomb.extend_from_slice(&[0xbe; 10_000]);
    let code = Http2::connect(server.address)
        .flood(|number| frame(HEADERS, END_STREAM | END_HEADERS, stream(number), &bomb));
    assert!(matches!(code, None | Some(ENHANCE_YOUR_CALM)), "{code:?}");
    assert!(server.peak_memory() < before + NOTHING, "{} MB", server.peak_memory());
    canary.noticed_nothing();
}

#[test]
fn a_client_without_a_window_cannot_exceed_the_limits() {
    const STREAMS: u32 = 20;
    let server = Server::start();
    let canary = server.canary();
    let before = server.memory();
    let mut client = Http2::with_settings(server.address, &[(INITIAL_WINDOW_SIZE, 0)]);
    // The server echoes the messages of each WebSocket, and none is read. Each client sends as much as the windows
    // allow.
    let message = frame_of_data(&message(&[0; 16_000]));
    let size = message.len() - 9;
    let mut windows = vec![WINDOW; usize::try_from(STREAMS).expect("few")];
    for number in 0..STREAMS {
        client.open(stream(number), "/ws");
    }
    client.stream.set_read_timeout(Some(Duration::from_secs(2))).expect("set");
    loop {
        let mut sent = false;
        for (number, room) in (0..).zip(&mut windows) {
            if *room >= size {
                *room -= size;
                client
                    .write(&[&message[..5], &u32::to_be_bytes(stream(number)), &message[9..]].concat())
                    .expect("sent");
                sent = true;
            }
        }
        if sent {
            continue;
        }
        match client.read() {
            Some(Frame { kind: WINDOW_UPDATE, stream: id @ 1.., payload, .. }) => {
                let more = u32::from_be_bytes(payload.try_into().expect("four bytes"));
                windows[usize::try_from(id / 2).expect("few")] += usize::try_from(more).expect("a window");
            }
            Some(Frame { kind: kind @ (GOAWAY | RST_STREAM), stream, payload, .. }) => {
                panic!("we have kept to the rules: {kind} {stream} {payload:?}")
            }
            Some(_) => {}
            None => break,
        }
    }
    // The flow-control window, hyper's buffers, and a few messages: the server stops reading from clients that do not
    // read responses.
    let each = server.memory().saturating_sub(before) * 1_024 / usize::try_from(STREAMS).expect("few");
    assert!(each < 400, "{each} KB for each");
    canary.noticed_nothing();
}

#[test]
fn frames_that_carry_nothing_cost_nothing() {
    let server = Server::start();
    let canary = server.canary();
    let before = server.memory();
    for (what, kind, stream, payload) in [
        ("settings", SETTINGS, 0, &[][..]),
        ("changes of the window of all streams", SETTINGS, 0, &[0, 4, 0, 1, 0, 0]),
        ("pings", PING, 0, &[0; 8]),
        ("room for a byte", WINDOW_UPDATE, 0, &[0, 0, 0, 1]),
        ("empty data", DATA, 1, &[]),
        ("priorities", PRIORITY, 1, &[0, 0, 0, 0, 1]),
        ("frames of no type that is known", 99, 1, &[0; 100]),
    ] {
        let mut client = Http2::connect(server.address);
        client.open(1, "/ws");
        let flood = frame(kind, 0, stream, payload).repeat(1_000);
        let began = Instant::now();
        // The responses are not read.
        while began.elapsed() < Duration::from_secs(1) && client.write(&flood).is_ok() {}
        assert!(server.peak_memory() < before + NOTHING, "{what}: {} MB", server.peak_memory());
    }
    canary.noticed_nothing();
}

#[test]
fn frames_of_one_byte_cost_little_more_than_their_bytes() {
    const STREAMS: u32 = 100;
    let server = Server::start();
    let canary = server.canary();
    let mut client = Http2::with_settings(server.address, &[(INITIAL_WINDOW_SIZE, 0)]);
    // The responses cannot be sent, so the server soon stops reading.
    let message = message(&[0; 16_000]);
    for number in 0..STREAMS {
        client.open(stream(number), "/ws");
    }
    let before = server.memory();
    for number in 0..STREAMS {
        for _ in 0..WINDOW / message.len() {
            client.write(&frame(DATA, 0, stream(number), &message)).expect("sent");
        }
    }
    let byte = |number| frame(DATA, 0, stream(number % STREAMS), b"x");
    let _ = client.flood(|turn| (turn * 1_000..(turn + 1) * 1_000).flat_map(byte).collect());
    let more = server.peak_memory().saturating_sub(before);
    assert!(more < 100, "{more} MB");
    canary.noticed_nothing();
}

#[test]
fn a_thousand_websockets_take_some_kilobytes_each_and_one_more_is_rejected() {
    const CONNECTIONS: usize = 20;
    const STREAMS: u32 = 100;
    let server = Server::start();
    let before = server.memory();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Http2::connect(server.address);
        for number in 0..STREAMS {
            client.open(stream(number), "/ws");
        }
        let one_too_many = stream(STREAMS);
        client.write(&frame(HEADERS, END_HEADERS, one_too_many, &websocket("/ws"))).expect("sent");
        let reset = client.read_until(|frame| frame.kind == RST_STREAM);
        assert_eq!((reset.stream, &reset.payload[..]), (one_too_many, &REFUSED_STREAM.to_be_bytes()[..]));
        clients.push(client);
    }
    let megabytes = server.memory() - before;
    assert!(megabytes < 20, "{megabytes} MB for 2,000");
}
