//! The sockets of each Socket.IO namespace.

#[cfg(feature = "metrics")]
use std::collections::BTreeMap;
#[cfg(feature = "metrics")]
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(feature = "metrics")]
use std::sync::{Arc, Mutex, PoisonError};

/// Names beyond this number have the label [`OTHER`]. Each label is a time series, which costs memory wherever the metrics
/// are stored.
#[cfg(feature = "metrics")]
const MAX_NAMES: usize = 100;

/// The label of namespaces that have none of their own. It is no name of a namespace, because those begin with `/`.
#[cfg(feature = "metrics")]
const OTHER: &str = "(other)";

/// The label of namespaces that clients have caused.
#[cfg(feature = "metrics")]
const DYNAMIC: &str = "(dynamic)";

/// The counts of the sockets of one namespace. Namespaces of the same name share them.
#[derive(Debug, Clone)]
pub struct SocketCount(#[cfg(feature = "metrics")] Arc<Counts>);

#[cfg(feature = "metrics")]
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) connected: AtomicU64,
    pub(super) disconnected: AtomicU64,
}

#[cfg(feature = "metrics")]
static COUNTS: Mutex<BTreeMap<String, Arc<Counts>>> = Mutex::new(BTreeMap::new());

impl SocketCount {
    /// Returns the counts of a namespace. All namespaces that clients have caused (`is_dynamic`) have common counts, and
    /// so have all after the first hundred names: otherwise a peer could choose the number of labels.
    #[must_use]
    pub fn of_namespace(name: &str, is_dynamic: bool) -> Self {
        #[cfg(feature = "metrics")]
        {
            let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
            let label = if is_dynamic { DYNAMIC } else { name };
            let label = if counts.contains_key(label) || counts.len() < MAX_NAMES { label } else { OTHER };
            if !counts.contains_key(label) {
                counts.insert(label.to_owned(), Arc::default());
            }
            Self(Arc::clone(&counts[label]))
        }
        #[cfg(not(feature = "metrics"))]
        {
            let _ = (name, is_dynamic);
            Self()
        }
    }

    /// Counts a socket that has connected.
    pub fn connected(&self) {
        #[cfg(feature = "metrics")]
        self.0.connected.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a socket that was connected and has disconnected.
    pub fn disconnected(&self) {
        #[cfg(feature = "metrics")]
        self.0.disconnected.fetch_add(1, Ordering::Relaxed);
    }
}

/// Calls `each` with the label of each namespace, and the numbers of sockets that have connected and that are connected.
#[cfg(feature = "metrics")]
pub(super) fn for_each(mut each: impl FnMut(&str, u64, u64)) {
    let counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (label, counts) in &counts {
        // In this order: what has disconnected has connected before.
        let disconnected = counts.disconnected.load(Ordering::Acquire);
        let connected = counts.connected.load(Ordering::Acquire);
        each(label, connected, connected.saturating_sub(disconnected));
    }
}

#[cfg(all(test, feature = "metrics"))]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_labels_is_limited() {
        let common = SocketCount::of_namespace("/room-1", true);
        assert!(Arc::ptr_eq(&common.0, &SocketCount::of_namespace("/room-2", true).0));
        let counts: Vec<_> =
            (0..MAX_NAMES + 50).map(|index| SocketCount::of_namespace(&format!("/{index}"), false)).collect();
        assert!(Arc::ptr_eq(&counts[MAX_NAMES + 1].0, &counts[MAX_NAMES + 49].0));
        assert!(Arc::ptr_eq(&counts[0].0, &SocketCount::of_namespace("/0", false).0));
        let mut labels = 0;
        for_each(|_, _, _| labels += 1);
        // `(other)` comes on top.
        assert_eq!(labels, MAX_NAMES + 1);
    }
}
