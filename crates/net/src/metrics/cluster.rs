//! What the servers of the process report of their clusters. Nothing is counted here: each publication asks the servers.

#[cfg(feature = "metrics")]
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "metrics")]
use metrics::{Key, Recorder, Unit};

#[cfg(feature = "metrics")]
use super::publisher::{describe, set};
#[cfg(feature = "metrics")]
use super::series::{Family, Kind};

/// What one server reports of its cluster. The counters are those since the start of the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClusterStats {
    /// Whether the server has its link to the message bus.
    pub is_connected: bool,
    /// The servers of the cluster, this one included. 0 if their number is not known.
    pub servers: usize,
    /// The messages that wait for the message bus.
    pub queued_messages: usize,
    /// Their size in bytes.
    pub queued_bytes: usize,
    /// How often the link was lost.
    pub links_lost: u64,
    /// The messages that the message bus has accepted.
    pub messages_sent: u64,
    /// Their size in bytes.
    pub bytes_sent: u64,
    /// The messages that have arrived.
    pub messages_received: u64,
    /// Their size in bytes.
    pub bytes_received: u64,
    /// The messages that have arrived and are not valid.
    pub messages_invalid: u64,
    /// The subscriptions that the message bus has refused.
    pub subscriptions_refused: u64,
}

/// Publishes what `stats` returns, until it returns `None`, because the server has ended. It is called at each publication,
/// under no lock.
pub fn observe_cluster(stats: impl Fn() -> Option<ClusterStats> + Send + Sync + 'static) {
    #[cfg(feature = "metrics")]
    sources().add(stats);
    #[cfg(not(feature = "metrics"))]
    let _ = stats;
}

#[cfg(feature = "metrics")]
type Counters = [u64; COUNTERS.len()];

#[cfg(feature = "metrics")]
impl ClusterStats {
    /// Returns the counters, in the order of [`COUNTERS`].
    fn counters(&self) -> Counters {
        [
            self.links_lost,
            self.messages_sent,
            self.bytes_sent,
            self.messages_received,
            self.bytes_received,
            self.messages_invalid,
            self.subscriptions_refused,
        ]
    }
}

/// A server of the process.
#[cfg(feature = "metrics")]
struct Source {
    stats: Box<dyn Fn() -> Option<ClusterStats> + Send + Sync>,
    /// What it has counted, as of the last publication.
    last: Mutex<Counters>,
}

#[cfg(feature = "metrics")]
struct Sources {
    running: Vec<Arc<Source>>,
    /// What the servers that have ended had counted. A counter must not decrease.
    ended: Counters,
    /// Whether the process has, or had, a server in a cluster.
    has_cluster: bool,
}

#[cfg(feature = "metrics")]
impl Sources {
    const fn new() -> Self {
        Self { running: Vec::new(), ended: [0; COUNTERS.len()], has_cluster: false }
    }

    fn add(&mut self, stats: impl Fn() -> Option<ClusterStats> + Send + Sync + 'static) {
        self.has_cluster = true;
        self.running.push(Arc::new(Source { stats: Box::new(stats), last: Mutex::default() }));
    }

    /// Moves what a server has counted to those that have ended.
    fn end(&mut self, source: &Arc<Source>) {
        // Another publication may have done so.
        let Some(index) = self.running.iter().position(|running| Arc::ptr_eq(running, source)) else {
            return;
        };
        add(&mut self.ended, *source.last());
        self.running.swap_remove(index);
    }
}

#[cfg(feature = "metrics")]
impl Source {
    fn last(&self) -> MutexGuard<'_, Counters> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "metrics")]
static SOURCES: Mutex<Sources> = Mutex::new(Sources::new());

#[cfg(feature = "metrics")]
fn sources() -> MutexGuard<'static, Sources> {
    SOURCES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sums over the servers of the process.
#[cfg(feature = "metrics")]
#[derive(Debug, PartialEq)]
struct Sums {
    /// In the order of [`GAUGES`].
    gauges: [u64; GAUGES.len()],
    counters: Counters,
}

/// Asks the servers. Returns `None` if the process has never had a server in a cluster.
#[cfg(feature = "metrics")]
fn sums(sources: &Mutex<Sources>) -> Option<Sums> {
    let lock = || sources.lock().unwrap_or_else(PoisonError::into_inner);
    // Both of one moment: another publication may find meanwhile that a server has ended, which must not count twice.
    let (running, mut counters) = {
        let sources = lock();
        sources.has_cluster.then(|| (sources.running.clone(), sources.ended))?
    };
    let mut all = Vec::with_capacity(running.len());
    for source in &running {
        // An adapter may be the program's code, so no lock is held.
        if let Some(stats) = (source.stats)() {
            *source.last() = stats.counters();
            add(&mut counters, stats.counters());
            all.push(stats);
        } else {
            add(&mut counters, *source.last());
            lock().end(source);
        }
    }
    let is_connected = !all.is_empty() && all.iter().all(|stats| stats.is_connected);
    let servers = all.iter().map(|stats| stats.servers).max().unwrap_or(0);
    let sum = |of: fn(&ClusterStats) -> usize| all.iter().map(of).sum::<usize>() as u64;
    let (messages, bytes) = (sum(|stats| stats.queued_messages), sum(|stats| stats.queued_bytes));
    Some(Sums { gauges: [is_connected.into(), servers as u64, messages, bytes], counters })
}

#[cfg(feature = "metrics")]
fn add(sum: &mut Counters, more: Counters) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
}

