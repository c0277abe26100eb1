//! A server that sends exactly the bytes that a test wants, at the moment that it wants.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;

use tidewire_engineio_client::Connector;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use ws_proto::{Connection, Event, FrameHeader, Input, Limits, Opcode, Role, Time, accept_key, encode_frame};

use crate::support::soon;

/// The open packet of most tests. Its heartbeat is slow.
pub(crate) const OPEN: &str = r#"0{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;

pub(crate) struct ScriptedServer {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl ScriptedServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        Self { listener, address }
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::new(&format!("http://{}", self.address))
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = soon(self.listener.accept()).await.expect("a connection");
        Peer { stream, unread: Vec::new() }
    }

    /// Returns whether a connection waits to be accepted.
    pub(crate) async fn has_connection(&self) -> bool {
        // Gives the runtime a chance to ask the system.
        tokio::task::yield_now().await;
        poll_fn(|cx| Poll::Ready(self.listener.poll_accept(cx).is_ready())).await
    }

    /// Accepts a connection and reads the request on it.
    pub(crate) async fn request(&self) -> (Peer, Request) {
        let mut peer = self.accept().await;
        let request = peer.request().await;
        (peer, request)
    }

    /// Opens a session with this open packet. Returns the connection of the GETs.
    pub(crate) async fn open(&self, open: &str) -> Peer {
        let (mut peer, request) = self.request().await;
        assert_eq!((request.method.as_str(), request.parameter("sid")), ("GET", None));
        peer.respond(open).await;
        peer
    }

    /// Accepts a WebSocket.
    pub(crate) async fn websocket(&self) -> (WebSocket, Request) {
        self.websocket_with("").await
    }

    /// Accepts a WebSocket, with more headers in the response.
    pub(crate) async fn websocket_with(&self, headers: &str) -> (WebSocket, Request) {
        let (mut peer, request) = self.request().await;
        let accept = accept_key(request.header("sec-websocket-key").expect("a handshake"));
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{headers}\r\n"
        );
        peer.write(head.as_bytes()).await;
        let machine = Connection::new(Role::Server, &Limits::default());
        (WebSocket { peer, machine }, request)
    }
}

/// A connection of a client.
pub(crate) struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A request of a client.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    head: String,
    pub(crate) body: String,
}

impl Request {
    /// Returns a header. Its name is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns a parameter of the query, as it is encoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let query = self.target.split_once('?')?.1;
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

impl Peer {
    /// Reads a request. The body needs a `Content-Length`.
    pub(crate) async fn request(&mut self) -> Request {
        soon(self.next_request()).await.expect("a request")
    }

    /// Reads a request. `None` if the client closes the connection instead.
    pub(crate) async fn next_request(&mut self) -> Option<Request> {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).expect("text");
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut request = Request {
            method: method.to_owned(),
            target: target.to_owned(),
            head: head.clone(),
            body: String::new(),
        };
        let length = request.header("content-length").map_or(0, |length| length.parse().expect("a number"));
        while self.unread.len() < length {
            assert!(self.fill().await, "the body ends early");
        }
        request.body = String::from_utf8(self.unread.drain(..length).collect()).expect("text");
        Some(request)
    }

    /// Reads more bytes. Returns `false` at the end of the connection.
    async fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..read]);
        read > 0
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.expect("the client reads");
    }

    /// Writes as much as the client reads. Returns `false` if it closes the connection.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> bool {
        soon(self.stream.write_all(bytes)).await.is_ok()
    }

    pub(crate) async fn respond(&mut self, body: &str) {
        self.respond_with("200 OK", "", body).await;
    }

    /// Sends a response with these headers, each with a line end.
    pub(crate) async fn respond_with(&mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        self.write(
            format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}").as_bytes(),
        )
        .await;
    }

    /// Waits until the client closes the connection.
    pub(crate) async fn closed(&mut self) {
        soon(async { while self.fill().await {} }).await;
    }
}

/// The server's end of a WebSocket.
pub(crate) struct WebSocket {
    pub(crate) peer: Peer,
    machine: Connection,
}

impl WebSocket {
    pub(crate) async fn send(&mut self, text: &str) {
        let mut wire = Vec::new();
        encode_frame(Opcode::Text, text.as_bytes(), None, &mut wire);
        self.peer.write(&wire).await;
    }

    /// Returns the header of the next frame, and drops the frame.
    pub(crate) async fn frame(&mut self) -> FrameHeader {
        soon(async {
            loop {
                let unread = &mut self.peer.unread;
                if let Ok(Some((header, length))) = FrameHeader::parse(unread)
                    && unread.len() >= length + header.payload_len as usize
                {
                    unread.drain(..length + header.payload_len as usize);
                    return header;
                }
                assert!(self.peer.fill().await, "the client sends a frame");
            }
        })
        .await
    }

    /// Returns the next message, or `None` after the close frame or the end of the connection.
    pub(crate) async fn recv(&mut self) -> Option<String> {
        soon(async {
            loop {
                let mut bytes = std::mem::take(&mut self.peer.unread);
                let mut input = Input::new(&mut bytes);
                let event = self.machine.decode(&mut input, Time::ZERO).expect("the client keeps the rules");
                let event = event.map(Event::into_owned);
                let rest = input.len();
                self.peer.unread = bytes[bytes.len() - rest..].to_vec();
                match event {
                    Some(Event::Text(text)) => return Some(text.into_owned()),
                    Some(Event::Binary(data)) => return Some(format!("{data:?}")),
                    Some(Event::Close(_)) => return None,
                    Some(_) => {}
                    None => {
                        if !self.peer.fill().await {
                            return None;
                        }
                    }
                }
            }
        })
        .await
    }

    pub(crate) async fn expect(&mut self, text: &str) {
        assert_eq!(self.recv().await.as_deref(), Some(text));
    }
}
