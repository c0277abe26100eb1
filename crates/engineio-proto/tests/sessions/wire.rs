//! Packets in their wire forms: bodies of polling, and messages of WebSocket.

use tidewire_engineio_proto::{Framing, LengthDelimitedPackets, Packet, ParseError, encode_payload};
use ws_proto::{Event, Opcode};

/// A packet that is queued.
#[derive(Debug, Clone)]
pub(crate) enum Waiting {
    Engine(Packet<'static>),
    Text(String),
    Bytes(Vec<u8>),
}

impl Waiting {
    /// Returns message `number` of an end. Every third message is binary.
    pub(crate) fn message(number: u32) -> Self {
        match number % 3 {
            2 => Self::Bytes(number.to_be_bytes().into()),
            _ => Self::Text(number.to_string()),
        }
    }

    pub(crate) fn packet(&self) -> Packet<'_> {
        match self {
            Self::Engine(packet) => packet.clone(),
            Self::Text(text) => Packet::Message(text),
            Self::Bytes(bytes) => Packet::Binary(bytes.into()),
        }
    }
}

/// Returns the number of a text message.
pub(crate) fn number(text: &str) -> u32 {
    text.parse().expect("a number")
}

/// Returns the number of a binary message.
pub(crate) fn number_of_bytes(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

/// Returns the body of a request or a response.
pub(crate) fn body<'a>(packets: impl IntoIterator<Item = &'a Waiting>) -> String {
    let mut waiting = Vec::new();
    for packet in packets {
        Framing::LengthDelimited.write_packet(&packet.packet(), &mut waiting);
    }
    let mut body = Vec::new();
    encode_payload(LengthDelimitedPackets::new(&waiting), &mut body);
    String::from_utf8(body).expect("text")
}

/// Appends a packet as a WebSocket message.
pub(crate) fn encode_message(packet: &Packet<'_>, mask: Option<[u8; 4]>, wire: &mut Vec<u8>) {
    if let Packet::Binary(bytes) = packet {
        return ws_proto::encode_frame(Opcode::Binary, bytes, mask, wire);
    }
    let mut text = Vec::new();
    packet.encode_into(&mut text);
    ws_proto::encode_frame(Opcode::Text, &text, mask, wire);
}

/// Returns the packet in an event. `None` if the event ends the connection.
pub(crate) fn packet<'a>(event: &'a Event<'_>) -> Option<Result<Packet<'a>, ParseError>> {
    match event {
        Event::Text(text) => Some(Packet::parse(text)),
        Event::Binary(bytes) => Some(Ok(Packet::Binary((&**bytes).into()))),
        Event::Close(_) => None,
        other => panic!("{other:?}"),
    }
}
