//! The body of a POST: a round trip, and the same packets in their WebSocket form.

use engineio_proto::{
    Framing, LengthDelimitedPackets, Packet, ParseError, Payload, Reframer, Revision, encode_payload,
};
use ws_proto::{Connection, Event, Input, Limits, Role, Time};

use crate::memory;

/// The input is a polling body, and also bytes of packets that are queued for a poll.
pub fn polling_payload(data: &[u8]) {
    let body = String::from_utf8_lossy(data);
    let decoded = decode(&body);
    check_by_hand(&body, &decoded);
    let mut from_bytes = Payload::from_bytes(data.to_vec(), body.len()).expect("the limit is its length");
    for packet in &decoded {
        assert_eq!(from_bytes.next_packet().map(|packet| packet.map(Kept::new)).as_ref(), Some(packet));
    }
    assert_eq!(from_bytes.next_packet(), None);
    if !body.is_empty() {
        assert!(Payload::from_bytes(data.to_vec(), body.len() - 1).is_none(), "the limit counts the text");
    }

    let packets: Vec<Kept> = decoded.into_iter().filter_map(Result::ok).collect();
    let mut waiting = Vec::new();
    packets.iter().for_each(|packet| Framing::LengthDelimited.write_packet(&packet.packet(), &mut waiting));
    for framing in [Framing::WebSocket, Framing::WebSocketBase64] {
        let mut wire = Vec::new();
        Reframer::new(framing).reframe(&waiting, |header, data| {
            wire.extend_from_slice(header);
            wire.extend_from_slice(data);
        });
        assert_eq!(through_websocket(&wire, Revision::V4), packets, "{framing:?}");
    }

    let mut payload = Vec::new();
    encode_payload(LengthDelimitedPackets::new(&waiting), &mut payload);
    let payload = String::from_utf8(payload).expect("packets that were text are text again");
    let texts = body.split('\x1e').zip(&packets).map(|(text, packet)| packet.canonical(text));
    assert_eq!(payload, texts.collect::<Vec<_>>().join("\x1e"));
    if !packets.is_empty() {
        assert_eq!(decode(&payload), packets.into_iter().map(Ok).collect::<Vec<_>>());
    }

    check_any_packets(data);
}

/// A packet's type and data, in a form that can outlive the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    kind: u8,
    data: Vec<u8>,
}

impl Kept {
    pub(crate) fn new(packet: Packet<'_>) -> Self {
        let (kind, data) = match packet {
            Packet::Open(data) => (b'0', data.into()),
            Packet::Close => (b'1', Vec::new()),
            Packet::Ping(data) => (b'2', data.into()),
            Packet::Pong(data) => (b'3', data.into()),
            Packet::Message(data) => (b'4', data.into()),
            Packet::Upgrade => (b'5', Vec::new()),
            Packet::Noop => (b'6', Vec::new()),
            Packet::Binary(data) => (b'b', data.into_owned()),
        };
        Self { kind, data }
    }

    /// Returns the packet's text as an encoder without superfluous data would write it.
    fn canonical(&self, text: &str) -> String {
        match self.kind {
            b'1' | b'5' | b'6' => text[..1].into(),
            b'b' => {
                let mut canonical = Vec::new();
                self.packet().encode_into(&mut canonical);
                String::from_utf8(canonical).expect("base64")
            }
            _ => text.into(),
        }
    }

    pub(crate) fn packet(&self) -> Packet<'_> {
        let text = || std::str::from_utf8(&self.data).expect("it was text before");
        match self.kind {
            b'0' => Packet::Open(text()),
            b'1' => Packet::Close,
            b'2' => Packet::Ping(text()),
            b'3' => Packet::Pong(text()),
            b'4' => Packet::Message(text()),
            b'5' => Packet::Upgrade,
            b'6' => Packet::Noop,
            _ => Packet::Binary((&*self.data).into()),
        }
    }
}

/// Returns every packet in `body`, and checks that decoding needs little memory.
fn decode(body: &str) -> Vec<Result<Kept, ParseError>> {
    let mut payload = Payload::new(body.to_owned());
    let mut packets = Vec::new();
    while let Some(packet) = payload.next_packet() {
        packets.push(packet.map(Kept::new));
    }
    assert_eq!(payload.next_packet(), None, "nothing follows the end");

    let mut payload = Payload::new(body.to_owned());
    let held = memory::peak(|| while payload.next_packet().is_some() {});
    // One binary packet is decoded at a time, and base64 is decoded three bytes at a time.
    assert!(held <= body.len() + 3, "{held} bytes are held beside a body of {}", body.len());
    packets
}

/// Parses each part of the body by itself, up to the first one that is not a packet.
fn check_by_hand(body: &str, decoded: &[Result<Kept, ParseError>]) {
    let mut expected = Vec::new();
    for text in body.split('\x1e') {
        let packet = Packet::parse(text).map(Kept::new);
        if let Some(base64) = text.strip_prefix('b') {
            let data = base64_by_hand(base64);
            assert_eq!(packet, Ok(Kept { kind: b'b', data }), "{base64:?}");
        }
        let failed = packet.is_err();
        expected.push(packet);
        if failed {
            break;
        }
    }
    assert_eq!(decoded, expected);
}

/// Decodes base64 bit by bit: both alphabets, up to the first `=`, without the characters that are in no alphabet and
/// without the bits of an incomplete byte.
fn base64_by_hand(text: &str) -> Vec<u8> {
    const ALPHABETS: [&str; 2] = ["+/", "-_"];
    let mut bits = Vec::new();
    for character in text.split('=').next().unwrap_or_default().chars() {
        let upper = ('A'..='Z').chain('a'..='z').chain('0'..='9').position(|other| other == character);
        let last = ALPHABETS.iter().find_map(|last| last.find(character)).map(|index| 62 + index);
        if let Some(value) = upper.or(last) {
            bits.extend((0..6).rev().map(|bit| value >> bit & 1 == 1));
        }
    }
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |value, bit| value << 1 | u8::from(*bit))).collect()
}

/// Decodes `wire` as a client of this revision does.
pub(crate) fn through_websocket(wire: &[u8], revision: Revision) -> Vec<Kept> {
    let mut wire = wire.to_vec();
    let mut input = Input::new(&mut wire);
    let mut client = Connection::new(Role::Client, &Limits::default());
    let mut packets = Vec::new();
    while let Some(event) = client.decode(&mut input, Time::ZERO).expect("our frames are valid") {
        packets.push(match &event {
            Event::Text(text) => Kept::new(revision.parse_text(text).expect("our packets are valid")),
            Event::Binary(data) => Kept::new(revision.parse_binary(data).expect("our packets are valid")),
            other => panic!("{other:?} was not sent"),
        });
    }
    packets
}

/// Unchecked bytes must not cause a panic, and must not write more than base64 needs.
fn check_any_packets(waiting: &[u8]) {
    let mut payload = Vec::new();
    encode_payload(LengthDelimitedPackets::new(waiting), &mut payload);
    for framing in [Framing::WebSocket, Framing::WebSocketBase64] {
        Reframer::new(framing).reframe(waiting, |_, data| assert!(data.len() <= waiting.len()));
    }
    assert!(payload.len() <= 2 * waiting.len(), "{} bytes from {}", payload.len(), waiting.len());
}
