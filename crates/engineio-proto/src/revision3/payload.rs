//! Polling payloads of revision 3: each packet has its length in front of it.
//!
//! There are two forms:
//!
//! - Text: `<length>:<packet>` for each packet. The length counts UTF-16 code units, as strings in JavaScript do, so a
//!   character above U+FFFF counts twice. Binary data is `b4` and base64.
//! - Binary: for each packet a byte that is 0 for text and 1 for binary data; the decimal digits of the length, each as a
//!   byte from 0 to 9; the byte 255; the packet. The length counts bytes.

use ws_proto::copy::append;

use super::packet::{BASE64_PREFIX, MESSAGE_BYTE, parse_binary, parse_text};
use crate::framing::{DataKind, LengthDelimitedPackets};
use crate::lossy_text;
use crate::packet::{Packet, ParseError, base64_len, encode_base64};

/// The most digits of a length: those of `u64::MAX`. More would only be zeros, which no client writes.
const MAX_LENGTH_DIGITS: usize = 20;

/// The byte after the length in the binary form.
const LENGTH_END: u8 = 255;

/// Splits the body of a POST into packets, one at a time. A driver can stop in the middle and continue later.
///
/// The payload keeps the body and nothing else. No memory is reserved for a length that the client announces.
#[derive(Debug)]
pub struct Payload {
    body: Body,
    /// The offset of the next packet. `None` after the last one.
    next: Option<usize>,
}

#[derive(Debug)]
enum Body {
    Text(String),
    Binary(Vec<u8>),
}

impl Payload {
    /// Returns the memory of the body, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        match &self.body {
            Body::Text(text) => text.capacity(),
            Body::Binary(bytes) => bytes.capacity(),
        }
    }

    /// Creates a payload from a whole body in the text form.
    #[must_use]
    pub fn text(body: String) -> Self {
        Self { body: Body::Text(body), next: Some(0) }
    }

    /// Creates a payload from the bytes of a whole body in the text form. Invalid UTF-8 becomes U+FFFD, as in the Node
    /// server, and lengths count it as one code unit.
    ///
    /// Returns `None` if the text is longer than `limit` bytes. U+FFFD is three bytes long, so the text of an invalid
    /// body may have up to three times its length.
    #[must_use]
    pub fn text_from_bytes(body: Vec<u8>, limit: usize) -> Option<Self> {
        lossy_text::decode(body, limit).map(Self::text)
    }

    /// Creates a payload from a whole body in the binary form, which has the content type `application/octet-stream`.
    #[must_use]
    pub fn binary(body: Vec<u8>) -> Self {
        Self { body: Body::Binary(body), next: Some(0) }
    }

    /// Returns the next packet. After the first error it returns `None`. The packets before the error are valid.
    pub fn next_packet(&mut self) -> Option<Result<Packet<'_>, ParseError>> {
        let start = self.next.take()?;
        let split = match &self.body {
            Body::Text(text) => split_text(text, start),
            Body::Binary(data) => split_binary(data, start),
        };
        let packet = split.and_then(|split| {
            let Some((packet, end)) = split else { return Ok(None) };
            let packet = match packet {
                Split::Text(text) => parse_text(text),
                Split::Binary(data) => parse_binary(data),
            }?;
            self.next = Some(end);
            Ok(Some(packet))
        });
        packet.transpose()
    }
}

/// A packet as it stands in a payload.
enum Split<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// The next packet and the offset after it, or `None` at the end of the body.
type SplitResult<'a> = Result<Option<(Split<'a>, usize)>, ParseError>;

/// Splits the text form. An empty packet (`0:`) is skipped, as in the Node server: its encoder writes that for a payload
/// without packets.
fn split_text(body: &str, mut start: usize) -> SplitResult<'_> {
    if body.is_empty() {
        return Err(ParseError::Empty);
    }
    while start < body.len() {
        let (length, header) = read_length(&body.as_bytes()[start..], b'0', b':')?;
        start += header;
        let packet = take_utf16(&body[start..], length).ok_or(ParseError::Length)?;
        start += packet.len();
        if length > 0 {
            return Ok(Some((Split::Text(packet), start)));
        }
    }
    Ok(None)
}

