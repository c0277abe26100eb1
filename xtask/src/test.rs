//! `cargo xtask test`: runs the stages, fast ones first, and prints the count at the end.

mod cluster;
mod javascript;
mod report;
mod rust;
mod stage;
mod tally;

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use report::Report;
use stage::Stage;
use tally::Tally;

use crate::shard::Scope;

/// Returns `Ok(true)` if every requested stage ran and passed.
pub(crate) fn command(options: &[&str]) -> Result<bool> {
    let Options { stages, scope } = Options::parse(options)?;
    let start = Instant::now();
    let mut report = Report::default();
    for stage in stages {
        println!("\n── {} ──", stage.name());
        let stage_start = Instant::now();
        let tally = stage.run(scope).unwrap_or_else(|error| {
            println!("error: {error:#}");
            Tally::broken(format!("{error:#}"))
        });
        let line = report.add(stage.name(), tally, stage_start.elapsed(), stage.budget(scope));
        println!("── {line} ──");
    }
    println!();
    for line in report.failures() {
        println!("{line}");
    }
    for line in report.lines(start.elapsed()) {
        println!("{line}");
    }
    Ok(report.passed())
}

/// The parsed command line.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    /// In the order of `Stage::ALL`, which does not depend on the command line.
    stages: Vec<Stage>,
    scope: Scope,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self> {
        let (mut full, mut shard, mut named) = (false, None, Vec::new());
        let mut rest = words.iter().copied().peekable();
        while let Some(option) = rest.next() {
            match option {
                "--full" => full = true,
                "--shard" => {
                    shard = Some(rest.next().context("--shard needs a value, such as 3/8")?.parse()?);
                }
                "--stage" => {
                    let before = named.len();
                    while let Some(name) = rest.next_if(|word| !word.starts_with("--")) {
                        named.push(Stage::named(name)?);
                    }
                    ensure!(named.len() > before, "--stage needs the name of a stage");
                }
                unknown => {
                    bail!(
                        "unknown option {unknown:?}; the options are --full, --shard NUMBER/OF and --stage NAME..."
                    )
                }
            }
        }
        let is_requested = |stage: &Stage| named.is_empty() || named.contains(stage);
        let stages: Vec<Stage> = Stage::ALL.into_iter().filter(is_requested).collect();
        ensure!(!(full && shard.is_some()), "--full runs every shard, so it cannot be combined with --shard");
        ensure!(
            shard.is_none() || stages.iter().any(|stage| stage.has_shards()),
            "none of these stages has shards"
        );
        Ok(Self { stages, scope: if full { Scope::Full } else { Scope::Shard(shard) } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_runs_in_shards_or_completely_with_full() -> Result<()> {
        let stages: Vec<Stage> = Stage::ALL.into();
        let in_shards = Options { stages: stages.clone(), scope: Scope::Shard(None) };
        assert_eq!(Options::parse(&[])?, in_shards);
        assert_eq!(Options::parse(&["--full"])?, Options { stages, scope: Scope::Full });
        Ok(())
    }

    #[test]
    fn named_stages_run_alone_and_in_their_own_order() -> Result<()> {
        let stages = |words: &[&str]| Options::parse(words).map(|options| options.stages);
        assert_eq!(stages(&["--stage", "node", "format"])?, [Stage::Format, Stage::Node]);
        assert_eq!(stages(&["--stage", "unit", "--stage", "floors"])?, [Stage::Floors, Stage::Unit]);
        assert_eq!(stages(&["--stage", "reference"])?, [Stage::Reference]);
        Ok(())
    }

    #[test]
    fn named_stages_run_completely_with_full() -> Result<()> {
        for words in [["--stage", "autobahn", "--full"], ["--full", "--stage", "autobahn"]] {
            let expected = Options { stages: vec![Stage::Autobahn], scope: Scope::Full };
            assert_eq!(Options::parse(&words)?, expected);
        }
        Ok(())
    }

    #[test]
    fn a_shard_can_be_chosen() -> Result<()> {
        let shard = Scope::Shard(Some("3/8".parse()?));
        assert_eq!(Options::parse(&["--shard", "3/8"])?.scope, shard);
        let one_stage = Options::parse(&["--stage", "autobahn", "--shard", "3/8"])?;
        assert_eq!(one_stage, Options { stages: vec![Stage::Autobahn], scope: shard });
        Ok(())
    }

    #[test]
    fn invalid_options_are_refused() {
        for options in [
            &["--stage"][..],
            &["--stage", "nod"],
            &["node"],
            &["--fast"],
            &["--shard"],
            &["--shard", "9/8"],
            &["--shard", "3/8", "--full"],
            &["--shard", "3/8", "--stage", "node"],
        ] {
            assert!(Options::parse(options).is_err(), "{options:?}");
        }
    }
}
