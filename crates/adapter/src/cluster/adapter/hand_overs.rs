//! Sessions that other servers are taking from this one.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use ws_proto::Time;

use crate::cluster::{NodeId, RequestId};
use crate::recovery::PrivateId;

/// The sessions that other servers have taken and have not acknowledged. They are still here, and nobody gets them: the taker
/// may have the session already.
#[derive(Debug)]
pub(super) struct HandOvers {
    max: usize,
    by_pid: HashMap<PrivateId, HandOver>,
    /// When each taker is asked again.
    order: BTreeSet<(Time, PrivateId)>,
    interval: Duration,
}

#[derive(Debug)]
struct HandOver {
    taker: NodeId,
    request: RequestId,
    /// The generation of the session here, and until when it is kept. `None` until it is known that the taker may have it.
    session: Option<(u64, Time)>,
    ask: Time,
}

impl HandOvers {
    /// Creates an empty map. A taker that does not acknowledge is asked in this interval.
    pub(super) fn new(max: usize, interval: Duration) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        Self { max, by_pid: HashMap::new(), order: BTreeSet::new(), interval }
    }

    /// Returns whether nobody else may get a session.
    pub(super) fn contains(&self, pid: &str) -> bool {
        self.by_pid.contains_key(pid)
    }

    /// Returns whether a server has taken a session by this request.
    pub(super) fn is_taken_by(&self, pid: &str, taker: &NodeId, request: RequestId) -> bool {
        self.by_pid.get(pid).is_some_and(|hand_over| {
            hand_over.taker == *taker && hand_over.request == request && hand_over.session.is_some()
        })
    }

    /// Reserves a session for a server. Returns `false` if another server has taken it, or at the limit.
    pub(super) fn reserve(&mut self, pid: &str, taker: NodeId, request: RequestId, now: Time) -> bool {
        if self.by_pid.len() >= self.max || self.contains(pid) {
            return false;
        }
        let (pid, ask) = (PrivateId::from(pid), now + self.interval);
        self.order.insert((ask, pid.clone()));
        self.by_pid.insert(pid, HandOver { taker, request, session: None, ask });
        true
    }

    /// Notes that the taker gets a session that was reserved.
    pub(super) fn confirm(&mut self, pid: &str, generation: u64, until: Time) {
        if let Some(hand_over) = self.by_pid.get_mut(pid) {
            hand_over.session = Some((generation, until));
        }
    }

    /// Returns the generation of a session that another server has taken.
    pub(super) fn generation(&self, pid: &str) -> Option<u64> {
        self.by_pid.get(pid)?.session.map(|(generation, _)| generation)
    }

    /// Notes that it is known who has a session.
    pub(super) fn remove(&mut self, pid: &str) {
        if let Some((pid, hand_over)) = self.by_pid.remove_entry(pid) {
            self.order.remove(&(hand_over.ask, pid));
        }
    }

    /// Handles that a server has left the cluster. What it has taken and not acknowledged is free again.
    pub(super) fn handle_close(&mut self, peer: &NodeId) {
        let left = self.by_pid.extract_if(|_, hand_over| hand_over.taker == *peer);
        left.for_each(|(pid, hand_over)| {
            self.order.remove(&(hand_over.ask, pid));
        });
    }

    pub(super) fn clear(&mut self) {
        self.by_pid.clear();
        self.order.clear();
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.order.first().map(|(ask, _)| *ask)
    }

    /// Returns the takers that must be asked again. Sessions that have expired are forgotten.
    pub(super) fn handle_timeout(&mut self, now: Time) -> Vec<(NodeId, RequestId, PrivateId)> {
        let mut asked = Vec::new();
        while self.order.first().is_some_and(|(ask, _)| *ask <= now) {
            let Some((_, pid)) = self.order.pop_first() else { break };
            let Some(hand_over) = self.by_pid.get_mut(&pid) else { continue };
            if hand_over.session.is_some_and(|(_, until)| until <= now) {
                self.by_pid.remove(&pid);
                continue;
            }
            if hand_over.session.is_some() {
                asked.push((hand_over.taker.clone(), hand_over.request, pid.clone()));
            }
            hand_over.ask = now + self.interval;
            self.order.insert((hand_over.ask, pid));
        }
        asked
    }
}
