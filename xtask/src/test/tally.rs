//! Counts tests from the output of their runners, and collects the names of those that failed.

use std::ops::Add;

/// The number of tests for each result, and the names of the failed tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
    /// The names of the failed tests. A runner that stops early may not print all of them.
    pub(super) failures: Vec<String>,
}

impl Tally {
    /// One failure, for a stage whose tests cannot be counted. `what` says which part failed.
    pub(super) fn broken(what: impl Into<String>) -> Self {
        Self { failed: 1, failures: vec![what.into()], ..Self::default() }
    }

    /// The result of the single check of this name.
    pub(super) fn of_check(name: &str, passed: bool) -> Self {
        if passed { Self { passed: 1, ..Self::default() } } else { Self::broken(name) }
    }

    /// Whether no test ran. The report counts that as a failure.
    pub(super) fn is_empty(&self) -> bool {
        self.passed + self.failed == 0
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
        self
    }
}

/// Reads the output of Rust test programs, and of the tests in documentation.
#[derive(Debug, Default)]
pub(super) struct RustSummary {
    tally: Tally,
}

impl RustSummary {
    pub(super) fn read(&mut self, line: &str) {
        if let Some((passed, failed, skipped)) = counts(line) {
            self.tally.passed += passed;
            self.tally.failed += failed;
            self.tally.skipped += skipped;
        } else if let Some(name) = failed_test(line) {
            self.tally.failures.push(name.to_owned());
        }
    }

    pub(super) fn into_tally(self) -> Tally {
        self.tally
    }
}

/// Reads the last line of a test program: `test result: ok. 3 passed; 1 failed; 2 ignored; …`.
fn counts(line: &str) -> Option<(usize, usize, usize)> {
    let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
    let count = |name: &str| {
        counts.split(';').find_map(|part| part.trim().strip_suffix(name)?.trim().parse::<usize>().ok())
    };
    Some((count("passed")?, count("failed")?, count("ignored")?))
}

/// Returns the name in `test name ... FAILED`.
fn failed_test(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix("test ")?.split_once(" ... FAILED")?;
    Some(name)
}

/// Reads the end of the output of Node's test runner: the counts, such as `ℹ pass 41`, and then the failed tests.
#[derive(Debug, Default)]
pub(super) struct NodeSummary {
    tally: Tally,
    /// Where the next failed test is, from a line such as `test at test/rooms.test.js:12:3`.
    place: Option<String>,
}

impl NodeSummary {
    pub(super) fn read(&mut self, line: &str) {
        if let Some(place) = line.strip_prefix("test at ") {
            self.place = Some(place.to_owned());
        } else if let Some(name) = line.strip_prefix("✖ ")
            && let Some(place) = self.place.take()
        {
            self.tally.failures.push(format!("{place} {name}"));
        } else if let Some((name, count)) = line.strip_prefix("ℹ ").and_then(|rest| rest.split_once(' ')) {
            self.count(name, count);
        }
    }

    fn count(&mut self, name: &str, count: &str) {
        let Ok(count) = count.trim().parse::<usize>() else { return };
        match name {
            "pass" => self.tally.passed += count,
            "fail" | "cancelled" => self.tally.failed += count,
            "skipped" | "todo" => self.tally.skipped += count,
            _ => {}
        }
    }

    pub(super) fn into_tally(self) -> Tally {
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
        assert_eq!(counts(line), Some((12, 0, 1)));
        let line = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s";
        assert_eq!(counts(line), Some((3, 2, 0)));
    }

    #[test]
    fn other_lines_are_not_counted() {
        for line in ["running 12 tests", "test tests::a_name ... ok", "test result: strange", ""] {
            assert_eq!(counts(line), None, "{line:?}");
        }
    }

    #[test]
    fn the_names_of_failed_rust_tests_are_kept() {
        let mut summary = RustSummary::default();
        let lines = [
            "running 3 tests",
            "test rooms::a_name ... ok",
            "test rooms::another_name ... FAILED",
            "test crates/net/src/lib.rs - limits::Limits (line 12) ... FAILED",
            "---- rooms::another_name stdout ----",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        ];
        lines.iter().for_each(|line| summary.read(line));
        let names = ["rooms::another_name", "crates/net/src/lib.rs - limits::Limits (line 12)"];
        let failures = names.map(String::from).into();
        assert_eq!(summary.into_tally(), Tally { passed: 5, failed: 2, skipped: 1, failures });
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
        assert_eq!(summary.into_tally(), Tally { passed: 41, failed: 6, skipped: 3, failures: Vec::new() });
    }

    #[test]
    fn each_failed_test_of_node_is_named_once_and_with_its_place() {
        let mut summary = NodeSummary::default();
        let lines = [
            "▶ rooms",
            "  ✖ an event reaches the room (60001.2ms)",
            "    Error: ✖",
            "✖ rooms (60002.1ms)",
            "ℹ pass 1",
            "ℹ fail 1",
            "✖ failing tests:",
            "",
            "test at test/rooms.test.js:12:3",
            "✖ an event reaches the room (60001.2ms)",
            "  Error: the client has left",
            "  ✖ something else",
        ];
        lines.iter().for_each(|line| summary.read(line));
        let failures = vec!["test/rooms.test.js:12:3 an event reaches the room (60001.2ms)".to_owned()];
        assert_eq!(summary.into_tally(), Tally { passed: 1, failed: 1, skipped: 0, failures });
    }

    #[test]
    fn a_stage_of_skipped_tests_is_empty() {
        assert!(Tally { skipped: 9, ..Tally::default() }.is_empty());
        assert!(!Tally::broken("it does not compile").is_empty());
        assert!(!Tally::of_check("clippy", true).is_empty());
    }
}
