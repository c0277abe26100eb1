//! The packets of revision 3 that differ from those of revision 4: binary data has a type.

use std::borrow::Cow;

use crate::lenient_base64;
use crate::packet::{Packet, ParseError};

/// The type of a message as a byte, in front of binary data.
pub(crate) const MESSAGE_BYTE: u8 = 4;

/// What stands in front of the base64 of a binary message.
pub(crate) const BASE64_PREFIX: &str = "b4";

/// Parses a packet in its text form.
pub(crate) fn parse_text(text: &str) -> Result<Packet<'_>, ParseError> {
    let Some(typed) = text.strip_prefix('b') else { return Packet::parse(text) };
    let Some(&kind) = typed.as_bytes().first() else { return Err(ParseError::Empty) };
    // If the type is known, it is ASCII, and index 1 is a character boundary.
    packet(kind.wrapping_sub(b'0'), || lenient_base64::decode(&typed[1..]).into())
}

/// Parses a packet in its binary form: a type byte, and data.
pub(crate) fn parse_binary(data: &[u8]) -> Result<Packet<'_>, ParseError> {
    let (&kind, data) = data.split_first().ok_or(ParseError::Empty)?;
    packet(kind, || data.into())
}

/// Returns a packet that is marked as binary. In this form, clients send only messages. The Node server
/// accepts the other types too. Their data has no meaning, so it is dropped.
fn packet<'a>(kind: u8, data: impl FnOnce() -> Cow<'a, [u8]>) -> Result<Packet<'a>, ParseError> {
    match kind {
        0 => Ok(Packet::Open("")),
        1 => Ok(Packet::Close),
        2 => Ok(Packet::Ping("")),
        3 => Ok(Packet::Pong("")),
        MESSAGE_BYTE => Ok(Packet::Binary(data())),
        5 => Ok(Packet::Upgrade),
        6 => Ok(Packet::Noop),
        _ => Err(ParseError::UnknownType),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_data_has_a_type() {
        // `encodePacket` of engine.io-parser 2.2.1 writes the first two rows of each table.
        for (text, parsed) in [
            ("b4AQIDBA==", Ok(Packet::Binary(vec![1, 2, 3, 4].into()))),
            ("b4", Ok(Packet::Binary(vec![].into()))),
            ("b4AQID\r\nBA", Ok(Packet::Binary(vec![1, 2, 3, 4].into()))),
            ("b2AQID", Ok(Packet::Ping(""))),
            ("b", Err(ParseError::Empty)),
            ("b7AQID", Err(ParseError::UnknownType)),
            ("bAQID", Err(ParseError::UnknownType)),
            ("b€", Err(ParseError::UnknownType)),
            ("b/", Err(ParseError::UnknownType)),
        ] {
            assert_eq!(parse_text(text), parsed, "{text}");
        }
        for (data, parsed) in [
            (&[4, 1, 2, 3, 4][..], Ok(Packet::Binary(vec![1, 2, 3, 4].into()))),
            (&[4], Ok(Packet::Binary(vec![].into()))),
            (&[0], Ok(Packet::Open(""))),
            (&[1, 9], Ok(Packet::Close)),
            (&[2, 9], Ok(Packet::Ping(""))),
            (&[3], Ok(Packet::Pong(""))),
            (&[5], Ok(Packet::Upgrade)),
            (&[6], Ok(Packet::Noop)),
            (&[], Err(ParseError::Empty)),
            (&[7], Err(ParseError::UnknownType)),
            (b"4", Err(ParseError::UnknownType)),
        ] {
            assert_eq!(parse_binary(data), parsed, "{data:?}");
        }
    }

    #[test]
    fn other_text_packets_are_those_of_revision_4() {
        for text in ["0{}", "1", "2", "2probe", "3", "4", "4é", "5", "6", "7", "", "é"] {
            assert_eq!(parse_text(text), Packet::parse(text), "{text}");
        }
    }
}
