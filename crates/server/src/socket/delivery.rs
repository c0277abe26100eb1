//! What was done with events for connections that are behind, and how often.

use std::sync::atomic::{AtomicU64, Ordering};

use adapter::DeliveryPolicy;
use net::{LatestKey, PushOutcome, SlowReaderPolicy};

use super::Socket;

/// How often a server has not simply queued an event, because the connection of the receiver was behind. Each receiver
/// of a broadcast counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryCounts {
    /// [Volatile](crate::Emitter::volatile) events that were dropped.
    pub dropped: u64,
    /// Events of which [only the latest](crate::Emitter::keep_latest) was kept, and that a later one replaced.
    pub replaced: u64,
    /// Events that did not fit, so the client was disconnected.
    pub overflowed: u64,
}

/// The counters behind [`DeliveryCounts`].
#[derive(Debug, Default)]
pub(crate) struct DeliveryCounters {
    dropped: AtomicU64,
    replaced: AtomicU64,
    overflowed: AtomicU64,
}

impl DeliveryCounters {
    pub(crate) fn counts(&self) -> DeliveryCounts {
        DeliveryCounts {
            dropped: self.dropped.load(Ordering::Relaxed),
            replaced: self.replaced.load(Ordering::Relaxed),
            overflowed: self.overflowed.load(Ordering::Relaxed),
        }
    }
}

impl Socket {
    /// Records what was done with an event for this socket. Every emit and every broadcast ends here.
    #[inline]
    pub(super) fn record_delivery(&self, outcome: PushOutcome) {
        if outcome != PushOutcome::Queued {
            self.record_slow_delivery(outcome);
        }
    }

    #[cold]
    fn record_slow_delivery(&self, outcome: PushOutcome) {
        let counters = self.0.namespace.delivery_counters();
        let counter = match outcome {
            PushOutcome::Queued | PushOutcome::Kept => return,
            PushOutcome::Dropped => &counters.dropped,
            PushOutcome::Replaced => &counters.replaced,
            PushOutcome::Overflowed => &counters.overflowed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the policy of a broadcast for this socket.
    #[inline]
    pub(super) fn policy_of<'a>(&'a self, policy: &'a DeliveryPolicy) -> SlowReaderPolicy<'a> {
        match policy {
            DeliveryPolicy::Volatile => SlowReaderPolicy::Drop,
            DeliveryPolicy::KeepLatest(key) => SlowReaderPolicy::KeepLatest(self.latest_key(key)),
            _ => SlowReaderPolicy::Disconnect,
        }
    }

    /// Keys belong to a namespace.
    pub(super) fn latest_key<'a>(&'a self, name: &'a str) -> LatestKey<'a> {
        LatestKey { scope: self.0.namespace.name(), name }
    }
}
