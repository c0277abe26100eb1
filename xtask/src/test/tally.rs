//! Counts tests from the output of their runners.

use std::ops::Add;

/// The number of tests for each result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
}

impl Tally {
    /// One failure, for a stage whose tests cannot be counted.
    pub(super) const fn broken() -> Self {
        Self { passed: 0, failed: 1, skipped: 0 }
    }

    /// The result of a single check.
    pub(super) const fn of_check(passed: bool) -> Self {
        Self { passed: passed as usize, failed: !passed as usize, skipped: 0 }
    }

    /// Whether no test ran. The report counts that as a failure.
    pub(super) const fn is_empty(self) -> bool {
        self.passed + self.failed == 0
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

/// Reads the last line of a Rust test program: `test result: ok. 3 passed; 1 failed; 2 ignored; …`.
pub(super) fn of_test_result(line: &str) -> Option<Tally> {
    let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
    let count = |name: &str| {
        counts.split(';').find_map(|part| part.trim().strip_suffix(name)?.trim().parse::<usize>().ok())
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
}

/// The last lines of Node's test runner, such as `ℹ pass 41`.
#[derive(Debug, Default)]
pub(super) struct NodeSummary {
    tally: Tally,
}

impl NodeSummary {
    pub(super) fn read(&mut self, line: &str) {
        let Some((name, count)) = line.strip_prefix("ℹ ").and_then(|rest| rest.split_once(' ')) else {
            return;
        };
        let Ok(count) = count.trim().parse::<usize>() else { return };
        match name {
            "pass" => self.tally.passed += count,
            "fail" | "cancelled" => self.tally.failed += count,
            "skipped" | "todo" => self.tally.skipped += count,
            _ => {}
        }
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_rust_test_program_is_counted() {
        let line =
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(of_test_result(line), Some(Tally { passed: 12, failed: 0, skipped: 1 }));
        let line = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s";
        assert_eq!(of_test_result(line), Some(Tally { passed: 3, failed: 2, skipped: 0 }));
    }

    #[test]
    fn other_lines_are_not_counted() {
        for line in ["running 12 tests", "test tests::a_name ... ok", "test result: strange", ""] {
            assert_eq!(of_test_result(line), None, "{line:?}");
        }
    }

    #[test]
    fn the_summary_of_node_is_counted_line_by_line() {
        let mut summary = NodeSummary::default();
        let lines = [
            "✔ a test that is not counted here (1.5ms)",
            "ℹ tests 50",
            "ℹ suites 7",
            "ℹ pass 41",
            "ℹ fail 4",
            "ℹ cancelled 2",
            "ℹ skipped 3",
            "ℹ todo 0",
            "ℹ duration_ms 1234.5",
        ];
        lines.iter().for_each(|line| summary.read(line));
        assert_eq!(summary.tally(), Tally { passed: 41, failed: 6, skipped: 3 });
    }

    #[test]
    fn a_stage_of_skipped_tests_is_empty() {
        assert!(Tally { passed: 0, failed: 0, skipped: 9 }.is_empty());
        assert!(!Tally::broken().is_empty());
        assert!(!Tally::of_check(true).is_empty());
    }
}
