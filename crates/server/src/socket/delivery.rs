//! What was done with events for connections that are behind, and how often.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use adapter::DeliveryPolicy;
use net::metrics::{self, Series};
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

/// For how many receivers a broadcast was not simply queued.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BroadcastOutcomes {
    pub(crate) dropped: usize,
    pub(crate) replaced: usize,
    pub(crate) overflowed: usize,
}

thread_local! {
    /// The outcomes of the current broadcast of this thread. The observers must not be called under the lock of the adapter.
    static OUTCOMES: Cell<BroadcastOutcomes> = const {
        Cell::new(BroadcastOutcomes { dropped: 0, replaced: 0, overflowed: 0 })
    };
}

impl BroadcastOutcomes {
    /// Returns the outcomes on this thread since the last call.
    pub(crate) fn take() -> Self {
        OUTCOMES.take()
    }
}

impl Socket {
    /// Records what was done with an event for this socket. Every emit and every broadcast ends here.
    #[inline]
    pub(super) fn record_delivery(&self, outcome: PushOutcome) {
        metrics::count(Series::EventsSent);
        if outcome != PushOutcome::Queued {
            self.record_slow_delivery(outcome);
        }
    }

    #[cold]
    fn record_slow_delivery(&self, outcome: PushOutcome) {
        let counters = self.0.namespace.delivery_counters();
        let mut outcomes = OUTCOMES.get();
        let (counter, count, series) = match outcome {
            PushOutcome::Queued | PushOutcome::Kept => return,
            PushOutcome::Dropped => (&counters.dropped, &mut outcomes.dropped, Series::EventsDroppedVolatile),
            PushOutcome::Replaced => {
                (&counters.replaced, &mut outcomes.replaced, Series::EventsDroppedReplaced)
            }
            PushOutcome::Overflowed => {
                (&counters.overflowed, &mut outcomes.overflowed, Series::EventsDroppedOverflow)
            }
        };
        metrics::count(series);
        counter.fetch_add(1, Ordering::Relaxed);
        *count += 1;
        OUTCOMES.set(outcomes);
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
