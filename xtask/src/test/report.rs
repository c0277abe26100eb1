//! What is printed: a line per stage, and two at the end that others read.

use std::time::Duration;

use super::stage::{Outcome, Stage};
use super::tally::Tally;

/// The stages, in the order in which they were taken in.
#[derive(Debug, Default)]
pub(super) struct Report {
    stages: Vec<(Stage, Outcome)>,
}

impl Report {
    /// Takes a stage in and returns its line. A stage in which nothing ran has failed, unless it says why.
    pub(super) fn add(&mut self, stage: Stage, outcome: Outcome, duration: Duration) -> String {
        let tally = match outcome {
            Outcome::Ran(tally) => tally,
            Outcome::Skipped(reason) => {
                self.stages.push((stage, outcome));
                return format!("{}: skipped, {reason}", stage.name());
            }
        };
        let remark = if tally.is_empty() { ": nothing was executed, which is a failure" } else { "" };
        let tally = if tally.is_empty() { tally + Tally::broken() } else { tally };
        self.stages.push((stage, Outcome::Ran(tally)));
        let Tally { passed, failed, skipped } = tally;
        let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        format!("{}: {passed} passed, {failed} failed{skipped} in {}{remark}", stage.name(), clock(duration))
    }

    /// Whether something passed, and nothing failed.
    pub(super) fn passed(&self) -> bool {
        let Tally { passed, failed, .. } = self.total();
        passed > 0 && failed == 0
    }

    /// The two last lines: the total, and the count per stage.
    pub(super) fn lines(&self, duration: Duration) -> [String; 2] {
        let Tally { passed, failed, .. } = self.total();
        let stages: Vec<String> =
            self.stages.iter().map(|(stage, outcome)| count(*stage, *outcome)).collect();
        [
            format!("total: {passed} passed, {failed} failed"),
            format!("{} ({})", stages.join(", "), clock(duration)),
        ]
    }

    fn total(&self) -> Tally {
        self.stages.iter().fold(Tally::default(), |sum, (_, outcome)| match outcome {
            Outcome::Ran(tally) => sum + *tally,
            Outcome::Skipped(_) => sum,
        })
    }
}

/// `node 41`, or `node 39 and 2 failed`, or `node skipped: no such thing here`.
fn count(stage: Stage, outcome: Outcome) -> String {
    match outcome {
        Outcome::Ran(Tally { passed, failed: 0, .. }) => format!("{} {passed}", stage.name()),
        Outcome::Ran(Tally { passed, failed, .. }) => {
            format!("{} {passed} and {failed} failed", stage.name())
        }
        Outcome::Skipped(reason) => format!("{} skipped: {reason}", stage.name()),
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ran(passed: usize, failed: usize) -> Outcome {
        Outcome::Ran(Tally { passed, failed, skipped: 0 })
    }

    #[test]
    fn the_last_two_lines_are_the_total_and_the_count_per_stage() {
        let mut report = Report::default();
        for (stage, passed) in [(Stage::Format, 1), (Stage::Lints, 2), (Stage::Unit, 312), (Stage::Node, 41)]
        {
            report.add(stage, ran(passed, 0), SECOND);
        }
        assert_eq!(
            report.lines(723 * SECOND),
            ["total: 356 passed, 0 failed", "format 1, lints 2, unit 312, node 41 (12 m 03 s)"]
        );
        assert!(report.passed());
    }

    #[test]
    fn failures_are_counted_where_they_happened() {
        let mut report = Report::default();
        report.add(Stage::Format, ran(1, 0), SECOND);
        report.add(Stage::Node, ran(39, 2), SECOND);
        assert_eq!(
            report.lines(SECOND),
            ["total: 40 passed, 2 failed", "format 1, node 39 and 2 failed (1 s)"]
        );
        assert!(!report.passed());
    }

    #[test]
    fn a_stage_that_executed_nothing_has_failed() {
        let mut report = Report::default();
        let line = report.add(Stage::Unit, ran(0, 0), SECOND);
        assert_eq!(line, "unit: 0 passed, 1 failed in 1 s: nothing was executed, which is a failure");
        assert!(!report.passed());
    }

    #[test]
    fn skipped_tests_are_visible() {
        let mut report = Report::default();
        let line = report.add(
            Stage::Reference,
            Outcome::Ran(Tally { passed: 5, failed: 0, skipped: 2 }),
            61 * SECOND,
        );
        assert_eq!(line, "reference: 5 passed, 0 failed, 2 skipped in 1 m 01 s");
        assert!(report.passed());
    }

    #[test]
    fn a_stage_that_cannot_run_here_is_named_with_the_reason() {
        let mut report = Report::default();
        report.add(Stage::Unit, ran(312, 0), SECOND);
        let line = report.add(Stage::Autobahn, Outcome::Skipped("no such Python"), SECOND);
        assert_eq!(line, "autobahn: skipped, no such Python");
        assert_eq!(
            report.lines(SECOND),
            ["total: 312 passed, 0 failed", "unit 312, autobahn skipped: no such Python (1 s)"]
        );
        assert!(report.passed());
    }

    #[test]
    fn a_run_of_which_everything_was_skipped_has_not_passed() {
        let mut report = Report::default();
        report.add(Stage::Autobahn, Outcome::Skipped("no such Python"), SECOND);
        assert!(!report.passed());
    }

    #[test]
    fn a_run_without_stages_has_not_passed() {
        assert!(!Report::default().passed());
    }
}