fn split_binary(body: &[u8], start: usize) -> SplitResult<'_> {
    let Some((&kind, rest)) = body[start..].split_first() else { return Ok(None) };
    let (length, header) = read_length(rest, 0, LENGTH_END)?;
    let packet = rest[header..].get(..length).ok_or(ParseError::Length)?;
    let end = start + 1 + header + length;
    match kind {
        0 => {
            let text = std::str::from_utf8(packet).map_err(|_| ParseError::Utf8)?;
            Ok(Some((Split::Text(text), end)))
        }
        1 => Ok(Some((Split::Binary(packet), end))),
        _ => Err(ParseError::UnknownType),
    }
}

/// Reads the digits of a length up to the byte `end`. Returns the length, and the number of bytes that were read.
fn read_length(bytes: &[u8], zero: u8, end: u8) -> Result<(usize, usize), ParseError> {
    let digits = bytes.iter().take(MAX_LENGTH_DIGITS + 1).position(|byte| *byte == end);
    let digits = digits.filter(|count| *count > 0).ok_or(ParseError::Length)?;
    let length = bytes[..digits].iter().try_fold(0_usize, |length, byte| {
        let digit = byte.checked_sub(zero).filter(|digit| *digit <= 9)?;
        length.checked_mul(10)?.checked_add(digit.into())
    });
    Ok((length.ok_or(ParseError::Length)?, digits + 1))
}

/// Returns the first `length` UTF-16 code units of `text`. Returns `None` if `text` is shorter, or if the end lies within
/// a surrogate pair.
fn take_utf16(text: &str, length: usize) -> Option<&str> {
    // No character has more code units than bytes.
    let ascii = text.as_bytes().get(..length)?.is_ascii();
    if ascii {
        return Some(&text[..length]);
    }
    let mut units = 0;
    for (index, character) in text.char_indices() {
        if units >= length {
            return (units == length).then(|| &text[..index]);
        }
        units += character.len_utf16();
    }
    (units == length).then_some(text)
}

/// The form of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadForm {
    /// Text, with the content type `text/plain; charset=UTF-8`.
    Text,
    /// Binary, with the content type `application/octet-stream`.
    Binary,
}

/// Appends `packets` to an empty polling `payload`. Returns its form: binary if a packet is binary, and otherwise text.
///
/// If `base64` is true, the form is always text. A client asks for that with `b64=1`. JSONP needs it as well.
pub fn encode_payload(
    packets: LengthDelimitedPackets<'_>,
    base64: bool,
    payload: &mut Vec<u8>,
) -> PayloadForm {
    let is_binary = |(kind, _)| kind == DataKind::Binary;
    if !base64 && packets.clone().iter().any(is_binary) {
        encode_binary_form(packets, payload);
        return PayloadForm::Binary;
    }
    encode_text_form(packets, payload);
    PayloadForm::Text
}

fn encode_text_form(packets: LengthDelimitedPackets<'_>, payload: &mut Vec<u8>) {
    for (kind, data) in packets.iter() {
        match kind {
            DataKind::Text => {
                push_length(utf16_len(data), b'0', b':', payload);
                append(payload, data);
            }
            DataKind::Binary => {
                push_length(BASE64_PREFIX.len() + base64_len(data.len()), b'0', b':', payload);
                payload.extend_from_slice(BASE64_PREFIX.as_bytes());
                encode_base64(data, payload);
            }
        }
    }
    if payload.is_empty() {
        payload.extend_from_slice(b"0:");
    }
}

fn encode_binary_form(packets: LengthDelimitedPackets<'_>, payload: &mut Vec<u8>) {
    for (kind, data) in packets.iter() {
        payload.push(kind as u8);
        match kind {
            DataKind::Text => push_length(data.len(), 0, LENGTH_END, payload),
            DataKind::Binary => {
                push_length(1 + data.len(), 0, LENGTH_END, payload);
                payload.push(MESSAGE_BYTE);
            }
        }
        append(payload, data);
    }
}

/// Appends the digits of `length`, and the byte `end`.
fn push_length(mut length: usize, zero: u8, end: u8, payload: &mut Vec<u8>) {
    let start = payload.len();
    loop {
        // The remainder is less than 10.
        payload.push(zero + (length % 10) as u8);
        length /= 10;
        if length == 0 {
            break;
        }
    }
    payload[start..].reverse();
    payload.push(end);
}

/// Returns the number of UTF-16 code units in `text`, which is UTF-8.
fn utf16_len(text: &[u8]) -> usize {
    // Each character has one byte that does not continue another. Only a character of four bytes needs two code units.
    let units =
        |byte: &u8| usize::from(byte & 0b1100_0000 != 0b1000_0000) + usize::from(*byte >= 0b1111_0000);
    text.iter().map(units).sum()
}

#[cfg(test)]
mod tests;
