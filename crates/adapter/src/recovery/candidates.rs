//! The events that a session may have missed, before the log is asked which of them excluded it.

use std::collections::VecDeque;

use super::ClaimError;
use super::offset::Position;

/// Collects positions in the log, and counts what it costs to examine them. No event of the namespace can be sent
/// meanwhile.
#[derive(Debug)]
pub(super) struct Candidates {
    positions: Vec<Position>,
    /// What may still be examined.
    left: usize,
}

impl Candidates {
    /// `max` is the number of events that are examined for one client.
    pub(super) fn new(max: usize) -> Self {
        Self { positions: Vec::new(), left: max }
    }

    /// Adds the positions of a sorted list that come after `after`, and not after `until`. An event that was sent to several
    /// rooms of the session counts for each of them.
    pub(super) fn add(
        &mut self,
        list: &VecDeque<Position>,
        after: Position,
        until: Position,
    ) -> Result<(), ClaimError> {
        let first = list.partition_point(|at| *at <= after);
        let end = list.partition_point(|at| *at <= until);
        // A period may end before `after`.
        if first < end {
            self.count(end - first)?;
            self.positions.extend(list.range(first..end));
        }
        Ok(())
    }

    /// Counts what else must be examined.
    pub(super) fn count(&mut self, events: usize) -> Result<(), ClaimError> {
        self.left = self.left.checked_sub(events).ok_or(ClaimError::TooManyToExamine)?;
        Ok(())
    }

    /// Returns each position once, in order.
    pub(super) fn take_sorted(&mut self) -> Vec<Position> {
        let mut positions = std::mem::take(&mut self.positions);
        positions.sort();
        positions.dedup();
        positions
    }
}
