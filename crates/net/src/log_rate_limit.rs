//! Limits how often a peer can cause the same log line.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ws_proto::Time;

/// The number of lines that may be logged at once.
const BURST: u32 = 10;

/// After a burst, one more line is allowed per interval.
const REFILL_INTERVAL: Duration = Duration::from_secs(1);

/// Limits log lines of one kind to ten at once and then one per second, and counts the suppressed lines. Protects the
/// log against peers that repeat a logged event.
///
/// ```
/// # use tidewire_net::LogRateLimit;
/// static REFUSED: LogRateLimit = LogRateLimit::new();
/// REFUSED.try_log(|suppressed| println!("a peer was refused; not shown: {suppressed:?}"));
/// ```
#[derive(Debug)]
pub struct LogRateLimit(Mutex<State>);

#[derive(Debug)]
struct State {
    tokens: u32,
    /// The time up to which `tokens` has been refilled.
    last_refill: Time,
    suppressed: u64,
}

impl LogRateLimit {
    /// Creates a limit that allows a full burst of lines.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(State { tokens: BURST, last_refill: Time::ZERO, suppressed: 0 }))
    }

    /// Calls `write` if a line may be logged now. The argument is the number of lines suppressed since the last call of
    /// `write`, or `None` if there were none.
    pub fn try_log(&self, write: impl FnOnce(Option<u64>)) {
        if let Some(suppressed) = self.try_take_token() {
            write(suppressed);
        }
    }

    /// Returns the argument of `write`, or `None` if this line is suppressed too.
    fn try_take_token(&self) -> Option<Option<u64>> {
        let suppressed = self.0.lock().unwrap_or_else(PoisonError::into_inner).try_take_token(crate::now())?;
        Some(Some(suppressed).filter(|suppressed| *suppressed > 0))
    }
}

impl Default for LogRateLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// Returns the number of lines suppressed before this one, or `None` if this line is suppressed too.
    fn try_take_token(&mut self, now: Time) -> Option<u64> {
        let passed = now.saturating_since(self.last_refill).as_secs() / REFILL_INTERVAL.as_secs();
        if self.tokens == BURST || passed >= BURST.into() {
            self.tokens = BURST;
            self.last_refill = now;
        } else {
            // `passed` is less than `BURST`, so the cast loses nothing.
            let passed = passed as u32;
            self.tokens = (self.tokens + passed).min(BURST);
            self.last_refill = self.last_refill + REFILL_INTERVAL * passed;
        }
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                Some(std::mem::take(&mut self.suppressed))
            }
            None => {
                self.suppressed += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_pass_at_once_and_then_one_per_second_with_the_number_of_suppressed_ones() {
        let LogRateLimit(state) = LogRateLimit::new();
        let mut state = state.into_inner().unwrap();
        let at = |millis| Time::ZERO + Duration::from_millis(millis);
        let mut pass =
            |millis, times| -> Vec<_> { (0..times).map(|_| state.try_take_token(at(millis))).collect() };
        assert_eq!(pass(100, 13), [vec![Some(0); 10], vec![None; 3]].concat());
        assert_eq!(pass(1_099, 1), [None]);
        assert_eq!(pass(1_100, 2), [Some(4), None]);
        assert_eq!(pass(3_600, 3), [Some(1), Some(0), None]);
        // Only whole seconds count. Half a second is left over.
        assert_eq!(pass(4_100, 2), [Some(1), None]);
        assert_eq!(pass(1_000_000, 11), [&[Some(1)][..], &[Some(0); 9], &[None]].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_gets_the_number_of_suppressed_lines_if_there_are_any() {
        let limit = LogRateLimit::new();
        let mut lines = Vec::new();
        for _ in 0..12 {
            limit.try_log(|suppressed| lines.push(suppressed));
        }
        tokio::time::advance(REFILL_INTERVAL).await;
        limit.try_log(|suppressed| lines.push(suppressed));
        assert_eq!(lines, [vec![None; 10], vec![Some(2)]].concat());
    }
}
