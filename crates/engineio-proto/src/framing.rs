//! The forms in which outgoing packets are buffered until a transport sends them.
//!
//! Hot path. Another transport, or another revision of the protocol, needs one more [`Framing`].

use std::borrow::Cow;
use std::ops::Deref;

use ws_proto::copy::append;
use ws_proto::{EncodedHeader, FrameHeader, MAX_HEADER_LEN, Opcode};

use crate::handshake::Transport;
use crate::packet::{BASE64_PREFIX, Packet, base64_len, encode_base64};
use crate::revision3;

/// The form in which outgoing packets are buffered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The frames of a WebSocket server: whole messages, not masked, not compressed. The transport sends these bytes
    /// unchanged.
    WebSocket,
    /// The same, for a client that takes no binary frames: binary data is sent in text frames, as `b` and base64.
    WebSocketBase64,
    /// The frames of a WebSocket server in [revision 3](crate::Revision::V3): a type byte stands in front of binary data.
    WebSocketRevision3,
    /// The same, for a client that takes no binary frames: binary data is sent in text frames, as `b4` and base64.
    WebSocketRevision3Base64,
    /// Packets with a length prefix, for long-polling, which can send only while a GET waits.
    /// [`LengthDelimitedPackets`] reads them.
    LengthDelimited,
}

/// Whether the data of a packet is text or binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataKind {
    Text = 0,
    Binary = 1,
}

/// The length of the longest header of any framing.
pub(crate) const MAX_FRAMING_HEADER_LEN: usize = MAX_HEADER_LEN;

/// The length of a [`Framing::LengthDelimited`] header: the kind, then the length in five bytes, lowest byte first. The
/// header is as short as possible, because it counts against the limit of buffered bytes.
const LENGTH_DELIMITED_HEADER_LEN: usize = 1 + LENGTH_BYTES;
const LENGTH_BYTES: usize = 5;

/// A bit beside the kind in such a header: the transport must not compress the packet.
const UNCOMPRESSED: u8 = 0b10;

impl Framing {
    /// Returns the form in which a server of revision 4 buffers packets for this transport. `base64` tells whether the
    /// client wants binary data as base64, which long-polling always uses. For either revision, see
    /// [`Revision::framing`](crate::Revision::framing).
    #[must_use]
    pub fn of(transport: Transport, base64: bool) -> Self {
        match transport {
            Transport::Polling => Self::LengthDelimited,
            Transport::WebSocket if base64 => Self::WebSocketBase64,
            Transport::WebSocket => Self::WebSocket,
        }
    }

    /// Appends a packet to `out`.
    pub fn write_packet(self, packet: &Packet<'_>, out: &mut Vec<u8>) {
        if let Packet::Binary(data) = packet {
            return self.write(DataKind::Binary, data, true, out);
        }
        out.extend_from_slice(&self.header(DataKind::Text, packet.encoded_len()));
        packet.encode_into(out);
    }

    /// Returns the number of bytes that [`write_packet`](Self::write_packet) appends.
    #[must_use]
    pub fn packet_len(self, packet: &Packet<'_>) -> usize {
        match packet {
            Packet::Binary(data) => self.framed_len(DataKind::Binary, data.len()),
            text => self.framed_len(DataKind::Text, text.encoded_len()),
        }
    }

    /// Returns the length of a packet with `length` bytes of data together with its header.
    pub(crate) fn framed_len(self, kind: DataKind, length: usize) -> usize {
        let length = match self.base64_prefix(kind) {
            Some(prefix) => prefix.len() + base64_len(length),
            None => length,
        };
        self.header(kind, length).len() + length
    }

    /// Appends data of this kind to `out`. `compress` tells whether the transport may compress it.
    pub(crate) fn write(self, kind: DataKind, data: &[u8], compress: bool, out: &mut Vec<u8>) {
        if let Some(prefix) = self.base64_prefix(kind) {
            out.extend_from_slice(&self.header(kind, prefix.len() + base64_len(data.len())));
            out.extend_from_slice(prefix.as_bytes());
            return encode_base64(data, out);
        }
        let mut header = self.header(kind, data.len());
        if !compress {
            header.set_uncompressed();
        }
        out.extend_from_slice(&header);
        append(out, data);
    }

