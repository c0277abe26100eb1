//! How often a peer may fill a line of a log.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ws_proto::Time;

/// Lines at once.
const BURST: u32 = 10;

/// Then one in this time.
const REFILL_INTERVAL: Duration = Duration::from_secs(1);

/// Lets some lines of one kind into the log and counts the others: ten at once, then one in a second. Answers peers that
/// do over and over again what is worth a line.
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
    /// Since when `tokens` grows.
    last_refill: Time,
    suppressed: u64,
}

impl LogRateLimit {
    /// A limit that nothing has passed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(State { tokens: BURST, last_refill: Time::ZERO, suppressed: 0 }))
    }

    /// Calls `write` for a line, if it may be written, with how many were not since the last one, if any.
    pub fn try_log(&self, write: impl FnOnce(Option<u64>)) {
        let passed = self.0.lock().unwrap_or_else(PoisonError::into_inner).pass(crate::now());
        if let Some(suppressed) = passed {
            write(Some(suppressed).filter(|suppressed| *suppressed > 0));
        }
    }
}

impl Default for LogRateLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// How many lines were suppressed before this one; `None` if this one is.
    fn pass(&mut self, now: Time) -> Option<u64> {
        let passed = now.saturating_since(self.last_refill).as_secs() / REFILL_INTERVAL.as_secs();
        if self.tokens == BURST || passed >= BURST.into() {
            self.tokens = BURST;
            self.last_refill = now;
        } else {
            // Fewer than the burst.
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
    fn ten_lines_pass_at_once_and_then_one_in_a_second_that_tells_how_many_did_not() {
        let LogRateLimit(state) = LogRateLimit::new();
        let mut state = state.into_inner().unwrap();
        let at = |millis| Time::ZERO + Duration::from_millis(millis);
        let mut pass = |millis, times| -> Vec<_> { (0..times).map(|_| state.pass(at(millis))).collect() };
        assert_eq!(pass(100, 13), [vec![Some(0); 10], vec![None; 3]].concat());
        assert_eq!(pass(1_099, 1), [None]);
        assert_eq!(pass(1_100, 2), [Some(4), None]);
        assert_eq!(pass(3_600, 3), [Some(1), Some(0), None]);
        // A second is counted whole: half of one is left over.
        assert_eq!(pass(4_100, 2), [Some(1), None]);
        assert_eq!(pass(1_000_000, 11), [&[Some(1)][..], &[Some(0); 9], &[None]].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_is_written_with_the_number_of_those_that_were_not_if_there_are_any() {
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
