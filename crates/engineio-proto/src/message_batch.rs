//! Outgoing messages of any number and kind, which leave together.
//!
//! [`EncodedMessage`](crate::EncodedMessage) has the form of most messages: a text, and its attachments. A program may
//! encode its packets in another way, for instance as one binary message.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use ws_proto::copy::append;

use crate::framing::{DataKind, Framing, LengthDelimitedPackets, MAX_FRAMING_HEADER_LEN, Reframer};
use crate::message::Guarded;
use crate::packet::{MESSAGE, base64_len};
use crate::revision3;

/// Memory above this size is freed at the next [`MessageBatch::clear`], so that a thread does not keep the memory of one
/// large batch forever.
const RETAINED_CAPACITY: usize = 64 * 1024;

/// Collects messages that are sent together: no other message of the session comes between them.
///
/// ```
/// use tidewire_engineio_proto::{Framing, MessageBatch};
///
/// let mut batch = MessageBatch::new();
/// batch.push_text("hello");
/// batch.push_binary(&[1, 2]);
/// let mut frames = Vec::new();
/// batch.write(Framing::WebSocket, |part| frames.extend_from_slice(part));
/// assert_eq!(frames, b"\x81\x064hello\x82\x02\x01\x02");
/// ```
#[derive(Debug, Default)]
pub struct MessageBatch {
    /// The packets, in [`Framing::LengthDelimited`], which every other framing can be made from.
    packets: Vec<u8>,
    /// The transport must not compress the messages that are added.
    is_uncompressed: bool,
}

impl MessageBatch {
    /// Creates an empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Removes all messages. The memory is kept for the next ones.
    pub fn clear(&mut self) {
        if self.packets.capacity() > RETAINED_CAPACITY {
            self.packets = Vec::new();
        }
        self.packets.clear();
        self.is_uncompressed = false;
    }

    /// Sets whether a transport that compresses may compress the messages that are added from now on. Default true.
    pub fn set_compression(&mut self, compress: bool) {
        self.is_uncompressed = !compress;
    }

    /// Returns whether there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Adds a text message. It must not contain U+001E, which separates the packets of a polling payload.
    pub fn push_text(&mut self, text: &str) {
        self.push_with(DataKind::Text, |out| {
            out.push(MESSAGE);
            append(out, text.as_bytes());
        });
    }

    /// Adds a binary message.
    pub fn push_binary(&mut self, data: &[u8]) {
        self.push_binary_with(|out| append(out, data));
    }

    /// Adds a binary message that `write` appends to a buffer. `write` must not change the bytes that are already in the
    /// buffer. Returns the result of `write`.
    pub fn push_binary_with<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.push_with(DataKind::Binary, write)
    }

    fn push_with<R>(&mut self, kind: DataKind, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let framing = Framing::LengthDelimited;
        let start = self.packets.len();
        self.packets.extend_from_slice(&framing.header(kind, 0));
        let data = self.packets.len();
        let result = write(&mut self.packets);
        let length = self.packets.len() - data;
        let mut header = framing.header(kind, length);
        if self.is_uncompressed {
            header.set_uncompressed();
        }
        self.packets[start..data].copy_from_slice(&header);
        result
    }

    /// Returns the number of bytes that [`write`](Self::write) produces in this framing.
    #[must_use]
    pub fn framed_len(&self, framing: Framing) -> usize {
        match framing {
            Framing::LengthDelimited => self.packets.len(),
            _ => self.iter().map(|(kind, data)| framing.framed_len(kind, data.len())).sum(),
        }
    }

    /// Returns an upper limit of the bytes that [`write`](Self::write) produces in any framing.
    #[must_use]
    pub fn max_framed_len(&self) -> usize {
        let packet = |(_, data): (DataKind, &[u8])| {
            MAX_FRAMING_HEADER_LEN + revision3::BASE64_PREFIX.len() + base64_len(data.len())
        };
        self.iter().map(packet).sum()
    }

    /// Writes the messages in this framing. Calls `part` with consecutive pieces.
    pub fn write(&self, framing: Framing, mut part: impl FnMut(&[u8])) {
        if framing == Framing::LengthDelimited {
            return part(&self.packets);
        }
        Reframer::new(framing).reframe(&self.packets, |header, data| {
            part(header);
            if !data.is_empty() {
                part(data);
            }
        });
    }

    /// Copies the messages into new memory that many connections can share.
    #[must_use]
    pub fn to_shared(&self) -> SharedBatch {
        SharedBatch::new(Bytes::copy_from_slice(&self.packets))
    }

    fn iter(&self) -> impl Iterator<Item = (DataKind, &[u8])> {
        LengthDelimitedPackets::new(&self.packets).iter()
    }
}

/// Messages in shared, immutable memory. A broadcast clones the reference, never the bytes.
#[derive(Debug, Clone)]
pub struct SharedBatch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The packets, in [`Framing::LengthDelimited`].
    packets: Bytes,
    /// The packets in the other framings. Each is made when the first receiver needs it.
    other_framings: [OnceLock<Bytes>; 4],
    /// The memory of all framings with a guard.
    guarded: [OnceLock<Bytes>; 5],
}

