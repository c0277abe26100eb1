//! An outgoing message. It is encoded once, for any transport and any number of receivers.
//!
//! Hot path. A message is a text and the attachments that follow it directly. The encoder does not need the transport.
//! A transport writes the message in its [`Framing`] when it sends it. For one receiver, the header goes into the
//! headroom in front of the text, and nothing is copied. For many receivers, each framing is made at most once, by the
//! first receiver that needs it.

mod stored;

use std::any::Any;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use ws_proto::copy::append;

use crate::framing::{DataKind, Framing, MAX_FRAMING_HEADER_LEN};
use crate::message_batch::SharedBatch;
use crate::packet::{MESSAGE, base64_len};
use crate::revision3;

pub use stored::StoredMessage;

/// Space in front of the text for the parts that are known only after the text is written: the header of a framing, the
/// Engine.IO type, and the Socket.IO type with the number of attachments.
const HEADROOM: usize = 64;

/// The length of the longest prefix of base64 in any framing.
const LONGEST_BASE64_PREFIX: usize = revision3::BASE64_PREFIX.len();

/// Scratch memory above this size is freed at the next [`MessageEncoder::begin`], so that a thread does not keep the
/// memory of one large message forever.
const RETAINED_CAPACITY: usize = 64 * 1024;

/// Builds one message in one pass, and reuses its memory for the next message.
///
/// ```
/// use tidewire_engineio_proto::MessageEncoder;
///
/// let mut encoder = MessageEncoder::new();
/// encoder.begin();
/// encoder.text().extend_from_slice(b"[\"hello\"]");
/// encoder.prepend(b"2");
/// assert_eq!(encoder.finish().text(), "2[\"hello\"]");
/// ```
#[derive(Debug, Default)]
pub struct MessageEncoder {
    text: Vec<u8>,
    packet_start: usize,
    body_start: usize,
    attachments: AttachmentEncoder,
}

impl MessageEncoder {
    /// Creates an encoder. The first [`begin`](Self::begin) allocates its memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a new message and discards the previous one.
    #[inline]
    pub fn begin(&mut self) {
        if self.text.capacity() > RETAINED_CAPACITY {
            self.text = Vec::new();
        }
        if self.attachments.data.capacity() > RETAINED_CAPACITY {
            self.attachments.data = Vec::new();
        }
        // What is in the headroom does not matter, so a buffer that has one keeps it.
        match self.text.len() {
            HEADROOM.. => self.text.truncate(HEADROOM),
            _ => self.text.resize(HEADROOM, 0),
        }
        self.packet_start = HEADROOM;
        self.body_start = HEADROOM;
        self.attachments.data.clear();
        self.attachments.ends.clear();
        self.attachments.unlimited = std::mem::take(&mut self.attachments.next_unlimited);
    }

    /// Lets the next message have any number of attachments, because its form on the wire does not limit them. A layer
    /// above may limit the attachments of other messages, see [`AttachmentEncoder::is_unlimited`].
    pub fn lift_attachment_limit(&mut self) {
        self.attachments.next_unlimited = true;
    }

    /// Returns the buffer that the text is appended to. The caller must append only UTF-8, and must not change the
    /// bytes that are already there.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Starts the [body](SharedMessage::body) of the message: all text that is appended after this call.
    pub fn begin_body(&mut self) {
        self.body_start = self.text.len();
    }

    /// Returns the text and the attachments together, for a serializer that finds binary data in the middle of the
    /// text.
    pub fn text_and_attachments(&mut self) -> (&mut Vec<u8>, &mut AttachmentEncoder) {
        (&mut self.text, &mut self.attachments)
    }

    /// Puts `bytes`, which must be UTF-8, in front of the text written so far.
    ///
    /// If `bytes` fit into the headroom, only `bytes` are copied. If they do not fit, the text is moved once; this
    /// happens only with an unusually long namespace.
    #[inline]
    pub fn prepend(&mut self, bytes: &[u8]) {
        if bytes.len() + MAX_FRAMING_HEADER_LEN + 1 > self.packet_start {
            self.make_room(bytes.len());
        } else {
            self.packet_start -= bytes.len();
        }
        self.text[self.packet_start..self.packet_start + bytes.len()].copy_from_slice(bytes);
    }

    /// Moves the text, so that `len` bytes fit in front of it.
    #[cold]
    fn make_room(&mut self, len: usize) {
        let end = self.text.len();
        self.text.resize(end + len, 0);
        self.text.copy_within(self.packet_start..end, self.packet_start + len);
        self.body_start += len;
    }

