//! The buffer for messages that are emitted while a socket is not connected.

use std::collections::BTreeMap;

use engineio_proto::SharedMessage;

use super::limits::{Limits, Overflow};

/// Messages in the order in which they were emitted, limited in number and bytes.
#[derive(Debug, Default)]
pub(super) struct SendBuffer {
    /// The key is a counter, so that any message can be removed, not only the oldest.
    messages: BTreeMap<u64, Buffered>,
    next: u64,
    bytes: usize,
}

/// Identifies a message in the buffer. Keys are never reused.
#[derive(Debug, Clone, Copy)]
pub(super) struct SendBufferKey(u64);

#[derive(Debug)]
struct Buffered {
    message: SharedMessage,
    size: usize,
    ack: Option<u64>,
}

impl SendBuffer {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a message of `size` bytes may be pushed, after dropping older messages if [`Limits::overflow`] allows
    /// it.
    pub(super) fn has_capacity(&self, size: usize, limits: &Limits) -> bool {
        match limits.overflow {
            Overflow::RejectNewest => fits(self.len(), self.bytes, size, limits),
            Overflow::DropOldest => fits(0, 0, size, limits),
        }
    }

    /// Drops the oldest messages until a message of `size` bytes fits. Returns one entry for each dropped message: its
    /// acknowledgement id, or `None` if it requests no acknowledgement.
    pub(super) fn drop_oldest_until_fits(&mut self, size: usize, limits: &Limits) -> Vec<Option<u64>> {
        let mut dropped = Vec::new();
        while !fits(self.len(), self.bytes, size, limits) {
            let Some((_, ack)) = self.pop() else { break };
            dropped.push(ack);
        }
        dropped
    }

    /// Returns the key that the next message will get.
    pub(super) fn next_key(&self) -> SendBufferKey {
        SendBufferKey(self.next)
    }

    pub(super) fn push(&mut self, message: SharedMessage, size: usize, ack: Option<u64>) {
        self.bytes += size;
        self.messages.insert(self.next, Buffered { message, size, ack });
        self.next += 1;
    }

    /// Removes the oldest message and returns it, with its acknowledgement id if it requests one.
    pub(super) fn pop(&mut self) -> Option<(SharedMessage, Option<u64>)> {
        let (_, buffered) = self.messages.pop_first()?;
        self.bytes -= buffered.size;
        Some((buffered.message, buffered.ack))
    }

    /// Whether the message is still buffered.
    pub(super) fn contains(&self, key: Option<SendBufferKey>) -> bool {
        key.is_some_and(|key| self.messages.contains_key(&key.0))
    }

    /// Removes a message if it is still buffered.
    pub(super) fn remove(&mut self, key: Option<SendBufferKey>) {
        if let Some(buffered) = key.and_then(|key| self.messages.remove(&key.0)) {
            self.bytes -= buffered.size;
        }
    }
}

fn fits(messages: usize, bytes: usize, size: usize, limits: &Limits) -> bool {
    messages < limits.max_send_buffer_messages && bytes.saturating_add(size) <= limits.max_send_buffer_bytes
}
