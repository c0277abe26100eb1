//! Converts a packet from MessagePack to the form of this library: JSON text, and the binary values beside it.
//!
//! The data is converted in one pass, without recursion and without a tree of values.

use std::borrow::Cow;

use bytes::Bytes;

use super::Dialect;
use super::date;
use super::error::MessagePackError;
use super::reader::{Reader, Token};
use crate::json_string::write_json_string;
use crate::number::{write_float, write_integer};
use crate::packet::PacketType;
use crate::parser::IncomingPacket;
use crate::placeholder::PLACEHOLDER_KEY;

/// The maximum nesting depth of the data. A level takes one byte of the message, and eight bytes while it is converted.
/// Node's limit is its stack, about ten thousand levels.
pub(super) const MAX_DEPTH: usize = 1024;

/// The memory that the JSON text and the list of binary values may need together, for each byte of the message. Only many
/// small binary values need more than six bytes: two bytes of the message for one without content become a placeholder
/// and an entry of the list.
pub(super) const MAX_MEMORY_PER_BYTE: usize = 8;

/// The memory that a message of any length may need. It suffices for ten thousand binary values without content.
pub(super) const MIN_MEMORY_LIMIT: usize = 1024 * 1024;

/// Reads a packet: a map with the members `type`, `nsp`, `data` and `id`, in any order. Other members are ignored, such as
/// the `options` of the JavaScript client. If a member occurs several times, the last one counts, as in JavaScript.
pub(super) fn decode_packet(message: &[u8]) -> Result<IncomingPacket<'static>, MessagePackError> {
    let mut reader = Reader::new(message);
    let Token::Map(members) = reader.token()? else { return Err(MessagePackError::NotAMap) };
    let (mut kind, mut namespace, mut id, mut data) =
        (Token::Undefined, Token::Undefined, Token::Undefined, None);
    for _ in 0..members {
        match reader.token()? {
            Token::Text(b"type") => kind = scalar(&mut reader)?,
            Token::Text(b"nsp") => namespace = scalar(&mut reader)?,
            Token::Text(b"id") => id = scalar(&mut reader)?,
            Token::Text(b"data") => {
                data = Some(reader.clone());
                reader.skip()?;
            }
            Token::Array(_) | Token::Map(_) | Token::Date(_) | Token::Extension(..) => {
                return Err(MessagePackError::InvalidKey);
            }
            _ => reader.skip()?,
        }
    }
    reader.finish()?;

    let packet_type = integer(kind)
        .filter(|number| *number <= 4)
        .and_then(|number| PacketType::from_number(u8::try_from(number).ok()?))
        .ok_or(MessagePackError::InvalidType)?;
    let namespace = match namespace {
        Token::Text(b"/") => Cow::Borrowed("/"),
        Token::Text(name) => Cow::Owned(String::from_utf8_lossy(name).into_owned()),
        _ => return Err(MessagePackError::InvalidNamespace),
    };
    let mut packet = IncomingPacket::new(packet_type, namespace);
    if id != Token::Undefined {
        packet = packet.with_id(integer(id).ok_or(MessagePackError::InvalidId)?);
    }
    if let Some(mut data) = data {
        let binary = match packet_type {
            PacketType::Event | PacketType::Ack => Binary::Attachments,
            // The payloads of the other packets have no attachments in this library.
            _ => Binary::Numbers,
        };
        let mut converter = Converter::new(binary, Dialect::Notepack2, message.len());
        if converter.value(&mut data)? {
            let (text, attachments) = converter.finish()?;
            packet = packet.with_json(text, attachments);
        }
    }
    Ok(packet)
}

/// Reads a message that is one value.
pub(super) fn decode_value(
    message: &[u8],
    dialect: Dialect,
) -> Result<(String, Vec<Bytes>), MessagePackError> {
    let mut reader = Reader::new(message);
    let mut converter = Converter::new(Binary::Attachments, dialect, message.len());
    if !converter.value(&mut reader)? {
        converter.text.extend_from_slice(b"null");
    }
    reader.finish()?;
    converter.finish()
}

