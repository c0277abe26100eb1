//! The printed report: a line for each stage, and two lines at the end, which CI reads.

use std::time::Duration;

use super::tally::Tally;

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
        if tally.is_empty() {
            counted = counted + Tally::broken();
            remarks += ": nothing was executed, which is a failure";
        }
        if duration > budget {
            counted = counted + Tally::broken();
            remarks += ": longer than its budget, which is a failure";
        }
        let ran = Ran { name, tally: counted, duration, budget };
        let Tally { passed, failed, skipped } = counted;
        let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        let line = format!("{name}: {passed} passed, {failed} failed{skipped} in {}{remarks}", ran.time());
        self.stages.push(ran);
        line
    }

    /// Whether at least one test passed and none failed.
    pub(super) fn passed(&self) -> bool {
        let Tally { passed, failed, .. } = self.total();
        passed > 0 && failed == 0
    }

    /// The two last lines: the total, and the count and the time of each stage.
    pub(super) fn lines(&self, duration: Duration) -> [String; 2] {
        let Tally { passed, failed, .. } = self.total();
        let stages: Vec<String> = self.stages.iter().map(Ran::count).collect();
        let budget = self.stages.iter().map(|ran| ran.budget).sum();
        [
            format!("total: {passed} passed, {failed} failed"),
            format!("{}; in all {} of {}", stages.join(", "), clock(duration), minutes(budget)),
        ]
    }

    fn total(&self) -> Tally {
        self.stages.iter().fold(Tally::default(), |sum, ran| sum + ran.tally)
    }
}

impl Ran {
    /// `node 41 (52 s of 4 m)`, or `node 39 and 2 failed (52 s of 4 m)`.
    fn count(&self) -> String {
        let Self { name, tally: Tally { passed, failed, .. }, .. } = self;
        let failed = if *failed > 0 { format!(" and {failed} failed") } else { String::new() };
        format!("{name} {passed}{failed} ({})", self.time())
    }

    fn time(&self) -> String {
        format!("{} of {}", clock(self.duration), minutes(self.budget))
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

fn minutes(budget: Duration) -> String {
    format!("{} m", budget.as_secs() / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    fn ran(passed: usize, failed: usize) -> Tally {
        Tally { passed, failed, skipped: 0 }
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
        let tally = Tally { passed: 5, failed: 0, skipped: 2 };
        let line = report.add("reference", tally, 61 * SECOND, 5 * MINUTE);
        assert_eq!(line, "reference: 5 passed, 0 failed, 2 skipped in 1 m 01 s of 5 m");
        assert!(report.passed());
    }

    #[test]
    fn a_run_without_stages_has_not_passed() {
        assert!(!Report::default().passed());
    }
}
