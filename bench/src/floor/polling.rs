//! Long-polling: the open GET of a session, and the packets for the next one.

use std::collections::HashMap;
use std::io::Write;

use super::{Turn, socketio};
use crate::wire::http;

#[derive(Debug, Default)]
struct Session {
    /// The connection with the open GET.
    poll: Option<u64>,
    /// Packets for the next GET.
    waiting: Vec<u8>,
}

/// All polling sessions by id. An id is a number of twenty digits.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    sessions: HashMap<u64, Session>,
    opened: u64,
    /// Sessions that upgrade to WebSocket, in the order of their handshakes.
    upgrading: HashMap<u64, u64>,
}

impl Sessions {
    /// Responds with `noop` to the open GET of the session that upgrades on connection `place`.
    pub(super) fn release_poll(&mut self, place: u64, elsewhere: &mut Vec<(u64, Vec<u8>)>) {
        let Some(session) = self.upgrading.remove(&place) else { return };
        let Some(session) = self.sessions.remove(&session) else { return };
        if let Some(poll) = session.poll {
            let mut bytes = Vec::new();
            respond(&mut bytes, b"6");
            elsewhere.push((poll, bytes));
        }
    }
}

/// Returns the session in the request's query.
pub(super) fn session(head: &[u8]) -> Option<u64> {
    let line = head.split(|&byte| byte == b'\r').next()?;
    let start = line.windows(5).position(|window| window == b"&sid=")? + 5;
    std::str::from_utf8(line.get(start..start + 20)?).ok()?.parse().ok()
}

/// Records that the session upgrades to the WebSocket on connection `place`.
pub(super) fn upgrade(place: u64, head: &[u8], turn: &mut Turn) -> bool {
    let Some(session) = session(head) else { return false };
    turn.sessions.upgrading.insert(place, session);
    true
}

/// Responds to a GET or POST whose head has `end` bytes. Returns the length of the request, or `None` if it is
/// incomplete.
pub(super) fn handle(place: u64, bytes: &[u8], end: usize, turn: &mut Turn) -> Option<usize> {
    let head = &bytes[..end];
    let Turn { out, sessions, elsewhere, .. } = turn;
    let Some(id) = session(head) else {
        sessions.opened += 1;
        sessions.sessions.insert(sessions.opened, Session::default());
        respond(out, socketio::open(sessions.opened).as_bytes());
        return Some(end);
    };
    if head.starts_with(b"GET") {
        let Some(session) = sessions.sessions.get_mut(&id) else {
            // The session has upgraded to WebSocket, and the client does not know yet.
            respond(out, b"6");
            return Some(end);
        };
        if session.waiting.is_empty() {
            session.poll = Some(place);
        } else {
            respond(out, &session.waiting);
            session.waiting.clear();
        }
        return Some(end);
    }
    let length: usize = std::str::from_utf8(http::value(head, "content-length")?).ok()?.parse().ok()?;
    let body = bytes.get(end..end + length)?;
    respond(out, b"ok");
    let session = sessions.sessions.get_mut(&id)?;
    let connected;
    let answer = if body == b"40" {
        connected = socketio::connected(id);
        connected.as_bytes()
    } else if body.starts_with(b"42") {
        body
    } else {
        return Some(end + length);
    };
    match session.poll.take() {
        Some(poll) => {
            let mut bytes = Vec::with_capacity(160 + answer.len());
            respond(&mut bytes, answer);
            elsewhere.push((poll, bytes));
        }
        None => {
            if !session.waiting.is_empty() {
                session.waiting.push(0x1e);
            }
            session.waiting.extend_from_slice(answer);
        }
    }
    Some(end + length)
}

fn respond(out: &mut Vec<u8>, body: &[u8]) {
    write!(
        out,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .expect("a Vec takes everything");
    out.extend_from_slice(body);
}
