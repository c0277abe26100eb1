//! Autobahn's verdict: the file `index.json`, which it writes after the last case.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The fields of the verdict on one case that we use.
#[derive(Debug, Deserialize)]
struct Case {
    behavior: String,
    #[serde(rename = "behaviorClose")]
    behavior_close: String,
    reportfile: String,
}

/// The verdicts on all cases of one or several runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The number of cases that passed.
    pub(crate) passed: usize,
    /// One line for each case that failed, in the order of the cases.
    pub(crate) complaints: Vec<String>,
    /// The number of cases for each behaviour.
    behaviors: BTreeMap<String, usize>,
}

impl Verdict {
    /// Reads the verdicts on `agent` from the text of `index.json`. The reports are in `folder`.
    pub(super) fn read(index: &str, agent: &str, folder: &Path) -> Result<Self> {
        let mut agents: BTreeMap<String, BTreeMap<String, Case>> =
            serde_json::from_str(index).context("Autobahn's index.json has an unexpected format")?;
        // Autobahn leaves out an agent that it could not reach.
        let mut cases: Vec<(String, Case)> = agents.remove(agent).unwrap_or_default().into_iter().collect();
        cases.sort_by_key(|(number, _)| sort_key(number));
        let mut verdict = Self::default();
        for (number, case) in cases {
            match case.complaint(folder) {
                Some(complaint) => verdict.complaints.push(format!("case {number}: {complaint}")),
                None => verdict.passed += 1,
            }
            *verdict.behaviors.entry(case.behavior).or_default() += 1;
        }
        Ok(verdict)
    }

    /// Combines two verdicts.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.passed += other.passed;
        self.complaints.extend(other.complaints);
        for (behavior, count) in other.behaviors {
            *self.behaviors.entry(behavior).or_default() += count;
        }
        self
    }

    /// The number of cases that ran.
    pub(super) fn cases(&self) -> usize {
        self.passed + self.complaints.len()
    }

    /// Returns a line such as `301 cases: 3 INFORMATIONAL, 298 OK`.
    pub(super) fn summary(&self) -> String {
        let counts: Vec<String> =
            self.behaviors.iter().map(|(behavior, count)| format!("{count} {behavior}")).collect();
        format!("{} cases: {}", self.cases(), counts.join(", "))
    }
}

impl Case {
    fn complaint(&self, folder: &Path) -> Option<String> {
        if accepted(&self.behavior) && accepted(&self.behavior_close) {
            return None;
        }
        Some(format!(
            "behaviour {}, closing behaviour {}, see {}",
            self.behavior,
            self.behavior_close,
            folder.join(self.reportfile.replace(".json", ".html")).display()
        ))
    }
}

/// The other values are `FAILED`, `NON-STRICT`, `UNIMPLEMENTED`, `WRONG CODE`, `UNCLEAN`, `FAILED BY CLIENT`.
fn accepted(behavior: &str) -> bool {
    matches!(behavior, "OK" | "INFORMATIONAL")
}

/// A sort key with which 9.10.1 comes after 9.2.1.
fn sort_key(number: &str) -> Vec<u32> {
    number.split('.').map(|part| part.parse().unwrap_or(u32::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of the index. A real line has a few more fields.
    fn case(number: &str, behavior: &str, behavior_close: &str) -> String {
        format!(
            r#""{number}": {{"behavior": "{behavior}", "behaviorClose": "{behavior_close}", "duration": 5,
                "remoteCloseCode": null, "reportfile": "us_case_{}.json"}}"#,
            number.replace('.', "_")
        )
    }

    fn read(cases: &[String]) -> Verdict {
        let other = case("1.1.1", "FAILED", "FAILED");
        let index = format!(r#"{{"us": {{{}}}, "another": {{{other}}}}}"#, cases.join(","));
        Verdict::read(&index, "us", Path::new("reports")).expect("it is an index")
    }

    #[test]
    fn ok_and_informational_pass() {
        let verdict = read(&[
            case("1.1.1", "OK", "OK"),
            case("7.13.1", "INFORMATIONAL", "INFORMATIONAL"),
            case("1.1.2", "OK", "INFORMATIONAL"),
        ]);
        assert_eq!((verdict.passed, verdict.cases()), (3, 3));
        assert_eq!(verdict.complaints, Vec::<String>::new());
        assert_eq!(verdict.summary(), "3 cases: 1 INFORMATIONAL, 2 OK");
    }

    #[test]
    fn anything_else_fails_be_it_in_the_behaviour_or_in_the_close() {
        for bad in ["FAILED", "NON-STRICT", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT", ""]
        {
            for (behavior, close) in [(bad, "OK"), ("OK", bad), (bad, bad)] {
                let verdict = read(&[case("1.1.1", behavior, close), case("1.1.2", "OK", "OK")]);
                assert_eq!((verdict.passed, verdict.complaints.len()), (1, 1), "{behavior:?}, {close:?}");
            }
        }
    }

    #[test]
    fn complaints_come_in_the_order_of_the_cases_and_name_the_report() {
        let verdict = read(&[case("9.10.1", "NON-STRICT", "OK"), case("9.2.1", "OK", "UNCLEAN")]);
        assert_eq!(
            verdict.complaints,
            [
                "case 9.2.1: behaviour OK, closing behaviour UNCLEAN, see reports/us_case_9_2_1.html",
                "case 9.10.1: behaviour NON-STRICT, closing behaviour OK, see reports/us_case_9_10_1.html",
            ]
        );
    }

    #[test]
    fn several_runs_have_one_verdict() {
        let one = read(&[case("1.1.1", "OK", "OK"), case("1.1.2", "FAILED", "OK")]);
        let other = read(&[case("1.1.1", "INFORMATIONAL", "OK"), case("1.1.2", "OK", "UNCLEAN")]);
        let both = one.and(other);
        assert_eq!((both.passed, both.complaints.len()), (2, 2));
        assert_eq!(both.summary(), "4 cases: 1 FAILED, 1 INFORMATIONAL, 2 OK");
    }

    #[test]
    fn an_agent_that_was_not_reached_has_no_cases() {
        let verdict = Verdict::read("{}", "us", Path::new("")).expect("it is an index");
        assert_eq!((verdict.passed, verdict.cases()), (0, 0));
    }

    #[test]
    fn what_is_no_index_is_an_error() {
        for text in ["", "[]", r#"{"us": {"1.1.1": {"behavior": "OK"}}}"#] {
            assert!(Verdict::read(text, "us", Path::new("")).is_err(), "{text:?}");
        }
    }
}