    /// If data of this kind is not written as it is, but as base64, returns what stands in front of the base64.
    pub(crate) fn base64_prefix(self, kind: DataKind) -> Option<&'static str> {
        match (self, kind) {
            (Self::WebSocketBase64, DataKind::Binary) => Some(BASE64_PREFIX),
            (Self::WebSocketRevision3Base64, DataKind::Binary) => Some(revision3::BASE64_PREFIX),
            _ => None,
        }
    }

    /// Returns the header for a packet of `length` bytes, after base64 if this framing uses it. A type byte counts as a
    /// part of the header.
    pub(crate) fn header(self, kind: DataKind, length: usize) -> Header {
        let frame = |opcode| Header::WebSocket(FrameHeader::unfragmented(opcode, length).encode());
        match (self, kind) {
            (Self::LengthDelimited, _) => {
                let mut header = [0; LENGTH_DELIMITED_HEADER_LEN];
                header[0] = kind as u8;
                header[1..].copy_from_slice(&(length as u64).to_le_bytes()[..LENGTH_BYTES]);
                Header::LengthDelimited(header)
            }
            (Self::WebSocket, DataKind::Binary) => frame(Opcode::Binary),
            (Self::WebSocketRevision3, DataKind::Binary) => typed_header(length),
            // Base64 is text too.
            _ => frame(Opcode::Text),
        }
    }

    /// Returns the opcode and the content of the WebSocket message that carries this data.
    fn message(self, kind: DataKind, data: &[u8]) -> (Opcode, Cow<'_, [u8]>) {
        if let Some(prefix) = self.base64_prefix(kind) {
            let mut text = Vec::with_capacity(prefix.len() + base64_len(data.len()));
            text.extend_from_slice(prefix.as_bytes());
            encode_base64(data, &mut text);
            return (Opcode::Text, Cow::Owned(text));
        }
        match (kind, self) {
            (DataKind::Text, _) => (Opcode::Text, Cow::Borrowed(data)),
            (DataKind::Binary, Self::WebSocketRevision3) => {
                (Opcode::Binary, Cow::Owned([&[revision3::MESSAGE_BYTE], data].concat()))
            }
            (DataKind::Binary, _) => (Opcode::Binary, Cow::Borrowed(data)),
        }
    }
}

/// Returns the header of a binary frame with a type byte in front of its data.
#[cold]
fn typed_header(length: usize) -> Header {
    let frame = FrameHeader::unfragmented(Opcode::Binary, length + 1).encode();
    // A server does not mask, so the header is four bytes shorter than the longest.
    let mut bytes = [0; MAX_FRAMING_HEADER_LEN];
    bytes[..frame.len()].copy_from_slice(&frame);
    bytes[frame.len()] = revision3::MESSAGE_BYTE;
    Header::Typed { bytes, length: frame.len() as u8 + 1 }
}

impl Header {
    /// Records that the transport must not compress the packet. Only packets that wait for their transport need it.
    pub(crate) fn set_uncompressed(&mut self) {
        if let Self::LengthDelimited([kind, ..]) = self {
            *kind |= UNCOMPRESSED;
        }
    }
}

/// The header of one packet.
pub(crate) enum Header {
    WebSocket(EncodedHeader),
    /// The header of a WebSocket frame, and a type byte.
    Typed {
        bytes: [u8; MAX_FRAMING_HEADER_LEN],
        length: u8,
    },
    LengthDelimited([u8; LENGTH_DELIMITED_HEADER_LEN]),
}

impl Deref for Header {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::WebSocket(header) => header,
            Self::Typed { bytes, length } => &bytes[..usize::from(*length)],
            Self::LengthDelimited(header) => header,
        }
    }
}

/// Reads packets that [`Framing::LengthDelimited`] wrote.
#[derive(Debug, Clone)]
pub struct LengthDelimitedPackets<'a>(&'a [u8]);

impl<'a> LengthDelimitedPackets<'a> {
    /// Creates a reader. `bytes` must contain whole packets only.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns whether the transport may compress at least one of the packets.
    #[must_use]
    pub fn allow_compression(&self) -> bool {
        self.clone().with_headers().any(|(header, _)| header.compress)
    }

    /// Returns the packets. Text includes its type character. Iteration ends at the first incomplete packet.
    pub(crate) fn iter(self) -> impl Iterator<Item = (DataKind, &'a [u8])> {
        self.with_headers().map(|(header, data)| (header.kind, data))
    }

    fn with_headers(self) -> impl Iterator<Item = (PacketHeader, &'a [u8])> {
        let Self(mut bytes) = self;
        std::iter::from_fn(move || {
            let (header, rest) = bytes.split_first_chunk::<LENGTH_DELIMITED_HEADER_LEN>()?;
            let header = PacketHeader::read(header);
            let (data, rest) = rest.split_at_checked(header.length)?;
            bytes = rest;
            Some((header, data))
        })
    }
}

