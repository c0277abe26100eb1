//! WebSocket frames: headers, masking, and the response to a handshake.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The first byte of an unfragmented text message.
pub const TEXT: u8 = 0x81;
/// The first byte of a compressed text message (RFC 7692 §6).
pub const COMPRESSED_TEXT: u8 = 0xc1;
/// The first byte of an unfragmented binary message.
pub const BINARY: u8 = 0x82;
/// The first byte of a close frame.
pub const CLOSE: u8 = 0x88;
/// The first byte of a ping.
pub const PING: u8 = 0x89;
/// The first byte of a pong.
pub const PONG: u8 = 0x8a;

/// The masking key of all clients. It costs servers the same work as any other nonzero key.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The position of a frame in the bytes that contain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    pub mask: Option<[u8; 4]>,
    /// The start of the payload.
    pub start: usize,
    /// The end of the payload and of the frame.
    pub end: usize,
}

/// Parses the header at the start of `bytes`. Returns `None` if it is incomplete. The payload may be incomplete.
#[inline]
pub fn header(bytes: &[u8]) -> Option<Header> {
    let (&first, rest) = bytes.split_first()?;
    let (&second, rest) = rest.split_first()?;
    let (length, start) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    if second & 0x80 == 0 {
        return Some(Header { first, mask: None, start, end: start.checked_add(length)? });
    }
    let mask = *bytes.get(start..)?.first_chunk()?;
    let start = start + 4;
    Some(Header { first, mask: Some(mask), start, end: start.checked_add(length)? })
}

/// Appends the header of a frame with a payload of `length` bytes.
pub fn put_header(out: &mut Vec<u8>, first: u8, length: usize, mask: Option<[u8; 4]>) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.push(first);
    if length < 126 {
        out.push(masked | length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(masked | 126);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(masked | 127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
    out.extend_from_slice(mask.as_ref().map_or(&[], |mask| mask));
}

/// Appends a frame as a server sends it.
pub fn put_server_frame(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    put_header(out, first, payload.len(), None);
    out.extend_from_slice(payload);
}

/// Appends a frame as a client sends it.
pub fn put_client_frame(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    put_header(out, first, payload.len(), Some(KEY));
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], KEY);
}

/// Masks or unmasks bytes, eight at a time.
#[inline]
pub fn apply_mask(bytes: &mut [u8], key: [u8; 4]) {
    let wide = u64::from(u32::from_ne_bytes(key));
    let wide = wide | wide << 32;
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// The `Sec-WebSocket-Key` of all clients (the example of RFC 6455 §1.3).
pub const HANDSHAKE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The `Sec-WebSocket-Accept` that the server must respond with.
pub const HANDSHAKE_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// RFC 6455 §4.2.2.
pub fn accept(key: &[u8]) -> String {
    let digest =
        Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    STANDARD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_found_again() {
        for length in [0, 1, 7, 8, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let mut frame = Vec::new();
            put_client_frame(&mut frame, TEXT, &payload);
            let found = header(&frame).unwrap();
            assert_eq!((found.first, found.mask, found.end), (TEXT, Some(KEY), frame.len()));
            apply_mask(&mut frame[found.start..], KEY);
            assert_eq!(frame[found.start..], payload);
            assert!((0..found.start).all(|cut| header(&frame[..cut]).is_none()));
        }
    }

    #[test]
    fn the_answer_to_the_key_of_the_rfc() {
        assert_eq!(accept(HANDSHAKE_KEY.as_bytes()), HANDSHAKE_ACCEPT);
    }
}
