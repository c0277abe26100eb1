//! Engine.IO packets: a type character, then data.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ws_proto::copy::append;

use crate::lenient_base64;

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `0`: the handshake, from the server. Its data is JSON.
    Open(&'a str),
    /// `1`: tells the peer to close the transport.
    Close,
    /// `2`: a heartbeat ping of the server, or `2probe` from a client on the candidate that it wants to upgrade to.
    Ping(&'a str),
    /// `3`: the response to a ping, with the same data.
    Pong(&'a str),
    /// `4`: a text message of the application.
    Message(&'a str),
    /// A binary message of the application: a binary WebSocket message, or `b` and base64 in text.
    Binary(Cow<'a, [u8]>),
    /// `5`: the client switches to this transport now.
    Upgrade,
    /// `6`: no content. It makes a waiting poll return.
    Noop,
}

/// Why a text is not a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// The text is empty.
    Empty,
    /// The first character is not a packet type.
    UnknownType,
    /// The length in front of a packet is not a number, or does not end at the end of a packet (revision 3 only).
    Length,
    /// A text packet in a binary payload is not UTF-8 (revision 3 only).
    Utf8,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty packet",
            Self::UnknownType => "unknown packet type",
            Self::Length => "invalid length of a packet in a payload",
            Self::Utf8 => "text packet is not valid UTF-8",
        })
    }
}

impl std::error::Error for ParseError {}

impl<'a> Packet<'a> {
    /// The packet that a server sends on a candidate in response to the probe.
    pub const PROBE_PONG: Packet<'static> = Packet::Pong(PROBE);

    /// Parses a text packet: a WebSocket text message, or one packet of a polling payload.
    ///
    /// After `b`, everything is base64: line breaks and other characters that do not belong to it are skipped, padding is
    /// optional, and the URL-safe alphabet is accepted too, as in the Node server.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        let Some(&kind) = text.as_bytes().first() else { return Err(ParseError::Empty) };
        // The type characters are ASCII. So once the type is known, index 1 is a character boundary.
        let data = || &text[1..];
        match kind {
            MESSAGE => Ok(Self::Message(data())),
            b'3' => Ok(Self::Pong(data())),
            b'2' => Ok(Self::Ping(data())),
            b'b' => Ok(Self::Binary(Cow::Owned(lenient_base64::decode(data())))),
            b'5' => Ok(Self::Upgrade),
            b'1' => Ok(Self::Close),
            b'6' => Ok(Self::Noop),
            b'0' => Ok(Self::Open(data())),
            _ => Err(ParseError::UnknownType),
        }
    }

    /// Appends the packet in its text form, which [`parse`](Self::parse) reads: a type character and data. Binary data
    /// is written as `b` and base64, as in a polling payload. A WebSocket sends it as a binary message instead.
    pub fn encode_into(&self, text: &mut Vec<u8>) {
        match self.parts() {
            Ok((kind, data)) => {
                text.push(kind);
                append(text, data.as_bytes());
            }
            Err(data) => encode_binary(data, text),
        }
    }

    /// Returns the number of bytes that [`encode_into`](Self::encode_into) appends.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self.parts() {
            Ok((_, data)) => 1 + data.len(),
            Err(data) => BASE64_PREFIX.len() + base64_len(data.len()),
        }
    }

    /// Returns the type character and the data of a text packet, or the bytes of a binary packet as the error.
    fn parts(&self) -> Result<(u8, &str), &[u8]> {
        Ok(match self {
            Self::Open(data) => (b'0', data),
            Self::Close => (b'1', ""),
            Self::Ping(data) => (b'2', data),
            Self::Pong(data) => (b'3', data),
            Self::Message(data) => (MESSAGE, data),
            Self::Upgrade => (b'5', ""),
            Self::Noop => (b'6', ""),
            Self::Binary(data) => return Err(data),
        })
    }
}

/// The data of a ping and its pong on a candidate.
pub(crate) const PROBE: &str = "probe";

/// The type character of a message.
pub(crate) const MESSAGE: u8 = b'4';

/// What stands in front of the base64 of a binary packet.
pub(crate) const BASE64_PREFIX: &str = "b";

/// Appends binary data as a text packet: `b` and base64.
pub(crate) fn encode_binary(data: &[u8], text: &mut Vec<u8>) {
    text.extend_from_slice(BASE64_PREFIX.as_bytes());
    encode_base64(data, text);
}

/// Appends base64 with padding.
pub(crate) fn encode_base64(data: &[u8], text: &mut Vec<u8>) {
    let start = text.len();
    text.resize(start + base64_len(data.len()), 0);
    let written = STANDARD.encode_slice(data, &mut text[start..]);
    debug_assert_eq!(written, Ok(text.len() - start));
}

/// Returns the number of base64 characters for `length` bytes, with padding.
pub(crate) fn base64_len(length: usize) -> usize {
    length.div_ceil(3) * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_from_its_character() {
        for (text, packet) in [
            ("0{}", Packet::Open("{}")),
            ("1", Packet::Close),
            ("2", Packet::Ping("")),
            ("2probe", Packet::Ping("probe")),
            ("3probe", Packet::Pong("probe")),
            ("4", Packet::Message("")),
            ("4hé€😀", Packet::Message("hé€😀")),
            ("bAQIDBA==", Packet::Binary(Cow::Borrowed(&[1, 2, 3, 4]))),
            ("b", Packet::Binary(Cow::Borrowed(&[]))),
            ("5", Packet::Upgrade),
            ("6", Packet::Noop),
        ] {
            assert_eq!(Packet::parse(text), Ok(packet.clone()), "{text}");
            let mut written = Vec::new();
            packet.encode_into(&mut written);
            assert_eq!(packet.encoded_len(), written.len());
            assert_eq!(String::from_utf8(written).as_deref(), Ok(text), "it is written as it is read");
        }
    }

    #[test]
    fn base64_may_have_line_breaks_and_need_not_be_padded() {
        for text in ["bAQIDBA==", "bAQID\r\nBA==\r\n", "bAQIDBA"] {
            assert_eq!(Packet::parse(text), Ok(Packet::Binary(Cow::Borrowed(&[1, 2, 3, 4]))), "{text}");
        }
    }

    #[test]
    fn what_is_no_packet_is_named() {
        for (text, error) in [
            ("", ParseError::Empty),
            ("7", ParseError::UnknownType),
            ("abc", ParseError::UnknownType),
            ("é", ParseError::UnknownType),
        ] {
            assert_eq!(Packet::parse(text), Err(error), "{text}");
        }
    }
}
