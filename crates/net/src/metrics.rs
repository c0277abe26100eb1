//! Counts of what servers do, and their publication through the facade of the crate `metrics`.
//!
//! Hot path. A count is an addition to a number of the thread, without a lock and without an atomic read-modify-write.
//! [`publish`] sums the numbers of all threads. Without the feature `metrics`, nothing is counted, and the functions are
//! empty.
//!
//! The metrics are those of the process: several servers in one process count together.

mod cluster;
mod connection;
#[cfg(feature = "metrics")]
mod histogram;
mod namespaces;
#[cfg(feature = "metrics")]
mod publisher;
mod series;
#[cfg(feature = "metrics")]
mod shards;

pub use self::cluster::{ClusterStats, observe_cluster};
pub use self::connection::{ConnectionKind, Meter, OpenConnection};
pub use self::namespaces::SocketCount;
#[cfg(feature = "metrics")]
pub use self::publisher::publish;
pub use self::series::Series;

/// Whether the feature `metrics` is enabled.
pub const IS_ENABLED: bool = cfg!(feature = "metrics");

/// Starts to publish, unless the process does so already. The caller runs on a Tokio runtime with timers.
pub(crate) fn start() {
    #[cfg(feature = "metrics")]
    publisher::start();
}

/// Adds 1 to a counter.
#[inline]
pub fn count(series: Series) {
    add(series, 1);
}

/// Adds `number` to a counter.
#[inline]
pub fn add(series: Series, number: usize) {
    #[cfg(feature = "metrics")]
    if let Some(shard) = shards::current() {
        shard.add(series, number as u64);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (series, number);
}

/// Changes a gauge by the difference of two values.
#[inline]
pub(crate) fn change(series: Series, from: u32, to: u32) {
    #[cfg(feature = "metrics")]
    if let Some(shard) = shards::current() {
        shard.add(series, u64::from(to).wrapping_sub(u64::from(from)));
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (series, from, to);
}

/// Records how long a handler took.
#[inline]
pub fn record_handler_duration(duration: std::time::Duration) {
    #[cfg(feature = "metrics")]
    histogram::record_handler_duration(duration);
    #[cfg(not(feature = "metrics"))]
    let _ = duration;
}
