//! A message that is not complete in one read.

use crate::chunked_message::ChunkedMessage;
use crate::frame::Opcode;
use crate::inflate_assembly::InflateAssembly;
use crate::message_buffer::MessageBuffer;

/// A message under assembly.
#[derive(Debug)]
pub(crate) enum Assembly {
    Uncompressed(MessageBuffer),
    /// The compressed bytes. They are inflated when the message is complete.
    Compressed(Opcode, Vec<u8>),
    /// A long compressed message, inflated as it arrives.
    Inflating(Box<InflateAssembly>),
    /// Handed out in chunks, not assembled.
    Chunked(Box<ChunkedMessage>),
}

impl Assembly {
    /// Creates an assembly for a message that began with this opcode. Allocates nothing yet.
    pub(crate) fn new(opcode: Opcode, compressed: bool) -> Self {
        if compressed {
            Assembly::Compressed(opcode, Vec::new())
        } else {
            Assembly::Uncompressed(MessageBuffer::new(opcode))
        }
    }

    /// Returns the number of bytes that have arrived, before inflating.
    pub(crate) fn len(&self) -> usize {
        match self {
            Assembly::Uncompressed(content) => content.len(),
            Assembly::Compressed(_, bytes) => bytes.len(),
            Assembly::Inflating(message) => message.len(),
            Assembly::Chunked(_) => 0,
        }
    }

    /// Returns the memory of the message in bytes, with what has been inflated.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Assembly::Uncompressed(content) => content.len(),
            Assembly::Compressed(_, bytes) => bytes.len(),
            Assembly::Inflating(message) => message.memory(),
            Assembly::Chunked(chunks) => chunks.memory(),
        }
    }
}
