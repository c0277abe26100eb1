//! How fast one connection may go.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a visitor hears who goes faster.
pub(super) const TOO_FAST: &str = "That was too fast. Wait a moment.";

/// Allows `burst` uses at once, and one more after each `interval`.
pub(super) struct RateLimit {
    interval: Duration,
    burst: u32,
    /// The time at which all uses will be there again.
    full_at: Mutex<Instant>,
}

impl RateLimit {
    pub(super) fn new(burst: u32, interval: Duration, now: Instant) -> Self {
        Self { interval, burst, full_at: Mutex::new(now) }
    }

    /// Takes one use, if there is one.
    pub(super) fn try_take(&self, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let after = (*full_at).max(now) + self.interval;
        let is_allowed = after.duration_since(now) <= self.interval * self.burst;
        if is_allowed {
            *full_at = after;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_one_use_in_each_interval() {
        let start = Instant::now();
        let limit = RateLimit::new(15, Duration::from_millis(200), start);
        let taken = |at: Instant| (0..1_000).filter(|_| limit.try_take(at)).count();
        assert_eq!(taken(start), 15);
        assert_eq!(taken(start + Duration::from_millis(199)), 0);
        assert_eq!(taken(start + Duration::from_millis(200)), 1);
        assert_eq!(taken(start + Duration::from_millis(2_200)), 10);
        assert_eq!(taken(start + Duration::from_secs(3_600)), 15, "a pause saves up no more than the burst");
    }
}
