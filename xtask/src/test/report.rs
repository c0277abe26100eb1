//! The printed report: a line for each stage, then the names of the failed tests, and two lines at the end, which CI reads.

use std::time::Duration;

use super::tally::Tally;

/// The number of printed lines about failed tests. A log that keeps only the last few hundred lines still has all of them.
const LINES_OF_FAILURES: usize = 100;

/// The stages, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Report {
    stages: Vec<Ran>,
}

/// A stage that ran.
#[derive(Debug)]
struct Ran {
    name: &'static str,
    tally: Tally,
    duration: Duration,
    budget: Duration,
}

impl Report {
    /// Adds a stage and returns its line. A stage fails if it ran no test, or if it took longer than its budget.
    pub(super) fn add(
        &mut self,
        name: &'static str,
        tally: Tally,
        duration: Duration,
        budget: Duration,
    ) -> String {
        let mut counted = tally;
        let mut remarks = String::new();
        let mut also = |failure: &str| {
            remarks += &format!(": {failure}, which is a failure");
            Tally::broken(failure)
        };
        if counted.is_empty() {
            counted = counted + also("nothing was executed");
        }
        if duration > budget {
            counted = counted + also("longer than its budget");
        }
        let ran = Ran { name, tally: counted, duration, budget };
        let Tally { passed, failed, skipped, .. } = ran.tally;
        let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        let line = format!("{name}: {passed} passed, {failed} failed{skipped} in {}{remarks}", ran.time());
        self.stages.push(ran);
        line
    }

    /// A line for each failed test, at most [`LINES_OF_FAILURES`].
    pub(super) fn failures(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.stages.iter().flat_map(Ran::failures).collect();
        if lines.len() > LINES_OF_FAILURES {
            let rest = lines.split_off(LINES_OF_FAILURES - 1).len();
            lines.push(format!("and {rest} more"));
        }
        lines
    }

    /// Whether at least one test passed and none failed.
    pub(super) fn passed(&self) -> bool {
        let (passed, failed) = self.total();
        passed > 0 && failed == 0
    }

    /// The two last lines: the total, and the count and the time of each stage.
    pub(super) fn lines(&self, duration: Duration) -> [String; 2] {
        let (passed, failed) = self.total();
        let stages: Vec<String> = self.stages.iter().map(Ran::count).collect();
        let budget = self.stages.iter().map(|ran| ran.budget).sum();
        [
            format!("total: {passed} passed, {failed} failed"),
            format!("{}; in all {} of {}", stages.join(", "), clock(duration), whole(budget)),
        ]
    }

    /// The numbers of passed and of failed tests.
    fn total(&self) -> (usize, usize) {
        let tallies = self.stages.iter().map(|ran| &ran.tally);
        tallies.fold((0, 0), |(passed, failed), tally| (passed + tally.passed, failed + tally.failed))
    }
}

impl Ran {
    /// `failed in node: test/rooms.test.js:12:3 an event reaches the room`.
    fn failures(&self) -> impl Iterator<Item = String> {
        // The error of a program may have several lines.
        let first_lines =
            self.tally.failures.iter().map(|failure| failure.lines().next().unwrap_or_default());
        first_lines.map(|failure| format!("failed in {}: {failure}", self.name))
    }

    /// `node 41 (52 s of 4 m)`, or `node 39 and 2 failed (52 s of 4 m)`.
    fn count(&self) -> String {
        let Self { name, tally: Tally { passed, failed, .. }, .. } = self;
        let failed = if *failed > 0 { format!(" and {failed} failed") } else { String::new() };
        format!("{name} {passed}{failed} ({})", self.time())
    }

    fn time(&self) -> String {
        format!("{} of {}", clock(self.duration), whole(self.budget))
    }
}

/// `12 m 03 s`, or `3 s`.
fn clock(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, 0) => format!("{} ms", duration.as_millis()),
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} m {seconds:02} s"),
    }
}

