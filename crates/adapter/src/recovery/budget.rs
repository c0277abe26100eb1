//! The limits that several namespaces have together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The limits of what several namespaces keep for recovery together, for instance all those of a server. Its clones are the
/// same budget. A namespace gets it in [`RecoveryOptions::budget`](super::RecoveryOptions::budget).
///
/// A namespace keeps at most half of what the others leave. So one that is alone keeps half of the whole, those that keep all
/// they can have the same share, and a new one still finds room. A namespace that has more, because others have come, drops its
/// own oldest entries, down to half of an equal share of the whole. It never loses what is less than that to others.
///
/// The limits are never exceeded: an entry that would exceed them is not kept.
#[derive(Debug, Clone)]
pub struct RecoveryBudget {
    pub(super) log_bytes: Arc<Total>,
    pub(super) sessions: Arc<Total>,
    pub(super) session_bytes: Arc<Total>,
}

/// What the namespaces of a budget keep of one kind, in bytes or by number.
#[derive(Debug)]
pub(super) struct Total {
    /// Counts only: nothing else is read because of its value.
    used: AtomicUsize,
    /// The number of namespaces that keep something, without those of a part.
    keepers: AtomicUsize,
    max: usize,
    /// The total that this one is a part of.
    whole: Option<Arc<Total>>,
}

/// What one namespace keeps of one kind, and how much it may keep. Dropping it gives everything back to the budget.
#[derive(Debug)]
pub(super) struct Charge {
    charged: usize,
    /// The limit of the namespace alone.
    max: usize,
    total: Option<Arc<Total>>,
    limit: usize,
    hard_limit: usize,
}

impl RecoveryBudget {
    /// Creates a budget. The limits have the meaning of the fields of [`RecoveryOptions`](super::RecoveryOptions) with these
    /// names, for all its namespaces together.
    #[must_use]
    pub fn new(max_log_bytes: usize, max_sessions: usize, max_session_bytes: usize) -> Self {
        Self {
            log_bytes: Total::new(max_log_bytes, None),
            sessions: Total::new(max_sessions, None),
            session_bytes: Total::new(max_session_bytes, None),
        }
    }

    /// Creates a budget of half the size, which is a part of this one: what its namespaces keep counts here too. It is meant for
    /// the namespaces that clients create: so they cannot take everything from the others, however many they are.
    #[must_use]
    pub fn half(&self) -> Self {
        let half = |whole: &Arc<Total>| Total::new(whole.max.div_ceil(2), Some(Arc::clone(whole)));
        Self {
            log_bytes: half(&self.log_bytes),
            sessions: half(&self.sessions),
            session_bytes: half(&self.session_bytes),
        }
    }
}

impl Total {
    fn new(max: usize, whole: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), keepers: AtomicUsize::new(0), max, whole })
    }

    /// Returns this total and those that it is a part of.
    fn with_wholes(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |total| total.whole.as_deref())
    }

    /// Returns how much all others leave to a namespace that has charged this much.
    fn left_for(&self, charged: usize) -> usize {
        self.max.saturating_sub(self.used.load(Ordering::Relaxed) - charged)
    }
}

impl Charge {
    /// Creates the account of a namespace that keeps nothing. `max` is its own limit.
    pub(super) fn new(max: usize, total: Option<Arc<Total>>) -> Self {
        let mut charge = Self { charged: 0, max, total, limit: max, hard_limit: with_margin(max) };
        charge.reserve(0);
        charge
    }

    /// Returns an account of a namespace that keeps nothing, with the limits of this one.
    #[cfg(feature = "cluster")]
    pub(super) fn empty_copy(&self) -> Self {
        Self::new(self.max, self.total.clone())
    }

    /// Charges the size of an entry that may be added, and updates the limits. All threads see the charge before any of them
    /// decides, so they cannot exceed the budget together.
    pub(super) fn reserve(&mut self, size: usize) {
        self.settle(self.charged + size);
        let Some(total) = self.total.as_deref() else { return };
        let equal_share = total.max / (1 + total.keepers.load(Ordering::Relaxed));
        let share = (equal_share / 2).max(total.left_for(self.charged).div_ceil(2));
        let left = total.with_wholes().map(|total| total.left_for(self.charged)).min().unwrap_or_default();
        self.limit = self.max.min(share).min(left);
        self.hard_limit = with_margin(self.max).min(left);
    }

    /// Charges what the namespace keeps, instead of what was charged before.
    pub(super) fn settle(&mut self, kept: usize) {
        let former = std::mem::replace(&mut self.charged, kept);
        let Some(total) = self.total.as_deref().filter(|_| former != kept) else { return };
        for total in total.with_wholes() {
            // Wraps if it is less.
            total.used.fetch_add(kept.wrapping_sub(former), Ordering::Relaxed);
        }
        if former == 0 {
            total.keepers.fetch_add(1, Ordering::Relaxed);
        } else if kept == 0 {
            total.keepers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Returns how much the namespace may keep. If it keeps more, its oldest entries are dropped.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Returns how much the namespace may keep while old entries are still to be dropped. A new entry that would exceed it is
    /// not kept.
    pub(super) fn hard_limit(&self) -> usize {
        self.hard_limit
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.settle(0);
    }
}

/// Returns how much a store may hold that has this limit, while old entries are still to be dropped.
pub(super) fn with_margin(max: usize) -> usize {
    max.saturating_add(max / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_add_at_the_same_time_do_not_exceed_the_budget_together() {
        let budget = RecoveryBudget::new(100, 0, 0);
        let mut charges = [(); 2].map(|()| Charge::new(100, Some(Arc::clone(&budget.log_bytes))));
        // Both have an entry of 60 bytes, and neither has decided yet.
        let allowed = charges.each_mut().map(|charge| {
            charge.reserve(60);
            charge.hard_limit()
        });
        assert_eq!(allowed, [100, 40], "only the first one may keep its entry");
        charges[1].settle(0);
        charges[0].settle(40);
        charges[1].reserve(0);
        assert_eq!((charges[1].limit(), charges[1].hard_limit()), (30, 60));
    }
}
