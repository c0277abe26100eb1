//! How often a peer may fill a line of a log.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ws_proto::Time;

/// Lines at once.
const BURST: u32 = 10;

/// Then one in this time.
const EVERY: Duration = Duration::from_secs(1);

/// Lets some lines of one kind into the log and counts the others: ten at once, then one in a second. Answers peers that
/// do over and over again what is worth a line.
///
/// ```
/// # use tidewire_net::LogLimit;
/// static REFUSED: LogLimit = LogLimit::new();
/// REFUSED.pass(|suppressed| println!("a peer was refused; not shown: {suppressed:?}"));
/// ```
#[derive(Debug)]
pub struct LogLimit(Mutex<State>);

#[derive(Debug)]
struct State {
    left: u32,
    /// Since when `left` grows.
    since: Time,
    suppressed: u64,
}

impl LogLimit {
    /// A limit that nothing has passed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(State { left: BURST, since: Time::ZERO, suppressed: 0 }))
    }

    /// Calls `write` for a line, if it may be written, with how many were not since the last one, if any.
    pub fn pass(&self, write: impl FnOnce(Option<u64>)) {
        let passed = self.0.lock().unwrap_or_else(PoisonError::into_inner).pass(crate::now());
        if let Some(suppressed) = passed {
            write(Some(suppressed).filter(|suppressed| *suppressed > 0));
        }
    }
}

impl Default for LogLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// How many lines were suppressed before this one; `None` if this one is.
    fn pass(&mut self, now: Time) -> Option<u64> {
        let passed = now.saturating_since(self.since).as_secs() / EVERY.as_secs();
        if self.left == BURST || passed >= BURST.into() {
            self.left = BURST;
            self.since = now;
        } else {
            // Fewer than the burst.
            let passed = passed as u32;
            self.left = (self.left + passed).min(BURST);
            self.since = self.since + EVERY * passed;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
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
        let LogLimit(state) = LogLimit::new();
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
        let limit = LogLimit::new();
        let mut lines = Vec::new();
        for _ in 0..12 {
            limit.pass(|suppressed| lines.push(suppressed));
        }
        tokio::time::advance(EVERY).await;
        limit.pass(|suppressed| lines.push(suppressed));
        assert_eq!(lines, [vec![None; 10], vec![Some(2)]].concat());
    }
}