/// `5 m`, or `30 s`.
fn whole(budget: Duration) -> String {
    match (budget.as_secs() / 60, budget.as_secs() % 60) {
        (minutes, 0) => format!("{minutes} m"),
        _ => clock(budget),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    fn ran(passed: usize, failed: usize) -> Tally {
        let failures = (1..=failed).map(|number| format!("test {number}")).collect();
        Tally { passed, failed, skipped: 0, failures }
    }

    #[test]
    fn the_last_two_lines_are_the_total_and_the_count_per_stage() {
        let mut report = Report::default();
        for (stage, passed) in [("format", 1), ("lints", 2), ("unit", 312), ("node", 41)] {
            report.add(stage, ran(passed, 0), 72 * SECOND, 5 * MINUTE);
        }
        assert_eq!(
            report.lines(288 * SECOND),
            [
                "total: 356 passed, 0 failed",
                "format 1 (1 m 12 s of 5 m), lints 2 (1 m 12 s of 5 m), unit 312 (1 m 12 s of 5 m), \
                 node 41 (1 m 12 s of 5 m); in all 4 m 48 s of 20 m"
            ]
        );
        assert!(report.passed());
    }

    #[test]
    fn failures_are_counted_where_they_happened() {
        let mut report = Report::default();
        report.add("format", ran(1, 0), SECOND, MINUTE);
        report.add("node", ran(39, 2), SECOND, 4 * MINUTE);
        assert_eq!(
            report.lines(2 * SECOND),
            [
                "total: 40 passed, 2 failed",
                "format 1 (1 s of 1 m), node 39 and 2 failed (1 s of 4 m); in all 2 s of 5 m"
            ]
        );
        assert!(!report.passed());
    }

    #[test]
    fn a_stage_that_executed_nothing_has_failed() {
        let mut report = Report::default();
        let line = report.add("unit", ran(0, 0), SECOND, MINUTE);
        assert_eq!(line, "unit: 0 passed, 1 failed in 1 s of 1 m: nothing was executed, which is a failure");
        assert!(!report.passed());
    }

    #[test]
    fn a_stage_that_takes_longer_than_its_budget_has_failed() {
        let mut report = Report::default();
        let line = report.add("node", ran(41, 0), MINUTE, MINUTE);
        assert_eq!(line, "node: 41 passed, 0 failed in 1 m 00 s of 1 m");
        assert!(report.passed());
        let line = report.add("unit", ran(312, 0), 61 * SECOND, MINUTE);
        assert_eq!(
            line,
            "unit: 312 passed, 1 failed in 1 m 01 s of 1 m: longer than its budget, which is a failure"
        );
        assert_eq!(
            report.lines(121 * SECOND),
            [
                "total: 353 passed, 1 failed",
                "node 41 (1 m 00 s of 1 m), unit 312 and 1 failed (1 m 01 s of 1 m); in all 2 m 01 s of 2 m"
            ]
        );
        assert!(!report.passed());
    }

    #[test]
    fn skipped_tests_are_visible() {
        let mut report = Report::default();
        let tally = Tally { skipped: 2, ..ran(5, 0) };
        let line = report.add("reference", tally, 61 * SECOND, 5 * MINUTE);
        assert_eq!(line, "reference: 5 passed, 0 failed, 2 skipped in 1 m 01 s of 5 m");
        assert!(report.passed());
    }

    #[test]
    fn the_failed_tests_of_every_stage_are_named() {
        let mut report = Report::default();
        report.add("format", ran(1, 0), SECOND, MINUTE);
        report.add("unit", Tally::broken("a::b\nand its output"), SECOND, MINUTE);
        report.add("node", ran(39, 2), 61 * SECOND, MINUTE);
        report.add("reference", ran(0, 0), SECOND, MINUTE);
        assert_eq!(
            report.failures(),
            [
                "failed in unit: a::b",
                "failed in node: test 1",
                "failed in node: test 2",
                "failed in node: longer than its budget",
                "failed in reference: nothing was executed",
            ]
        );
    }

    #[test]
    fn the_names_of_failed_tests_take_a_hundred_lines_at_most() {
        let mut report = Report::default();
        report.add("node", ran(0, 60), SECOND, MINUTE);
        report.add("browser", ran(0, 40), SECOND, MINUTE);
        assert_eq!(report.failures().len(), 100);
        assert_eq!(report.failures()[99], "failed in browser: test 40");
        report.add("reference", ran(0, 1), SECOND, MINUTE);
        assert_eq!(report.failures().len(), 100);
        assert_eq!(report.failures()[99], "and 2 more");
    }

    #[test]
    fn a_run_without_stages_has_not_passed() {
        assert!(!Report::default().passed());
    }
}
