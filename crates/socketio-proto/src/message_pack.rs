//! MessagePack: the parser that writes each packet as one map, and the conversion of any value from and to JSON.
//!
//! The parser has the dialect of the JavaScript package `socket.io-msgpack-parser` 3. That package uses version 2.2 of
//! the library `notepack.io`. Its dialect has values that JSON does not have: `undefined` is the extension type 0 with
//! one byte, a `Date` the same with eight bytes, and the bytes of a typed array the same with any other length.
//!
//! The official adapters of clusters write other [dialects](Dialect), which [`from_json`] and [`to_json`] have too. Both
//! work with the form that values have in this library: JSON text, in which the objects `{"_placeholder":true,"num":N}`
//! stand for the binary values beside it.

mod date;
mod decode;
mod encode;
mod error;
mod format;
mod reader;
#[cfg(test)]
mod tests;
mod write;

use bytes::Bytes;
use engineio_proto::MessageBatch;

use crate::error::{DecodeError, EncodeError};
use crate::parser::{IncomingPacket, Message, OutgoingPacket, PacketDecoder, Parser};

pub use error::MessagePackError;

/// The parser for clients and servers that use the JavaScript package `socket.io-msgpack-parser` 3. It writes each packet
/// as one binary message with a MessagePack map. Binary values are a part of it, so there is no limit on their number.
///
/// What a program receives and sends is the same as with the default parser, except for values that JSON does not have:
///
/// | received | becomes |
/// |---|---|
/// | `undefined` | `null` in a list; a member of an object is left out |
/// | a `Date` | a text, as `toJSON` writes it: `2000-06-13T00:00:00.000Z` |
/// | NaN, infinity | `null` |
/// | another extension type | a list of the type and the bytes |
/// | a number, a boolean or nil as the key of a map | its text |
/// | a text that is not UTF-8 | its invalid bytes are replaced by U+FFFD |
///
/// Numbers are sent as integers if they are whole, otherwise with 64 bits.
#[derive(Debug, Clone, Copy, Default)]
pub struct MessagePackParser;

impl Parser for MessagePackParser {
    fn decoder(&self) -> Box<dyn PacketDecoder> {
        Box::new(MessagePackDecoder)
    }

    fn encode(&self, packet: &OutgoingPacket<'_>, messages: &mut MessageBatch) -> Result<(), EncodeError> {
        messages.push_binary_with(|out| encode::encode_packet(packet, out))
    }
}

/// A packet is one message, so there is no state.
struct MessagePackDecoder;

impl PacketDecoder for MessagePackDecoder {
    fn decode<'m>(&mut self, message: Message<'m>) -> Result<Option<IncomingPacket<'m>>, DecodeError> {
        match message {
            Message::Binary(message) => Ok(Some(decode::decode_packet(&message)?)),
            Message::Text(_) => Err(MessagePackError::UnexpectedText.into()),
        }
    }
}

/// The library that the other program uses. They differ in what they write for some values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// Version 2.2 of `notepack.io`: `socket.io-msgpack-parser`.
    Notepack2,
    /// Version 3 of `notepack.io`: the adapters of Redis. A `Date` is a timestamp of the MessagePack specification.
    Notepack3,
    /// `@msgpack/msgpack`: the adapter of PostgreSQL. As with [`Notepack3`](Self::Notepack3), a `Date` is a timestamp. A
    /// whole number that a `double` does not hold exactly is a float.
    Official,
}

impl Dialect {
    /// Whether the extension type -1 is a time.
    fn has_timestamps(self) -> bool {
        self != Self::Notepack2
    }
}

/// Appends a JSON value as MessagePack, with the bytes that the library of the dialect writes. The placeholders in it become
/// the binary values that they stand for. If there are no attachments, such objects have no special meaning.
///
/// ```
/// use bytes::Bytes;
/// use tidewire_socketio_proto::message_pack::{Dialect, from_json, to_json};
///
/// let (json, image) = (r#"["a",{"_placeholder":true,"num":0},-1]"#, Bytes::from_static(&[7]));
/// let mut message = Vec::new();
/// from_json(json, &[image.clone()], Dialect::Notepack3, &mut message)?;
/// assert_eq!(message, [0x93, 0xa1, b'a', 0xc4, 1, 7, 0xff]);
/// assert_eq!(to_json(&message, Dialect::Notepack3)?, (json.to_owned(), vec![image]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Returns an error if the text is not JSON, if it is longer than 4 GiB, or if an object looks like the placeholder of a
/// binary value that another one stands for.
pub fn from_json(
    json: &str,
    attachments: &[Bytes],
    dialect: Dialect,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let attachments: Vec<&[u8]> = attachments.iter().map(|data| &**data).collect();
    encode::encode_value(json, &attachments, dialect, out)
}

/// Converts a message that is one MessagePack value to JSON and the binary values beside it, whose placeholders are numbered
/// in their order. Values that JSON does not have are converted as [`MessagePackParser`] does it.
///
/// The result needs at most 8 bytes of memory for each byte of the message, or 1 MiB for a short message. The nesting is
/// limited to 1,024 levels.
///
/// # Errors
/// Returns an error if the message is not one value, or if the result exceeds a limit.
pub fn to_json(message: &[u8], dialect: Dialect) -> Result<(String, Vec<Bytes>), MessagePackError> {
    decode::decode_value(message, dialect)
}
