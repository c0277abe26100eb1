//! Hot path. The frame header (RFC 6455 §5.2): pure functions that convert between bytes and [`FrameHeader`].

use std::fmt;
use std::ops::Deref;

use crate::error::ProtocolError;
use crate::mask::mask_into;

/// The maximum length of a frame header: two bytes, eight bytes of length, four bytes of masking key.
pub const MAX_HEADER_LEN: usize = 14;

/// The maximum length of the payload of a control frame (§5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// The role of an endpoint.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// This endpoint sent the opening handshake. Its frames are masked, and the server's frames must not be.
    Client,
    /// This endpoint accepted the opening handshake. Its frames are not masked, and the client's frames must be.
    Server,
}

/// The type of a frame (§5.2 and §11.8).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Opcode {
    /// A further fragment of the current message.
    Continuation,
    /// A text message, or its first fragment.
    Text,
    /// A binary message, or its first fragment.
    Binary,
    /// Starts or completes the closing handshake. The sender sends nothing after it.
    Close,
    /// Requests a Pong with the same payload.
    Ping,
    /// The response to a Ping, or an unsolicited heartbeat.
    Pong,
}

impl Opcode {
    /// Returns whether this is the opcode of a control frame. Control frames may come between the fragments of a
    /// message (§5.5).
    pub const fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }

    const fn from_bits(bits: u8) -> Result<Self, ProtocolError> {
        Ok(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xa => Opcode::Pong,
            _ => return Err(ProtocolError::ReservedOpcode(bits)),
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xa,
        }
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Opcode::Continuation => "continuation",
            Opcode::Text => "text",
            Opcode::Binary => "binary",
            Opcode::Close => "close",
            Opcode::Ping => "ping",
            Opcode::Pong => "pong",
        })
    }
}

/// Appends one complete frame to `out`: an unfragmented message or a control frame.
///
/// A client must pass a `masking_key` that is new and unpredictable for every frame (§5.3, §10.3). A server must pass
/// `None`.
pub fn encode_frame(opcode: Opcode, payload: &[u8], masking_key: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let header = FrameHeader { masking_key, ..FrameHeader::unfragmented(opcode, payload.len()) };
    let header = header.encode();
    out.reserve(header.len() + payload.len());
    out.extend_from_slice(&header);
    match masking_key {
        Some(key) => mask_into(payload, key, out),
        None => out.extend_from_slice(payload),
    }
}

/// All parts of a frame except the payload.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// Whether this frame is the last fragment of its message.
    pub fin: bool,
    /// The first reserved bit, RSV1. If permessage-deflate (RFC 7692) was negotiated, this bit in the first frame of
    /// a message marks the message as compressed. In all other cases a [`Connection`](crate::Connection) rejects it.
    pub rsv1: bool,
    /// The type of the frame.
    pub opcode: Opcode,
    /// The key with which the payload is masked, or `None` if it is not masked.
    pub masking_key: Option<[u8; 4]>,
    /// The number of payload bytes that follow. Always below 2⁶³.
    pub payload_len: u64,
}

impl FrameHeader {
    /// Creates the header of an unfragmented message or of a control frame, without a masking key.
    pub const fn unfragmented(opcode: Opcode, payload_len: usize) -> Self {
        FrameHeader { fin: true, rsv1: false, opcode, masking_key: None, payload_len: payload_len as u64 }
    }

    /// Parses the header at the beginning of `bytes`. Returns the header and its length in bytes, or `None` if the
    /// header is not complete yet.
    ///
    /// # Errors
    ///
    /// Rejects reserved bits 2 and 3, reserved opcodes, control frames that are fragmented or longer than 125 bytes,
    /// and lengths that are not minimal or have their highest bit set. Each error is returned as soon as the bytes
    /// that prove it have arrived. The [`Connection`](crate::Connection) checks everything that depends on its state:
    /// masks, order, size.
    pub fn parse(bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
        Self::parse_with_rules(HeaderRules::Format, bytes)
    }