/// Reads a member that has no other values in it. If it is a list or a map, it is skipped, and the packet is rejected
/// later.
fn scalar<'m>(reader: &mut Reader<'m>) -> Result<Token<'m>, MessagePackError> {
    let mut whole = reader.clone();
    let token = reader.token()?;
    whole.skip()?;
    *reader = whole;
    Ok(token)
}

/// Returns the value of an integer that is not negative. A number that does not fit becomes the largest one.
fn integer(token: Token<'_>) -> Option<u64> {
    match token {
        Token::Unsigned(number) => Some(number),
        Token::Signed(number) => u64::try_from(number).ok(),
        // The conversion saturates.
        Token::Float(number) if number >= 0.0 && number.fract() == 0.0 => Some(number as u64),
        _ => None,
    }
}

/// What binary values become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binary {
    Attachments,
    Numbers,
}

/// A list or a map that has not ended.
enum Open {
    Array { left: u32 },
    Map { left: u32 },
}

struct Converter {
    text: Vec<u8>,
    attachments: Vec<Bytes>,
    binary: Binary,
    dialect: Dialect,
    memory_limit: usize,
    open: Vec<Open>,
    /// Whether the key `_placeholder` occurs.
    has_placeholder_key: bool,
}

impl Converter {
    fn new(binary: Binary, dialect: Dialect, message_len: usize) -> Self {
        Self {
            // Most texts need a few bytes more than the message.
            text: Vec::with_capacity(message_len.min(MIN_MEMORY_LIMIT) + 16),
            attachments: Vec::new(),
            binary,
            dialect,
            memory_limit: message_len.saturating_mul(MAX_MEMORY_PER_BYTE).max(MIN_MEMORY_LIMIT),
            open: Vec::new(),
            has_placeholder_key: false,
        }
    }

    fn finish(self) -> Result<(String, Vec<Bytes>), MessagePackError> {
        if self.has_placeholder_key && !self.attachments.is_empty() {
            return Err(MessagePackError::ReservedKey);
        }
        let text = String::from_utf8(self.text).expect("all text was checked or replaced");
        Ok((text, self.attachments))
    }

    /// Converts one value with everything in it. Returns `false`, and writes nothing, if it is undefined.
    fn value(&mut self, reader: &mut Reader<'_>) -> Result<bool, MessagePackError> {
        let mut token = reader.token()?;
        if token == Token::Undefined {
            return Ok(false);
        }
        loop {
            self.begin(token)?;
            if self.text.len() + self.attachments.len() * size_of::<Bytes>() > self.memory_limit {
                return Err(MessagePackError::TooLarge { max: self.memory_limit });
            }
            match self.next(reader)? {
                Some(next) => token = next,
                None => return Ok(true),
            }
        }
    }

