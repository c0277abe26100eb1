//! What clients say, and what they must hear in answer.
//!
//! A message is a template with the numbers of its connection and its place in order written into it, so that no
//! two messages of a run are alike: a lost, repeated, misplaced or damaged answer cannot pass for another one.

use crate::wire::websocket::{self, KEY, TEXT};

/// Digits of the number of a connection.
const CONNECTION: usize = 5;
/// Digits of a place in order. Counted from [`FIRST`], it keeps its width, also as the id of an acknowledgement, which
/// may not begin with zeros.
const ORDER: usize = 9;
const FIRST: u32 = 100_000_000;

/// The shape of request and answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The text comes back.
    Raw,
    /// The event `echo` comes back.
    Event,
    /// The text comes back as the value of the acknowledgement.
    Ack,
    /// The event `broadcast` comes back, to everybody.
    Broadcast,
}

#[derive(Debug)]
pub(super) struct Script {
    request: Text,
    answer: Text,
}

/// A text and where its numbers stand.
#[derive(Debug, Clone)]
struct Text {
    bytes: Vec<u8>,
    connection: usize,
    orders: Vec<usize>,
}

impl Script {
    /// Payloads have `size` bytes, of which the numbers are the first fifteen.
    pub(super) fn new(kind: Kind, size: usize) -> Self {
        let zeros = |count: usize| "0".repeat(count);
        let (connection, order) = (zeros(CONNECTION), zeros(ORDER));
        let filler = "the quick brown fox jumps over the lazy dog 0123456789 ".chars().cycle();
        let filler: String = filler.take(size.saturating_sub(CONNECTION + 1 + ORDER)).collect();
        let payload = format!("{connection}:{order}{filler}");
        let (request, answer) = match kind {
            Kind::Raw => (payload.clone(), payload),
            Kind::Event => (format!(r#"42["echo","{payload}"]"#), format!(r#"42["echo","{payload}"]"#)),
            Kind::Ack => (format!(r#"42{order}["ack","{payload}"]"#), format!(r#"43{order}["{payload}"]"#)),
            Kind::Broadcast => {
                let event = format!(r#"42["broadcast","{payload}"]"#);
                (event.clone(), event)
            }
        };
        Self { request: Text::new(&request), answer: Text::new(&answer) }
    }

    /// Appends the request as one masked frame.
    #[inline]
    pub(super) fn put_request(&mut self, out: &mut Vec<u8>, connection: usize, order: u32) {
        self.request.number(connection, order);
        websocket::put_client_frame(out, TEXT, &self.request.bytes);
    }

    /// The request without a frame.
    pub(super) fn request(&mut self, connection: usize, order: u32) -> &[u8] {
        self.request.number(connection, order);
        &self.request.bytes
    }

    /// Whether `payload` is exactly the answer to that request.
    #[inline]
    pub(super) fn is_answer(&mut self, payload: &[u8], connection: usize, order: u32) -> bool {
        self.answer.number(connection, order);
        self.answer.bytes == payload
    }

    /// The place in order that `payload` claims to answer, wherever it stands by now.
    pub(super) fn order_of(&self, payload: &[u8]) -> Option<u32> {
        let start = *self.answer.orders.last()?;
        let digits = std::str::from_utf8(payload.get(start..start + ORDER)?).ok()?;
        digits.parse::<u32>().ok()?.checked_sub(FIRST)
    }
}

impl Text {
    fn new(text: &str) -> Self {
        let connection = text.find("00000:").expect("every payload begins with the connection");
        let id = text.find("000000000").filter(|&id| id < connection);
        let orders = id.into_iter().chain([connection + CONNECTION + 1]).collect();
        Self { bytes: text.as_bytes().to_vec(), connection, orders }
    }

    #[inline]
    fn number(&mut self, connection: usize, order: u32) {
        let mut digits = [0; ORDER];
        put_digits(&mut digits, order + FIRST);
        for &start in &self.orders {
            self.bytes[start..start + ORDER].copy_from_slice(&digits);
        }
        put_digits(&mut self.bytes[self.connection..self.connection + CONNECTION], connection as u32);
    }
}

#[inline]
fn put_digits(places: &mut [u8], mut number: u32) {
    for place in places.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// A whole message of a client that is no part of a script.
pub(super) fn frame(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 14);
    websocket::put_header(&mut out, TEXT, payload.len(), Some(KEY));
    let start = out.len();
    out.extend_from_slice(payload);
    websocket::apply_mask(&mut out[start..], KEY);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_their_numbers_and_their_size() {
        let mut script = Script::new(Kind::Raw, 32);
        assert_eq!(script.request(17, 5), b"00017:100000005the quick brown f");
        let mut script = Script::new(Kind::Ack, 15);
        assert_eq!(script.request(17, 5), br#"42100000005["ack","00017:100000005"]"#);
        assert!(script.is_answer(br#"43100000005["00017:100000005"]"#, 17, 5));
        assert!(!script.is_answer(br#"43100000005["00017:100000006"]"#, 17, 5));
        assert_eq!(script.order_of(br#"43100000007["00017:100000007"]"#), Some(7));
    }
}
