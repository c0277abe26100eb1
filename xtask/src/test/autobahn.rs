//! Autobahn's quick set. The one stage that may be skipped: hardly any machine still has the Python that it needs.

use std::ffi::OsStr;

use anyhow::{Result, bail};

use super::stage::Outcome;
use super::tally::Tally;
use crate::autobahn::{self, Cases, Verdict};

pub(super) fn quick() -> Result<Outcome> {
    match autobahn::run(&Cases::quick())? {
        Some(verdict) => Ok(Outcome::Ran(count(&verdict))),
        None => without_python(std::env::var_os("CI").as_deref()),
    }
}

/// A case is a test.
fn count(verdict: &Verdict) -> Tally {
    Tally { passed: verdict.passed, failed: verdict.complaints.len(), skipped: 0 }
}

/// Where nobody reads the last line (`CI=true`), a skipped stage would be one that is never missed.
fn without_python(ci: Option<&OsStr>) -> Result<Outcome> {
    if ci.is_some_and(|ci| ci == "true") {
        bail!("{}, which Autobahn runs on, and with CI=true it must be there", autobahn::NO_PYTHON);
    }
    Ok(Outcome::Skipped(autobahn::NO_PYTHON))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_python_skips_unless_it_is_a_ci_machine() {
        for ci in [None, Some(""), Some("false")] {
            let outcome = without_python(ci.map(OsStr::new)).expect("no failure");
            assert_eq!(outcome, Outcome::Skipped("this machine has no CPython 2.7"), "{ci:?}");
        }
        let error = without_python(Some(OsStr::new("true"))).expect_err("a failure").to_string();
        assert!(error.contains("CPython 2.7"), "{error}");
    }
}
