//! The messages of clients, and the expected responses.
//!
//! A message is a template into which the connection number and the sequence number are written. So no two messages of
//! a run are equal, and a lost, repeated, reordered or damaged response is always detected.

use std::ops::Range;

use super::deflate::{self, Agreement};
use super::options::Compression;
use crate::wire::websocket::{self, COMPRESSED_TEXT, KEY, TEXT};

/// The number of digits of a connection number.
const CONNECTION: usize = 5;
/// The number of digits of a sequence number. Numbers start at [`FIRST`], so that their width does not change.
/// Acknowledgement ids must not begin with a zero.
const ORDER: usize = 9;
const FIRST: u32 = 100_000_000;

/// The position of the sequence number in a text without protocol bytes.
pub(super) const ORDER_PLACE: Range<usize> = CONNECTION + 1..CONNECTION + 1 + ORDER;

/// The form of requests and responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The text is echoed.
    Raw,
    /// The event `echo` is sent back.
    Event,
    /// The text is sent back as the value of the acknowledgement.
    Ack,
    /// The event `broadcast` is sent to all members.
    Broadcast,
}

/// A compressed workload cycles through this many texts. Together they are longer than any window, so that no message
/// repeats one that the other end still has in its window.
const TURN: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Script {
    lines: Vec<Line>,
}

/// A request and its response.
#[derive(Debug)]
struct Line {
    request: Text,
    answer: Text,
    /// The compressed form of the request.
    packed: Option<Text>,
}

/// A text and the positions of its numbers.
#[derive(Debug, Clone)]
struct Text {
    bytes: Vec<u8>,
    connection: usize,
    orders: Vec<usize>,
}

impl Script {
    /// Creates a script whose payloads have `size` bytes. The first fifteen bytes are the numbers.
    pub(super) fn new(kind: Kind, size: usize) -> Self {
        let filler = "the quick brown fox jumps over the lazy dog 0123456789 ".chars().cycle();
        let filler: String = filler.take(size.saturating_sub(CONNECTION + 1 + ORDER)).collect();
        let payload = format!("{}:{}{filler}", "0".repeat(CONNECTION), "0".repeat(ORDER));
        Self { lines: vec![Line::new(kind, &payload)] }
    }

    /// Creates a script for compressed messages. The payload is JSON, as programs send it.
    pub(super) fn for_compression(kind: Kind, size: usize, compression: Compression) -> Self {
        if compression == Compression::Off {
            return Self::new(kind, size);
        }
        let mut numbers = Numbers(0x2545_f491);
        let count = TURN / size.clamp(1, TURN) + 1;
        Self { lines: (0..count).map(|_| Line::new(kind, &json(size, &mut numbers))).collect() }
    }

    /// Sends requests compressed from now on, as agreed with the server.
    pub(super) fn pack(&mut self, agreement: &Agreement) {
        for line in &mut self.lines {
            let Text { bytes, connection, orders } = &line.request;
            let stored = orders.last().map_or(0, |order| order + ORDER);
            let shift = |place: &usize| place + deflate::STORED_HEADER;
            line.packed = Some(Text {
                bytes: deflate::pack(bytes, stored, agreement),
                connection: shift(connection),
                orders: orders.iter().map(shift).collect(),
            });
        }
    }

    #[inline]
    fn line(&mut self, order: u32) -> &mut Line {
        let place = if self.lines.len() == 1 { 0 } else { order as usize % self.lines.len() };
        &mut self.lines[place]
    }

    /// Appends the request as one masked frame.
    #[inline]
    pub(super) fn put_request(&mut self, out: &mut Vec<u8>, connection: usize, order: u32) {
        let line = self.line(order);
        let (first, text) = match &mut line.packed {
            Some(packed) => (COMPRESSED_TEXT, packed),
            None => (TEXT, &mut line.request),
        };
        text.number(connection, order);
        websocket::put_client_frame(out, first, &text.bytes);
    }

    /// Returns the request without a frame.
    pub(super) fn request(&mut self, connection: usize, order: u32) -> &[u8] {
        let request = &mut self.line(order).request;
        request.number(connection, order);
        &request.bytes
    }

    /// Returns whether `payload` is exactly the response to that request.
    #[inline]
    pub(super) fn is_answer(&mut self, payload: &[u8], connection: usize, order: u32) -> bool {
        let answer = &mut self.line(order).answer;
        answer.number(connection, order);
        answer.bytes == payload
    }

