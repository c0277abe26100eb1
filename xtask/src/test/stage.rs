//! The stages.

use anyhow::{Result, bail};

use super::tally::Tally;
use super::{node, rust};
use crate::floors;

/// One part of `cargo xtask test`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// rustfmt.
    Format,
    /// No crate imports upwards.
    Floors,
    /// clippy and rustdoc, warnings denied.
    Lints,
    /// Every Rust test, those in documentation and examples included.
    Unit,
    /// The official JavaScript clients against our programs.
    Node,
    /// The same tests against Node's own server: they ask for nothing that it does not do.
    Reference,
}

impl Stage {
    /// Cheap ones first.
    pub(super) const ALL: [Self; 6] =
        [Self::Format, Self::Floors, Self::Lints, Self::Unit, Self::Node, Self::Reference];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Floors => "floors",
            Self::Lints => "lints",
            Self::Unit => "unit",
            Self::Node => "node",
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

    pub(super) fn run(self) -> Result<Tally> {
        match self {
            Self::Format => rust::format(),
            Self::Floors => floors_kept(),
            Self::Lints => rust::lints(),
            Self::Unit => rust::unit(),
            Self::Node => node::against_tidewire(),
            Self::Reference => node::against_the_reference(),
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
