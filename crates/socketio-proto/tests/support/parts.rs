//! An encoded message taken apart again, for all tests of this crate.

use engineio_proto::{EncodedMessage, Frame, Packet, Payload, encode_payload};

/// A message taken out of its encoder.
pub(crate) fn own(message: EncodedMessage<'_>) -> Frame {
    message.to_frame()
}

/// The text of a message, and its attachments.
pub(crate) fn parts(message: &Frame) -> (String, Vec<Vec<u8>>) {
    let mut body = Vec::new();
    encode_payload(message.as_wire(), &mut body);
    let mut payload = Payload::new(String::from_utf8(body).expect("a payload is text"));
    let (mut texts, mut attachments) = (Vec::new(), Vec::new());
    while let Some(packet) = payload.next_packet() {
        match packet.expect("what was encoded is a packet") {
            Packet::Message(text) => texts.push(text.to_owned()),
            Packet::Binary(data) => attachments.push(data.into_owned()),
            other => panic!("{other:?} is no message"),
        }
    }
    assert_eq!(texts.len(), 1, "a message has one text");
    (texts.remove(0), attachments)
}
