//! The messages that an outbox keeps while the connection is behind: the latest one of each key.

use std::collections::HashMap;

use bytes::Bytes;

use super::write_queue::{WireBytes, WriteQueue};
use crate::memory_budget::HeldMemory;

/// The maximum number of keys of one connection. Each takes some memory even if its message is short.
pub(super) const MAX_LATEST_KEYS: usize = 1_024;

/// About what an entry of the table takes, without the key and the message.
const ENTRY_MEMORY: usize = 128;

/// Names a state, such as the position of a player. While a connection is behind, only the latest message of each key is
/// kept for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatestKey<'a> {
    /// The part of the program that chose the name. Equal names in two scopes are two keys.
    pub scope: &'a str,
    /// The name of the state.
    pub name: &'a str,
}

/// A message in the form of the transport.
#[derive(Debug)]
pub enum Frame {
    /// Memory that only this connection uses.
    Own(Bytes),
    /// Memory that other connections share.
    Shared(Bytes),
}

/// The kept messages of one connection.
#[derive(Debug, Default)]
pub(super) struct LatestMessages {
    scopes: Vec<Scope>,
    count: usize,
    bytes: usize,
    shared_bytes: usize,
    /// The position of the next message in the order in which the messages were kept.
    next_position: u64,
}

#[derive(Debug)]
struct Scope {
    name: Box<str>,
    messages: HashMap<Box<str>, Kept>,
}

#[derive(Debug)]
struct Kept {
    position: u64,
    frame: Frame,
}

impl LatestMessages {
    /// Returns the number of bytes that count for the limit of the outbox: of the messages and of their names.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn memory(&self) -> HeldMemory {
        let own = self.bytes - self.shared_bytes + self.count * ENTRY_MEMORY;
        HeldMemory { own, shared: self.shared_bytes }
    }

    /// Returns the bytes of the message that has this key, or `None` if there is none.
    pub(super) fn bytes_of(&self, key: LatestKey<'_>) -> Option<usize> {
        let scope = self.scopes.iter().find(|scope| *scope.name == *key.scope)?;
        scope.messages.get(key.name).map(|kept| kept.bytes(key.name))
    }

    /// Returns whether there is room for another key.
    pub(super) fn accepts_key(&self) -> bool {
        self.count < MAX_LATEST_KEYS
    }

    /// Keeps a message in the place of the one with the same key. Returns whether there was one.
    pub(super) fn insert(&mut self, key: LatestKey<'_>, frame: Frame) -> bool {
        let kept = Kept { position: self.next_position, frame };
        self.next_position += 1;
        let (bytes, shared) = (kept.bytes(key.name), kept.shared_bytes());
        let index = self.scopes.iter().position(|scope| *scope.name == *key.scope).unwrap_or_else(|| {
            self.scopes.push(Scope { name: key.scope.into(), messages: HashMap::new() });
            self.scopes.len() - 1
        });
        let messages = &mut self.scopes[index].messages;
        let former = match messages.get_mut(key.name) {
            Some(slot) => Some(std::mem::replace(slot, kept)),
            None => messages.insert(key.name.into(), kept),
        };
        match &former {
            Some(former) => self.uncount(former.bytes(key.name), former.shared_bytes()),
            None => self.count += 1,
        }
        self.bytes += bytes;
        self.shared_bytes += shared;
        former.is_some()
    }

    /// Moves the messages to the end of `queue`, in the order in which they were kept.
    pub(super) fn release_into(self, queue: &mut WriteQueue) {
        release(self.scopes.into_iter().flat_map(|scope| scope.messages.into_values()), queue);
    }

    /// Takes the messages of one scope out, and moves them to the end of `queue` if there is one.
    pub(super) fn remove_scope(&mut self, name: &str, queue: Option<&mut WriteQueue>) {
        let Some(index) = self.scopes.iter().position(|scope| *scope.name == *name) else { return };
        let Scope { messages, .. } = self.scopes.swap_remove(index);
        self.count -= messages.len();
        for (name, kept) in &messages {
            self.uncount(kept.bytes(name), kept.shared_bytes());
        }
        if let Some(queue) = queue {
            release(messages.into_values(), queue);
        }
    }

    fn uncount(&mut self, bytes: usize, shared: usize) {
        self.bytes -= bytes;
        self.shared_bytes -= shared;
    }
}

impl Kept {
    fn bytes(&self, name: &str) -> usize {
        let (Frame::Own(bytes) | Frame::Shared(bytes)) = &self.frame;
        bytes.len() + name.len()
    }

    fn shared_bytes(&self) -> usize {
        match &self.frame {
            Frame::Own(_) => 0,
            Frame::Shared(bytes) => bytes.len(),
        }
    }
}

fn release(messages: impl Iterator<Item = Kept>, queue: &mut WriteQueue) {
    let mut messages: Vec<_> = messages.collect();
    messages.sort_unstable_by_key(|kept| kept.position);
    for Kept { frame: Frame::Own(bytes) | Frame::Shared(bytes), .. } in messages {
        queue.push(WireBytes::Shared(&bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<'a>(scope: &'a str, name: &'a str) -> LatestKey<'a> {
        LatestKey { scope, name }
    }

    fn own(text: &'static str) -> Frame {
        Frame::Own(Bytes::from_static(text.as_bytes()))
    }

    fn released(latest: LatestMessages) -> String {
        let mut queue = WriteQueue::new();
        latest.release_into(&mut queue);
        String::from_utf8(queue.to_contiguous()).unwrap()
    }

    #[test]
    fn the_latest_message_of_each_key_stays_in_the_order_in_which_the_messages_came() {
        let mut latest = LatestMessages::default();
        assert!(!latest.insert(key("/", "a"), own("a1 ")));
        assert!(!latest.insert(key("/", "b"), own("b1 ")));
        assert!(!latest.insert(key("/x", "a"), own("x1 ")), "another scope is another key");
        assert!(latest.insert(key("/", "a"), own("a2 ")));
        assert_eq!(released(latest), "b1 x1 a2 ");
    }

    #[test]
    fn the_bytes_are_those_of_the_messages_and_names_that_are_left() {
        let mut latest = LatestMessages::default();
        latest.insert(key("/", "a"), own("12345"));
        latest.insert(key("/", "a"), own("12"));
        latest.insert(key("/x", "long"), Frame::Shared(Bytes::from_static(b"123")));
        assert_eq!((latest.bytes(), latest.memory().shared), (3 + 7, 3));
        assert_eq!((latest.bytes_of(key("/x", "long")), latest.bytes_of(key("/x", "a"))), (Some(7), None));
        latest.remove_scope("/", None);
        assert_eq!(latest.bytes(), 7);
        let mut queue = WriteQueue::new();
        latest.remove_scope("/x", Some(&mut queue));
        assert_eq!(
            (latest.bytes(), latest.memory(), queue.to_contiguous()),
            (0, HeldMemory::default(), b"123".to_vec())
        );
    }

    #[test]
    fn the_number_of_keys_has_a_limit() {
        let mut latest = LatestMessages::default();
        for number in 0..MAX_LATEST_KEYS {
            assert!(latest.accepts_key());
            latest.insert(key("/", &number.to_string()), own(""));
        }
        assert!(!latest.accepts_key());
        latest.remove_scope("/", None);
        assert!(latest.accepts_key());
    }
}
