//! A map of private ids whose entries expire.

use std::collections::{BTreeSet, HashMap};

use ws_proto::Time;

use crate::recovery::PrivateId;

/// Values by the private ids of sessions. Each value is dropped at its time, or earlier if there are too many.
#[derive(Debug)]
pub(super) struct ExpiringMap<T> {
    max: usize,
    values: HashMap<PrivateId, (Time, T)>,
    order: BTreeSet<(Time, PrivateId)>,
}

impl<T> ExpiringMap<T> {
    pub(super) fn new(max: usize) -> Self {
        Self { max, values: HashMap::new(), order: BTreeSet::new() }
    }

    /// Replaces the value of a private id. At the limit, the value that would expire first is dropped.
    pub(super) fn insert(&mut self, pid: PrivateId, until: Time, value: T) {
        self.remove(&pid);
        self.order.insert((until, pid.clone()));
        self.values.insert(pid, (until, value));
        while self.values.len() > self.max {
            self.drop_first();
        }
    }

    pub(super) fn get(&self, pid: &str) -> Option<&T> {
        self.values.get(pid).map(|(_, value)| value)
    }

    fn remove(&mut self, pid: &str) -> Option<T> {
        let (pid, (until, value)) = self.values.remove_entry(pid)?;
        self.order.remove(&(until, pid));
        Some(value)
    }

    pub(super) fn drop_expired(&mut self, now: Time) {
        while self.order.first().is_some_and(|(until, _)| *until <= now) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((_, pid)) = self.order.pop_first() {
            self.values.remove(&pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn values_are_dropped_at_their_time_and_at_the_limit() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let mut values = ExpiringMap::new(2);
        values.insert("a".into(), at(3), 1);
        values.insert("b".into(), at(2), 2);
        values.insert("a".into(), at(1), 3);
        values.insert("c".into(), at(4), 4);
        assert_eq!((values.get("a"), values.get("b"), values.get("c")), (None, Some(&2), Some(&4)));
        values.drop_expired(at(2));
        assert_eq!((values.get("b"), values.get("c")), (None, Some(&4)));
        assert_eq!((values.remove("c"), values.remove("c")), (Some(4), None));
        assert!(values.values.is_empty() && values.order.is_empty());
    }
}
