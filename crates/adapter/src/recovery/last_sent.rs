//! Which event each connected socket was sent last.
//!
//! Hot path.

use std::sync::Arc;

use super::offset::Position;
use crate::slab::shrink_if_sparse;

/// The last logged event that each connected socket was sent, by the slot of the socket in the room index.
///
/// Within one process, a broadcast writes one number for each receiver. If a message bus assigns offsets, it also counts one
/// more reference to the offset for each receiver. If this were a part of the sessions, each receiver would cost a look-up.
#[derive(Debug, Default)]
pub(crate) struct LastSent {
    positions: Vec<Position>,
    /// Empty if no message bus assigns offsets.
    offsets: Vec<Option<Arc<str>>>,
}

/// The position of an event in the log, and its offset.
#[derive(Debug, Clone)]
pub(crate) struct EventPosition {
    pub(super) position: Position,
    /// `None` unless a message bus has assigned it. The log forgets it with the event.
    pub(super) offset: Option<Arc<str>>,
}

impl LastSent {
    /// Notes the last event for a socket that gets its slot now.
    pub(super) fn insert(&mut self, slot: u32, event: &EventPosition) {
        let index = slot as usize;
        if self.positions.len() <= index {
            self.positions.resize(index + 1, 0);
        }
        self.prepare(event);
        if let Some(offset) = self.offsets.get_mut(index) {
            *offset = None;
        }
        self.set(slot, event);
    }

    /// Must be called before sockets are sent this event.
    pub(super) fn prepare(&mut self, event: &EventPosition) {
        if event.offset.is_some() && self.offsets.len() < self.positions.len() {
            self.offsets.resize(self.positions.len(), None);
        }
    }

    /// Notes that a socket is sent this event. A socket without a session may have no slot here.
    #[inline]
    pub(crate) fn set(&mut self, slot: u32, event: &EventPosition) {
        if let Some(last) = self.positions.get_mut(slot as usize) {
            *last = event.position;
        }
        if event.offset.is_some()
            && let Some(last) = self.offsets.get_mut(slot as usize)
        {
            last.clone_from(&event.offset);
        }
    }

    pub(super) fn get(&self, slot: u32) -> Option<EventPosition> {
        let position = *self.positions.get(slot as usize)?;
        Some(EventPosition { position, offset: self.offsets.get(slot as usize).cloned().flatten() })
    }

    /// Frees memory after the socket with the highest slot is gone. `slots` is the number of slots that are left.
    pub(crate) fn truncate(&mut self, slots: usize) {
        self.positions.truncate(slots);
        shrink_if_sparse(&mut self.positions);
        self.offsets.truncate(slots);
        shrink_if_sparse(&mut self.offsets);
    }
}
