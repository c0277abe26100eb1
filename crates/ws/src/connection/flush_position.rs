//! How far a `Sink` has to be flushed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The position while the message is held back.
const HELD_BACK: u64 = u64::MAX;

/// The position after the last message of a `Sink`, in bytes since the beginning of the connection.
///
/// It allocates at the first message, so a handle that is never used as a `Sink` costs only a pointer.
#[derive(Debug, Default)]
pub(crate) struct FlushPosition(Option<Arc<AtomicU64>>);

/// The position of a message that the connection holds back. The connection sets it when it queues the message. It is
/// read and written only under the connection's lock, so relaxed atomic operations are enough.
#[derive(Debug)]
pub(crate) struct PendingPosition(Arc<AtomicU64>);

impl FlushPosition {
    /// Returns the position, or `None` while the message is held back.
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
