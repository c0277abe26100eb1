//! The stages.

use anyhow::{Result, bail};

use super::tally::Tally;
use super::{autobahn, javascript, rust};
use crate::{bench, floors};

/// What came of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It ran, with these counts.
    Ran(Tally),
    /// It could not be run here, for this reason, and that is no failure.
    Skipped(&'static str),
}

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

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Floors => "floors",
            Self::Lints => "lints",
            Self::Wasm => "wasm",
            Self::Unit => "unit",
            Self::Instructions => "instructions",
            Self::Node => "node",
            Self::Browser => "browser",
            Self::Autobahn => "autobahn",
            Self::Reference => "reference",
        }
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
        matches!(self, Self::Reference)
    }

    pub(super) fn run(self) -> Result<Outcome> {
        let tally = match self {
            Self::Format => rust::format(),
            Self::Floors => floors_kept(),
            Self::Lints => rust::lints(),
            Self::Wasm => rust::wasm(),
            Self::Unit => rust::unit(),
            Self::Instructions => bench::instructions_kept().map(Tally::of_check),
            Self::Node => javascript::in_node(),
            Self::Browser => javascript::in_a_browser(),
            Self::Autobahn => return autobahn::quick(),
            Self::Reference => javascript::against_the_reference(),
        };
        tally.map(Outcome::Ran)
    }
}

fn floors_kept() -> Result<Tally> {
    let report = floors::check()?;
    for complaint in &report.complaints {
        println!("{complaint}");
    }
    Ok(Tally { passed: report.crates - report.offenders, failed: report.offenders, skipped: 0 })
}