    /// Returns the sequence number in `payload`, at any position in the run.
    pub(super) fn order_of(&self, payload: &[u8]) -> Option<u32> {
        let start = *self.lines.first()?.answer.orders.last()?;
        let digits = std::str::from_utf8(payload.get(start..start + ORDER)?).ok()?;
        digits.parse::<u32>().ok()?.checked_sub(FIRST)
    }
}

impl Line {
    fn new(kind: Kind, payload: &str) -> Self {
        let order = "0".repeat(ORDER);
        let (request, answer) = match kind {
            Kind::Raw => (payload.to_owned(), payload.to_owned()),
            Kind::Event => (format!(r#"42["echo","{payload}"]"#), format!(r#"42["echo","{payload}"]"#)),
            Kind::Ack => (format!(r#"42{order}["ack","{payload}"]"#), format!(r#"43{order}["{payload}"]"#)),
            Kind::Broadcast => {
                let event = format!(r#"42["broadcast","{payload}"]"#);
                (event.clone(), event)
            }
        };
        Self { request: Text::new(&request), answer: Text::new(&answer), packed: None }
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
        let digits = order_digits(order);
        for &start in &self.orders {
            self.bytes[start..start + ORDER].copy_from_slice(&digits);
        }
        put_digits(&mut self.bytes[self.connection..self.connection + CONNECTION], connection as u32);
    }
}

/// The digits of a sequence number.
#[inline]
pub(super) fn order_digits(order: u32) -> [u8; ORDER] {
    let mut digits = [0; ORDER];
    put_digits(&mut digits, order + FIRST);
    digits
}

#[inline]
fn put_digits(places: &mut [u8], mut number: u32) {
    for place in places.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Returns a JSON text of that length which begins with the numbers: a list of chat messages, with the repetitive and
/// varying parts of such a list.
fn json(size: usize, numbers: &mut Numbers) -> String {
    const WORDS: [&str; 24] = [
        "the", "build", "is", "green", "again", "who", "has", "looked", "at", "this", "branch", "before",
        "lunch", "see", "ticket", "for", "details", "and", "please", "restart", "staging", "when", "done",
        "thanks",
    ];
    const NAMES: [&str; 8] = ["marta.k", "jonas", "li.wei", "amara_o", "s.novak", "priya", "tomas", "ines.r"];
    let mut below = |limit: u32| numbers.below(limit);
    let mut text = format!(r#"["{}:{}""#, "0".repeat(CONNECTION), "0".repeat(ORDER));
    let mut at = 51_000_u32;
    loop {
        at += below(90_000);
        let mut message = format!(
            r#",{{"id":{},"user":"{}","room":"general","at":"2026-11-22T09:{:02}:{:02}.{:03}Z","text":""#,
            8_100_000 + below(900_000),
            NAMES[below(8) as usize],
            at / 60_000 % 60,
            at / 1_000 % 60,
            at % 1_000
        );
        for word in 0..4 + below(14) {
            let space = if word == 0 { "" } else { " " };
            message.push_str(space);
            message.push_str(WORDS[below(24) as usize]);
        }
        message.push_str("\"}");
        if text.len() + message.len() + 1 > size {
            break;
        }
        text.push_str(&message);
    }
    // JSON allows spaces at the end of a list.
    let blanks = size.saturating_sub(text.len() + 1);
    text.push_str(&" ".repeat(blanks));
    text.push(']');
    text
}

/// Pseudo-random numbers that are the same in every run.
struct Numbers(u32);

impl Numbers {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % limit
    }
}

/// Appends a complete client message that is not part of a script.
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
    fn what_is_to_be_compressed_is_json_of_the_size_with_the_numbers_in_it() {
        for size in [1_024, 16_384] {
            let mut script = Script::for_compression(Kind::Raw, size, Compression::Deflate);
            let text = script.request(17, 5).to_vec();
            assert_eq!(text.len(), size);
            let list: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
            assert_eq!(list[0], "00017:100000005");
            script.pack(&Agreement::of(Some(b"permessage-deflate")).unwrap().unwrap());
            let mut frame = Vec::new();
            script.put_request(&mut frame, 17, 5);
            assert!(frame.len() < size / 2, "{}", frame.len());
            assert!(script.is_answer(&text, 17, 5));
        }
    }

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