impl SharedBatch {
    /// Shares `packets`, which are in [`Framing::LengthDelimited`].
    pub(crate) fn new(packets: Bytes) -> Self {
        Self(Arc::new(Shared { packets, other_framings: Default::default(), guarded: Default::default() }))
    }

    /// Returns the packets, in [`Framing::LengthDelimited`].
    pub(crate) fn packets(&self) -> &Bytes {
        &self.0.packets
    }

    /// Returns the messages in this framing. Each framing is made at most once.
    #[must_use]
    pub fn framed(&self, framing: Framing) -> &Bytes {
        let Shared { packets, other_framings: [websocket, base64, revision3, revision3_base64], .. } =
            &*self.0;
        let framed = match framing {
            Framing::LengthDelimited => return packets,
            Framing::WebSocket => websocket,
            Framing::WebSocketBase64 => base64,
            Framing::WebSocketRevision3 => revision3,
            Framing::WebSocketRevision3Base64 => revision3_base64,
        };
        framed.get_or_init(|| {
            let mut framed = Vec::with_capacity(packets.len() + MAX_FRAMING_HEADER_LEN);
            Reframer::new(framing).reframe(packets, |header, data| {
                framed.extend_from_slice(header);
                append(&mut framed, data);
            });
            framed.into()
        })
    }

    /// Returns the same memory as [`framed`](Self::framed) together with a guard, see
    /// [`SharedMessage::framed_with_guard`](crate::SharedMessage::framed_with_guard).
    #[must_use]
    pub fn framed_with_guard<G>(&self, framing: Framing, guard: impl FnOnce(usize) -> G) -> &Bytes
    where
        G: Send + 'static,
    {
        let index = match framing {
            Framing::LengthDelimited => 0,
            Framing::WebSocket => 1,
            Framing::WebSocketBase64 => 2,
            Framing::WebSocketRevision3 => 3,
            Framing::WebSocketRevision3Base64 => 4,
        };
        self.0.guarded[index].get_or_init(|| {
            let bytes = self.framed(framing).clone();
            let guard = guard(bytes.len());
            Bytes::from_owner(Guarded::new(bytes, guard))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Framing; 5] = [
        Framing::WebSocket,
        Framing::WebSocketBase64,
        Framing::WebSocketRevision3,
        Framing::WebSocketRevision3Base64,
        Framing::LengthDelimited,
    ];

    fn batch() -> MessageBatch {
        let mut batch = MessageBatch::new();
        batch.push_text("hé");
        batch.push_binary(&[1, 2, 3]);
        batch.push_text("");
        assert_eq!(batch.push_binary_with(|out| out.len()), batch.packets.len());
        batch
    }

    fn written(batch: &MessageBatch, framing: Framing) -> Vec<u8> {
        let mut written = Vec::new();
        batch.write(framing, |part| written.extend_from_slice(part));
        assert_eq!(written.len(), batch.framed_len(framing), "{framing:?}");
        assert!(written.len() <= batch.max_framed_len(), "{framing:?}");
        written
    }

    #[test]
    fn messages_of_any_kind_follow_each_other() {
        let batch = batch();
        for (framing, expected) in [
            (Framing::WebSocket, &b"\x81\x044h\xc3\xa9\x82\x03\x01\x02\x03\x81\x014\x82\x00"[..]),
            (Framing::WebSocketBase64, b"\x81\x044h\xc3\xa9\x81\x05bAQID\x81\x014\x81\x01b"),
            (Framing::WebSocketRevision3, b"\x81\x044h\xc3\xa9\x82\x04\x04\x01\x02\x03\x81\x014\x82\x01\x04"),
            (Framing::WebSocketRevision3Base64, b"\x81\x044h\xc3\xa9\x81\x06b4AQID\x81\x014\x81\x02b4"),
        ] {
            assert_eq!(written(&batch, framing), expected, "{framing:?}");
        }
        let mut payload = Vec::new();
        let waiting = written(&batch, Framing::LengthDelimited);
        crate::encode_payload(LengthDelimitedPackets::new(&waiting), &mut payload);
        assert_eq!(payload, "4hé\x1ebAQID\x1e4\x1eb".as_bytes());
    }

    #[test]
    fn each_receiver_of_shared_messages_gets_the_same_memory() {
        let batch = batch();
        let shared = batch.to_shared();
        for framing in ALL {
            assert_eq!(shared.framed(framing), &written(&batch, framing), "{framing:?}");
            assert_eq!(shared.framed(framing).as_ptr(), shared.clone().framed(framing).as_ptr());
            let guard = Arc::new(());
            let guarded = shared.framed_with_guard(framing, |_| Arc::clone(&guard));
            assert_eq!(guarded.as_ptr(), shared.framed(framing).as_ptr());
            assert_eq!(Arc::strong_count(&guard), 2);
        }
    }

    #[test]
    fn a_cleared_batch_has_no_messages_and_little_memory() {
        let mut batch = MessageBatch::new();
        batch.push_binary(&vec![0; 1_000_000]);
        batch.clear();
        assert!(batch.is_empty() && batch.packets.capacity() <= RETAINED_CAPACITY);
        batch.push_text("a");
        assert_eq!(written(&batch, Framing::WebSocket), b"\x81\x024a");
        batch.clear();
        assert!(batch.is_empty());
    }
}
