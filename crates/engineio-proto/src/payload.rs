//! Polling payloads: several packets in one HTTP body, joined by the record separator.

use ws_proto::copy::append;

use crate::framing::{DataKind, LengthDelimitedPackets};
use crate::lossy_text;
use crate::packet::{Packet, ParseError, encode_binary};

/// The separator between packets. JSON never contains this byte unescaped, so Socket.IO does not need to escape it, and
/// Engine.IO defines no escape.
const SEPARATOR: u8 = 0x1e;

/// Splits the body of a POST into packets, one at a time. A driver can stop in the middle and continue later.
#[derive(Debug)]
pub struct Payload {
    body: String,
    /// The offset of the next packet. `None` after the last one.
    next: Option<usize>,
}

impl Payload {
    /// Creates a payload from a whole body.
    #[must_use]
    pub fn new(body: String) -> Self {
        Self { body, next: Some(0) }
    }

    /// Creates a payload from the bytes of a whole body. Invalid UTF-8 becomes U+FFFD, as in the Node server.
    ///
    /// Returns `None` if the text is longer than `limit` bytes. U+FFFD is three bytes long, so the text of an invalid
    /// body may have up to three times its length.
    #[must_use]
    pub fn from_bytes(body: Vec<u8>, limit: usize) -> Option<Self> {
        lossy_text::decode(body, limit).map(Self::new)
    }

    /// Returns the memory of the body, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.body.capacity()
    }

    /// Returns the next packet. After the first error it returns `None`. The packets before the error are valid.
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

/// Appends `packets` to a polling `payload`: text unchanged, binary data as `b` and base64.
pub fn encode_payload(packets: LengthDelimitedPackets<'_>, payload: &mut Vec<u8>) {
    for (kind, data) in packets.iter() {
        if !payload.is_empty() {
            payload.push(SEPARATOR);
        }
        match kind {
            DataKind::Text => append(payload, data),
            DataKind::Binary => encode_binary(data, payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::framing::Framing;

    /// Returns whether `body` contains exactly the `expected` packets.
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
    fn invalid_utf8_becomes_replacement_characters() {
        for (body, packet) in [
            (&b"4a\xffb"[..], "a\u{fffd}b"),
            (b"4\xc3(", "\u{fffd}("),
            (b"4\xe2\x82", "\u{fffd}"),
            (b"4\xf0\x9f\x98x", "\u{fffd}x"),
            (b"4\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"4\xc0\x80", "\u{fffd}\u{fffd}"),
        ] {
            let mut payload = Payload::from_bytes(body.to_vec(), 100).expect("it is short");
            assert_eq!(payload.next_packet(), Some(Ok(Packet::Message(packet))), "{body:x?}");
            assert_eq!(payload.next_packet(), None);
        }
        // The separator and the type are found behind invalid bytes too.
        let mut payload = Payload::from_bytes(b"4\xff\x1e\xff".to_vec(), 100).expect("it is short");
        assert_eq!(payload.next_packet(), Some(Ok(Packet::Message("\u{fffd}"))));
        assert_eq!(payload.next_packet(), Some(Err(ParseError::UnknownType)));
    }

    #[test]
    fn the_limit_counts_the_bytes_of_the_text() {
        assert!(Payload::from_bytes(b"4abc".to_vec(), 4).is_some());
        assert!(Payload::from_bytes(b"4abcd".to_vec(), 4).is_none());
        assert!(Payload::from_bytes(b"4\xff".to_vec(), 4).is_some());
        assert!(Payload::from_bytes(b"4\xff\xff".to_vec(), 4).is_none());
        assert!(Payload::from_bytes(b"4\xff\xffa".to_vec(), 8).is_some());
    }

    fn encoded(packets: &[Packet<'_>]) -> String {
        let mut waiting = Vec::new();
        for packet in packets {
            Framing::LengthDelimited.write_packet(packet, &mut waiting);
        }
        let mut payload = Vec::new();
        encode_payload(LengthDelimitedPackets::new(&waiting), &mut payload);
        String::from_utf8(payload).unwrap()
    }

    #[test]
    fn a_payload_is_made_from_packets_that_wait() {
        let packets = [Packet::Message("hello"), Packet::Binary(vec![1, 2, 3, 4].into()), Packet::Ping("")];
        assert_eq!(encoded(&packets), "4hello\x1ebAQIDBA==\x1e2");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_what_is_decoded(
            messages in proptest::collection::vec(("[^\x1e]{0,300}", proptest::collection::vec(any::<u8>(), 0..300)), 1..8)
        ) {
            let packets: Vec<_> = messages
                .iter()
                .flat_map(|(text, data)| [Packet::Message(text), Packet::Binary(data.into())])
                .collect();
            let expected: Vec<_> = packets.iter().cloned().map(Ok).collect();
            prop_assert!(holds(&encoded(&packets), &expected));
        }

        #[test]
        fn no_body_makes_the_decoder_panic(body in "\\PC*[\x1e]?\\PC*") {
            let mut payload = Payload::new(body);
            while payload.next_packet().is_some() {}
        }
    }
}
