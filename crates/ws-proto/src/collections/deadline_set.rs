//! A set of deadlines.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

use crate::time::Time;

/// Deadlines, each with the number of what it belongs to.
///
/// Inserting and removing a deadline take logarithmic time, amortized. The earliest one is always known.
#[derive(Debug, Default)]
pub struct DeadlineSet {
    /// The deadlines, the earliest one first, and the ones that are removed.
    queued: BinaryHeap<Reverse<(Time, u64)>>,
    /// Those in `queued` that are removed. The first one of `queued` never is.
    removed: BinaryHeap<Reverse<(Time, u64)>>,
}

/// The number of removed deadlines that may be stored in addition to one for each deadline.
const MAX_REMOVED: usize = 16;

impl DeadlineSet {
    /// Creates an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a deadline, which must not be in the set.
    pub fn insert(&mut self, deadline: Time, number: u64) {
        self.queued.push(Reverse((deadline, number)));
    }

    /// Removes a deadline, which must be in the set.
    pub fn remove(&mut self, deadline: Time, number: u64) {
        let entry = Reverse((deadline, number));
        if self.queued.peek() == Some(&entry) {
            self.queued.pop();
            while self.queued.peek().is_some_and(|first| self.removed.peek() == Some(first)) {
                self.queued.pop();
                self.removed.pop();
            }
        } else {
            self.removed.push(entry);
        }
        if 2 * self.removed.len() > self.queued.len() + MAX_REMOVED {
            self.drop_removed();
        }
        if self.queued.capacity() > 64 && self.queued.len() < self.queued.capacity() / 4 {
            self.queued.shrink_to(2 * self.queued.len());
        }
    }

    /// Returns the earliest deadline, and of several at that time the one with the lowest number.
    #[must_use]
    pub fn first(&self) -> Option<(Time, u64)> {
        self.queued.peek().map(|Reverse(entry)| *entry)
    }

    fn drop_removed(&mut self) {
        let mut queued = mem::take(&mut self.queued);
        while let Some(entry) = queued.pop() {
            if self.removed.peek() == Some(&entry) {
                self.removed.pop();
            } else {
                self.queued.push(entry);
            }
        }
        self.removed = BinaryHeap::new();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    #[test]
    fn the_first_deadline_is_the_one_that_a_tree_would_return() {
        let (mut set, mut expected) = (DeadlineSet::new(), BTreeSet::new());
        let mut random = 1_u64;
        let mut next = || {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            random >> 40
        };
        for step in 0..20_000_u64 {
            // It grows and shrinks in turn. Many deadlines are at the same time, and some are added again.
            if next() % 8 < 3 + step / 2_000 % 2 * 2 || expected.is_empty() {
                let entry = (at(next() % 50), next() % 50);
                if expected.insert(entry) {
                    set.insert(entry.0, entry.1);
                }
            } else {
                let from = (at(next() % 50), next() % 50);
                let entry = match next() % 4 {
                    0 => expected.first(),
                    _ => expected.range(from..).next().or(expected.last()),
                };
                let entry = *entry.unwrap();
                expected.remove(&entry);
                set.remove(entry.0, entry.1);
            }
            assert_eq!(set.first(), expected.first().copied());
            assert_eq!(set.queued.len() - set.removed.len(), expected.len());
            assert!(set.removed.len() <= expected.len() + MAX_REMOVED);
        }
    }

    #[test]
    fn memory_comes_back_although_the_first_deadline_stays() {
        let mut set = DeadlineSet::new();
        for number in 0..100_000 {
            set.insert(at(number / 2), number);
        }
        for number in (1..100_000).rev() {
            set.remove(at(number / 2), number);
        }
        assert_eq!(set.first(), Some((at(0), 0)));
        assert!(set.queued.capacity() + set.removed.capacity() < 150);
    }
}
