//! A long compressed message that is inflated as it arrives.

use crate::deflate::InflateStream;
use crate::error::ProtocolError;
use crate::event::Event;
use crate::frame::Opcode;
use crate::message_buffer::MessageBuffer;

/// Compressed messages that are longer than this, and are not complete in one read, are inflated as they arrive.
///
/// If a message that consists almost only of block headers were inflated in one go at its end, the thread would be busy
/// for a second. Shorter messages are stored as they arrive and inflated at their end. A decompressor for each of them
/// would cost more time than it saves.
pub(crate) const STREAMING_INFLATE_THRESHOLD: usize = 64 * 1024;

/// A compressed message under assembly, inflated as far as it has arrived.
#[derive(Debug)]
pub(crate) struct InflateAssembly {
    inflate_stream: InflateStream,
    content: MessageBuffer,
    /// The number of compressed bytes that have arrived.
    len: usize,
}

impl InflateAssembly {
    /// Creates an assembly for a message that began with this opcode.
    pub(crate) fn new(opcode: Opcode, inflate_stream: InflateStream) -> Self {
        Self { inflate_stream, content: MessageBuffer::new(opcode), len: 0 }
    }

    /// Returns the number of compressed bytes that have arrived.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the memory of the message in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.content.len() + InflateStream::MEMORY
    }

    /// Inflates `payload` and appends the result.
    ///
    /// # Errors
    ///
    /// `payload` cannot be inflated, the message becomes longer than `limit` bytes, or its text cannot become UTF-8.
    pub(crate) fn push(&mut self, payload: &[u8], is_last: bool, limit: u64) -> Result<(), ProtocolError> {
        self.len += payload.len();
        self.inflate_stream.push(payload, is_last);
        while self.inflate_stream.has_more() {
            let piece = self.inflate_stream.next()?;
            if (self.content.len() + piece.len()) as u64 > limit {
                return Err(ProtocolError::MessageTooBig { size: limit + 1, limit });
            }
            self.content.push(&piece, None, None)?;
        }
        Ok(())
    }

    /// Returns the message, and the stream with the data that later messages may refer to.
    ///
    /// # Errors
    ///
    /// The text ends in the middle of a character.
    pub(crate) fn finish(self) -> Result<(Event<'static>, InflateStream), ProtocolError> {
        Ok((self.content.finish()?, self.inflate_stream))
    }

    /// Returns the inflated part, and the stream that inflates the rest.
    pub(crate) fn into_parts(self) -> (MessageBuffer, InflateStream) {
        (self.content, self.inflate_stream)
    }
}
