//! The offsets that a message bus has assigned.

use std::collections::HashMap;
use std::sync::Arc;

use super::log::Entry;
use super::offset::Position;

/// The offsets of the events in the log, if a message bus has assigned them.
#[derive(Debug, Default)]
pub(super) struct AssignedOffsets {
    /// The offset of the last event.
    last: Option<Arc<str>>,
    positions: HashMap<Arc<str>, Position>,
}

impl AssignedOffsets {
    /// Notes the offset of the next event. `None` if the bus has not assigned one.
    pub(super) fn push(&mut self, offset: Option<&str>, position: Position) -> Option<Arc<str>> {
        self.last = offset.map(Arc::from);
        if let Some(offset) = &self.last {
            self.positions.insert(Arc::clone(offset), position);
        }
        self.last.clone()
    }

    /// Returns the offset of the last event.
    pub(super) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    pub(super) fn find(&self, offset: &str) -> Option<Position> {
        self.positions.get(offset).copied()
    }

    /// Forgets the offset of an event that the log drops.
    pub(super) fn remove(&mut self, entry: &Entry) {
        let Some(offset) = entry.assigned() else { return };
        self.positions.remove(offset);
        if self.positions.is_empty() {
            self.positions = HashMap::new();
        }
    }
}
