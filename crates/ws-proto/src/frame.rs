//! Hot path. The frame header (RFC 6455 §5.2): pure functions between bytes and [`FrameHeader`].

use std::fmt;
use std::ops::Deref;

use crate::error::ProtocolError;
use crate::mask::mask_into;

/// The longest frame header: two bytes, eight of length, four of mask.
pub const MAX_HEADER_LEN: usize = 14;

/// The longest payload of a control frame (§5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// Which end of the connection we are.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// We sent the opening handshake: our frames are masked, the peer's must not be.
    Client,
    /// We answered it: the peer's frames must be masked, ours are not.
    Server,
}

/// What a frame is (§5.2 and §11.8).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Opcode {
    /// A further fragment of the message begun before.
    Continuation,
    /// A text message, or its first fragment.
    Text,
    /// A binary message, or its first fragment.
    Binary,
    /// The end of what the sender has to say.
    Close,
    /// A question that a Pong with the same payload answers.
    Ping,
    /// The answer to a Ping, or a heartbeat nobody asked for.
    Pong,
}

impl Opcode {
    /// Whether frames of this kind may come between the fragments of a message (§5.5).
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

/// Appends one whole frame to `out`: a message in a single piece, or a control frame.
///
/// A client has to give a `mask_key`, new and unpredictable for every frame (§5.3, §10.3); a server must not.
pub fn encode_frame(opcode: Opcode, payload: &[u8], mask_key: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let header = FrameHeader { masking_key: mask_key, ..FrameHeader::unfragmented(opcode, payload.len()) };
    let header = header.encode();
    out.reserve(header.len() + payload.len());
    out.extend_from_slice(&header);
    match mask_key {
        Some(key) => mask_into(payload, key, out),
        None => out.extend_from_slice(payload),
    }
}

/// Everything in a frame that is not payload.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// Whether this is the last fragment of its message.
    pub fin: bool,
    /// The first reserved bit: "compressed", in the first frame of a message, once permessage-deflate (RFC 7692) has been
    /// agreed on. Everywhere else a [`Connection`](crate::Connection) refuses it.
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// The key the payload is masked with, if it is.
    pub masking_key: Option<[u8; 4]>,
    /// How many bytes of payload follow; below 2⁶³.
    pub payload_len: u64,
}

impl FrameHeader {
    /// The header of a message in a single piece, or of a control frame, without mask.
    pub const fn unfragmented(opcode: Opcode, payload_len: usize) -> Self {
        FrameHeader { fin: true, rsv1: false, opcode, masking_key: None, payload_len: payload_len as u64 }
    }

    /// Reads the header at the beginning of `bytes`, and says how many bytes it took; `None` if it is not whole
    /// yet.
    ///
    /// Refuses reserved bits 2 and 3, reserved opcodes, control frames in fragments or beyond 125 bytes, and
    /// lengths that are not minimal or have their highest bit set: each as soon as the bytes that show it are
    /// there. What depends on the connection (masks, order, size) is the connection's to refuse.
    pub fn parse(bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
        Self::parse_with_rules(HeaderRules::Format, bytes)
    }

    /// [`parse`](Self::parse), refusing what the receiver's role forbids as well. It is done in the same pass, in
    /// the order of the bytes, so that of two errors in one header the same one is found however it was split.
    #[inline]
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

    /// The bytes of the header, with the length in the fewest bytes.
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

/// A frame header as bytes, kept inline.
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

/// Which rules a header is held against.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) enum HeaderRules {
    /// Those that hold for every header.
    Format,
    /// Those too that hold for a header received in this role. `deflate`: permessage-deflate is in use.
    Receiver { role: Role, deflate: bool },
}

impl HeaderRules {
    /// Compression begins with the first frame of a message, and control frames are never compressed (RFC 7692 §6.1).
    #[inline]
    fn allows_rsv1(self, opcode: u8) -> bool {
        match self {
            Self::Format => true,
            Self::Receiver { deflate, .. } => deflate && matches!(opcode, 0x1 | 0x2),
        }
    }
}

/// The payload length and what follows it (§5.2: "the minimal number of bytes MUST be used").
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
            // Both errors show before all eight bytes have come.
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
            // §5.7, the examples.
            (&[0x81, 0x05], header(true, Text, None, 5)),
            (&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d], header(true, Text, Some(KEY), 5)),
            (&[0x01, 0x03], header(false, Text, None, 3)),
            (&[0x80, 0x02], header(true, Continuation, None, 2)),
            (&[0x89, 0x05], header(true, Ping, None, 5)),
            (&[0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d], header(true, Pong, Some(KEY), 5)),
            (&[0x82, 0x7e, 0x01, 0x00], header(true, Binary, None, 256)),
            (&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], header(true, Binary, None, 65_536)),
            // §5.2, the edges of the three lengths.
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
            // RFC 7692 §6: the format has room for RSV1.
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
        // The last byte of each is the one that shows it.
        let cases: &[(&[u8], ProtocolError)] = &[
            (&[0xa1], ProtocolError::ReservedBits(0b010)), // §5.2: RSV2
            (&[0x91], ProtocolError::ReservedBits(0b001)), // §5.2: RSV3
            (&[0xd1], ProtocolError::ReservedBits(0b101)), // §5.2: RSV1 is no excuse
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
    fn a_message_is_written_behind_what_is_there() {
        let mut out = b"before".to_vec();
        encode_frame(Opcode::Text, b"Hello", Some(KEY), &mut out);
        assert_eq!(out, b"before\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"); // §5.7
    }
}