/// Passes what the servers report to the recorder. A process without a cluster has none of these metrics.
#[cfg(feature = "metrics")]
pub(super) fn publish(recorder: &dyn Recorder) {
    let Some(Sums { gauges, counters }) = sums(&SOURCES) else { return };
    for (family, value) in GAUGES.iter().zip(gauges).chain(COUNTERS.iter().zip(counters)) {
        describe(recorder, family);
        set(recorder, family, &Key::from_static_name(family.name), value);
    }
}

#[cfg(feature = "metrics")]
const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, unit, help }
}

#[cfg(feature = "metrics")]
const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, unit, help }
}

#[cfg(feature = "metrics")]
static GAUGES: [Family; 4] = [
    gauge(
        "tidewire_cluster_link_up",
        Unit::Count,
        "1 if the server has its link to the message bus; of several servers, each one",
    ),
    gauge(
        "tidewire_cluster_servers",
        Unit::Count,
        "Servers of the cluster, this one included; 0 as long as their number is not known",
    ),
    gauge("tidewire_cluster_queued_messages", Unit::Count, "Messages that wait for the message bus"),
    gauge("tidewire_cluster_queued_bytes", Unit::Bytes, "Bytes that wait for the message bus"),
];

#[cfg(feature = "metrics")]
static COUNTERS: [Family; 7] = [
    counter("tidewire_cluster_links_lost_total", Unit::Count, "Losses of the link to the message bus"),
    counter(
        "tidewire_cluster_messages_sent_total",
        Unit::Count,
        "Messages that the message bus has accepted",
    ),
    counter(
        "tidewire_cluster_sent_bytes_total",
        Unit::Bytes,
        "Bytes of messages that the message bus has accepted",
    ),
    counter("tidewire_cluster_messages_received_total", Unit::Count, "Messages from the message bus"),
    counter("tidewire_cluster_received_bytes_total", Unit::Bytes, "Bytes of messages from the message bus"),
    counter(
        "tidewire_cluster_messages_invalid_total",
        Unit::Count,
        "Messages from the message bus that are not valid",
    ),
    counter(
        "tidewire_cluster_subscriptions_refused_total",
        Unit::Count,
        "Subscriptions that the message bus has refused",
    ),
];

#[cfg(all(test, feature = "metrics"))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn stats(is_connected: bool, servers: usize, links_lost: u64) -> ClusterStats {
        let (queued_messages, queued_bytes, messages_sent) = (1, 10, 100);
        ClusterStats {
            is_connected,
            servers,
            queued_messages,
            queued_bytes,
            links_lost,
            messages_sent,
            ..ClusterStats::default()
        }
    }

    #[test]
    fn a_process_without_a_cluster_has_no_metrics_of_one() {
        assert_eq!(sums(&Mutex::new(Sources::new())), None);
    }

    #[test]
    fn servers_are_added_and_counters_outlive_them() {
        let sources = Mutex::new(Sources::new());
        let runs = Arc::new(AtomicBool::new(true));
        sources.lock().expect("no panic").add({
            let runs = Arc::clone(&runs);
            move || runs.load(Ordering::Relaxed).then(|| stats(false, 3, 2))
        });
        sources.lock().expect("no panic").add(|| Some(stats(true, 2, 5)));
        let both = Sums { gauges: [0, 3, 2, 20], counters: [7, 200, 0, 0, 0, 0, 0] };
        assert_eq!(sums(&sources), Some(both));
        runs.store(false, Ordering::Relaxed);
        for _ in 0..2 {
            let left = Sums { gauges: [1, 2, 1, 10], counters: [7, 200, 0, 0, 0, 0, 0] };
            assert_eq!(sums(&sources), Some(left));
        }
    }

    #[test]
    fn a_server_that_ends_between_two_publications_counts_once_in_both() {
        let sources = Arc::new(Mutex::new(Sources::new()));
        let runs = Arc::new(AtomicBool::new(true));
        sources.lock().expect("no panic").add({
            let runs = Arc::clone(&runs);
            move || runs.load(Ordering::Relaxed).then(|| stats(true, 2, 3))
        });
        // The first server has been asked when this one is. Then it ends, which another publication finds first.
        sources.lock().expect("no panic").add({
            let sources = Arc::clone(&sources);
            move || {
                if runs.swap(false, Ordering::Relaxed) {
                    assert_eq!(sums(&sources).expect("a cluster").counters[0], 3);
                }
                Some(stats(true, 2, 0))
            }
        });
        assert_eq!(sums(&sources).expect("a cluster").counters[0], 3);
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for family in GAUGES.iter().chain(&COUNTERS) {
            assert_eq!(family.name.ends_with("_total"), family.kind == Kind::Counter, "{}", family.name);
            assert_eq!(family.name.contains("_bytes"), family.unit == Unit::Bytes, "{}", family.name);
        }
    }
}
