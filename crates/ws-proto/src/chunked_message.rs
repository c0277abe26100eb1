//! Hot path. A message that is handed out in chunks as it arrives, instead of being assembled.

use std::borrow::Cow;

use crate::assembly::Assembly;
use crate::deflate::InflateStream;
use crate::error::ProtocolError;
use crate::event::Event;
use crate::frame::Opcode;
use crate::message_buffer::MessageBuffer;
use crate::utf8::TextAssembly;

/// A message that is handed out in chunks.
#[derive(Debug)]
pub(crate) struct ChunkedMessage {
    /// For text, the beginning of a character that the last piece cut; `None` for bytes.
    text: Option<TextAssembly>,
    /// Inflated bytes that had been assembled before chunks were requested.
    assembled: Vec<u8>,
    /// Present if the message is compressed.
    inflate_stream: Option<Box<InflateStream>>,
    /// The maximum number of bytes that may arrive after the last call that lowered the limit.
    limit: u64,
    /// The number of bytes that have arrived after that call.
    received_len: u64,
    /// No chunk has been handed out. The first chunk is handed out even if it is empty, since it announces the
    /// message.
    is_first_chunk: bool,
    /// The rest of the message is discarded.
    is_skipped: bool,
    /// The last bytes of the message have arrived.
    fin_received: bool,
}

impl ChunkedMessage {
    pub(crate) fn new(opcode: Opcode, inflate_stream: Option<InflateStream>) -> Self {
        Self {
            text: (opcode == Opcode::Text).then(TextAssembly::default),
            assembled: Vec::new(),
            inflate_stream: inflate_stream.map(Box::new),
            limit: u64::MAX,
            received_len: 0,
            is_first_chunk: true,
            is_skipped: false,
            fin_received: false,
        }
    }

    /// Continues a message that has been partially assembled. `inflate` is called if the message is still compressed.
    pub(crate) fn from_assembly(
        assembly: Assembly,
        inflate: impl FnOnce() -> Result<InflateStream, ProtocolError>,
    ) -> Result<Box<Self>, ProtocolError> {
        Ok(Box::new(match assembly {
            Assembly::Uncompressed(content) => Self::from_buffer(content, None),
            Assembly::Compressed(opcode, bytes) => Self::new(opcode, Some(inflate()?.with_input(bytes))),
            Assembly::Inflating(message) => {
                let (content, inflating) = message.into_parts();
                Self::from_buffer(content, Some(inflating))
            }
            Assembly::Chunked(chunks) => return Ok(chunks),
        }))
    }

    /// Creates a message whose first chunk is the part that has been received.
    fn from_buffer(content: MessageBuffer, inflating: Option<InflateStream>) -> Self {
        match content {
            MessageBuffer::Text(text) => Self { text: Some(text), ..Self::new(Opcode::Text, inflating) },
            MessageBuffer::Binary(assembled) => Self { assembled, ..Self::new(Opcode::Binary, inflating) },
        }
    }

    /// Returns the memory of the message in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.assembled.len() + self.inflate_stream.as_ref().map_or(0, |_| InflateStream::MEMORY)
    }

    /// Limits the rest of the message to `remaining` bytes. Never raises an earlier limit.
    pub(crate) fn limit(&mut self, remaining: u64) {
        if remaining < self.limit - self.received_len {
            self.limit = remaining;
            self.received_len = 0;
        }
    }

    /// Discards the rest of the message, which may be at most `remaining` bytes long. If `inflates` is `true`, the rest
    /// is still inflated, because later messages may refer to it.
    pub(crate) fn skip(&mut self, remaining: u64, inflates: bool) {
        if self.is_skipped || self.is_first_chunk {
            return;
        }
        self.is_skipped = true;
        self.limit(remaining);
        if !inflates && self.inflate_stream.take().is_some() {
            self.text = None;
        }
    }

    /// Checks whether a frame may announce this many bytes.
    pub(crate) fn check_size(&self, announced: u64) -> Result<(), ProtocolError> {
        // A frame of a compressed message does not announce the inflated length.
        if self.inflate_stream.is_none() { self.checked_len(announced).map(drop) } else { Ok(()) }
    }

    /// Returns the number of bytes that count towards the limit, including `more`.
    fn checked_len(&self, more: u64) -> Result<u64, ProtocolError> {
        let (announced, limit) = (self.received_len.saturating_add(more), self.limit);
        if announced > limit {
            Err(ProtocolError::MessageTooBig { size: announced, limit })
        } else {
            Ok(announced)
        }
    }

    /// Returns whether [`next`](Self::next) can make progress.
    pub(crate) fn has_more(&self) -> bool {
        self.is_first_chunk || self.inflate_stream.as_ref().is_some_and(|inflating| inflating.has_more())
    }

    /// Takes the next received bytes. For a compressed message, [`next`](Self::next) then returns the inflated bytes.
    pub(crate) fn push<'b>(
        &mut self,
        payload: &'b [u8],
        is_last: bool,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        self.fin_received = is_last;
        let Some(inflating) = &mut self.inflate_stream else {
            return self.chunk(Cow::Borrowed(payload), is_last);
        };
        inflating.push(payload, is_last);
        Ok(None)
    }

    /// Returns the next chunk that needs no further input.
    pub(crate) fn next(&mut self) -> Result<Option<Event<'static>>, ProtocolError> {
        while self.has_more() {
            let (piece, is_last) = match &mut self.inflate_stream {
                Some(inflating) if self.assembled.is_empty() => {
                    let piece = inflating.next()?;
                    (piece, self.fin_received && !inflating.has_more())
                }
                _ => (std::mem::take(&mut self.assembled), false),
            };
            let event = self.chunk(Cow::Owned(piece), is_last)?;
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Returns whether the whole message was handed out or discarded.
    pub(crate) fn is_finished(&self) -> bool {
        self.fin_received && !self.has_more()
    }

    pub(crate) fn into_inflate_stream(self) -> Option<InflateStream> {
        self.inflate_stream.map(|inflating| *inflating)
    }

    fn chunk<'b>(&mut self, bytes: Cow<'b, [u8]>, is_last: bool) -> Result<Option<Event<'b>>, ProtocolError> {
        self.received_len = self.checked_len(bytes.len() as u64)?;
        let event = match &mut self.text {
            Some(text) => {
                text.push(&bytes, Some(bytes.len()))?;
                let text = if is_last { std::mem::take(text).finish()? } else { text.take() };
                Event::TextChunk { text: Cow::Owned(text), is_last }
            }
            None => Event::BinaryChunk { bytes, is_last },
        };
        let is_empty = match &event {
            Event::TextChunk { text, .. } => text.is_empty(),
            Event::BinaryChunk { bytes, .. } => bytes.is_empty(),
            _ => false,
        };
        let is_new = std::mem::replace(&mut self.is_first_chunk, false);
        let is_wanted = !self.is_skipped && (!is_empty || is_last || is_new);
        Ok(is_wanted.then_some(event))
    }
}
