//! The outgoing unit: one packet group, encoded once.
//!
//! Hot path. A *packet group* is a text packet and the attachments that must follow it without anything between. Its
//! one form in memory is the WebSocket wire form of a server: complete frames, unmasked, one after another. A WebSocket
//! connection writes these bytes as they are; long-polling derives its own form from them
//! ([`encode_payload`](crate::encode_payload)) when it answers.

use bytes::Bytes;
use ws_proto::copy::{append, copy_of};
use ws_proto::{FrameHeader, MAX_HEADER_LEN, Opcode};

/// Space kept in front of the text for what is only known once the text is written: the WebSocket header, the
/// Engine.IO type and the Socket.IO type with the number of attachments.
const HEADROOM: usize = 64;

/// Scratch memory above this is given back at the next [`MessageEncoder::begin`], so that one large message does not
/// stay with the thread for ever.
const RETAINED_CAPACITY: usize = 64 * 1024;

/// Builds one packet group in its wire form, in one pass, in memory that is used again for the next one.
///
/// ```
/// use tidewire_engineio_proto::MessageEncoder;
///
/// let mut encoder = MessageEncoder::new();
/// encoder.begin();
/// encoder.text().extend_from_slice(b"[\"hello\"]");
/// encoder.prepend(b"2");
/// assert_eq!(encoder.finish().as_wire(), b"\x81\x0b42[\"hello\"]");
/// ```
#[derive(Debug, Default)]
pub struct MessageEncoder {
    text: Vec<u8>,
    start: usize,
    attachments: AttachmentEncoder,
}

impl MessageEncoder {
    /// An encoder without memory yet; the first [`begin`](Self::begin) takes some.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a new group and forgets the one before.
    pub fn begin(&mut self) {
        if self.text.capacity() > RETAINED_CAPACITY {
            self.text = Vec::new();
        }
        if self.attachments.wire.capacity() > RETAINED_CAPACITY {
            self.attachments.wire = Vec::new();
        }
        self.text.clear();
        self.text.resize(HEADROOM, 0);
        self.start = HEADROOM;
        self.attachments.wire.clear();
        self.attachments.count = 0;
    }

    /// Where the text of the packet is appended. What is already in it is not for the caller: it must only append.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// The text and the attachments at once, for a serializer that meets bytes in the middle of the text.
    pub fn parts(&mut self) -> (&mut Vec<u8>, &mut AttachmentEncoder) {
        (&mut self.text, &mut self.attachments)
    }

    /// Puts `bytes` in front of the text written so far.
    ///
    /// Costs a copy of `bytes` while they fit the headroom, which they do for everything but a namespace of unusual
    /// length; then the text is moved once.
    pub fn prepend(&mut self, bytes: &[u8]) {
        if bytes.len() + MAX_HEADER_LEN + 1 > self.start {
            self.text.splice(self.start..self.start, bytes.iter().copied());
        } else {
            self.start -= bytes.len();
            self.text[self.start..self.start + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Closes the group: the Engine.IO type and the WebSocket header go in front, the attachments behind.
    pub fn finish(&mut self) -> EncodedMessage<'_> {
        self.start -= 1;
        self.text[self.start] = b'4';
        let header = FrameHeader::message(Opcode::Text, self.text.len() - self.start).encode();
        self.start -= header.len();
        self.text[self.start..self.start + header.len()].copy_from_slice(&header);
        append(&mut self.text, &self.attachments.wire);
        EncodedMessage { wire: &self.text[self.start..] }
    }
}

/// Collects the attachments of a group, each as the binary frame it will be sent as.
#[derive(Debug, Default)]
pub struct AttachmentEncoder {
    wire: Vec<u8>,
    count: usize,
}

impl AttachmentEncoder {
    /// Appends one attachment. Its index is the count before.
    pub fn push(&mut self, data: &[u8]) {
        self.wire.extend_from_slice(&FrameHeader::message(Opcode::Binary, data.len()).encode());
        append(&mut self.wire, data);
        self.count += 1;
    }

    /// How many attachments the group has so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }
}

/// A finished packet group that still lies in its encoder's memory.
#[derive(Debug, Clone, Copy)]
pub struct EncodedMessage<'a> {
    wire: &'a [u8],
}

impl<'a> EncodedMessage<'a> {
    /// The frames as they go onto a WebSocket connection.
    #[must_use]
    pub fn as_wire(&self) -> &'a [u8] {
        self.wire
    }

    /// Copies the group into memory of its own that many connections can share.
    #[must_use]
    pub fn to_frame(&self) -> Frame {
        Frame { wire: copy_of(self.wire).into() }
    }
}

/// One encoded packet group in shared, immutable memory: a broadcast clones the reference, never the bytes.
///
/// Variants that are not needed yet (deflated without context takeover, revision 3) get their place here, each made
/// at most once, by the first receiver that needs it.
#[derive(Debug, Clone)]
pub struct Frame {
    wire: Bytes,
}

impl Frame {
    /// The frames as they go onto a WebSocket connection.
    #[must_use]
    pub fn as_wire(&self) -> &Bytes {
        &self.wire
    }
}

/// Appends one text packet of the engine itself (`2`, `3probe`, `0{…}`, …) in wire form.
pub fn encode_packet(packet: &str, wire: &mut Vec<u8>) {
    wire.extend_from_slice(&FrameHeader::message(Opcode::Text, packet.len()).encode());
    append(wire, packet.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_its_text_frame_followed_by_its_attachments() {
        let mut encoder = MessageEncoder::new();
        encoder.begin();
        let (text, attachments) = encoder.parts();
        attachments.push(&[1, 2]);
        text.extend_from_slice(b"[]");
        attachments.push(&[]);
        encoder.prepend(b"52-");
        assert_eq!(encoder.finish().as_wire(), b"\x81\x06452-[]\x82\x02\x01\x02\x82\x00");
    }

    #[test]
    fn an_encoder_forgets_the_group_before() {
        let mut encoder = MessageEncoder::new();
        encoder.begin();
        encoder.parts().1.push(&[9]);
        encoder.text().extend_from_slice(b"first");
        encoder.finish();
        encoder.begin();
        encoder.text().extend_from_slice(b"x");
        assert_eq!(encoder.finish().as_wire(), b"\x81\x024x");
    }

    #[test]
    fn longer_texts_get_longer_headers() {
        for (length, header) in [(125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mut encoder = MessageEncoder::new();
            encoder.begin();
            encoder.text().resize(HEADROOM + length - 1, b'x');
            assert_eq!(encoder.finish().as_wire().len(), header + length, "{length}");
        }
    }

    #[test]
    fn what_does_not_fit_the_headroom_is_moved_in() {
        let mut encoder = MessageEncoder::new();
        encoder.begin();
        encoder.text().extend_from_slice(b"tail");
        let namespace = [b'n'; 200];
        encoder.prepend(&namespace);
        encoder.prepend(b"2");
        let wire = encoder.finish().as_wire().to_vec();
        assert_eq!(&wire[..6], b"\x81\x7e\x00\xce42");
        assert_eq!(&wire[6..206], &namespace);
        assert_eq!(&wire[206..], b"tail");
    }

    #[test]
    fn a_large_group_does_not_keep_its_memory() {
        let mut encoder = MessageEncoder::new();
        encoder.begin();
        encoder.text().resize(1_000_000, b'x');
        encoder.finish();
        encoder.begin();
        assert!(encoder.text.capacity() <= RETAINED_CAPACITY);
    }
}
