//! The acknowledgements that a socket waits for.

use std::time::Duration;

use ws_proto::collections::{AscendingMap, DeadlineSet};
use ws_proto::{PeerDeadline, Time};

/// The acknowledgements that one socket waits for, with their deadlines. Server and client use it.
///
/// `W` is the waiter that the driver notifies, for example a channel or a callback. The table returns each inserted
/// waiter exactly once: from [`resolve`](Self::resolve), [`remove`](Self::remove),
/// [`handle_timeout`](Self::handle_timeout), [`extract_if`](Self::extract_if) or [`close`](Self::close).
///
/// An empty table uses no heap memory. Inserting and removing one waiter take logarithmic time, amortized, for deadlines in
/// any order. Ids must be assigned in order; an insertion moves the waiters with higher ids.
///
/// ```
/// use std::time::Duration;
///
/// use tidewire_socketio_proto::AckTable;
/// use ws_proto::Time;
///
/// let mut acks = AckTable::new();
/// let (now, timeout) = (Time::ZERO, Duration::from_secs(10));
/// let deadline = now + timeout;
/// assert!(acks.insert(7, Some(timeout), "seven", now).is_ok());
/// assert!(acks.insert(8, Some(timeout), "eight", now).is_ok());
/// assert_eq!(acks.resolve(7), Some("seven"));
/// assert_eq!(acks.resolve(7), None, "a second acknowledgement is ignored");
/// assert_eq!(acks.poll_timeout(), Some(deadline));
/// assert_eq!(acks.handle_timeout(deadline), Some("eight"));
/// assert_eq!(acks.handle_timeout(deadline), None);
/// ```
#[derive(Debug)]
pub struct AckTable<W>(State<W>);

#[derive(Debug)]
enum State<W> {
    Idle,
    Waiting(Box<Waiters<W>>),
    Closed,
}

#[derive(Debug)]
struct Waiters<W> {
    /// Waiters that fail together fail in the order of their ids, which is the order in which their events were sent.
    by_id: AscendingMap<Waiter<W>>,
    /// The deadline of each waiter that has one, and its id.
    deadlines: DeadlineSet,
}

#[derive(Debug)]
struct Waiter<W> {
    deadline: Option<Deadline>,
    waiter: W,
}

/// The time by which an acknowledgement must arrive, and how long that is after the event.
#[derive(Debug)]
struct Deadline {
    at: PeerDeadline,
    timeout: Duration,
}

impl<W> AckTable<W> {
    /// Creates an empty table.
    #[must_use]
    pub fn new() -> Self {
        Self(State::Idle)
    }

    /// Adds a waiter for the acknowledgement with this id. It fails `timeout` after `now`. Without a
    /// timeout, it waits without limit.
    ///
    /// # Errors
    /// Returns the waiter if the table is closed, or if it already has a waiter for this id.
    pub fn insert(&mut self, id: u64, timeout: Option<Duration>, waiter: W, now: Time) -> Result<(), W> {
        let waiters = match &mut self.0 {
            State::Closed => return Err(waiter),
            State::Waiting(waiters) if waiters.by_id.get(id).is_some() => return Err(waiter),
            State::Waiting(waiters) => waiters,
            idle => {
                *idle = State::Waiting(Box::default());
                let State::Waiting(waiters) = idle else { return Err(waiter) };
                waiters
            }
        };
        let deadline = timeout.map(|timeout| Deadline { at: PeerDeadline::new(now + timeout), timeout });
        if let Some(deadline) = &deadline {
            waiters.deadlines.insert(deadline.at.time(), id);
        }
        waiters.by_id.insert(id, Waiter { deadline, waiter });
        Ok(())
    }

    /// Returns the waiter for an acknowledgement that was received. Returns `None` if no waiter with this id exists;
    /// the driver then ignores the acknowledgement.
    #[must_use]
    pub fn resolve(&mut self, id: u64) -> Option<W> {
        self.remove(id)
    }

