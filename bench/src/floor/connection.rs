//! One connection of a floor server: its protocol state, and output that its socket did not accept.

use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::{Errno, read, write};

use super::{Turn, polling, socketio};
use crate::wire::{http, websocket};

/// Whether a connection stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Go,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Http,
    Echo,
    SocketIo,
    Member,
}

/// State that most connections do not need: incomplete input, and output that the socket did not accept.
#[derive(Debug, Default)]
struct Rest {
    unread: Vec<u8>,
    unwritten: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    role: Role,
    registered_for_writing: bool,
    rest: Option<Box<Rest>>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, role: Role::Http, registered_for_writing: false, rest: None }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub(super) fn is_member(&self) -> bool {
        self.role == Role::Member
    }

    /// Reads once and handles the input. Responses are added to the state of the round.
    pub(super) fn read(&mut self, place: u64, buffer: &mut [u8], turn: &mut Turn) -> Step {
        let count = match read(&self.stream, &mut *buffer) {
            Ok(0) => return Step::End,
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Step::Go,
            Err(_) => return Step::End,
        };
        let bytes = &mut buffer[..count];
        let Some(mut unread) = self.take_unread() else {
            let (used, step) = self.parse(place, bytes, turn);
            if used < count {
                self.rest().unread.extend_from_slice(&bytes[used..]);
            }
            return step;
        };
        unread.extend_from_slice(bytes);
        let (used, step) = self.parse(place, &mut unread, turn);
        unread.drain(..used);
        if !unread.is_empty() {
            self.rest().unread = unread;
        }
        step
    }

    fn take_unread(&mut self) -> Option<Vec<u8>> {
        let rest = self.rest.as_mut()?;
        let unread = std::mem::take(&mut rest.unread);
        if rest.unwritten.is_empty() {
            self.rest = None;
        }
        (!unread.is_empty()).then_some(unread)
    }

    fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    /// Handles `bytes` and returns how many are done.
    fn parse(&mut self, place: u64, bytes: &mut [u8], turn: &mut Turn) -> (usize, Step) {
        let mut used = 0;
        while self.role == Role::Http {
            let Some(end) = http::head_end(&bytes[used..]) else { return (used, Step::Go) };
            let head = &bytes[used..used + end];
            if let Some(key) = http::value(head, "sec-websocket-key") {
                turn.out.extend_from_slice(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ",
                );
                turn.out.extend_from_slice(websocket::accept(key).as_bytes());
                turn.out.extend_from_slice(b"\r\n\r\n");
                self.role = Role::Echo;
                if head.starts_with(b"GET /socket.io/") {
                    self.role = Role::SocketIo;
                    if !polling::upgrade(place, head, turn) {
                        websocket::put_server_frame(
                            &mut turn.out,
                            websocket::TEXT,
                            socketio::open(place).as_bytes(),
                        );
                    }
                }
                used += end;
                break;
            }
            let Some(length) = polling::handle(place, &bytes[used..], end, turn) else {
                return (used, Step::Go);
            };
            used += length;
            if used == bytes.len() {
                return (used, Step::Go);
            }
        }
        while let Some(found) = websocket::header(&bytes[used..]) {
            let Some(frame) = bytes.get_mut(used..used + found.end) else { break };
            let payload = &mut frame[found.start..];
            if let Some(key) = found.mask {
                websocket::apply_mask(payload, key);
            }
            used += found.end;
            match (found.first, self.role) {
                (websocket::CLOSE, _) => return (used, Step::End),
                (websocket::PING, _) => websocket::put_server_frame(&mut turn.out, websocket::PONG, payload),
                (first, Role::Echo) => websocket::put_server_frame(&mut turn.out, first, payload),
                _ => {
                    if socketio::handle(place, payload, turn) {
                        self.role = Role::Member;
                    }
                }
            }
        }
        (used, Step::Go)
    }

    /// Writes once. Bytes that the socket does not accept are kept.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Step {
        if let Some(rest) = &mut self.rest
            && !rest.unwritten.is_empty()
        {
            rest.unwritten.extend_from_slice(bytes);
            return Step::Go;
        }
        let written = match write(&self.stream, bytes) {
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(_) => return Step::End,
        };
        if written < bytes.len() {
            self.rest().unwritten.extend_from_slice(&bytes[written..]);
        }
        Step::Go
    }

    /// Writes the kept bytes.
    pub(super) fn flush(&mut self) -> Step {
        let Some(rest) = &mut self.rest else { return Step::Go };
        match write(&self.stream, &rest.unwritten) {
            Ok(count) => drop(rest.unwritten.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return Step::End,
        }
        if rest.unwritten.is_empty() && rest.unread.is_empty() {
            self.rest = None;
        }
        Step::Go
    }

    /// Returns the new write interest for the epoll, or `None` if it has not changed: `true` while bytes wait for the
    /// socket to accept them.
    pub(super) fn interest_changed(&mut self) -> Option<bool> {
        let waits = self.rest.as_ref().is_some_and(|rest| !rest.unwritten.is_empty());
        let changed = waits != self.registered_for_writing;
        self.registered_for_writing = waits;
        changed.then_some(waits)
    }
}
