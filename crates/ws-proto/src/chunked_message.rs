//! Hot path. A message that is handed out as it comes, instead of being assembled.

use std::borrow::Cow;

use crate::assembly::Assembly;
use crate::deflate::InflateStream;
use crate::error::ProtocolError;
use crate::event::Event;
use crate::frame::Opcode;
use crate::message_buffer::MessageBuffer;
use crate::utf8::TextAssembly;

/// A message of which pieces have been handed out.
#[derive(Debug)]
pub(crate) struct ChunkedMessage {
    /// Of a text, the character that the last piece has cut; `None` for bytes.
    text: Option<TextAssembly>,
    /// Bytes that had been assembled, inflated, before anybody asked for chunks.
    assembled: Vec<u8>,
    /// If it is compressed.
    inflating: Option<Box<InflateStream>>,
    /// How many bytes may come of it from where this was set on.
    limit: u64,
    /// How many of those have come.
    received_len: u64,
    /// Nothing of it has been handed out. The first chunk is, even if it is empty: there is a message.
    is_first_chunk: bool,
    /// Nobody wants what is still to come.
    is_skipped: bool,
    /// Its last frame has come.
    fin_received: bool,
}

impl ChunkedMessage {
    pub(crate) fn new(opcode: Opcode, inflating: Option<InflateStream>) -> Self {
        Self {
            text: (opcode == Opcode::Text).then(TextAssembly::default),
            assembled: Vec::new(),
            inflating: inflating.map(Box::new),
            limit: u64::MAX,
            received_len: 0,
            is_first_chunk: true,
            is_skipped: false,
            fin_received: false,
        }
    }

    /// A message of which something has been assembled. `inflate` is asked for one that is still compressed.
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

    /// What has come of a message is the first to be handed out.
    fn from_buffer(content: MessageBuffer, inflating: Option<InflateStream>) -> Self {
        match content {
            MessageBuffer::Text(text) => Self { text: Some(text), ..Self::new(Opcode::Text, inflating) },
            MessageBuffer::Binary(assembled) => Self { assembled, ..Self::new(Opcode::Binary, inflating) },
        }
    }

    /// No more than so many further bytes may come, nor more than were allowed before.
    pub(crate) fn limit(&mut self, further: u64) {
        if further < self.limit - self.received_len {
            self.limit = further;
            self.received_len = 0;
        }
    }

    /// Drops what is still to come, `further` bytes at most. `inflates` says whether it has to be inflated all the same,
    /// because later messages may refer to it.
    pub(crate) fn skip(&mut self, further: u64, inflates: bool) {
        if self.is_skipped || self.is_first_chunk {
            return;
        }
        self.is_skipped = true;
        self.limit(further);
        if !inflates && self.inflating.take().is_some() {
            self.text = None;
        }
    }

    /// Whether a frame may announce so many bytes.
    pub(crate) fn check_size(&self, announced: u64) -> Result<(), ProtocolError> {
        // How long a compressed one becomes, no frame announces.
        if self.inflating.is_none() { self.checked_len(announced).map(drop) } else { Ok(()) }
    }

    /// How many bytes have been counted with these.
    fn checked_len(&self, more: u64) -> Result<u64, ProtocolError> {
        let (announced, limit) = (self.received_len.saturating_add(more), self.limit);
        if announced > limit {
            Err(ProtocolError::MessageTooBig { size: announced, limit })
        } else {
            Ok(announced)
        }
    }

    /// Whether [`next`](Self::next) has something to do.
    pub(crate) fn has_more(&self) -> bool {
        self.is_first_chunk || self.inflating.as_ref().is_some_and(|inflating| inflating.has_more())
    }

    /// What has come, the last of it or not. Of a compressed message, [`next`](Self::next) has what that stands for.
    pub(crate) fn push<'b>(
        &mut self,
        payload: &'b [u8],
        is_last: bool,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        self.fin_received = is_last;
        let Some(inflating) = &mut self.inflating else {
            return self.chunk(Cow::Borrowed(payload), is_last);
        };
        inflating.push(payload, is_last);
        Ok(None)
    }

    /// The next chunk that takes no further input to make.
    pub(crate) fn next(&mut self) -> Result<Option<Event<'static>>, ProtocolError> {
        while self.has_more() {
            let (piece, is_last) = match &mut self.inflating {
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

    /// Whether all of it was handed out or dropped. A compressor that later messages need comes with it.
    pub(crate) fn is_finished(&self) -> bool {
        self.fin_received && !self.has_more()
    }

    pub(crate) fn into_inflating(self) -> Option<InflateStream> {
        self.inflating.map(|inflating| *inflating)
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