    /// Removes the waiter with this id and returns it.
    pub fn remove(&mut self, id: u64) -> Option<W> {
        let State::Waiting(waiters) = &mut self.0 else { return None };
        let Waiter { deadline, waiter } = waiters.by_id.remove(id)?;
        if let Some(deadline) = deadline {
            waiters.deadlines.remove(deadline.at.time(), id);
        }
        if waiters.by_id.is_empty() {
            self.0 = State::Idle;
        }
        Some(waiter)
    }

    /// Removes all waiters for which `unwanted` returns `true`, and returns them in the order of their ids. This visits
    /// every waiter.
    pub fn extract_if(&mut self, mut unwanted: impl FnMut(&W) -> bool) -> Vec<W> {
        let State::Waiting(waiters) = &self.0 else { return Vec::new() };
        let is_unwanted = |(_, waiter): &(u64, &Waiter<W>)| unwanted(&waiter.waiter);
        let ids: Vec<u64> = waiters.by_id.iter().filter(is_unwanted).map(|(id, _)| id).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Returns `true` if the table has a waiter.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        matches!(self.0, State::Waiting(_))
    }

    /// Returns the number of waiters.
    #[must_use]
    pub fn len(&self) -> usize {
        if let State::Waiting(waiters) = &self.0 { waiters.by_id.len() } else { 0 }
    }

    /// Returns `true` if the table has no waiter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_waiters()
    }

    /// Returns the earliest deadline, which is the time at which the driver must call
    /// [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let State::Waiting(waiters) = &self.0 else { return None };
        waiters.deadlines.first().map(|(deadline, _)| deadline)
    }

    /// Removes one waiter whose deadline has passed and returns it. Call this until it returns `None`. A deadline that is
    /// [noticed late](Time::extension) starts again once, because the acknowledgement may not be read yet.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Time) -> Option<W> {
        let State::Waiting(waiters) = &mut self.0 else { return None };
        loop {
            let (due, id) = waiters.deadlines.first()?;
            if due > now {
                return None;
            }
            let deadline = waiters.by_id.get_mut(id)?.deadline.as_mut()?;
            if deadline.at.expired_or_restart(deadline.timeout, now) {
                return self.remove(id);
            }
            waiters.deadlines.remove(due, id);
            waiters.deadlines.insert(deadline.at.time(), id);
        }
    }

    /// Removes all waiters and returns them in the order of their ids. The table accepts no more waiters.
    pub fn close(&mut self) -> impl Iterator<Item = W> + use<W> {
        let waiting = match std::mem::replace(&mut self.0, State::Closed) {
            State::Waiting(waiters) => waiters.by_id,
            State::Idle | State::Closed => AscendingMap::new(),
        };
        waiting.into_values().map(|waiter| waiter.waiter)
    }
}

