//! The memory that a session holds for its server, as a part of a budget that many sessions share.

use std::task::{Context, Waker};

use net::{MemoryBudget, MemoryUsage};

use super::PlatformSettings;

/// The part of the budget that one session uses.
pub(crate) struct Memory {
    budget: MemoryBudget,
    usage: MemoryUsage,
}

impl Memory {
    pub(crate) fn new(settings: &PlatformSettings) -> Self {
        let budget = settings.memory_budget.as_ref().unwrap_or_else(|| MemoryBudget::process());
        Self { budget: budget.clone(), usage: MemoryUsage::default() }
    }

    /// Reports how many bytes the session holds now. Returns `false` if the session must end, because the budget is
    /// exceeded and the session is among those that hold the most.
    pub(crate) fn report(&mut self, bytes: usize, cx: &Context<'_>) -> bool {
        self.usage.report(&self.budget, bytes.into(), cx, Waker::wake)
    }

    /// Returns the limit in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.budget.limit()
    }
}
