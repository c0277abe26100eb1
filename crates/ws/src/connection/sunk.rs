//! How far a `Sink` has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// While the message has no place yet.
const HELD_BACK: u64 = u64::MAX;

/// Behind which of all bytes of the connection the last message ends that a `Sink` has sent.
///
/// It takes memory from the first message on, so that those who never use the `Sink` pay a pointer for it.
#[derive(Debug, Default)]
pub(crate) struct Sunk(Option<Arc<AtomicU64>>);

/// The same, for the connection to tell once a message that it holds back has its place. It is touched only under the lock
/// of the connection, which orders what an atomic would not.
#[derive(Debug)]
pub(crate) struct Later(Arc<AtomicU64>);

impl Sunk {
    /// `None` while the message has no place yet.
    pub(crate) fn position(&self) -> Option<u64> {
        let position = self.0.as_ref().map_or(0, |position| position.load(Ordering::Relaxed));
        (position != HELD_BACK).then_some(position)
    }

    pub(crate) fn set(&mut self, position: u64) {
        self.0.get_or_insert_default().store(position, Ordering::Relaxed);
    }

    pub(crate) fn hold_back(&mut self) -> Later {
        self.set(HELD_BACK);
        Later(Arc::clone(self.0.get_or_insert_default()))
    }
}

impl Later {
    pub(crate) fn set(self, position: u64) {
        self.0.store(position, Ordering::Relaxed);
    }
}
