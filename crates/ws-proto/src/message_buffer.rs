//! Hot path. What has come of a message, text or bytes: one contiguous buffer that grows with them.

use std::borrow::Cow;

use crate::copy::append;
use crate::error::ProtocolError;
use crate::event::Event;
use crate::frame::Opcode;
use crate::mask::mask_into;
use crate::utf8::{InvalidUtf8, TextAssembly};

/// What has come of a message, as it is handed out.
///
/// One buffer for all fragments, so the size limit in bytes is the true limit in memory, however small the
/// fragments are.
#[derive(Debug)]
pub(crate) enum MessageBuffer {
    Text(TextAssembly),
    Binary(Vec<u8>),
}

impl MessageBuffer {
    /// For a message that began with this opcode; takes no memory yet.
    pub(crate) fn new(opcode: Opcode) -> Self {
        match opcode {
            Opcode::Text => MessageBuffer::Text(TextAssembly::default()),
            _ => MessageBuffer::Binary(Vec::new()),
        }
    }

    /// How many bytes have come.
    pub(crate) fn len(&self) -> usize {
        match self {
            MessageBuffer::Text(text) => text.len(),
            MessageBuffer::Binary(bytes) => bytes.len(),
        }
    }

    /// Appends `payload`, which is masked if there is a key; the message has `expected` bytes to come, these included, if
    /// its end is known.
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

    /// The message; its memory goes with it.
    pub(crate) fn finish(self) -> Result<Event<'static>, ProtocolError> {
        Ok(match self {
            MessageBuffer::Text(text) => Event::Text(Cow::Owned(text.finish()?)),
            MessageBuffer::Binary(bytes) => Event::Binary(Cow::Owned(bytes)),
        })
    }
}

/// [`MessageBuffer::push`] for bytes that are not looked at.
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

/// A message whose end is known gets room for so many times what has come of it, but for no more than all of it.
const MAX_GROWTH_FACTOR: usize = 16;

/// How much room to add to a buffer for `arriving` bytes of `expected`, which is `None` where the end is not known.
///
/// Where the end is not known it doubles, so the copying stays linear. Where it is, one of a megabyte is not moved at every
/// doubling; most of the memory is not touched before it is written to. But it never goes by the announced length
/// alone: that costs the peer ten bytes to say, and us a terabyte to believe.
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
    fn a_message_whose_end_is_known_ends_without_room_to_spare() {
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
