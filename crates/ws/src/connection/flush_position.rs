//! Up to where a `Sink` has to be flushed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The position while the message is held back.
const HELD_BACK: u64 = u64::MAX;

/// Where the last message that a `Sink` has sent ends, counted in bytes of the connection.
///
/// It allocates with the first message, so a handle that is never used as a `Sink` pays a pointer for it.
#[derive(Debug, Default)]
pub(crate) struct FlushPosition(Option<Arc<AtomicU64>>);

/// The position of a message that the connection holds back. The connection sets it when the message is queued. It is read
/// and written only under the lock of the connection, so the atomic needs no order of its own.
#[derive(Debug)]
pub(crate) struct PendingPosition(Arc<AtomicU64>);

impl FlushPosition {
    /// `None` while the message is held back.
    pub(crate) fn position(&self) -> Option<u64> {
        let position = self.0.as_ref().map_or(0, |position| position.load(Ordering::Relaxed));
        (position != HELD_BACK).then_some(position)
    }

    pub(crate) fn set(&mut self, position: u64) {
        self.0.get_or_insert_default().store(position, Ordering::Relaxed);
    }

    pub(crate) fn hold_back(&mut self) -> PendingPosition {
        self.set(HELD_BACK);
        PendingPosition(Arc::clone(self.0.get_or_insert_default()))
    }
}

impl PendingPosition {
    pub(crate) fn set(self, position: u64) {
        self.0.store(position, Ordering::Relaxed);
    }
}