    /// Like [`parse`](Self::parse), but also rejects what the receiver's role forbids. Both checks happen in one pass
    /// in the order of the bytes. A header with two errors therefore gives the same error for every split of the
    /// input.
    ///
    /// Always inlined: a header that is returned through memory costs a fifth of the decoding of a short message.
    #[inline(always)]
    pub(crate) fn parse_with_rules(
        rules: HeaderRules,
        bytes: &[u8],
    ) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
        let [first, ref after_first @ ..] = *bytes else { return Ok(None) };
        let reserved = (first >> 4) & 0b111;
        let rsv1 = reserved == 0b100;
        if reserved != 0 && !(rsv1 && rules.allows_rsv1(first & 0x0f)) {
            return Err(ProtocolError::ReservedBits(reserved));
        }
        let opcode = Opcode::from_bits(first & 0x0f)?;
        let fin = first & 0x80 != 0;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl(opcode));
        }

        let [second, ref after_second @ ..] = *after_first else { return Ok(None) };
        let masked = second & 0x80 != 0;
        match rules {
            HeaderRules::Receiver { role: Role::Server, .. } if !masked => {
                return Err(ProtocolError::UnmaskedFrameFromClient);
            }
            HeaderRules::Receiver { role: Role::Client, .. } if masked => {
                return Err(ProtocolError::MaskedFrameFromServer);
            }
            _ => {}
        }
        let short_len = second & 0x7f;
        if opcode.is_control() && usize::from(short_len) > MAX_CONTROL_PAYLOAD {
            return Err(ProtocolError::ControlTooLong(opcode));
        }

        let Some((payload_len, after_len)) = parse_payload_len(short_len, after_second)? else {
            return Ok(None);
        };
        let (mask, payload) = if masked {
            let Some((key, payload)) = after_len.split_first_chunk::<4>() else { return Ok(None) };
            (Some(*key), payload)
        } else {
            (None, after_len)
        };
        let header = FrameHeader { fin, rsv1, opcode, masking_key: mask, payload_len };
        Ok(Some((header, bytes.len() - payload.len())))
    }

    /// Encodes the header, with the length in the fewest bytes.
    #[inline]
    pub fn encode(&self) -> EncodedHeader {
        let mut bytes = [0; MAX_HEADER_LEN];
        bytes[0] = u8::from(self.fin) << 7 | u8::from(self.rsv1) << 6 | self.opcode.bits();
        let mut len = match self.payload_len {
            short @ 0..126 => {
                bytes[1] = short as u8;
                2
            }
            medium @ 126..0x1_0000 => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&(medium as u16).to_be_bytes());
                4
            }
            long => {
                bytes[1] = 127;
                bytes[2..10].copy_from_slice(&long.to_be_bytes());
                10
            }
        };
        if let Some(key) = self.masking_key {
            bytes[1] |= 0x80;
            bytes[len..len + 4].copy_from_slice(&key);
            len += 4;
        }
        EncodedHeader { bytes, len: len as u8 }
    }
}

/// An encoded frame header, stored inline. Dereferences to its bytes.
#[derive(Copy, Clone, Debug)]
pub struct EncodedHeader {
    bytes: [u8; MAX_HEADER_LEN],
    len: u8,
}

impl Deref for EncodedHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The rules that a header is checked against.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) enum HeaderRules {
    /// The rules for every header.
    Format,
    /// Also the rules for a header received in this role. `deflate`: whether permessage-deflate was negotiated.
    Receiver { role: Role, deflate: bool },
}

impl HeaderRules {
    /// RSV1 is allowed only in the first frame of a message, and control frames are never compressed (RFC 7692 §6.1).
    #[inline]
    fn allows_rsv1(self, opcode: u8) -> bool {
        match self {
            Self::Format => true,
            Self::Receiver { deflate, .. } => deflate && matches!(opcode, 0x1 | 0x2),
        }
    }
}

