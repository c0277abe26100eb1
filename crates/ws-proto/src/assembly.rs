//! A message that does not lie whole in one read.

use crate::chunked_message::ChunkedMessage;
use crate::frame::Opcode;
use crate::inflate_assembly::InflateAssembly;
use crate::message_buffer::MessageBuffer;

/// A message under assembly.
#[derive(Debug)]
pub(crate) enum Assembly {
    Uncompressed(MessageBuffer),
    /// As it came; what it stands for is known at its end.
    Compressed(Opcode, Vec<u8>),
    /// Compressed too, and long.
    Inflating(Box<InflateAssembly>),
    /// Not assembled at all.
    Chunked(Box<ChunkedMessage>),
}

impl Assembly {
    /// For a message that began with this opcode; takes no memory yet.
    pub(crate) fn new(opcode: Opcode, compressed: bool) -> Self {
        if compressed {
            Assembly::Compressed(opcode, Vec::new())
        } else {
            Assembly::Uncompressed(MessageBuffer::new(opcode))
        }
    }

    /// How many bytes have come, as they came.
    pub(crate) fn len(&self) -> usize {
        match self {
            Assembly::Uncompressed(content) => content.len(),
            Assembly::Compressed(_, bytes) => bytes.len(),
            Assembly::Inflating(message) => message.len(),
            Assembly::Chunked(_) => 0,
        }
    }
}
