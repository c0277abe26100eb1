//! How many sessions one connection may ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use adapter::ClaimError;

use super::Client;

/// The claims of one connection, in all its namespaces. In a cluster, each claim asks all servers.
#[derive(Debug, Default)]
pub(crate) struct ClaimLimits {
    /// Claims that the adapters have not completed.
    pending: AtomicU32,
    /// Claims that recovered nothing.
    failed: AtomicU8,
}

/// The number of claims of one connection that may recover nothing. Protects against guesses, and against clients whose
/// claims cost the servers more than their connection.
const MAX_FAILED: u8 = 16;

/// One of the claims of a connection that wait for their adapter.
pub(crate) struct ClaimPermit(Arc<Client>);

impl ClaimPermit {
    /// Returns a permit for one more claim, unless `max_pending` claims wait, or too many have failed.
    pub(crate) fn try_acquire(client: &Arc<Client>, max_pending: usize) -> Result<Self, ClaimError> {
        let limits = &client.claim_limits;
        if limits.failed.load(Ordering::Relaxed) >= MAX_FAILED {
            return Err(ClaimError::UnknownSession);
        }
        let max = u32::try_from(max_pending).unwrap_or(u32::MAX);
        let more = |pending| (pending < max).then_some(pending + 1);
        match limits.pending.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Self(Arc::clone(client))),
            Err(_) => Err(ClaimError::TooManyClaims),
        }
    }
}

impl Drop for ClaimPermit {
    fn drop(&mut self) {
        self.0.claim_limits.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ClaimLimits {
    /// Counts a claim that recovered nothing. Only the connection's task calls this.
    pub(crate) fn count_failed(&self) {
        let count = self.failed.load(Ordering::Relaxed);
        self.failed.store(count.saturating_add(1), Ordering::Relaxed);
    }
}
