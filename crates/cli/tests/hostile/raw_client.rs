//! Clients that write literal bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Fails a test instead of letting it hang.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

pub(crate) const ENGINE: &str = "/socket.io/?EIO=4&transport=websocket";
pub(crate) const RAW: &str = "/ws";

pub(crate) const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A connection and the bytes that were read but not used yet.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.set_write_timeout(Some(PATIENCE)).expect("an option");
        Self { stream, read: Vec::new() }
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// Writes to a server that may have closed the connection. Returns `false` if it has.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub(crate) fn end_writing(&self) {
        self.stream.shutdown(Shutdown::Write).expect("still connected");
    }

    /// Reads until `count` bytes are buffered. Returns `false` at the end of the stream.
    fn fill(&mut self, count: usize) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        while self.read.len() < count {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => self.read.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
                Err(error) => panic!("the server says nothing: {error}"),
            }
        }
        true
    }

    /// Asserts that the stream ends without further bytes.
    pub(crate) fn expect_end(&mut self) {
        assert!(!self.fill(1), "more came: {:?}", String::from_utf8_lossy(&self.read));
    }

    /// Returns the status of the next HTTP response and ignores the rest.
    pub(crate) fn status(&mut self) -> u16 {
        assert!(self.fill("HTTP/1.1 200".len()), "a response");
        str::from_utf8(&self.read[9..12]).ok().and_then(|status| status.parse().ok()).expect("a status")
    }

    /// Returns the head of the next HTTP response, or `None` at the end of the stream.
    pub(crate) fn head(&mut self) -> Option<String> {
        let mut length = 1;
        loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.read.drain(..end + 4).collect();
                return Some(String::from_utf8(head).expect("a head is text"));
            }
            if !self.fill(length) {
                return None;
            }
            length = self.read.len() + 1;
        }
    }

    /// Returns the next HTTP response, or `None` at the end of the stream.
    pub(crate) fn response(&mut self) -> Option<Response> {
        let head = self.head()?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().expect("a length"))
        });
        let length = length.unwrap_or(0);
        assert!(self.fill(length), "the whole body comes");
        let body = String::from_utf8(self.read.drain(..length).collect()).expect("the body is text");
        Some(Response { status, body })
    }

    /// Asserts that the next HTTP response has this status and body.
    pub(crate) fn expect(&mut self, status: u16, body: &str) {
        let response = self.response().expect("a response");
        assert_eq!((response.status, &*response.body), (status, body));
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Sends a request on a new connection.
pub(crate) fn request(address: SocketAddr, method: &str, target: &str, rest: impl AsRef<[u8]>) -> Connection {
    let mut connection = Connection::open(address);
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: server\r\n").into_bytes();
    bytes.extend_from_slice(rest.as_ref());
    connection.write(bytes);
    connection
}

/// A client frame, masked with zeros.
pub(crate) fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    fragment(0x80 | opcode, payload)
}

/// A client frame with this first byte.
pub(crate) fn fragment(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut frame = header(first, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// The header of a client frame of this length, masked with zeros.
pub(crate) fn header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..126 => header.push(0x80 | length as u8),
        126..0x1_0000 => {
            header.push(0x80 | 126);
            header.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend_from_slice(&length.to_be_bytes());
        }
    }
    header.extend_from_slice(&[0; 4]);
    header
}

/// A WebSocket.
pub(crate) struct WebSocket {
    pub(crate) connection: Connection,
}

impl WebSocket {
    /// Opens a WebSocket and sends nothing.
    pub(crate) fn open(address: SocketAddr, target: &str) -> Self {
        let mut connection = request(address, "GET", target, format!("{UPGRADE}\r\n"));
        assert_eq!(connection.response().expect("a response").status, 101);
        Self { connection }
    }

    /// Opens an Engine.IO session without connecting to a namespace.
    pub(crate) fn session(address: SocketAddr) -> Self {
        Self::session_with(address, "")
    }

    /// Opens an Engine.IO session, with these characters at the end of the query.
    pub(crate) fn session_with(address: SocketAddr, query: &str) -> Self {
        let mut socket = Self::open(address, &format!("{ENGINE}{query}"));
        let (opcode, payload) = socket.receive().expect("an open packet");
        assert_eq!((opcode, payload[0]), (TEXT, b'0'));
        socket
    }

