//! Polling payloads: several packets in one HTTP body, joined by the record separator.

use ws_proto::{FrameHeader, Opcode};

use crate::packet::{Packet, ParseError, encode_binary};

/// Stands between packets. JSON never contains it unescaped, so Socket.IO needs no escape for it, and Engine.IO has
/// none.
const SEPARATOR: u8 = 0x1e;

/// The body of a POST, taken apart packet by packet, so that a driver may stop in the middle and go on later.
#[derive(Debug)]
pub struct Payload {
    body: String,
    /// Where the next packet begins; `None` after the last one.
    next: Option<usize>,
}

impl Payload {
    /// A body that nobody has looked into.
    #[must_use]
    pub fn new(body: String) -> Self {
        Self { body, next: Some(0) }
    }

    /// The next packet. The first error is the last thing there is; the packets before it count.
    pub fn next_packet(&mut self) -> Option<Result<Packet<'_>, ParseError>> {
        let rest = &self.body[self.next?..];
        let text = match rest.split_once(char::from(SEPARATOR)) {
            Some((text, _)) => {
                self.next = self.next.map(|start| start + text.len() + 1);
                text
            }
            None => {
                self.next = None;
                rest
            }
        };
        let packet = Packet::parse(text);
        if packet.is_err() {
            self.next = None;
        }
        Some(packet)
    }
}

/// Appends the frames in `wire` to a polling `payload`: text as it is, binary as `b` and base64.
///
/// `wire` is what [`MessageEncoder`](crate::MessageEncoder) and [`encode_packet`](crate::encode_packet) made: whole,
/// unmasked frames. What is no frame ends the conversion.
pub fn encode_payload(mut wire: &[u8], payload: &mut Vec<u8>) {
    while let Ok(Some((header, header_length))) = FrameHeader::parse(wire) {
        let Ok(length) = usize::try_from(header.payload_len) else { return };
        let Some(data) = wire.get(header_length..header_length + length) else { return };
        if !payload.is_empty() {
            payload.push(SEPARATOR);
        }
        if header.opcode == Opcode::Binary {
            encode_binary(data, payload);
        } else {
            payload.extend_from_slice(data);
        }
        wire = &wire[header_length + length..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{MessageEncoder, encode_packet};

    /// Whether `body` is exactly the packets that are `expected`.
    fn holds(body: &str, expected: &[Result<Packet<'_>, ParseError>]) -> bool {
        let mut payload = Payload::new(body.to_owned());
        expected.iter().all(|packet| payload.next_packet().as_ref() == Some(packet))
            && payload.next_packet().is_none()
    }

    #[test]
    fn packets_are_split_at_the_separator() {
        assert!(holds(
            "4hello\x1e2\x1ebAQIDBA==",
            &[
                Ok(Packet::Message("hello")),
                Ok(Packet::Ping("")),
                Ok(Packet::Binary(vec![1, 2, 3, 4].into()))
            ]
        ));
    }

    #[test]
    fn the_packets_before_an_error_count_and_those_after_it_do_not() {
        assert!(holds("4a\x1ex\x1e4b", &[Ok(Packet::Message("a")), Err(ParseError::UnknownType)]));
        assert!(holds("", &[Err(ParseError::Empty)]));
        assert!(holds("4a\x1e", &[Ok(Packet::Message("a")), Err(ParseError::Empty)]));
    }

    #[test]
    fn a_payload_is_made_from_wire_frames() {
        let mut encoder = MessageEncoder::new();
        encoder.begin();
        encoder.text().extend_from_slice(b"hello");
        encoder.parts().1.push(&[1, 2, 3, 4]);
        let mut wire = encoder.finish().as_wire().to_vec();
        encode_packet("2", &mut wire);
        let mut payload = Vec::new();
        encode_payload(&wire, &mut payload);
        assert_eq!(payload, b"4hello\x1ebAQIDBA==\x1e2");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_what_is_decoded(
            messages in proptest::collection::vec(("[^\x1e]{0,300}", proptest::collection::vec(any::<u8>(), 0..300)), 1..8)
        ) {
            let mut encoder = MessageEncoder::new();
            let mut wire = Vec::new();
            for (text, data) in &messages {
                encoder.begin();
                encoder.text().extend_from_slice(text.as_bytes());
                encoder.parts().1.push(data);
                wire.extend_from_slice(encoder.finish().as_wire());
            }
            let mut payload = Vec::new();
            encode_payload(&wire, &mut payload);
            let payload = String::from_utf8(payload).unwrap();
            let expected: Vec<_> = messages
                .iter()
                .flat_map(|(text, data)| [Ok(Packet::Message(text)), Ok(Packet::Binary(data.into()))])
                .collect();
            prop_assert!(holds(&payload, &expected));
        }

        #[test]
        fn no_body_makes_the_decoder_panic(body in "\\PC*[\x1e]?\\PC*") {
            let mut payload = Payload::new(body);
            while payload.next_packet().is_some() {}
        }
    }
}
