//! A long compressed message, inflated while it comes.

use crate::deflate::InflateStream;
use crate::error::ProtocolError;
use crate::event::Event;
use crate::frame::Opcode;
use crate::message_buffer::MessageBuffer;

/// Compressed messages that are longer, and do not lie whole in one read, are inflated as they come.
///
/// Inflated in one go at their end, those that are hardly anything but heads of blocks would keep the thread busy for a
/// second. Shorter ones are kept as they come, since a decompressor of their own would cost more than that.
pub(crate) const STREAMING_INFLATE_THRESHOLD: usize = 64 * 1024;

/// A compressed message under assembly, as far as it has been inflated.
#[derive(Debug)]
pub(crate) struct InflateAssembly {
    inflating: InflateStream,
    content: MessageBuffer,
    /// Bytes that have come, compressed.
    len: usize,
}

impl InflateAssembly {
    /// For a message that began with this opcode.
    pub(crate) fn new(opcode: Opcode, inflating: InflateStream) -> Self {
        Self { inflating, content: MessageBuffer::new(opcode), len: 0 }
    }

    /// How many bytes have come, compressed.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends what `payload` stands for, the last of the message or not.
    ///
    /// # Errors
    /// It is not compressed, or more than `limit` bytes have come out, or text that cannot become UTF-8.
    pub(crate) fn push(&mut self, payload: &[u8], is_last: bool, limit: u64) -> Result<(), ProtocolError> {
        self.len += payload.len();
        self.inflating.push(payload, is_last);
        while self.inflating.has_more() {
            let piece = self.inflating.next()?;
            if (self.content.len() + piece.len()) as u64 > limit {
                return Err(ProtocolError::MessageTooBig { size: limit + 1, limit });
            }
            self.content.push(&piece, None, None)?;
        }
        Ok(())
    }

    /// The message, and what later ones may refer to.
    ///
    /// # Errors
    /// Text that ends in the middle of a character.
    pub(crate) fn finish(self) -> Result<(Event<'static>, InflateStream), ProtocolError> {
        Ok((self.content.finish()?, self.inflating))
    }

    /// What has been inflated, and how it goes on.
    pub(crate) fn into_parts(self) -> (MessageBuffer, InflateStream) {
        (self.content, self.inflating)
    }
}
