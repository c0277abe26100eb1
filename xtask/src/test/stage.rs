//! The stages, and how long each may take.

use std::time::Duration;

use anyhow::{Result, bail};

use super::tally::Tally;
use super::{javascript, rust};
use crate::autobahn::{self, Cases};
use crate::shard::Scope;
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
    /// The budget in `cargo xtask test`, in minutes.
    minutes: u64,
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
    /// `cargo xtask test` are 40 minutes in all: what does not fit leaves a smoke test and a shard there, see [`Scope`].
    const fn row(self) -> Row {
        let (name, minutes, full_minutes) = match self {
            Self::Format => ("format", 1, 1),
            Self::Floors => ("floors", 1, 1),
            Self::Lints => ("lints", 5, 5),
            Self::Wasm => ("wasm", 2, 2),
            Self::Unit => ("unit", 10, 10),
            Self::Instructions => ("instructions", 9, 9),
            Self::Node => ("node", 4, 4),
            Self::Browser => ("browser", 3, 3),
            Self::Autobahn => ("autobahn", 3, 60),
            Self::Reference => ("reference", 2, 5),
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

    /// Whether `cargo xtask test` runs only a shard of it.
    pub(super) fn has_shards(self) -> bool {
        matches!(self, Self::Autobahn | Self::Reference)
    }

    /// A stage that takes longer has failed.
    pub(super) fn budget(self, scope: Scope) -> Duration {
        let Row { minutes, full_minutes, .. } = self.row();
        let minutes = match scope {
            Scope::Shard(_) => minutes,
            Scope::Full => full_minutes,
        };
        Duration::from_secs(60 * minutes)
    }

    /// An error means that the stage cannot be run here, which is a failure too.
    pub(super) fn run(self, scope: Scope) -> Result<Tally> {
        match self {
            Self::Format => rust::format(),
            Self::Floors => floors_kept(),
            Self::Lints => rust::lints(),
            Self::Wasm => rust::wasm(),
            Self::Unit => rust::unit(),
            Self::Instructions => bench::instructions_kept().map(Tally::of_check),
            Self::Node => javascript::in_node(),
            Self::Browser => javascript::in_a_browser(),
            Self::Autobahn => autobahn_passed(scope),
            Self::Reference => javascript::against_the_reference(scope),
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
fn autobahn_passed(scope: Scope) -> Result<Tally> {
    let cases = scope.shard_of(Cases::SHARDS)?.map_or_else(Cases::every, Cases::smoke_and);
    let verdict = autobahn::run(&cases)?;
    Ok(Tally { passed: verdict.passed, failed: verdict.complaints.len(), skipped: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budgets_of_the_test_command_are_forty_minutes_in_all() {
        let minutes: u64 = Stage::ALL.iter().map(|stage| stage.row().minutes).sum();
        assert!(minutes <= 40, "{minutes}");
    }

    #[test]
    fn a_stage_may_take_as_long_in_full_as_it_may_without() {
        for stage in Stage::ALL {
            let (part, whole) = (stage.budget(Scope::Shard(None)), stage.budget(Scope::Full));
            assert!(part <= whole, "{stage:?}");
            assert!(part < whole || !stage.has_shards(), "{stage:?}: the whole takes longer than a shard");
        }
    }
}
