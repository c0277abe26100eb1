//! Packets in their wire forms: bodies of polling, and messages of WebSocket.

use tidewire_engineio_proto::{
    ContentType, Framing, Packet, ParseError, PostPayload, Reframer, ResponseBody, Revision, WireFormat,
};
use ws_proto::Event;

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
pub(crate) fn body<'a>(format: &WireFormat, packets: impl IntoIterator<Item = &'a Waiting>) -> ResponseBody {
    let packets: Vec<_> = packets.into_iter().map(Waiting::packet).collect();
    format.encode_packets(&packets)
}

/// Returns the packets of a body. A client reads the body of a response as a server reads that of a request.
pub(crate) fn payload(format: &WireFormat, body: ResponseBody) -> PostPayload {
    let is_binary = body.content_type == ContentType::Binary;
    format.decode_post(body.bytes, is_binary, usize::MAX).expect("there is no limit")
}

/// Appends a packet as a WebSocket message.
pub(crate) fn encode_message(
    framing: Framing,
    packet: &Packet<'_>,
    mask: Option<[u8; 4]>,
    wire: &mut Vec<u8>,
) {
    let mut waiting = Vec::new();
    Framing::LengthDelimited.write_packet(packet, &mut waiting);
    let message = Reframer::new(framing).next_packet(&mut &waiting[..]).expect("a packet");
    ws_proto::encode_frame(message.opcode, &message.payload, mask, wire);
}

/// Returns the packet in an event. `None` if the event ends the connection.
pub(crate) fn packet<'a>(revision: Revision, event: &'a Event<'_>) -> Option<Result<Packet<'a>, ParseError>> {
    match event {
        Event::Text(text) => Some(revision.parse_text(text)),
        Event::Binary(bytes) => Some(revision.parse_binary(bytes)),
        Event::Close(_) => None,
        other => panic!("{other:?}"),
    }
}
