//! The client, against a server of literal bytes, our own server, and a server of another implementation.

mod connecting;
mod interop;
mod messages;
mod reconnecting;
mod reconnecting_real_servers;
#[cfg(feature = "tls")]
mod tls;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidewire_ws::{ConnectError, Connector, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use ws_proto::{Connection, Event, Input, Limits, Role, Time, accept_key};

use crate::support::{Counting, soon};

/// A server that sees every byte.
struct Peer {
    stream: DuplexStream,
    /// The number of writes of the client.
    writes: Arc<AtomicUsize>,
    machine: Connection,
    events: VecDeque<Event<'static>>,
}

/// Starts a client, and returns the server's end of the stream.
fn begin(connect: Connector) -> (Peer, JoinHandle<Result<WebSocket, ConnectError>>) {
    begin_with(connect, 64 * 1024)
}

/// Does the same, with a stream that holds `capacity` bytes in each direction.
fn begin_with(connect: Connector, capacity: usize) -> (Peer, JoinHandle<Result<WebSocket, ConnectError>>) {
    let (client, stream) = tokio::io::duplex(capacity);
    let writes = Arc::new(AtomicUsize::new(0));
    let client = Counting { stream: client, writes: Arc::clone(&writes) };
    let connecting = tokio::spawn(async move { connect.connect_over(client).await });
    (Peer { writes, ..Peer::new(stream) }, connecting)
}

/// Opens a connection, and returns both ends.
async fn open() -> (Peer, WebSocket) {
    open_with(Connector::new("ws://server.example/"), 64 * 1024).await
}

async fn open_with(connect: Connector, capacity: usize) -> (Peer, WebSocket) {
    let (mut peer, connecting) = begin_with(connect, capacity);
    peer.accept("").await;
    let socket = soon(connecting).await.expect("no panic").expect("a connection");
    peer.writes.store(0, Ordering::SeqCst);
    (peer, socket)
}

impl Peer {
    fn new(stream: DuplexStream) -> Self {
        let machine = Connection::new(Role::Server, &Limits::default());
        Self { stream, writes: Arc::default(), machine, events: VecDeque::new() }
    }

    /// How many writes the client has made since its request.
    fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    /// Reads the head of the request.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(self.stream.read_u8()).await.expect("a request"));
        }
        String::from_utf8(head).expect("a head is text")
    }

    async fn write(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.expect("written");
    }

    /// Accepts the handshake with `lines` in the response, and returns the request.
    async fn accept(&mut self, lines: &str) -> String {
        let head = self.head().await;
        let key = value(&head, "sec-websocket-key").expect("a key");
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n{lines}\r\n",
            accept_key(key)
        );
        self.write(response.as_bytes()).await;
        head
    }

    /// The next event; `None` at the end of the stream.
    async fn recv(&mut self) -> Option<Event<'static>> {
        let mut buffer = vec![0; 64 * 1024];
        while self.events.is_empty() {
            let length = soon(self.stream.read(&mut buffer)).await.expect("read");
            if length == 0 {
                return None;
            }
            let mut input = Input::new(&mut buffer[..length]);
            while let Some(event) = self.machine.decode(&mut input, Time::ZERO).expect("no protocol error") {
                self.events.push_back(event.into_owned());
            }
        }
        self.events.pop_front()
    }

    async fn expect_text(&mut self, text: &str) {
        assert_eq!(self.recv().await, Some(Event::Text(text.into())));
    }
}

/// The value of a header in the head of a message.
fn value<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// An unmasked frame of less than 126 bytes.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    [&[0x80 | opcode, payload.len() as u8], payload].concat()
}