    /// Completes the message.
    #[inline]
    pub fn finish(&mut self) -> EncodedMessage<'_> {
        // The packet type is the same in every framing.
        self.packet_start -= 1;
        self.text[self.packet_start] = MESSAGE;
        EncodedMessage { encoder: self, compress: true }
    }
}

/// Collects the attachments of a message.
#[derive(Debug, Default)]
pub struct AttachmentEncoder {
    data: Vec<u8>,
    /// The end of each attachment in `data`.
    ends: Vec<usize>,
    /// See [`MessageEncoder::lift_attachment_limit`]: for this message, and for the next one.
    unlimited: bool,
    next_unlimited: bool,
}

impl AttachmentEncoder {
    /// Appends one attachment. Its index is the [`count`](Self::count) before this call.
    pub fn push(&mut self, data: &[u8]) {
        append(&mut self.data, data);
        self.ends.push(self.data.len());
    }

    /// Returns the number of attachments so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether this message may have any number of attachments, see
    /// [`MessageEncoder::lift_attachment_limit`].
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.unlimited
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.data[std::mem::replace(&mut start, end)..end])
    }
}

/// A complete message, which is still in the encoder's memory.
#[derive(Debug)]
pub struct EncodedMessage<'a> {
    encoder: &'a mut MessageEncoder,
    compress: bool,
}

impl EncodedMessage<'_> {
    /// Returns whether a transport that compresses may compress the message.
    #[must_use]
    pub fn allows_compression(&self) -> bool {
        self.compress
    }

    /// Sets whether a transport that compresses may compress the message. Default true.
    #[must_use]
    pub fn with_compression(self, compress: bool) -> Self {
        Self { compress, ..self }
    }

    /// Returns the text, without the type character of Engine.IO.
    ///
    /// # Panics
    /// Panics if the text that was appended to the encoder is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.packet()[1..]).expect("an encoder is given UTF-8")
    }

    /// Returns the part of the text that was appended after [`MessageEncoder::begin_body`], or the whole text if that
    /// was not called.
    ///
    /// # Panics
    /// Panics if the text that was appended to the encoder is not UTF-8.
    #[must_use]
    pub fn body(&self) -> &str {
        let MessageEncoder { packet_start: packet, body_start: body, .. } = *self.encoder;
        &self.text()[body - packet - 1..]
    }

    /// Returns the attachments, in order.
    pub fn attachments(&self) -> impl Iterator<Item = &[u8]> {
        self.encoder.attachments.iter()
    }

    /// Returns the number of bytes that [`write`](Self::write) produces in this framing.
    #[inline]
    #[must_use]
    pub fn framed_len(&self, framing: Framing) -> usize {
        let attachments = self.attachments().map(|data| framing.framed_len(DataKind::Binary, data.len()));
        framing.framed_len(DataKind::Text, self.packet().len()) + attachments.sum::<usize>()
    }

    /// Returns an upper limit of the bytes that [`write`](Self::write) produces in any framing.
    #[must_use]
    pub fn max_framed_len(&self) -> usize {
        let parts = 1 + self.encoder.attachments.count();
        let attachments = self.attachments().map(|data| LONGEST_BASE64_PREFIX + base64_len(data.len()));
        self.packet().len() + attachments.sum::<usize>() + parts * MAX_FRAMING_HEADER_LEN
    }

    /// Writes the message in this framing. Calls `part` once for the text with its header, and twice for each
    /// attachment: with the header and with the data. An attachment that becomes base64 is one part. The header of the
    /// text goes into the headroom, so the text is not copied.
    pub fn write(self, framing: Framing, mut part: impl FnMut(&[u8])) {
        let MessageEncoder { text, packet_start: start, attachments, .. } = self.encoder;
        let mut header = framing.header(DataKind::Text, text.len() - *start);
        if !self.compress {
            header.set_uncompressed();
        }
        *start -= header.len();
        text[*start..*start + header.len()].copy_from_slice(&header);
        part(&text[*start..]);
        if framing.base64_prefix(DataKind::Binary).is_some() {
            let mut encoded = Vec::new();
            for data in attachments.iter() {
                encoded.clear();
                framing.write(DataKind::Binary, data, self.compress, &mut encoded);
                part(&encoded);
            }
            return;
        }
        for data in attachments.iter() {
            let mut header = framing.header(DataKind::Binary, data.len());
            if !self.compress {
                header.set_uncompressed();
            }
            part(&header);
            part(data);
        }
    }

    /// Copies the message into new memory that many connections can share.
    #[must_use]
    pub fn to_shared(&self) -> SharedMessage {
        let MessageEncoder { packet_start: start, body_start: body, .. } = *self.encoder;
        SharedMessage::new(
            self.packet(),
            body - start,
            self.attachments().map(Bytes::copy_from_slice).collect(),
            self.compress,
        )
    }

    /// Returns the text with its type character.
    fn packet(&self) -> &[u8] {
        &self.encoder.text[self.encoder.packet_start..]
    }
}