/// A [`Framing::LengthDelimited`] header.
#[derive(Debug, Clone, Copy)]
struct PacketHeader {
    kind: DataKind,
    /// Whether the transport may compress the packet.
    compress: bool,
    length: usize,
}

impl PacketHeader {
    fn read(header: &[u8; LENGTH_DELIMITED_HEADER_LEN]) -> Self {
        let [flags, length @ ..] = header;
        let is_binary = flags & !UNCOMPRESSED == DataKind::Binary as u8;
        let mut bytes = [0; size_of::<u64>()];
        bytes[..LENGTH_BYTES].copy_from_slice(length);
        Self {
            kind: if is_binary { DataKind::Binary } else { DataKind::Text },
            compress: flags & UNCOMPRESSED == 0,
            // A length that does not fit a `usize` is longer than any data that can follow.
            length: usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX),
        }
    }
}

/// The WebSocket message that carries a packet, see [`Reframer::next_packet`].
#[derive(Debug, PartialEq, Eq)]
pub struct ReframedPacket<'a> {
    /// The opcode.
    pub opcode: Opcode,
    /// The content.
    pub payload: Cow<'a, [u8]>,
    /// Whether the transport may compress the message.
    pub compress: bool,
}

/// Converts packets from [`Framing::LengthDelimited`] to another framing. Their data is not copied, unless it becomes
/// base64. The packets may be spread over several pieces of memory.
#[derive(Debug)]
pub struct Reframer {
    framing: Framing,
    /// The last header of the previous piece, if its data has not come yet.
    header: Option<PacketHeader>,
}

