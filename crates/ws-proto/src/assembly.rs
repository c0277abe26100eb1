//! A message that does not lie whole in one read.

use crate::chunks::Chunks;
use crate::content::Content;
use crate::frame::Opcode;
use crate::inflated::Inflated;

/// A message under assembly.
#[derive(Debug)]
pub(crate) enum Assembly {
    Content(Content),
    /// As it came; what it stands for is known at its end.
    Compressed(Opcode, Vec<u8>),
    /// Compressed too, and long.
    Inflated(Box<Inflated>),
    /// Not assembled at all.
    Chunks(Box<Chunks>),
}

impl Assembly {
    /// For a message that began with this opcode; takes no memory yet.
    pub(crate) fn new(opcode: Opcode, compressed: bool) -> Self {
        if compressed {
            Assembly::Compressed(opcode, Vec::new())
        } else {
            Assembly::Content(Content::new(opcode))
        }
    }

    /// How many bytes have come, as they came.
    pub(crate) fn len(&self) -> usize {
        match self {
            Assembly::Content(content) => content.len(),
            Assembly::Compressed(_, bytes) => bytes.len(),
            Assembly::Inflated(message) => message.len(),
            Assembly::Chunks(_) => 0,
        }
    }
}
