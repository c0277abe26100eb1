//! What is printed: a line per stage, and two at the end that others read.

use std::time::Duration;

use super::stage::Stage;
use super::tally::Tally;

/// The stages that ran.
#[derive(Debug, Default)]
pub(super) struct Report {
    stages: Vec<(Stage, Tally)>,
}

impl Report {
    /// Takes a stage in and returns its line. A stage in which nothing ran has failed.
    pub(super) fn add(&mut self, stage: Stage, tally: Tally, duration: Duration) -> String {
        let remark = if tally.is_empty() { ": nothing was executed, which is a failure" } else { "" };
        let tally = if tally.is_empty() { tally + Tally::broken() } else { tally };
        self.stages.push((stage, tally));
        let Tally { passed, failed, skipped } = tally;
        let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        format!("{}: {passed} passed, {failed} failed{skipped} in {}{remark}", stage.name(), clock(duration))
    }

    pub(super) fn passed(&self) -> bool {
        !self.stages.is_empty() && self.total().failed == 0
    }

    /// The two last lines: the total, and the count per stage.
    pub(super) fn lines(&self, duration: Duration) -> [String; 2] {
        let Tally { passed, failed, .. } = self.total();
        let stages: Vec<String> = self.stages.iter().map(|(stage, tally)| count(*stage, *tally)).collect();
        [
            format!("total: {passed} passed, {failed} failed"),
            format!("{} ({})", stages.join(", "), clock(duration)),
        ]
    }

    fn total(&self) -> Tally {
        self.stages.iter().fold(Tally::default(), |sum, (_, tally)| sum + *tally)
    }
}

/// `node 41`, or `node 39 and 2 failed`.
fn count(stage: Stage, tally: Tally) -> String {
    let failed = if tally.failed > 0 { format!(" and {} failed", tally.failed) } else { String::new() };
    format!("{} {}{failed}", stage.name(), tally.passed)
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

    fn tally(passed: usize, failed: usize) -> Tally {
        Tally { passed, failed, skipped: 0 }
    }

    #[test]
    fn the_last_two_lines_are_the_total_and_the_count_per_stage() {
        let mut report = Report::default();
        for (stage, passed) in [(Stage::Format, 1), (Stage::Lints, 2), (Stage::Unit, 312), (Stage::Node, 41)]
        {
            report.add(stage, tally(passed, 0), SECOND);
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
        report.add(Stage::Format, tally(1, 0), SECOND);
        report.add(Stage::Node, tally(39, 2), SECOND);
        assert_eq!(
            report.lines(SECOND),
            ["total: 40 passed, 2 failed", "format 1, node 39 and 2 failed (1 s)"]
        );
        assert!(!report.passed());
    }

    #[test]
    fn a_stage_that_executed_nothing_has_failed() {
        let mut report = Report::default();
        let line = report.add(Stage::Unit, tally(0, 0), SECOND);
        assert_eq!(line, "unit: 0 passed, 1 failed in 1 s: nothing was executed, which is a failure");
        assert!(!report.passed());
    }

    #[test]
    fn skipped_tests_are_visible() {
        let mut report = Report::default();
        let line = report.add(Stage::Reference, Tally { passed: 5, failed: 0, skipped: 2 }, 61 * SECOND);
        assert_eq!(line, "reference: 5 passed, 0 failed, 2 skipped in 1 m 01 s");
        assert!(report.passed());
    }

    #[test]
    fn a_run_without_stages_has_not_passed() {
        assert!(!Report::default().passed());
    }
}