/// An encoded message in shared, immutable memory. A broadcast clones the reference, never the bytes.
#[derive(Debug, Clone)]
pub struct SharedMessage(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The text packet, after a header of [`Framing::WebSocket`]. Most messages need nothing else, and this costs one
    /// allocation.
    text: Bytes,
    /// The offsets of the packet and of its body in `text`.
    packet_start: usize,
    body_start: usize,
    attachments: Box<[Bytes]>,
    /// Whether a transport that compresses may compress the message.
    compress: bool,
    /// The message in the framings that differ from `text`. Each is made when the first receiver needs it.
    websocket: OnceLock<Bytes>,
    length_delimited: OnceLock<Bytes>,
    /// The framings that few clients use. They are stored apart, so that other messages pay for one pointer.
    rare: OnceLock<Box<RareFramings>>,
    /// The same framings with a guard. They are made only for receivers that are behind.
    guarded: OnceLock<Box<GuardedFramings>>,
}

#[derive(Debug, Default)]
struct RareFramings {
    websocket_base64: OnceLock<Bytes>,
    websocket_revision3: OnceLock<Bytes>,
    websocket_revision3_base64: OnceLock<Bytes>,
    converted: OnceLock<Converted>,
}

/// A message in the form of a converter, or the error of the converter.
#[derive(Debug)]
struct Converted {
    converter: Arc<dyn Any + Send + Sync>,
    result: Result<SharedBatch, String>,
}

/// The memory of the framings of a message. Each has a guard, which is dropped with the last reference to it.
#[derive(Debug, Default)]
struct GuardedFramings {
    text: OnceLock<Bytes>,
    websocket: OnceLock<Bytes>,
    websocket_base64: OnceLock<Bytes>,
    websocket_revision3: OnceLock<Bytes>,
    websocket_revision3_base64: OnceLock<Bytes>,
    length_delimited: OnceLock<Bytes>,
}

/// Bytes and what is dropped with them.
pub(crate) struct Guarded<G> {
    bytes: Bytes,
    _guard: G,
}

impl<G> Guarded<G> {
    pub(crate) fn new(bytes: Bytes, guard: G) -> Self {
        Self { bytes, _guard: guard }
    }
}

impl<G> AsRef<[u8]> for Guarded<G> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl SharedMessage {
    /// Copies `packet` into shared memory. `body` is the offset of the body in `packet`.
    fn new(packet: &[u8], body: usize, attachments: Box<[Bytes]>, compress: bool) -> Self {
        let header = Framing::WebSocket.header(DataKind::Text, packet.len());
        let mut text = Vec::with_capacity(header.len() + packet.len());
        text.extend_from_slice(&header);
        append(&mut text, packet);
        Self(Arc::new(Shared {
            text: text.into(),
            packet_start: header.len(),
            body_start: header.len() + body,
            attachments,
            compress,
            websocket: OnceLock::new(),
            length_delimited: OnceLock::new(),
            rare: OnceLock::new(),
            guarded: OnceLock::new(),
        }))
    }

    /// Returns the text, without the type character of Engine.IO.
    #[must_use]
    pub fn text(&self) -> &str {
        self.str(self.0.packet_start + 1..self.0.text.len())
    }

    /// Returns the part of the text that was appended after [`MessageEncoder::begin_body`], or the whole text if that
    /// was not called. For a Socket.IO event, the body is its name and arguments as JSON.
    #[must_use]
    pub fn body(&self) -> &str {
        self.str(self.0.body_start..self.0.text.len())
    }

