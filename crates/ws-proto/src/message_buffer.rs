//! Hot path. The received part of a message, text or bytes: one contiguous buffer that grows with the message.

use std::borrow::Cow;

use crate::copy::append;
use crate::error::ProtocolError;
use crate::event::Event;
use crate::frame::Opcode;
use crate::mask::mask_into;
use crate::utf8::{InvalidUtf8, TextAssembly};

/// The received part of a message, in the form in which it is handed out.
///
/// There is one buffer for all fragments. The size limit in bytes is therefore the true limit in memory, however
/// small the fragments are.
#[derive(Debug)]
pub(crate) enum MessageBuffer {
    Text(TextAssembly),
    Binary(Vec<u8>),
}

impl MessageBuffer {
    /// Creates a buffer for a message that began with this opcode. Allocates nothing yet.
    pub(crate) fn new(opcode: Opcode) -> Self {
        match opcode {
            Opcode::Text => MessageBuffer::Text(TextAssembly::default()),
            _ => MessageBuffer::Binary(Vec::new()),
        }
    }

    /// Returns the number of bytes that have arrived.
    pub(crate) fn len(&self) -> usize {
        match self {
            MessageBuffer::Text(text) => text.len(),
            MessageBuffer::Binary(bytes) => bytes.len(),
        }
    }

    /// Appends `payload`, which is masked if there is a `key`. `expected` is the number of bytes until the end of the
    /// message, `payload` included, or `None` if the end is not known.
    pub(crate) fn push(
        &mut self,
        payload: &[u8],
        key: Option<[u8; 4]>,
        expected: Option<usize>,
    ) -> Result<(), ProtocolError> {
        match (self, key) {
            (MessageBuffer::Text(text), None) => text.push(payload, expected)?,
            (MessageBuffer::Text(text), Some(key)) => text.push_masked(payload, key, expected)?,
            (MessageBuffer::Binary(bytes), key) => push_bytes(bytes, payload, key, expected),
        }
        Ok(())
    }

    /// Returns the message. The event owns the buffer.
    pub(crate) fn finish(self) -> Result<Event<'static>, ProtocolError> {
        Ok(match self {
            MessageBuffer::Text(text) => Event::Text(Cow::Owned(text.finish()?)),
            MessageBuffer::Binary(bytes) => Event::Binary(Cow::Owned(bytes)),
        })
    }
}

/// Like [`MessageBuffer::push`], for bytes that are not validated.
pub(crate) fn push_bytes(bytes: &mut Vec<u8>, payload: &[u8], key: Option<[u8; 4]>, expected: Option<usize>) {
    bytes.reserve_exact(additional_capacity(bytes.len(), bytes.capacity(), payload.len(), expected));
    match key {
        None => append(bytes, payload),
        Some(key) => mask_into(payload, key, bytes),
    }
}

impl From<InvalidUtf8> for ProtocolError {
    fn from(_: InvalidUtf8) -> Self {
        ProtocolError::InvalidText
    }
}

/// If the end of a message is known, the capacity of its buffer grows to this many times the bytes that have arrived,
/// but never beyond the whole message.
const MAX_GROWTH_FACTOR: usize = 16;

/// Returns how much capacity to add to a buffer for `arriving` bytes. `expected` is the number of bytes until the end
/// of the message, or `None` if the end is not known.
///
/// If the end is not known, the buffer doubles, so the total cost of copying stays linear. If it is known, the buffer
/// grows faster, so that a message of a megabyte is not moved at every doubling. The additional memory is not touched
/// until the message is written to it. The capacity never depends on the announced length alone: announcing a terabyte
/// costs the peer only ten bytes.
pub(crate) fn additional_capacity(
    len: usize,
    capacity: usize,
    arriving: usize,
    expected: Option<usize>,
) -> usize {
    if capacity - len >= arriving {
        return 0;
    }
    let wanted = match expected {
        None => capacity.saturating_mul(2) - len,
        Some(known) => known.min((len + arriving).saturating_mul(MAX_GROWTH_FACTOR) - len),
    };
    arriving.max(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_the_bytes_that_came_and_not_the_length_announced() {
        let mut content = MessageBuffer::new(Opcode::Binary);
        for round in 1..=100_000 {
            content.push(&[0], None, Some(1 << 40)).unwrap();
            let MessageBuffer::Binary(bytes) = &content else { unreachable!() };
            assert!(bytes.capacity() <= MAX_GROWTH_FACTOR * round, "{} for {round} bytes", bytes.capacity());
        }
    }

    #[test]
    fn a_message_whose_end_is_known_ends_without_spare_capacity() {
        let mut content = MessageBuffer::new(Opcode::Binary);
        let mut to_come = 100_000;
        while to_come > 0 {
            let piece = to_come.min(1_400);
            content.push(&vec![0; piece], None, Some(to_come)).unwrap();
            to_come -= piece;
        }
        let MessageBuffer::Binary(bytes) = &content else { unreachable!() };
        assert_eq!((bytes.len(), bytes.capacity()), (100_000, 100_000));
    }

    #[test]
    fn a_message_of_a_megabyte_is_not_moved_while_it_comes() {
        let mut content = MessageBuffer::new(Opcode::Text);
        let mut to_come: usize = 1 << 20;
        let mut capacities = Vec::new();
        while to_come > 0 {
            let piece = to_come.min(64 * 1024);
            content.push(&vec![b'a'; piece], None, Some(to_come)).unwrap();
            to_come -= piece;
            let MessageBuffer::Text(text) = &content else { unreachable!() };
            capacities.push(text.capacity());
        }
        capacities.dedup();
        assert_eq!(capacities, [1024 * 1024]);
    }

    #[test]
    fn tiny_pieces_without_a_known_end_are_not_copied_again_and_again() {
        let mut content = MessageBuffer::new(Opcode::Binary);
        let mut moves = 0;
        let mut capacity = 0;
        for _ in 0..100_000 {
            content.push(b"x", None, None).unwrap();
            let MessageBuffer::Binary(bytes) = &content else { unreachable!() };
            moves += usize::from(std::mem::replace(&mut capacity, bytes.capacity()) != capacity);
        }
        assert!(moves < 20, "{moves}");
    }
}
