//! What a driver has counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// The numbers of a driver since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusStats {
    /// Whether there is a link to the message bus now.
    pub is_connected: bool,
    /// Messages that the message bus has accepted.
    pub published: u64,
    /// Their size in bytes.
    pub published_bytes: u64,
    /// Messages that the message bus has not accepted: there was no room in the queue, the message was too large, or the bus has
    /// returned an error. Each one is [reported](crate::Host::on_publish_error) to its namespace too.
    pub refused: u64,
    /// Messages that were on their way when the link was lost. The other servers may have them or not.
    pub lost: u64,
    /// Messages that have arrived, those of this server and invalid ones included.
    pub received: u64,
    /// Their size in bytes.
    pub received_bytes: u64,
    /// Messages that were dropped because they are not valid: of an unknown version or of another program, or above a limit.
    pub invalid: u64,
    /// How often the link to the message bus was lost.
    pub links_lost: u64,
    /// Subscriptions that the message bus has refused, for instance because the user may not use the channel. What is sent over
    /// such a channel does not reach this server.
    pub subscriptions_refused: u64,
    /// Messages that wait to be published.
    pub queued: usize,
    /// Their size in bytes.
    pub queued_bytes: usize,
}

/// Counts what a driver does. All threads of the driver share it.
#[derive(Debug, Default)]
pub struct BusCounters {
    published: AtomicU64,
    published_bytes: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
    received: AtomicU64,
    received_bytes: AtomicU64,
    invalid: AtomicU64,
    links_lost: AtomicU64,
    subscriptions_refused: AtomicU64,
}

impl BusCounters {
    /// Counts a message that the bus has accepted.
    pub fn count_published(&self, bytes: usize) {
        add(&self.published, 1);
        add(&self.published_bytes, bytes);
    }

    /// Counts a message that the driver or the bus has refused.
    pub fn count_refused(&self) {
        add(&self.refused, 1);
    }

    /// Counts messages that were on their way when the link was lost.
    pub fn count_lost(&self, messages: usize) {
        add(&self.lost, messages);
    }

    /// Counts a message that has arrived.
    pub fn count_received(&self, bytes: usize) {
        add(&self.received, 1);
        add(&self.received_bytes, bytes);
    }

    /// Counts a message that has arrived and is not valid.
    pub fn count_invalid(&self) {
        add(&self.invalid, 1);
    }

    /// Counts that the link was lost.
    pub fn count_link_lost(&self) {
        add(&self.links_lost, 1);
    }

    /// Counts a subscription that the bus has refused.
    pub fn count_subscription_refused(&self) {
        add(&self.subscriptions_refused, 1);
    }

    /// Returns the numbers. `is_connected` is whether there is a link now, and `queued` is the number of messages that wait, and
    /// their size in bytes.
    #[must_use]
    pub fn stats(&self, is_connected: bool, queued: (usize, usize)) -> BusStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BusStats {
            is_connected,
            published: get(&self.published),
            published_bytes: get(&self.published_bytes),
            refused: get(&self.refused),
            lost: get(&self.lost),
            received: get(&self.received),
            received_bytes: get(&self.received_bytes),
            invalid: get(&self.invalid),
            links_lost: get(&self.links_lost),
            subscriptions_refused: get(&self.subscriptions_refused),
            queued: queued.0,
            queued_bytes: queued.1,
        }
    }
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}
