//! Claims that wait for their place in the order of the log.

use std::collections::VecDeque;

use ws_proto::Time;

use super::ClusterAdapter;
use crate::recovery::ClaimError;

/// What happens when a claim has its place, or when it is refused. The time is the present one.
pub(super) type ClaimAction = Box<dyn FnOnce(&ClusterAdapter, Result<(), ClaimError>) + Send>;

/// Claims in the order in which they were made.
#[derive(Default)]
pub(super) struct WaitingClaims(VecDeque<Waiting>);

struct Waiting {
    /// The number of the last item of the log order that comes before the claim.
    after: u64,
    deadline: Time,
    action: ClaimAction,
}

impl WaitingClaims {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, after: u64, deadline: Time, action: ClaimAction) {
        self.0.push_back(Waiting { after, deadline, action });
    }

    /// Takes the first claim if all items up to `done` are done, or if its time is over at `now`.
    pub(super) fn next(
        &mut self,
        done: u64,
        now: Option<Time>,
    ) -> Option<(ClaimAction, Result<(), ClaimError>)> {
        let first = self.0.front()?;
        let result = match (first.after <= done, now.is_some_and(|now| first.deadline <= now)) {
            (true, _) => Ok(()),
            (false, true) => Err(ClaimError::TimedOut),
            (false, false) => return None,
        };
        self.0.pop_front().map(|waiting| (waiting.action, result))
    }

    /// Returns when [`next`](Self::next) returns a claim. A time in the past means at once.
    pub(super) fn poll_timeout(&self, done: u64) -> Option<Time> {
        let first = self.0.front()?;
        Some(if first.after <= done { Time::ZERO } else { first.deadline })
    }

    pub(super) fn take_all(&mut self) -> impl Iterator<Item = ClaimAction> + use<> {
        std::mem::take(&mut self.0).into_iter().map(|waiting| waiting.action)
    }
}
