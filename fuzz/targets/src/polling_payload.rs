//! The body of a POST: there and back, and the same packets in their WebSocket form.

use engineio_proto::{MessageEncoder, Packet, ParseError, Payload, encode_packet, encode_payload};
use ws_proto::{Connection, Event, Input, Limits, Role, Time};

use crate::memory;

/// A polling body; and once more the same bytes, as frames that wait for a poll.
pub fn polling_payload(data: &[u8]) {
    let body = String::from_utf8_lossy(data);
    let decoded = decode(&body);
    check_by_hand(&body, &decoded);

    let packets: Vec<Kept> = decoded.into_iter().filter_map(Result::ok).collect();
    let mut wire = Vec::new();
    packets.iter().for_each(|packet| packet.encode(&mut wire));
    assert_eq!(through_websocket(&wire), packets);

    let mut payload = Vec::new();
    encode_payload(&wire, &mut payload);
    let payload = String::from_utf8(payload).expect("packets that were text are text again");
    let texts = body.split('\x1e').zip(&packets).map(|(text, packet)| packet.canonical(text));
    assert_eq!(payload, texts.collect::<Vec<_>>().join("\x1e"));
    if !packets.is_empty() {
        assert_eq!(decode(&payload), packets.into_iter().map(Ok).collect::<Vec<_>>());
    }

    check_any_frames(data);
}

/// A packet's type and data, so that it can outlive the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    kind: u8,
    data: Vec<u8>,
}

impl Kept {
    fn new(packet: Packet<'_>) -> Self {
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

    /// How the packet would have been written by somebody who writes nothing in vain.
    fn canonical<'t>(&self, text: &'t str) -> &'t str {
        if matches!(self.kind, b'1' | b'5' | b'6') { &text[..1] } else { text }
    }

    fn text(&self) -> String {
        char::from(self.kind).to_string() + std::str::from_utf8(&self.data).expect("it was text before")
    }

    /// Appends the frame, or for a message the packet group, that a server would send for this packet.
    fn encode(&self, wire: &mut Vec<u8>) {
        let mut encoder = MessageEncoder::new();
        match self.kind {
            b'b' => {
                // Attachments only come behind a text, which is taken away again.
                encoder.begin();
                encoder.parts().1.push(&self.data);
                wire.extend_from_slice(&encoder.finish().as_wire()[3..]);
            }
            b'4' => {
                encoder.begin();
                encoder.text().extend_from_slice(&self.data);
                wire.extend_from_slice(encoder.finish().as_wire());
            }
            _ => encode_packet(&self.text(), wire),
        }
    }
}

/// Everything that comes out of `body`, whatever it costs not much memory.
fn decode(body: &str) -> Vec<Result<Kept, ParseError>> {
    let mut payload = Payload::new(body.to_owned());
    let mut packets = Vec::new();
    while let Some(packet) = payload.next_packet() {
        packets.push(packet.map(Kept::new));
    }
    assert_eq!(payload.next_packet(), None, "the end is the end");

    let mut payload = Payload::new(body.to_owned());
    let held = memory::peak(|| while payload.next_packet().is_some() {});
    // One binary packet at a time; base64 is decoded three bytes at a time.
    assert!(held <= body.len() + 3, "{held} bytes are held beside a body of {}", body.len());
    packets
}

/// The parts of the body, each parsed by itself, up to the first that is no packet.
fn check_by_hand(body: &str, decoded: &[Result<Kept, ParseError>]) {
    let mut expected = Vec::new();
    for text in body.split('\x1e') {
        let packet = Packet::parse(text).map(Kept::new);
        let failed = packet.is_err();
        expected.push(packet);
        if failed {
            break;
        }
    }
    assert_eq!(decoded, expected);
}

/// What a client makes of `wire`: a text message is a packet, a binary one is data.
fn through_websocket(wire: &[u8]) -> Vec<Kept> {
    let mut wire = wire.to_vec();
    let mut input = Input::new(&mut wire);
    let mut client = Connection::new(Role::Client, &Limits::default());
    let mut packets = Vec::new();
    while let Some(event) = client.decode(&mut input, Time::ZERO).expect("our frames are valid") {
        packets.push(match &event {
            Event::Text(text) => Kept::new(Packet::parse(text).expect("our packets are valid")),
            Event::Binary(data) => Kept { kind: b'b', data: data.to_vec() },
            other => panic!("{other:?} was not sent"),
        });
    }
    packets
}

/// Bytes that nobody has checked to be frames are no reason to panic, or to write more than base64 needs.
fn check_any_frames(wire: &[u8]) {
    let mut payload = Vec::new();
    encode_payload(wire, &mut payload);
    assert!(payload.len() <= 2 * wire.len(), "{} bytes from {}", payload.len(), wire.len());
}
