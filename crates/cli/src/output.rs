//! Output to standard output and standard error that never blocks the process. They may be pipes that nobody reads.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Something that is written in a thread of its own. Dropping it does not stop the thread.
#[must_use = "call `wait_at_most`, or `drop` it"]
pub(crate) struct Background {
    /// Disconnected when the thread ends.
    ended: Receiver<Infallible>,
}

impl Background {
    pub(crate) fn wait_at_most(self, limit: Duration) {
        let _ = self.ended.recv_timeout(limit);
    }
}

/// Runs `write` in a thread of its own. If the system has no thread left, `write` is dropped.
pub(crate) fn in_background(write: impl FnOnce() + Send + 'static) -> Background {
    let (sender, ended) = channel();
    let _ = thread::Builder::new().name("output".into()).spawn(move || {
        write();
        drop(sender);
    });
    Background { ended }
}
