//! The parser that writes each packet as one MessagePack map, in the dialect of the JavaScript package
//! `socket.io-msgpack-parser` 3.
//!
//! That package uses version 2.2 of the library `notepack.io`. Its dialect has values that JSON does not have:
//! `undefined` is the extension type 0 with one byte, a `Date` the same with eight bytes, and the bytes of a typed array
//! the same with any other length.

mod date;
mod decode;
mod encode;
mod error;
mod reader;
#[cfg(test)]
mod tests;

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