impl<W> Default for AckTable<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W> Default for Waiters<W> {
    fn default() -> Self {
        Self { by_id: AscendingMap::new(), deadlines: DeadlineSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    /// The timeout that ends at that time if it starts at zero.
    fn until(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn a_table_without_waiters_is_two_words_and_no_heap() {
        assert!(size_of::<AckTable<[u64; 8]>>() <= 16);
        let mut acks = AckTable::new();
        acks.insert(0, None, (), Time::ZERO).unwrap();
        assert!(acks.has_waiters());
        assert_eq!(acks.remove(0), Some(()));
        assert!(matches!(acks.0, State::Idle));
    }

    #[test]
    fn waiters_time_out_in_the_order_of_their_deadlines() {
        let mut acks = AckTable::new();
        for (id, deadline) in [(0, Some(30)), (1, None), (2, Some(10)), (3, Some(20)), (4, Some(10))] {
            acks.insert(id, deadline.map(until), id, Time::ZERO).unwrap();
        }
        assert_eq!(acks.poll_timeout(), Some(at(10)));
        assert_eq!(acks.handle_timeout(at(9)), None);
        assert_eq!(acks.handle_timeout(at(20)), Some(2));
        assert_eq!(acks.handle_timeout(at(20)), Some(4));
        assert_eq!(acks.handle_timeout(at(20)), Some(3));
        assert_eq!(acks.handle_timeout(at(20)), None);
        assert_eq!((acks.poll_timeout(), acks.len()), (Some(at(30)), 2));
        assert_eq!(acks.resolve(0), Some(0));
        assert_eq!((acks.poll_timeout(), acks.len()), (None, 1), "the other waiter has no deadline");
    }

    #[test]
    fn a_waiter_whose_deadline_is_noticed_late_waits_again_once() {
        let second = |seconds: u64| at(seconds * 1_000_000);
        let mut acks = AckTable::new();
        for (id, seconds) in [(0, 10), (1, 20), (2, 70), (3, 100)] {
            acks.insert(id, Some(until(seconds * 1_000_000)), id, Time::ZERO).unwrap();
        }
        assert_eq!(acks.handle_timeout(second(70)), Some(2), "it is noticed in time");
        assert_eq!(acks.handle_timeout(second(70)), None, "the other two may not be read yet");
        assert_eq!((acks.poll_timeout(), acks.len()), (Some(second(80)), 3));
        assert_eq!(acks.resolve(1), Some(1));
        assert_eq!(acks.handle_timeout(second(100)), Some(0), "it is late twice");
        assert_eq!(acks.handle_timeout(second(100)), Some(3));
        assert!(acks.is_empty());
    }

    #[test]
    fn an_id_without_a_waiter_is_ignored() {
        let mut acks = AckTable::<u8>::new();
        assert_eq!(acks.resolve(3), None);
        acks.insert(3, Some(until(5)), 3, Time::ZERO).unwrap();
        assert_eq!(acks.resolve(4), None);
        assert_eq!(acks.handle_timeout(at(5)), Some(3));
        assert_eq!(acks.resolve(3), None, "the waiter was already returned");
    }

    #[test]
    fn an_id_has_at_most_one_waiter() {
        let mut acks = AckTable::new();
        acks.insert(3, None, "first", Time::ZERO).unwrap();
        assert_eq!(acks.insert(3, None, "second", Time::ZERO), Err("second"));
        assert_eq!(acks.resolve(3), Some("first"));
    }

    #[test]
    fn a_closed_table_returns_its_waiters_and_accepts_no_more() {
        let mut acks = AckTable::new();
        for id in [2, 0, 1] {
            acks.insert(id, Some(until(9 - id)), id, Time::ZERO).unwrap();
        }
        assert_eq!(acks.close().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(acks.insert(3, None, 3, Time::ZERO), Err(3));
        assert_eq!((acks.has_waiters(), acks.poll_timeout()), (false, None));
        assert_eq!(acks.close().count(), 0);
    }

    #[test]
    fn only_unwanted_waiters_are_extracted() {
        let mut acks = AckTable::new();
        for id in 0..6 {
            acks.insert(id, Some(until(id)), id, Time::ZERO).unwrap();
        }
        assert_eq!(acks.extract_if(|id| id % 2 == 0), [0, 2, 4]);
        assert_eq!((acks.poll_timeout(), acks.len()), (Some(at(1)), 3));
        assert_eq!(acks.extract_if(|_| true).len(), 3);
        assert!(matches!(acks.0, State::Idle));
    }

    #[test]
    fn resolving_a_waiter_removes_its_deadline_in_any_order() {
        let mut acks = AckTable::new();
        // Two waiters share each deadline. The higher the id, the earlier the deadline.
        let timeout = |id: u64| until(1_000 - id / 2);
        for id in 0..1_000 {
            acks.insert(id, Some(timeout(id)), id, Time::ZERO).unwrap();
        }
        let mut waiting: BTreeSet<u64> = (0..1_000).collect();
        for id in (0..1_000).map(|step| step * 387 % 1_000) {
            assert_eq!(acks.resolve(id), Some(id));
            waiting.remove(&id);
            assert_eq!(
                (acks.len(), acks.poll_timeout()),
                (waiting.len(), waiting.last().copied().map(|id| Time::ZERO + timeout(id)))
            );
        }
        assert!(!acks.has_waiters());
    }
}