    /// Ends the lists and maps that have no further element. Then returns the next element, or `None` at the end of the
    /// whole value.
    fn next<'m>(&mut self, reader: &mut Reader<'m>) -> Result<Option<Token<'m>>, MessagePackError> {
        loop {
            match self.open.last_mut() {
                None => return Ok(None),
                Some(Open::Array { left: 0 }) => self.close(b']'),
                Some(Open::Map { left: 0 }) => self.close(b'}'),
                Some(Open::Array { left }) => {
                    *left -= 1;
                    self.write_separator();
                    return reader.token().map(Some);
                }
                Some(Open::Map { left }) => {
                    *left -= 1;
                    let start = self.text.len();
                    self.write_separator();
                    self.write_key(reader.token()?)?;
                    match reader.token()? {
                        // As if it had been written by `JSON.stringify`.
                        Token::Undefined => self.text.truncate(start),
                        token => return Ok(Some(token)),
                    }
                }
            }
        }
    }

    fn close(&mut self, bracket: u8) {
        self.open.pop();
        self.text.push(bracket);
    }

    /// Writes a comma, unless the innermost list or map is empty.
    fn write_separator(&mut self) {
        if !matches!(self.text.last(), Some(b'[' | b'{')) {
            self.text.push(b',');
        }
    }

    /// Writes a value, or the beginning of a list or a map.
    fn begin(&mut self, token: Token<'_>) -> Result<(), MessagePackError> {
        match token {
            Token::Nil | Token::Undefined => self.text.extend_from_slice(b"null"),
            Token::Bool(value) => self.text.extend_from_slice(if value { b"true" } else { b"false" }),
            Token::Unsigned(value) => write_integer(&mut self.text, value),
            Token::Signed(value) => write_integer(&mut self.text, value),
            Token::Float(value) => write_float(&mut self.text, value),
            Token::Text(text) => write_json_string(&mut self.text, &String::from_utf8_lossy(text)),
            Token::Bytes(bytes) => self.write_binary(bytes),
            Token::Date(milliseconds) => self.write_date(milliseconds),
            Token::Extension(kind, data) => {
                if kind == date::TIMESTAMP
                    && self.dialect.has_timestamps()
                    && let Some(milliseconds) = date::read_timestamp(data)
                {
                    self.write_date(milliseconds);
                    return Ok(());
                }
                self.text.push(b'[');
                write_integer(&mut self.text, kind);
                self.text.push(b',');
                self.write_binary(data);
                self.text.push(b']');
            }
            Token::Array(left) => self.open(Open::Array { left }, b'[')?,
            Token::Map(left) => self.open(Open::Map { left }, b'{')?,
        }
        Ok(())
    }

    fn write_date(&mut self, milliseconds: i64) {
        match date::to_json(milliseconds) {
            Some(text) => write_json_string(&mut self.text, &text),
            None => self.text.extend_from_slice(b"null"),
        }
    }

    fn open(&mut self, open: Open, bracket: u8) -> Result<(), MessagePackError> {
        if self.open.len() == MAX_DEPTH {
            return Err(MessagePackError::TooDeep { max: MAX_DEPTH });
        }
        self.open.push(open);
        self.text.push(bracket);
        Ok(())
    }

    fn write_binary(&mut self, bytes: &[u8]) {
        match self.binary {
            Binary::Attachments => {
                self.text.extend_from_slice(br#"{"_placeholder":true,"num":"#);
                write_integer(&mut self.text, self.attachments.len());
                self.text.push(b'}');
                self.attachments.push(Bytes::copy_from_slice(bytes));
            }
            Binary::Numbers => {
                self.text.push(b'[');
                for byte in bytes {
                    self.write_separator();
                    write_integer(&mut self.text, *byte);
                }
                self.text.push(b']');
            }
        }
    }

    /// Writes the key of a member and a colon. JavaScript converts every key to a text.
    fn write_key(&mut self, key: Token<'_>) -> Result<(), MessagePackError> {
        match key {
            Token::Text(key) | Token::Bytes(key) => {
                self.has_placeholder_key |= key == PLACEHOLDER_KEY.as_bytes();
                write_json_string(&mut self.text, &String::from_utf8_lossy(key));
            }
            Token::Nil => self.text.extend_from_slice(br#""null""#),
            Token::Undefined => self.text.extend_from_slice(br#""undefined""#),
            Token::Float(number) if number.is_nan() => self.text.extend_from_slice(br#""NaN""#),
            Token::Float(number) if number.is_infinite() => {
                let text: &[u8] = if number > 0.0 { br#""Infinity""# } else { br#""-Infinity""# };
                self.text.extend_from_slice(text);
            }
            Token::Bool(_) | Token::Unsigned(_) | Token::Signed(_) | Token::Float(_) => {
                self.text.push(b'"');
                self.begin(key)?;
                self.text.push(b'"');
            }
            Token::Date(_) | Token::Extension(..) | Token::Array(_) | Token::Map(_) => {
                return Err(MessagePackError::InvalidKey);
            }
        }
        self.text.push(b':');
        Ok(())
    }
}
