//! Which event each connected socket was sent last.

use super::offset::Position;

/// The position of the last logged event that each connected socket was sent, by the slot of the socket in the room index.
///
/// A broadcast writes one number for each receiver. If this were a part of the sessions, it would look up each of them.
#[derive(Debug, Default)]
pub(crate) struct LastPushed(Vec<Position>);

impl LastPushed {
    /// Notes the position for a socket that gets its slot now.
    pub(super) fn insert(&mut self, slot: u32, position: Position) {
        let slot = slot as usize;
        if self.0.len() <= slot {
            self.0.resize(slot + 1, 0);
        }
        self.0[slot] = position;
    }

    /// Notes that a socket is sent the event at `position`. A socket without a session may have no place here.
    #[inline]
    pub(crate) fn set(&mut self, slot: u32, position: Position) {
        if let Some(last) = self.0.get_mut(slot as usize) {
            *last = position;
        }
    }

    pub(super) fn get(&self, slot: u32) -> Option<Position> {
        self.0.get(slot as usize).copied()
    }

    /// Frees memory after the socket with the highest slot is gone. `slots` is the number of slots that are left.
    pub(crate) fn truncate(&mut self, slots: usize) {
        self.0.truncate(slots);
        crate::slab::shrink_if_sparse(&mut self.0);
    }
}
