//! Clients that block: a WebSocket, and a session over long-polling on one connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::wire::{http, websocket};

/// How long a client waits for the server.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    fn open(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
        stream.set_write_timeout(Some(RESPONSE_TIMEOUT))?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Reads until `parse` finds something. It returns what it has found, and how many bytes that took.
    fn read<T>(&mut self, parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>>) -> Result<T> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some((found, used)) = parse(&self.unread)? {
                self.unread.drain(..used);
                return Ok(found);
            }
            let count = self.stream.read(&mut buffer).context("the server says nothing")?;
            ensure!(count > 0, "the server has closed a connection");
            self.unread.extend_from_slice(&buffer[..count]);
        }
    }
}

/// A session over WebSocket. Each method is one step, so that all clients can do each step at the same time.
#[derive(Debug)]
pub(super) struct WebSocket(Connection);

impl WebSocket {
    /// Sends the handshake.
    pub(super) fn begin(server: SocketAddr) -> Result<Self> {
        let mut connection = Connection::open(server)?;
        let request = http::upgrade_request("/socket.io/?EIO=4&transport=websocket", http::BROWSER_OFFER);
        connection.stream.write_all(&request)?;
        Ok(Self(connection))
    }

    /// Receives the response to the handshake, and sends the CONNECT packet of the main namespace.
    pub(super) fn join(&mut self) -> Result<()> {
        self.0.read(|bytes| {
            let Some(end) = http::head_end(bytes) else { return Ok(None) };
            http::check_upgrade(&bytes[..end])?;
            Ok(Some(((), end)))
        })?;
        self.expect("0{")?;
        self.send("40")
    }

    /// Receives the next packet that is not a ping. It must begin so.
    pub(super) fn expect(&mut self, start: &str) -> Result<()> {
        loop {
            let packet = self.0.read(|bytes| {
                let Some(found) = websocket::header(bytes) else { return Ok(None) };
                let payload = bytes.get(found.start..found.end).map(<[u8]>::to_vec);
                Ok(payload.map(|payload| (payload, found.end)))
            })?;
            if packet != b"2" {
                ensure!(packet.starts_with(start.as_bytes()), "{:?}", String::from_utf8_lossy(&packet));
                return Ok(());
            }
            self.send("3")?;
        }
    }

    pub(super) fn send(&mut self, packet: &str) -> Result<()> {
        let mut frame = Vec::new();
        websocket::put_client_frame(&mut frame, websocket::TEXT, packet.as_bytes());
        self.write(&frame)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.0.stream.write_all(bytes)?)
    }
}

/// A session over long-polling.
#[derive(Debug)]
pub(super) struct Polling {
    connection: Connection,
    path: String,
}

impl Polling {
    /// Requests a session.
    pub(super) fn begin(server: SocketAddr) -> Result<Self> {
        let path = "/socket.io/?EIO=4&transport=polling".to_owned();
        let mut session = Self { connection: Connection::open(server)?, path };
        session.request_get()?;
        Ok(session)
    }

    /// Receives the session.
    pub(super) fn open(&mut self) -> Result<()> {
        let opened = self.response()?;
        let id = opened.split('"').nth(3).context("no session")?;
        self.path = format!("{}&sid={id}", self.path);
        Ok(())
    }

    pub(super) fn request_get(&mut self) -> Result<()> {
        let mut request = Vec::new();
        http::get(&mut request, &self.path);
        Ok(self.connection.stream.write_all(&request)?)
    }

    pub(super) fn request_post(&mut self, body: &str) -> Result<()> {
        let mut request = Vec::new();
        http::post(&mut request, &self.path, body.as_bytes());
        Ok(self.connection.stream.write_all(&request)?)
    }

    /// Receives the body of the next response.
    pub(super) fn response(&mut self) -> Result<String> {
        let body = self
            .connection
            .read(|bytes| Ok(http::answer(bytes)?.map(|(body, end)| (body.into_owned(), end))))?;
        Ok(String::from_utf8(body)?)
    }
}
