//! A message as a log keeps it.

use std::any::Any;
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;

use super::{Converted, RareFramings, Shared, SharedMessage};
use crate::message_batch::SharedBatch;

/// The content of a [`SharedMessage`]. It does not keep the framings that the receivers of the message need: they are freed
/// with the last receiver. So its size never changes.
///
/// ```
/// use tidewire_engineio_proto::{Framing, MessageEncoder};
///
/// let mut encoder = MessageEncoder::new();
/// encoder.begin();
/// encoder.text().extend_from_slice(b"2[\"hello\"]");
/// let mut stored = encoder.finish().to_shared().to_stored();
/// assert_eq!(&stored.share().framed(Framing::WebSocket)[..], b"\x81\x0b42[\"hello\"]");
/// ```
#[derive(Debug)]
pub struct StoredMessage {
    text: Bytes,
    packet_start: usize,
    body_start: usize,
    attachments: Box<[Bytes]>,
    compress: bool,
    converted: Option<Box<StoredConversion>>,
    /// The message for the receivers that came last.
    shared: Weak<Shared>,
}

/// What a converter has made of the message.
#[derive(Debug)]
struct StoredConversion {
    converter: Arc<dyn Any + Send + Sync>,
    packets: Bytes,
}

/// The reference count of [`Bytes`], and the memory that it counts for.
const BYTES_CONTROL: usize = 4 * size_of::<usize>();

impl StoredMessage {
    pub(super) fn new(message: &SharedMessage) -> Self {
        let Shared { text, packet_start, body_start, attachments, compress, rare, .. } = &*message.0;
        let converted = rare.get().and_then(|rare| rare.converted.get());
        let converted = converted.and_then(|Converted { converter, result }| {
            let packets = result.as_ref().ok()?.packets().clone();
            Some(Box::new(StoredConversion { converter: Arc::clone(converter), packets }))
        });
        Self {
            text: text.clone(),
            packet_start: *packet_start,
            body_start: *body_start,
            attachments: attachments.clone(),
            compress: *compress,
            converted,
            shared: Weak::new(),
        }
    }

    /// Returns the message for a receiver. As long as an earlier receiver has it, this is the same message, whose framings
    /// are made once for all of them. This copies no content.
    pub fn share(&mut self) -> SharedMessage {
        if let Some(shared) = self.shared.upgrade() {
            return SharedMessage(shared);
        }
        let shared = Arc::new(Shared {
            text: self.text.clone(),
            packet_start: self.packet_start,
            body_start: self.body_start,
            attachments: self.attachments.clone(),
            compress: self.compress,
            websocket: OnceLock::new(),
            length_delimited: OnceLock::new(),
            rare: self.converted.as_ref().map_or_else(OnceLock::new, |converted| converted.framings().into()),
            guarded: OnceLock::new(),
        });
        self.shared = Arc::downgrade(&shared);
        SharedMessage(shared)
    }

    /// Returns the size of the message in memory, in bytes, without `Self`. It includes what a message that has been
    /// [shared](Self::share) leaves behind when its last receiver is gone.
    #[must_use]
    pub fn memory(&self) -> usize {
        let attachments = self.attachments.iter();
        let converted = self.converted.as_ref();
        // A shared message, and its two reference counts.
        size_of::<Shared>()
            + 2 * size_of::<usize>()
            + BYTES_CONTROL
            + self.text.len()
            + attachments.map(|data| size_of::<Bytes>() + BYTES_CONTROL + data.len()).sum::<usize>()
            + converted.map_or(0, |converted| {
                size_of::<StoredConversion>() + BYTES_CONTROL + converted.packets.len()
            })
    }
}

impl StoredConversion {
    fn framings(&self) -> Box<RareFramings> {
        let result = Ok(SharedBatch::new(self.packets.clone()));
        let converted = Converted { converter: Arc::clone(&self.converter), result };
        Box::new(RareFramings { converted: converted.into(), ..RareFramings::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::Framing;
    use crate::message::MessageEncoder;
    use crate::message_batch::MessageBatch;

    const FRAMINGS: [Framing; 5] = [
        Framing::LengthDelimited,
        Framing::WebSocket,
        Framing::WebSocketBase64,
        Framing::WebSocketRevision3,
        Framing::WebSocketRevision3Base64,
    ];

    fn message(compress: bool) -> SharedMessage {
        let mut encoder = MessageEncoder::new();
        encoder.begin();
        encoder.text().extend_from_slice(b"/a,");
        encoder.begin_body();
        let (text, attachments) = encoder.text_and_attachments();
        text.extend_from_slice(b"[1]");
        attachments.push(&[7; 100]);
        encoder.finish().with_compression(compress).to_shared()
    }

    fn forms(message: &SharedMessage) -> [Bytes; 5] {
        FRAMINGS.map(|framing| message.framed(framing).clone())
    }

    #[test]
    fn a_stored_message_is_the_same_message() {
        for compress in [true, false] {
            let original = message(compress);
            let restored = original.to_stored().share();
            assert_eq!(forms(&restored), forms(&original));
            assert_eq!((restored.text(), restored.body()), (original.text(), original.body()));
            assert_eq!(restored.attachments(), original.attachments());
            assert_eq!(restored.allows_compression(), compress);
        }
    }

    #[test]
    fn framings_are_shared_by_receivers_and_freed_with_the_last_one() {
        let original = message(true);
        let original_form = original.framed(Framing::LengthDelimited);
        let mut stored = original.to_stored();
        let memory = stored.memory();
        let (first, second) = (stored.share(), stored.share());
        let form = first.framed(Framing::LengthDelimited);
        assert_ne!(form.as_ptr(), original_form.as_ptr(), "those of the original are not kept");
        assert_eq!(form.as_ptr(), second.framed(Framing::LengthDelimited).as_ptr());
        let owned = Arc::downgrade(&first.0);
        drop((first, second));
        assert_eq!(owned.strong_count(), 0);
        assert_eq!(forms(&stored.share()), forms(&original));
        assert_eq!(stored.memory(), memory);
    }

    #[test]
    fn what_a_converter_has_made_is_kept() {
        let converter: Arc<dyn Any + Send + Sync> = Arc::new(1);
        let original = message(true);
        let plain = original.to_stored().memory();
        let mut batch = MessageBatch::new();
        batch.push_binary(&[7; 1000]);
        let packets = original.converted(&converter, || Ok(batch.to_shared())).unwrap();
        let mut stored = original.to_stored();
        assert!((1000..1200).contains(&(stored.memory() - plain)), "{}", stored.memory());
        let restored = stored.share().converted(&converter, || panic!("it is made once")).unwrap();
        for framing in FRAMINGS {
            assert_eq!(restored.framed(framing), packets.framed(framing));
        }
        let failed = message(true);
        failed.converted(&converter, || Err("no".to_owned())).unwrap_err();
        assert_eq!(failed.to_stored().memory(), plain);
    }
}
