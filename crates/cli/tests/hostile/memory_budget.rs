//! Attacks whose connections all stay below their own limits, and together would fill the memory.

use std::collections::HashMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::http2::{
    DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Http2, WINDOW_UPDATE, block, frame, get, stream, websocket,
};
use crate::raw_client::{BINARY, CLOSE, CONTINUATION, WebSocket, fragment};
use crate::support::Server;

const MIB: usize = 1024 * 1024;

/// What allocators, threads and a few messages may take, in megabytes.
const SLACK: usize = 60;

/// A head of 12 KB. Its large field is in the dynamic table of the connection, so a request takes a few bytes
/// (RFC 7541 §6.1).
fn large_head(method: &str, path: &str, is_first: bool) -> Vec<u8> {
    let mut head = match method {
        "GET" => get(path),
        _ => block(&[(":method", method), (":scheme", "http"), (":authority", "h"), (":path", path)]),
    };
    if is_first {
        head.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
        head.extend_from_slice(&[b'y'; 4_000]);
    } else {
        head.push(0xbe);
    }
    head.extend_from_slice(&[0xbe; 2]);
    head
}

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";

/// The requests of an attack on one connection.
struct Requests {
    client: Http2,
    sent: u32,
}

impl Requests {
    fn new(server: &Server) -> Self {
        let mut client = Http2::connect(server.address);
        // The responses take more than the initial window of the connection.
        client.write(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes())).expect("sent");
        Self { client, sent: 0 }
    }

    /// Sends requests with large heads, and returns the bodies of the responses.
    fn send(
        &mut self,
        requests: impl IntoIterator<Item = (&'static str, String, &'static str)>,
    ) -> Vec<String> {
        let mut bodies = HashMap::new();
        let mut bytes = Vec::new();
        for (method, path, body) in requests {
            let id = stream(self.sent);
            bytes.extend(frame(HEADERS, END_HEADERS, id, &large_head(method, &path, self.sent == 0)));
            bytes.extend(frame(DATA, END_STREAM, id, body.as_bytes()));
            bodies.insert(id, String::new());
            self.sent += 1;
        }
        self.client.write(&bytes).expect("sent");
        let mut ended = 0;
        while ended < bodies.len() {
            let Frame { kind, flags, stream, payload } = self.client.read().expect("the connection goes on");
            if let Some(body) = bodies.get_mut(&stream)
                && matches!(kind, DATA | HEADERS)
            {
                if kind == DATA {
                    body.push_str(&String::from_utf8_lossy(&payload));
                }
                ended += usize::from(flags & END_STREAM != 0);
            }
        }
        bodies.into_values().collect()
    }

    /// Opens sessions, and returns the ids of those that were accepted.
    fn open(&mut self, sessions: usize) -> Vec<String> {
        let bodies = self.send((0..sessions).map(|_| ("GET", OPEN.to_owned(), "")));
        let id = |body: &String| Some(body.split_once(r#""sid":""#)?.1[..20].to_owned());
        bodies.iter().filter_map(id).collect()
    }
}

#[test]
fn sessions_with_large_heads_that_send_nothing_more_end_before_they_take_much_memory() {
    let server = Server::start();
    let canary = server.canary();
    let before = server.memory();
    let mut requests = Requests::new(&server);
    for _ in 0..15_000 / 50 {
        requests.open(50);
    }
    let more = server.peak_memory() - before;
    // The heads alone would be 180 MB.
    assert!(more < 64 + SLACK, "{more} MB");
    canary.noticed_nothing();
}

#[test]
fn sessions_with_large_heads_that_connect_are_refused_before_they_take_much_memory() {
    let server = Server::with_option("--memory-budget=64M");
    let canary = server.canary();
    let before = server.memory();
    let mut requests = Requests::new(&server);
    let mut refused = 0;
    for _ in 0..10_000 / 50 {
        let ids = requests.open(50);
        refused += 50 - ids.len();
        requests.send(ids.iter().map(|id| ("POST", format!("{OPEN}&sid={id}"), "40")));
    }
    assert!(refused > 5_000, "{refused}");
    let more = server.peak_memory() - before;
    // The heads alone would be 120 MB.
    assert!(more < 32 + SLACK, "{more} MB");
    canary.noticed_nothing();
}

/// The beginning of a message that takes 82 KB on the wire and 15 MiB in memory: a block without compression, so that
/// the message is long enough to be inflated as it arrives, and a bomb.
fn bomb() -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(&[0; 66_000]).expect("memory");
    encoder.flush().expect("memory");
    let mut first = fragment(BINARY, encoder.get_ref());
    first[0] |= 0x40;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 15 * MIB]).expect("memory");
    encoder.flush().expect("memory");
    [first, fragment(CONTINUATION, encoder.get_ref())].concat()
}

#[test]
fn unfinished_messages_that_inflate_to_gigabytes_end_and_a_small_one_does_not() {
    const STREAMS: u32 = 100;
    let server = Server::with_option("--memory-budget=64M");
    let canary = server.canary();
    let mut innocent = WebSocket::open(server.address, "/ws");
    let half = "x".repeat(1_000_000);
    innocent.write(fragment(BINARY, &half));
    let before = server.memory();
    let mut client = Http2::connect(server.address);
    let head = [websocket("/ws"), block(&[("sec-websocket-extensions", "permessage-deflate")])].concat();
    let bomb = bomb();
    for number in 0..STREAMS {
        client.write(&frame(HEADERS, END_HEADERS, stream(number), &head)).expect("sent");
    }
    let mut accepted = 0;
    while accepted < STREAMS {
        accepted += u32::from(client.read().expect("the connection goes on").kind == HEADERS);
    }
    for number in 0..STREAMS {
        for piece in bomb.chunks(16_000) {
            client.write(&frame(DATA, 0, stream(number), piece)).expect("sent");
        }
    }
    // The words of the close frame: 64 MiB have room for four.
    let close = [&[0x80 | CLOSE, 24][..], &1013_u16.to_be_bytes(), b"memory budget exceeded"].concat();
    let mut closed = 0;
    while closed < STREAMS - 4 {
        let frame = client.read().expect("the connection goes on");
        closed += u32::from(frame.kind == DATA && frame.payload == close);
    }
    let more = server.peak_memory() - before;
    // While the largest connections end, each thread may inflate one more message, and the allocator keeps some of what
    // is free. Without the limit: 1,500 MB.
    assert!(more < 300, "{more} MB");
    innocent.write(fragment(0x80 | CONTINUATION, &half));
    assert_eq!(
        innocent.receive().map(|(opcode, message)| (opcode, message.len())),
        Some((BINARY, 2_000_000))
    );
    canary.noticed_nothing();
}