    /// Opens a session and connects to the main namespace.
    pub(crate) fn joined(address: SocketAddr) -> Self {
        let mut socket = Self::session(address);
        socket.text("40");
        assert!(socket.receive_text().starts_with(r#"40{"sid":""#));
        socket
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.connection.write(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.write(frame(TEXT, text));
    }

    /// Returns the next frame, or `None` at the end of the stream.
    pub(crate) fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let connection = &mut self.connection;
        if !connection.fill(2) {
            return None;
        }
        assert_eq!(connection.read[0] & 0xf0, 0x80, "the server sends whole messages");
        let opcode = connection.read[0] & 0x0f;
        let short = connection.read[1];
        let (start, length) = match short {
            126 if connection.fill(4) => {
                (4, u16::from_be_bytes([connection.read[2], connection.read[3]]).into())
            }
            127 if connection.fill(10) => {
                let length = connection.read[2..10].try_into().expect("eight bytes");
                (10, u64::from_be_bytes(length) as usize)
            }
            length @ 0..126 => (2, length.into()),
            _ => return None,
        };
        if !connection.fill(start + length) {
            return None;
        }
        let payload = connection.read[start..start + length].to_vec();
        connection.read.drain(..start + length);
        Some((opcode, payload))
    }

    /// Returns the next text message that is not a heartbeat.
    pub(crate) fn receive_text(&mut self) -> String {
        loop {
            let (opcode, payload) = self.receive().expect("a message");
            assert_eq!(opcode, TEXT, "{:?}", String::from_utf8_lossy(&payload));
            if payload != b"2" {
                return String::from_utf8(payload).expect("text");
            }
            self.text("3");
        }
    }

    pub(crate) fn expect(&mut self, text: &str) {
        assert_eq!(self.receive_text(), text);
    }

    /// Asserts that the server closes with this code and then ends the stream.
    pub(crate) fn expect_close(&mut self, code: Option<u16>) {
        let (opcode, payload) = self.receive().expect("a Close");
        let sent = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        assert_eq!((opcode, sent), (CLOSE, code), "{:?}", String::from_utf8_lossy(&payload));
        // The server may have closed the stream already, if this client violated the protocol.
        self.connection.try_write(&frame(CLOSE, payload));
        assert_eq!(self.receive(), None);
    }
}

/// An Engine.IO session over long-polling.
pub(crate) struct Polling {
    pub(crate) address: SocketAddr,
    pub(crate) target: String,
}

impl Polling {
    /// Opens a session without connecting to a namespace.
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::open_with(address, "")
    }

    /// Opens a session, with these characters at the end of the query.
    pub(crate) fn open_with(address: SocketAddr, query: &str) -> Self {
        let target = format!("/socket.io/?EIO=4&transport=polling{query}");
        let opened = request(address, "GET", &target, "\r\n").response().expect("a response");
        let sid = opened.body.split('"').nth(3).expect("a session id");
        Self { address, target: format!("{target}&sid={sid}") }
    }

    /// Opens a session and connects to the main namespace.
    pub(crate) fn joined(address: SocketAddr) -> Self {
        let session = Self::open(address);
        session.post("40").expect(200, "ok");
        let response = session.get().response().expect("a response");
        assert!(response.body.starts_with(r#"40{"sid":""#), "{response:?}");
        session
    }

    pub(crate) fn get(&self) -> Connection {
        request(self.address, "GET", &self.target, "\r\n")
    }

    pub(crate) fn post(&self, body: impl AsRef<[u8]>) -> Connection {
        self.post_with("", body)
    }

    pub(crate) fn post_with(&self, headers: &str, body: impl AsRef<[u8]>) -> Connection {
        let body = body.as_ref();
        let head = format!("Content-Length: {}\r\n{headers}\r\n", body.len());
        request(self.address, "POST", &self.target, [head.as_bytes(), body].concat())
    }

    /// Returns the request target of a WebSocket for this session.
    pub(crate) fn candidate(&self) -> String {
        self.target.replace("transport=polling", "transport=websocket")
    }

    pub(crate) fn expect_alive(&self) {
        self.post(r#"42["message","alive"]"#).expect(200, "ok");
        self.get().expect(200, r#"42["message","Echo: alive"]"#);
    }

    pub(crate) fn expect_unknown(&self) {
        self.get().expect(400, r#"{"code":1,"message":"Session ID unknown"}"#);
    }
}