    /// Returns the attachments, in order.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.0.attachments
    }

    /// Returns the same message with its body replaced by `body`.
    #[must_use]
    pub fn with_body(&self, body: &str) -> Self {
        let Shared { text, packet_start: packet, body_start: start, attachments, compress, .. } = &*self.0;
        let packet = [&text[*packet..*start], body.as_bytes()].concat();
        Self::new(&packet, packet.len() - body.len(), attachments.clone(), *compress)
    }

    /// Returns the message in this framing. Each framing is made at most once.
    #[must_use]
    pub fn framed(&self, framing: Framing) -> &Bytes {
        let Shared { text, attachments, websocket, length_delimited, rare, .. } = &*self.0;
        let rare = || rare.get_or_init(Box::default);
        let framed = match framing {
            Framing::LengthDelimited => length_delimited,
            _ if attachments.is_empty() => return text,
            Framing::WebSocket => websocket,
            Framing::WebSocketBase64 => &rare().websocket_base64,
            Framing::WebSocketRevision3 => &rare().websocket_revision3,
            Framing::WebSocketRevision3Base64 => &rare().websocket_revision3_base64,
        };
        framed.get_or_init(|| self.frame(framing))
    }

    /// Returns the same memory as [`framed`](Self::framed) together with a guard: what `guard` returns for the length of
    /// the memory is dropped when no reference that this method returned is left. It is called at most once for each
    /// memory.
    #[must_use]
    pub fn framed_with_guard<G>(&self, framing: Framing, guard: impl FnOnce(usize) -> G) -> &Bytes
    where
        G: Send + 'static,
    {
        let guarded = self.0.guarded.get_or_init(Box::default);
        let slot = match framing {
            Framing::LengthDelimited => &guarded.length_delimited,
            _ if self.0.attachments.is_empty() => &guarded.text,
            Framing::WebSocket => &guarded.websocket,
            Framing::WebSocketBase64 => &guarded.websocket_base64,
            Framing::WebSocketRevision3 => &guarded.websocket_revision3,
            Framing::WebSocketRevision3Base64 => &guarded.websocket_revision3_base64,
        };
        slot.get_or_init(|| {
            let bytes = self.framed(framing).clone();
            let guard = guard(bytes.len());
            Bytes::from_owner(Guarded::new(bytes, guard))
        })
    }

    /// Returns an upper limit of the length of the message in any framing, in bytes.
    #[must_use]
    pub fn max_framed_len(&self) -> usize {
        let Shared { text, attachments, .. } = &*self.0;
        let encoded = attachments.iter().map(|data| LONGEST_BASE64_PREFIX + base64_len(data.len()));
        text.len() + encoded.sum::<usize>() + (1 + attachments.len()) * MAX_FRAMING_HEADER_LEN
    }

    /// Returns the content of the message, for a log.
    #[must_use]
    pub fn to_stored(&self) -> StoredMessage {
        StoredMessage::new(self)
    }

    /// Returns whether a transport that compresses may compress the message.
    #[must_use]
    pub fn allows_compression(&self) -> bool {
        self.0.compress
    }

    /// Returns the message in another form, which `convert` makes. This form is made at most once for all receivers, as
    /// long as they name the same `converter`.
    ///
    /// # Errors
    /// Returns the error of `convert`.
    pub fn converted(
        &self,
        converter: &Arc<dyn Any + Send + Sync>,
        convert: impl Fn() -> Result<SharedBatch, String>,
    ) -> Result<SharedBatch, String> {
        let stored = self
            .0
            .rare
            .get_or_init(Box::default)
            .converted
            .get_or_init(|| Converted { converter: Arc::clone(converter), result: convert() });
        // A receiver of another server may have come first, if two servers share an adapter. The stored reference keeps
        // the address from being reused.
        if std::ptr::addr_eq(Arc::as_ptr(converter), Arc::as_ptr(&stored.converter)) {
            return stored.result.clone();
        }
        convert()
    }

    fn frame(&self, framing: Framing) -> Bytes {
        let Shared { text, packet_start: packet, attachments, compress, .. } = &*self.0;
        let mut framed = Vec::new();
        framing.write(DataKind::Text, &text[*packet..], *compress, &mut framed);
        for data in attachments {
            framing.write(DataKind::Binary, data, *compress, &mut framed);
        }
        framed.into()
    }

    fn str(&self, range: Range<usize>) -> &str {
        std::str::from_utf8(&self.0.text[range]).expect("an encoder is given UTF-8")
    }
}

#[cfg(test)]
mod tests;
