//! The stages and their budgets.

use std::time::Duration;

use anyhow::{Result, bail};

use super::tally::Tally;
use super::{cluster, javascript, rust};
use crate::autobahn::{self, Cases, Verdict};
use crate::shard::Scope;
use crate::{bench, floors};

/// One part of `cargo xtask test`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// rustfmt.
    Format,
    /// Each crate imports only from lower floors.
    Floors,
    /// clippy and rustdoc, with warnings denied.
    Lints,
    /// The crates that must run in browsers compile for them.
    Wasm,
    /// Every Rust test, including those in documentation.
    Unit,
    /// A message takes no more instructions than recorded.
    Instructions,
    /// The official JavaScript clients against our programs.
    Node,
    /// The clients for browsers and the browser's own WebSocket, in headless Chromium and Firefox.
    Browser,
    /// Autobahn's test suite, against `/ws` of the binary and against our client.
    Autobahn,
    /// Servers of Tidewire and of Node in one cluster, over databases.
    Cluster,
    /// The tests of `Node` against Node's own server, to prove that they expect nothing that Node does not do.
    Reference,
}

/// The row of the table for one stage.
struct Row {
    name: &'static str,
    /// The budget in `cargo xtask test`, in seconds.
    budget: u64,
    /// The budget with `--full`, in seconds.
    full_budget: u64,
}

impl Stage {
    /// All stages, fast ones first.
    pub(super) const ALL: [Self; 11] = [
        Self::Format,
        Self::Floors,
        Self::Lints,
        Self::Wasm,
        Self::Unit,
        Self::Instructions,
        Self::Node,
        Self::Cluster,
        Self::Browser,
        Self::Autobahn,
        Self::Reference,
    ];

    /// The table of names and budgets. A budget is wall-clock time on two cores, starting from an empty build directory. The
    /// budgets of `cargo xtask test` add up to 40 minutes at most. Longer stages run a smoke test and a shard, see [`Scope`].
    const fn row(self) -> Row {
        let (name, budget, full_budget) = match self {
            Self::Format => ("format", 30, 30),
            Self::Floors => ("floors", 30, 30),
            Self::Lints => ("lints", 390, 390),
            Self::Wasm => ("wasm", 75, 75),
            Self::Unit => ("unit", 600, 11 * 60),
            Self::Instructions => ("instructions", 285, 285),
            Self::Node => ("node", 240, 12 * 60),
            Self::Cluster => ("cluster", 270, 8 * 60),
            Self::Browser => ("browser", 285, 20 * 60),
            Self::Autobahn => ("autobahn", 90, 60 * 60),
            Self::Reference => ("reference", 105, 5 * 60),
        };
        Row { name, budget, full_budget }
    }

    pub(super) fn name(self) -> &'static str {
        self.row().name
    }

    pub(super) fn named(name: &str) -> Result<Self> {
        let Some(stage) = Self::ALL.into_iter().find(|stage| stage.name() == name) else {
            let names = Self::ALL.map(Self::name).join(", ");
            bail!("there is no stage {name:?}; the stages are {names}");
        };
        Ok(stage)
    }

    /// Whether `cargo xtask test` runs only a smoke test and a shard of it.
    pub(super) fn has_shards(self) -> bool {
        matches!(self, Self::Cluster | Self::Autobahn | Self::Reference)
    }

    /// The budget. A stage that takes longer fails.
    pub(super) fn budget(self, scope: Scope) -> Duration {
        let Row { budget, full_budget, .. } = self.row();
        Duration::from_secs(match scope {
            Scope::Shard(_) => budget,
            Scope::Full => full_budget,
        })
    }

    /// Runs the stage. An error means that the stage cannot run on this machine, which counts as a failure.
    pub(super) fn run(self, scope: Scope) -> Result<Tally> {
        match self {
            Self::Format => rust::format(),
            Self::Floors => floors_kept(),
            Self::Lints => rust::lints(),
            Self::Wasm => rust::wasm(),
            Self::Unit => rust::unit(),
            Self::Instructions => instructions_kept(),
            Self::Node => javascript::in_node(scope),
            Self::Cluster => cluster::run(scope),
            Self::Browser => javascript::in_a_browser(scope),
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
    Ok(Tally {
        passed: report.crates - report.offenders,
        failed: report.offenders,
        skipped: 0,
        failures: report.complaints,
    })
}

fn instructions_kept() -> Result<Tally> {
    Ok(Tally::of_check("the counts of instructions", bench::instructions_kept()?))
}

/// Runs Autobahn's cases. Each case counts as a test.
fn autobahn_passed(scope: Scope) -> Result<Tally> {
    let cases = scope.shard_of(Cases::SHARDS)?.map_or_else(Cases::every, Cases::smoke_and);
    let verdict = autobahn::run(&cases)?;
    let Verdict { passed, complaints, .. } = verdict;
    Ok(Tally { passed, failed: complaints.len(), skipped: 0, failures: complaints })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budgets_of_the_test_command_are_forty_minutes_in_all() {
        let seconds: u64 = Stage::ALL.iter().map(|stage| stage.row().budget).sum();
        assert!(seconds <= 40 * 60, "{seconds} seconds");
    }

    #[test]
    fn a_full_stage_has_at_least_the_budget_of_its_shard() {
        for stage in Stage::ALL {
            let (part, whole) = (stage.budget(Scope::Shard(None)), stage.budget(Scope::Full));
            assert!(part <= whole, "{stage:?}");
            assert!(part < whole || !stage.has_shards(), "{stage:?}: the whole takes longer than a shard");
        }
    }
}
