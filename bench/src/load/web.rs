//! Keep-alive HTTP connections for long-polling: one request at a time on each, and complete responses.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::{Errno, read, write};

use crate::wire::{http, websocket};

/// A complete unit that arrived on a connection.
#[derive(Debug)]
pub(super) enum Arrival {
    /// The body of a response.
    Answer(Vec<u8>),
    /// The WebSocket handshake was accepted.
    Upgraded,
    /// A WebSocket message.
    Message(Vec<u8>),
    /// The server has closed the connection.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Http,
    Upgrading,
    WebSocket,
    Gone,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    phase: Phase,
    unread: Vec<u8>,
}

/// The connections, by number from 0.
pub(super) struct Web {
    epoll: OwnedFd,
    address: SocketAddr,
    connections: Vec<Option<Connection>>,
    events: Vec<Event>,
    buffer: Vec<u8>,
}

impl Web {
    pub(super) fn new(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            address,
            connections: Vec::new(),
            events: vec![Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 512],
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Opens another connection and returns its number.
    pub(super) fn connect(&mut self) -> Result<usize> {
        let stream = TcpStream::connect(self.address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let place = self.connections.len();
        epoll::add(&self.epoll, &stream, EventData::new_u64(place as u64), EventFlags::IN)?;
        self.connections.push(Some(Connection { stream, phase: Phase::Http, unread: Vec::new() }));
        Ok(place)
    }

    pub(super) fn close(&mut self, place: usize) {
        self.connections[place] = None;
    }

    pub(super) fn get(&mut self, place: usize, path: &str) -> Result<()> {
        let mut out = Vec::with_capacity(1024);
        http::get(&mut out, path);
        self.send(place, &out)
    }

    pub(super) fn post(&mut self, place: usize, path: &str, body: &[u8]) -> Result<()> {
        let mut out = Vec::with_capacity(1024 + body.len());
        http::post(&mut out, path, body);
        self.send(place, &out)
    }

    pub(super) fn upgrade(&mut self, place: usize, path: &str) -> Result<()> {
        if let Some(connection) = &mut self.connections[place] {
            connection.phase = Phase::Upgrading;
        }
        self.send(place, &http::upgrade_request(path, http::BROWSER_OFFER))
    }

    pub(super) fn message(&mut self, place: usize, payload: &[u8]) -> Result<()> {
        self.send(place, &super::script::frame(payload))
    }

    /// Requests are short and nothing else is in flight, so a socket that does not accept a whole request is broken.
    fn send(&mut self, place: usize, bytes: &[u8]) -> Result<()> {
        let Some(connection) = &self.connections[place] else { return Ok(()) };
        if connection.phase == Phase::Gone {
            return Ok(());
        }
        match write(&connection.stream, bytes) {
            Ok(written) if written == bytes.len() => Ok(()),
            Ok(written) => bail!("the socket took {written} of {} bytes", bytes.len()),
            // The next read will see the end.
            Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
            Err(error) => Err(error).context("write"),
        }
    }

    /// Waits for events, with a timeout, and returns all complete units that have arrived.
    pub(super) fn turn(&mut self, timeout: Duration, arrivals: &mut Vec<(usize, Arrival)>) -> Result<()> {
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        let ready = match epoll::wait(&self.epoll, &mut self.events, Some(&timeout)) {
            Ok(ready) => ready,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error).context("epoll_wait"),
        };
        for event in &self.events[..ready] {
            let place = event.data.u64() as usize;
            let Some(connection) = &mut self.connections[place] else { continue };
            match read(&connection.stream, &mut self.buffer[..]) {
                Ok(0) => {}
                Ok(count) => {
                    connection.unread.extend_from_slice(&self.buffer[..count]);
                    connection.take_in(place, arrivals)?;
                    continue;
                }
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Err(_) => {}
            }
            connection.phase = Phase::Gone;
            let _ = epoll::delete(&self.epoll, &connection.stream);
            arrivals.push((place, Arrival::End));
        }
        Ok(())
    }
}

impl Connection {
    fn take_in(&mut self, place: usize, arrivals: &mut Vec<(usize, Arrival)>) -> Result<()> {
        let mut used = 0;
        loop {
            let bytes = &self.unread[used..];
            match self.phase {
                Phase::Http => {
                    let Some((body, end)) = http::answer(bytes)? else { break };
                    arrivals.push((place, Arrival::Answer(body.into_owned())));
                    used += end;
                }
                Phase::Upgrading => {
                    let Some(end) = http::head_end(bytes) else { break };
                    http::check_upgrade(&bytes[..end])?;
                    self.phase = Phase::WebSocket;
                    arrivals.push((place, Arrival::Upgraded));
                    used += end;
                }
                Phase::WebSocket => {
                    let Some(found) = websocket::header(bytes) else { break };
                    let Some(payload) = bytes.get(found.start..found.end) else { break };
                    let arrival = match found.first {
                        websocket::TEXT => Arrival::Message(payload.to_vec()),
                        websocket::CLOSE => Arrival::End,
                        first => bail!("the server has sent a frame that begins with {first:#x}"),
                    };
                    arrivals.push((place, arrival));
                    used += found.end;
                }
                Phase::Gone => break,
            }
        }
        self.unread.drain(..used);
        Ok(())
    }
}

/// Returns the path of the first request of a polling session.
pub(super) const OPEN: &str = "/socket.io/?EIO=4&transport=polling";

/// Returns the session id in the packet that opens a session.
pub(super) fn session_id(open: &[u8]) -> Result<String> {
    let json = open.strip_prefix(b"0").context("no open packet")?;
    let open: serde_json::Value = serde_json::from_slice(json).context("the open packet is no JSON")?;
    Ok(open["sid"].as_str().context("the open packet has no sid")?.to_owned())
}
