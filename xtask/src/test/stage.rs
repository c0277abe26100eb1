//! The stages, and how long each may take.

use std::time::Duration;

use anyhow::{Result, bail};

use super::tally::Tally;
use super::{javascript, rust};
use crate::autobahn::{self, Cases};
use crate::{bench, floors};

/// One part of `cargo xtask test`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// rustfmt.
    Format,
    /// No crate imports upwards.
    Floors,
    /// clippy and rustdoc, warnings denied.
    Lints,
    /// What must run in browsers too compiles for them.
    Wasm,
    /// Every Rust test, those in documentation and examples included.
    Unit,
    /// Instructions per message are not more than recorded.
    Instructions,
    /// The official JavaScript clients against our programs.
    Node,
    /// The official browser client and the browser's own WebSocket, in headless Chromium.
    Browser,
    /// Autobahn's test suite against the binary's WebSocket, and against our client.
    Autobahn,
    /// The same tests against Node's own server: they ask for nothing that it does not do.
    Reference,
}

/// What the table says of a stage.
struct Row {
    name: &'static str,
    /// The budget in `cargo xtask test`, in minutes. Without it, the stage runs only with `--full` or by its name.
    minutes: Option<u64>,
    /// The budget with `--full`, in minutes.
    full_minutes: u64,
}

impl Stage {
    /// Cheap ones first.
    pub(super) const ALL: [Self; 10] = [
        Self::Format,
        Self::Floors,
        Self::Lints,
        Self::Wasm,
        Self::Unit,
        Self::Instructions,
        Self::Node,
        Self::Browser,
        Self::Autobahn,
        Self::Reference,
    ];

    /// The table of names and budgets. A budget is wall-clock time on two cores, with nothing built before. Those of
    /// `cargo xtask test` are 40 minutes in all: what does not fit runs only with `--full`.
    const fn row(self) -> Row {
        let (name, minutes, full_minutes) = match self {
            Self::Format => ("format", Some(1), 1),
            Self::Floors => ("floors", Some(1), 1),
            Self::Lints => ("lints", Some(6), 6),
            Self::Wasm => ("wasm", Some(2), 2),
            Self::Unit => ("unit", Some(12), 12),
            Self::Instructions => ("instructions", Some(8), 8),
            Self::Node => ("node", Some(4), 4),
            Self::Browser => ("browser", Some(3), 3),
            Self::Autobahn => ("autobahn", Some(3), 3),
            Self::Reference => ("reference", None, 5),
        };
        Row { name, minutes, full_minutes }
    }

    pub(super) fn name(self) -> &'static str {
        self.row().name
    }

    pub(super) fn named(name: &str) -> Result<Self> {
        let Some(stage) = Self::ALL.into_iter().find(|stage| stage.name() == name) else {
            let names = Self::ALL.map(Self::name).join(", ");
            bail!("there is no stage {name:?}; there are {names}");
        };
        Ok(stage)
    }

    /// Left out unless `--full` or its name is given.
    pub(super) fn only_in_full(self) -> bool {
        self.row().minutes.is_none()
    }

    /// A stage that takes longer has failed.
    pub(super) fn budget(self, full: bool) -> Duration {
        let Row { minutes, full_minutes, .. } = self.row();
        let minutes = minutes.filter(|_| !full).unwrap_or(full_minutes);
        Duration::from_secs(60 * minutes)
    }

    /// An error means that the stage cannot be run here, which is a failure too.
    pub(super) fn run(self) -> Result<Tally> {
        match self {
            Self::Format => rust::format(),
            Self::Floors => floors_kept(),
            Self::Lints => rust::lints(),
            Self::Wasm => rust::wasm(),
            Self::Unit => rust::unit(),
            Self::Instructions => bench::instructions_kept().map(Tally::of_check),
            Self::Node => javascript::in_node(),
            Self::Browser => javascript::in_a_browser(),
            Self::Autobahn => autobahn_passed(),
            Self::Reference => javascript::against_the_reference(),
        }
    }
}

fn floors_kept() -> Result<Tally> {
    let report = floors::check()?;
    for complaint in &report.complaints {
        println!("{complaint}");
    }
    Ok(Tally { passed: report.crates - report.offenders, failed: report.offenders, skipped: 0 })
}

/// A case is a test.
fn autobahn_passed() -> Result<Tally> {
    let verdict = autobahn::run(&Cases::quick())?;
    Ok(Tally { passed: verdict.passed, failed: verdict.complaints.len(), skipped: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budgets_of_the_test_command_are_forty_minutes_in_all() {
        let minutes: u64 = Stage::ALL.iter().filter_map(|stage| stage.row().minutes).sum();
        assert!(minutes <= 40, "{minutes}");
    }

    #[test]
    fn a_stage_may_take_as_long_in_full_as_it_may_without() {
        for stage in Stage::ALL {
            assert!(stage.budget(false) <= stage.budget(true), "{stage:?}");
        }
    }
}
