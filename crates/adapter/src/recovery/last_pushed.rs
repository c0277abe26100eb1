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
pub(crate) struct LastPushed {
    positions: Vec<Position>,
    /// Empty if no message bus assigns offsets.
    offsets: Vec<Option<Arc<str>>>,
}

/// An event in the order of the log.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(super) position: Position,
    /// Its offset, if a message bus has assigned it. The log forgets it with the event.
    pub(super) offset: Option<Arc<str>>,
}

impl LastPushed {
    /// Notes the last event for a socket that gets its slot now.
    pub(super) fn insert(&mut self, slot: u32, place: &Place) {
        let index = slot as usize;
        if self.positions.len() <= index {
            self.positions.resize(index + 1, 0);
        }
        self.prepare(place);
        if let Some(offset) = self.offsets.get_mut(index) {
            *offset = None;
        }
        self.set(slot, place);
    }

    /// Must be called before sockets are sent the event at `place`.
    pub(super) fn prepare(&mut self, place: &Place) {
        if place.offset.is_some() && self.offsets.len() < self.positions.len() {
            self.offsets.resize(self.positions.len(), None);
        }
    }

    /// Notes that a socket is sent the event at `place`. A socket without a session may have no place here.
    #[inline]
    pub(crate) fn set(&mut self, slot: u32, place: &Place) {
        if let Some(last) = self.positions.get_mut(slot as usize) {
            *last = place.position;
        }
        if place.offset.is_some()
            && let Some(last) = self.offsets.get_mut(slot as usize)
        {
            last.clone_from(&place.offset);
        }
    }

    pub(super) fn get(&self, slot: u32) -> Option<Place> {
        let position = *self.positions.get(slot as usize)?;
        Some(Place { position, offset: self.offsets.get(slot as usize).cloned().flatten() })
    }

    /// Frees memory after the socket with the highest slot is gone. `slots` is the number of slots that are left.
    pub(crate) fn truncate(&mut self, slots: usize) {
        self.positions.truncate(slots);
        shrink_if_sparse(&mut self.positions);
        self.offsets.truncate(slots);
        shrink_if_sparse(&mut self.offsets);
    }
}