impl Reframer {
    /// Creates a converter to `framing`.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self { framing, header: None }
    }

    /// Calls `packet` with the new header and the data of each packet in the next piece. If the data becomes base64, it
    /// comes with the header, and the second argument is empty. A piece must end between two packets, or between the
    /// header and the data of a packet. Any other incomplete packet is dropped.
    pub fn reframe<'b>(&mut self, mut piece: &'b [u8], mut packet: impl FnMut(&[u8], &'b [u8])) {
        while let Some((PacketHeader { kind, .. }, data)) = self.read(&mut piece) {
            if self.framing.base64_prefix(kind).is_some() {
                let mut encoded = Vec::with_capacity(self.framing.framed_len(kind, data.len()));
                self.framing.write(kind, data, true, &mut encoded);
                packet(&encoded, &data[..0]);
            } else {
                packet(&self.framing.header(kind, data.len()), data);
            }
        }
    }

    /// Removes the next packet from the front of `piece`. Returns the WebSocket message that carries it in this framing.
    /// The content is copied only if it becomes base64 or gets a type byte. Returns
    /// `None` at the end of the piece. The rules for pieces are those of [`reframe`](Self::reframe).
    pub fn next_packet<'b>(&mut self, piece: &mut &'b [u8]) -> Option<ReframedPacket<'b>> {
        let (PacketHeader { kind, compress, .. }, data) = self.read(piece)?;
        let (opcode, payload) = self.framing.message(kind, data);
        Some(ReframedPacket { opcode, payload, compress })
    }

    fn read<'b>(&mut self, piece: &mut &'b [u8]) -> Option<(PacketHeader, &'b [u8])> {
        let header = match self.header.take() {
            Some(header) => header,
            None => {
                let (header, rest) = piece.split_first_chunk::<LENGTH_DELIMITED_HEADER_LEN>()?;
                *piece = rest;
                PacketHeader::read(header)
            }
        };
        if piece.is_empty() && header.length > 0 {
            self.header = Some(header);
            return None;
        }
        let (data, rest) = piece.split_at_checked(header.length)?;
        *piece = rest;
        Some((header, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: [Packet<'static>; 4] = [
        Packet::Ping("probe"),
        Packet::Message("hé"),
        Packet::Binary(Cow::Borrowed(&[1, 2, 3])),
        Packet::Noop,
    ];

    const ALL: [Framing; 5] = [
        Framing::WebSocket,
        Framing::WebSocketBase64,
        Framing::WebSocketRevision3,
        Framing::WebSocketRevision3Base64,
        Framing::LengthDelimited,
    ];

    fn written(framing: Framing) -> Vec<u8> {
        let mut out = Vec::new();
        for packet in &PACKETS {
            let before = out.len();
            framing.write_packet(packet, &mut out);
            assert_eq!(out.len() - before, framing.packet_len(packet), "{packet:?}");
        }
        out
    }

    #[test]
    fn a_websocket_carries_text_as_text_and_bytes_as_bytes() {
        assert_eq!(
            written(Framing::WebSocket),
            b"\x81\x062probe\x81\x044h\xc3\xa9\x82\x03\x01\x02\x03\x81\x016"
        );
    }

    #[test]
    fn a_websocket_without_binary_frames_carries_bytes_as_base64_in_text() {
        assert_eq!(
            written(Framing::WebSocketBase64),
            b"\x81\x062probe\x81\x044h\xc3\xa9\x81\x05bAQID\x81\x016"
        );
    }

    #[test]
    fn in_revision_3_bytes_have_a_type() {
        assert_eq!(
            written(Framing::WebSocketRevision3),
            b"\x81\x062probe\x81\x044h\xc3\xa9\x82\x04\x04\x01\x02\x03\x81\x016"
        );
        assert_eq!(
            written(Framing::WebSocketRevision3Base64),
            b"\x81\x062probe\x81\x044h\xc3\xa9\x81\x06b4AQID\x81\x016"
        );
    }

    #[test]
    fn the_length_of_a_frame_counts_the_type_byte() {
        for (length, header) in [
            (0, &b"\x82\x01\x04"[..]),
            (124, b"\x82\x7d\x04"),
            (125, b"\x82\x7e\x00\x7e\x04"),
            (65_534, b"\x82\x7e\xff\xff\x04"),
            (65_535, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00\x04"),
        ] {
            assert_eq!(&*Framing::WebSocketRevision3.header(DataKind::Binary, length), header, "{length}");
        }
    }

    #[test]
    fn packets_that_wait_are_written_for_another_transport_as_if_they_had_been_written_for_it_at_once() {
        let waiting = written(Framing::LengthDelimited);
        // One piece ends after the header of the binary packet, and the data is a piece of its own.
        let data = waiting.len() - LENGTH_DELIMITED_HEADER_LEN - 1 - 3;
        for framing in ALL {
            for pieces in
                [vec![&waiting[..]], vec![&waiting[..data], &waiting[data..data + 3], &waiting[data + 3..]]]
            {
                let mut out = Vec::new();
                let mut reframer = Reframer::new(framing);
                for piece in pieces {
                    reframer.reframe(piece, |header, data| out.extend_from_slice(&[header, data].concat()));
                }
                assert_eq!(out, written(framing));
            }
        }
    }

    #[test]
    fn the_messages_of_waiting_packets_are_those_of_the_frames() {
        let waiting = written(Framing::LengthDelimited);
        // Each header and each data is a piece of its own.
        let mut pieces = Vec::new();
        for packet in &PACKETS {
            let start: usize = pieces.iter().map(|piece: &&[u8]| piece.len()).sum();
            let end = start + Framing::LengthDelimited.packet_len(packet);
            pieces.extend([&waiting[start..start + LENGTH_DELIMITED_HEADER_LEN]]);
            pieces.extend([&waiting[start + LENGTH_DELIMITED_HEADER_LEN..end]]);
        }
        for framing in ALL.into_iter().filter(|framing| *framing != Framing::LengthDelimited) {
            for pieces in [vec![&waiting[..]], pieces.clone()] {
                let mut out = Vec::new();
                let mut reframer = Reframer::new(framing);
                for mut piece in pieces {
                    while let Some(message) = reframer.next_packet(&mut piece) {
                        let ReframedPacket { opcode, payload, compress } = message;
                        out.extend_from_slice(&FrameHeader::unfragmented(opcode, payload.len()).encode());
                        out.extend_from_slice(&payload);
                        assert!(compress);
                    }
                    assert!(piece.is_empty());
                }
                assert_eq!(out, written(framing));
            }
        }
    }

    #[test]
    fn what_is_no_whole_packet_is_the_end() {
        let waiting = written(Framing::LengthDelimited);
        for end in 0..waiting.len() {
            assert!(LengthDelimitedPackets::new(&waiting[..end]).iter().count() < PACKETS.len(), "{end}");
        }
        assert_eq!(LengthDelimitedPackets::new(&[0xff; 40]).iter().count(), 0);
        Reframer::new(Framing::WebSocket).reframe(&[0xff; 40], |_, _| panic!("there is no packet"));
    }
}
