//! Percent-encodes bytes in the query of HTTP/1.1 requests that clients send as they are, and that hyper would refuse.
//!
//! `?user={"id":1}` is not a valid query (RFC 3986 §3.4), but clients send it and Node accepts it. The crate `http`, which
//! hyper uses, accepts most of these bytes, but neither `"`, `<` and `>` nor bytes that are not UTF-8.
//!
//! An inserted byte at a wrong place would move the beginning of the next request, which is request smuggling. The filter
//! therefore changes bytes only where it is certain that hyper reads a request line. It does not parse headers: it finds
//! the end of a head, which is an empty line, passes on nothing beyond it, and waits until hyper has parsed the head.
//! Then hyper itself says how long the body is. If anything else happens, the filter ends, and all further bytes pass
//! unchanged.

use std::sync::{Mutex, PoisonError};

use memchr::{memchr, memchr3};

/// What hyper has found out about the head that it parsed last. The service sets it when it is called, and the filter
/// takes it when hyper reads again. Both run in the task of the connection.
#[derive(Debug, Default)]
pub(crate) struct ParsedHead(Mutex<Option<Continuation>>);

/// What follows the head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Continuation {
    /// A body of this length, and then the next request.
    Body(u64),
    /// The response decides whether a request or another protocol follows.
    AfterResponse,
    /// A body of unknown length, or another protocol.
    Unknown,
}

impl ParsedHead {
    pub(crate) fn set(&self, continuation: Continuation) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(continuation);
    }

    fn take(&self) -> Option<Continuation> {
        let mut head = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // `AfterResponse` stays until the service replaces it.
        if *head == Some(Continuation::AfterResponse) { *head } else { head.take() }
    }
}

/// The position in the bytes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the request line. Empty lines may come before it (RFC 9112 §2.2).
    Start,
    Method,
    /// In the request target, before the query.
    Target,
    Query,
    /// In the rest of the head, and what the current line contains so far.
    Line(LineContent),
    /// All bytes of the head have been passed to hyper.
    HeadEnd,
    /// In a body that has this many more bytes.
    Body(u64),
    /// The position is not known.
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineContent {
    Nothing,
    CarriageReturn,
    Text,
}

/// The filter of one connection. It keeps no bytes.
#[derive(Debug)]
pub(crate) struct RequestFilter(State);

impl RequestFilter {
    /// Creates a filter for a connection that begins with a request.
    pub(crate) fn new() -> Self {
        Self(State::Start)
    }

    /// Ends the filter: from now on, bytes pass unchanged.
    pub(crate) fn end(&mut self) {
        self.0 = State::Off;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.0 == State::Off
    }

    /// Moves on to what follows a head. Call this when hyper reads, because it has then parsed the bytes that it has.
    pub(crate) fn continue_after(&mut self, head: &ParsedHead) {
        self.0 = match (self.0, head.take()) {
            (State::HeadEnd, Some(Continuation::Body(length))) => State::body(length),
            (State::HeadEnd, Some(Continuation::AfterResponse)) => State::HeadEnd,
            // The filter and hyper agree that the head is not complete.
            (state, None) if state != State::HeadEnd => state,
            (_, Some(_) | None) => State::Off,
        };
    }

    /// Passes bytes from `input` to `output`, at most `capacity` bytes. Returns how many bytes of `input` it has passed.
    /// That is at least one, if neither `input` nor `capacity` is empty.
    pub(crate) fn filter(
        &mut self,
        input: &[u8],
        mut capacity: usize,
        mut output: impl FnMut(&[u8]),
    ) -> usize {
        if self.0 == State::HeadEnd && !input.is_empty() {
            // The server has not decided about the request before: these may be bytes of another protocol.
            self.end();
        }
        let mut passed = 0;
        while passed < input.len() && capacity > 0 && self.0 != State::HeadEnd {
            let rest = &input[passed..][..capacity.min(input.len() - passed)];
            if self.0 == State::Query && must_be_encoded(rest[0]) {
                let encoded = percent_encode(rest[0]);
                if capacity < encoded.len() && passed > 0 {
                    break;
                }
                // If hyper has no capacity for three bytes, the head is too long, and hyper refuses it.
                let encoded = &encoded[..encoded.len().min(capacity)];
                output(encoded);
                passed += 1;
                capacity -= encoded.len();
                continue;
            }
            let length = self.0.advance(rest);
            output(&rest[..length]);
            passed += length;
            capacity -= length;
        }
        passed
    }
}

impl State {
    /// The state before the bytes that follow a head.
    fn body(length: u64) -> Self {
        if length == 0 { Self::Start } else { Self::Body(length) }
    }

    /// Moves over the bytes that pass unchanged, and returns their number. It stops at the end of a head, and before a
    /// byte that must be encoded.
    fn advance(&mut self, bytes: &[u8]) -> usize {
        match *self {
            Self::Off => bytes.len(),
            Self::Body(left) => {
                let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                *self = Self::body(left - length as u64);
                length
            }
            Self::Start | Self::Method | Self::Target | Self::Query | Self::Line(_) | Self::HeadEnd => {
                let mut position = 0;
                while position < bytes.len() && *self != Self::HeadEnd {
                    position += self.constant_prefix(&bytes[position..]);
                    let Some(byte) = bytes.get(position) else { break };
                    if *self == Self::Query && must_be_encoded(*byte) {
                        break;
                    }
                    *self = self.after(*byte);
                    position += 1;
                }
                position
            }
        }
    }

    /// Returns the number of bytes at the beginning that do not change the state, or fewer. A head has hundreds of bytes, and
    /// only a few of them matter.
    fn constant_prefix(self, bytes: &[u8]) -> usize {
        let end = match self {
            Self::Target => memchr3(b'?', b' ', b'\n', bytes),
            Self::Query => {
                bytes.iter().position(|byte| matches!(byte, b' ' | b'\n') || must_be_encoded(*byte))
            }
            Self::Line(LineContent::Text) => memchr(b'\n', bytes),
            Self::Off => None,
            _ => Some(0),
        };
        end.unwrap_or(bytes.len())
    }

    /// Returns the state after a byte of a head. Lines end with LF, as in hyper's parser, which allows the CR to be
    /// missing (RFC 9112 §2.2).
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Start, b'\r' | b'\n') => Self::Start,
            (Self::Method, b' ') => Self::Target,
            (Self::Target, b'?') => Self::Query,
            (Self::Target | Self::Query, b' ') => Self::Line(LineContent::Text),
            // Not a request line. hyper refuses it.
            (Self::Method | Self::Target | Self::Query, b'\n') => Self::Off,
            (Self::Start, _) => Self::Method,
            (Self::Method | Self::Target | Self::Query, _) => self,
            (Self::Line(LineContent::Nothing | LineContent::CarriageReturn), b'\n') => Self::HeadEnd,
            (Self::Line(LineContent::Text), b'\n') => Self::Line(LineContent::Nothing),
            (Self::Line(LineContent::Nothing), b'\r') => Self::Line(LineContent::CarriageReturn),
            (Self::Line(_), _) => Self::Line(LineContent::Text),
            (Self::HeadEnd | Self::Body(_) | Self::Off, _) => Self::Off,
        }
    }
}

/// Returns whether hyper would refuse this byte in a query. Whether a byte that is not ASCII belongs to a character in
/// UTF-8 shows only later, so all of them are encoded, as browsers do.
fn must_be_encoded(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | 0x80..)
}

fn percent_encode(byte: u8) -> [u8; 3] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

#[cfg(test)]
mod tests;