/// Returns the payload length and the bytes after it (§5.2: "the minimal number of bytes MUST be used").
#[inline]
fn parse_payload_len(short_len: u8, bytes: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    match short_len {
        126 => {
            let Some((len, rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
            let len = u16::from_be_bytes(*len);
            if len < 126 {
                return Err(ProtocolError::LengthNotMinimal);
            }
            Ok(Some((u64::from(len), rest)))
        }
        127 => {
            // Both errors are detected before all eight bytes have arrived.
            if bytes.first().is_some_and(|highest| highest & 0x80 != 0) {
                return Err(ProtocolError::LengthOutOfRange);
            }
            if bytes.first_chunk::<6>() == Some(&[0; 6]) {
                return Err(ProtocolError::LengthNotMinimal);
            }
            let Some((len, rest)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
            Ok(Some((u64::from_be_bytes(*len), rest)))
        }
        short => Ok(Some((u64::from(short), bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn header(fin: bool, opcode: Opcode, mask: Option<[u8; 4]>, payload_len: u64) -> FrameHeader {
        FrameHeader { fin, rsv1: false, opcode, masking_key: mask, payload_len }
    }

    #[test]
    fn every_form_of_header_is_read_and_written_alike() {
        use Opcode::{Binary, Close, Continuation, Ping, Pong, Text};
        let cases: &[(&[u8], FrameHeader)] = &[
            // The examples of §5.7.
            (&[0x81, 0x05], header(true, Text, None, 5)),
            (&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d], header(true, Text, Some(KEY), 5)),
            (&[0x01, 0x03], header(false, Text, None, 3)),
            (&[0x80, 0x02], header(true, Continuation, None, 2)),
            (&[0x89, 0x05], header(true, Ping, None, 5)),
            (&[0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d], header(true, Pong, Some(KEY), 5)),
            (&[0x82, 0x7e, 0x01, 0x00], header(true, Binary, None, 256)),
            (&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], header(true, Binary, None, 65_536)),
            // The boundaries of the three length encodings (§5.2).
            (&[0x88, 0x00], header(true, Close, None, 0)),
            (&[0x88, 0x7d], header(true, Close, None, 125)),
            (&[0x00, 0x7d], header(false, Continuation, None, 125)),
            (&[0x02, 0x7e, 0x00, 0x7e], header(false, Binary, None, 126)),
            (&[0x02, 0x7e, 0xff, 0xff], header(false, Binary, None, 65_535)),
            (&[0x82, 0xfe, 0xff, 0xff, 0x37, 0xfa, 0x21, 0x3d], header(true, Binary, Some(KEY), 65_535)),
            (
                &[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x37, 0xfa, 0x21, 0x3d],
                header(true, Binary, Some(KEY), u64::MAX >> 1),
            ),
            // RFC 7692 §6: the format allows RSV1.
            (&[0xc1, 0x05], FrameHeader { rsv1: true, ..header(true, Text, None, 5) }),
        ];
        for (bytes, expected) in cases {
            let mut longer = bytes.to_vec();
            longer.push(0xff);
            assert_eq!(FrameHeader::parse(&longer), Ok(Some((*expected, bytes.len()))), "{bytes:02x?}");
            assert_eq!(&*expected.encode(), *bytes);
            for end in 0..bytes.len() {
                assert_eq!(FrameHeader::parse(&bytes[..end]), Ok(None), "{:02x?}", &bytes[..end]);
            }
        }
    }

    #[test]
    fn what_the_format_forbids_is_refused_at_the_first_byte_that_shows_it() {
        // The last byte of each input is the byte that proves the error.
        let cases: &[(&[u8], ProtocolError)] = &[
            (&[0xa1], ProtocolError::ReservedBits(0b010)), // §5.2: RSV2
            (&[0x91], ProtocolError::ReservedBits(0b001)), // §5.2: RSV3
            (&[0xd1], ProtocolError::ReservedBits(0b101)), // §5.2: RSV1 does not permit RSV3
            (&[0x83], ProtocolError::ReservedOpcode(3)),   // §5.2
            (&[0x87], ProtocolError::ReservedOpcode(7)),   // §5.2
            (&[0x8b], ProtocolError::ReservedOpcode(11)),  // §5.2
            (&[0x8f], ProtocolError::ReservedOpcode(15)),  // §5.2
            (&[0x08], ProtocolError::FragmentedControl(Opcode::Close)), // §5.5
            (&[0x09], ProtocolError::FragmentedControl(Opcode::Ping)), // §5.5
            (&[0x0a], ProtocolError::FragmentedControl(Opcode::Pong)), // §5.5
            (&[0x88, 0x7e], ProtocolError::ControlTooLong(Opcode::Close)), // §5.5
            (&[0x89, 0xfe], ProtocolError::ControlTooLong(Opcode::Ping)), // §5.5
            (&[0x8a, 0xff], ProtocolError::ControlTooLong(Opcode::Pong)), // §5.5
            (&[0x82, 0x7e, 0x00, 0x00], ProtocolError::LengthNotMinimal), // §5.2
            (&[0x82, 0x7e, 0x00, 0x7d], ProtocolError::LengthNotMinimal), // §5.2
            (&[0x82, 0x7f, 0, 0, 0, 0, 0, 0], ProtocolError::LengthNotMinimal), // §5.2
            (&[0x82, 0x7f, 0x80], ProtocolError::LengthOutOfRange), // §5.2
        ];
        for (bytes, expected) in cases {
            assert_eq!(FrameHeader::parse(bytes), Err(expected.clone()), "{bytes:02x?}");
            for end in 0..bytes.len() {
                assert_eq!(FrameHeader::parse(&bytes[..end]), Ok(None), "{:02x?}", &bytes[..end]);
            }
            let mut longer = bytes.to_vec();
            longer.resize(20, 0xff);
            assert_eq!(FrameHeader::parse(&longer), Err(expected.clone()), "{longer:02x?}");
        }
    }

    #[test]
    fn each_role_insists_on_its_mask_and_on_no_extension() {
        let by = |role, bytes: &[u8]| {
            FrameHeader::parse_with_rules(HeaderRules::Receiver { role, deflate: false }, bytes).err()
        };
        assert_eq!(by(Role::Server, &[0x81, 0x05]), Some(ProtocolError::UnmaskedFrameFromClient)); // §5.1
        assert_eq!(by(Role::Server, &[0x81, 0x85]), None);
        assert_eq!(by(Role::Client, &[0x81, 0x85]), Some(ProtocolError::MaskedFrameFromServer)); // §5.1
        assert_eq!(by(Role::Client, &[0x81, 0x05]), None);
        for role in [Role::Client, Role::Server] {
            assert_eq!(by(role, &[0xc1]), Some(ProtocolError::ReservedBits(0b100))); // §5.2
        }
    }

    #[test]
    fn a_frame_is_appended_to_the_output() {
        let mut out = b"before".to_vec();
        encode_frame(Opcode::Text, b"Hello", Some(KEY), &mut out);
        assert_eq!(out, b"before\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"); // §5.7
    }
}
