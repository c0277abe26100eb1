//! How fast a server that shuts down closes its connections.

use std::time::Duration;

use tokio::time::sleep;

/// How fast a server that shuts down closes its connections: its sessions, or its WebSockets. Their clients reconnect, and the
/// servers that take them have to accept them all.
///
/// The first batch is closed at once. If the pauses between the batches would take more than half of the time that the
/// shutdown may take, the batches are larger, so that the other half is left for closing handshakes and handlers. With the
/// defaults and a timeout of 5 s, these are 2,000 connections per second, and for more than 5,000 connections as many as
/// needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosePace {
    /// The number of connections in a batch. 0 counts as 1. Default 100.
    pub batch_size: usize,
    /// The time between two batches. Zero closes all connections at once. Default 50 ms.
    pub pause: Duration,
}

impl Default for ClosePace {
    fn default() -> Self {
        Self { batch_size: 100, pause: Duration::from_millis(50) }
    }
}

impl ClosePace {
    /// Passes the connections to `close`, one batch after another, within half of `timeout`. Cancel safe: the connections that
    /// were not passed yet go on.
    pub async fn for_each_batch<C>(self, connections: &[C], timeout: Duration, close: impl Fn(&[C])) {
        let mut batches = connections.chunks(self.batch_size_for(connections.len(), timeout));
        if let Some(first) = batches.next() {
            close(first);
        }
        for batch in batches {
            sleep(self.pause).await;
            close(batch);
        }
    }

    /// Returns the size of the batches with which this many connections are closed in half of `timeout`.
    fn batch_size_for(self, connections: usize, timeout: Duration) -> usize {
        if self.pause.is_zero() {
            return connections.max(1);
        }
        let pauses = (timeout / 2).as_nanos() / self.pause.as_nanos();
        let batches = usize::try_from(pauses).unwrap_or(usize::MAX).saturating_add(1);
        self.batch_size.max(connections.div_ceil(batches)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_larger_if_they_would_take_more_than_half_of_the_time() {
        let pace = ClosePace::default();
        let seconds = Duration::from_secs;
        // 51 batches fit into the half of 5 s.
        for (connections, timeout, size) in [
            (0, seconds(5), 100),
            (99, seconds(5), 100),
            (5_100, seconds(5), 100),
            (5_101, seconds(5), 101),
            (51_000, seconds(5), 1_000),
            (51_000, seconds(60), 100),
            (1_000, seconds(0), 1_000),
            (1_000, Duration::MAX, 100),
        ] {
            assert_eq!(pace.batch_size_for(connections, timeout), size, "{connections} in {timeout:?}");
        }
        assert_eq!(ClosePace { batch_size: 0, ..pace }.batch_size_for(10, seconds(60)), 1);
        let at_once = ClosePace { pause: Duration::ZERO, ..pace };
        assert_eq!(
            (at_once.batch_size_for(1_000, seconds(5)), at_once.batch_size_for(0, seconds(5))),
            (1_000, 1)
        );
    }
}
