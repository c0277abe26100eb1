//! `cargo xtask test`: the stages, cheap ones first, and the count at the end.

mod javascript;
mod report;
mod rust;
mod stage;
mod tally;

use std::time::Instant;

use anyhow::{Result, bail};

use report::Report;
use stage::Stage;
use tally::Tally;

/// `Ok(true)` when every stage that was asked for ran and passed.
pub(crate) fn command(options: &[&str]) -> Result<bool> {
    let stages = stages_from(options)?;
    let full = options.contains(&"--full");
    let start = Instant::now();
    let mut report = Report::default();
    for stage in stages {
        println!("\n── {} ──", stage.name());
        let stage_start = Instant::now();
        let tally = stage.run().unwrap_or_else(|error| {
            println!("error: {error:#}");
            Tally::broken()
        });
        let line = report.add(stage.name(), tally, stage_start.elapsed(), stage.budget(full));
        println!("── {line} ──");
    }
    println!();
    for line in report.lines(start.elapsed()) {
        println!("{line}");
    }
    Ok(report.passed())
}

/// Always in the order of the table, whatever the order on the command line.
fn stages_from(options: &[&str]) -> Result<Vec<Stage>> {
    let mut full = false;
    let mut named = Vec::new();
    let mut rest = options.iter().copied().peekable();
    while let Some(option) = rest.next() {
        match option {
            "--full" => full = true,
            "--stage" => {
                let before = named.len();
                while let Some(name) = rest.next_if(|word| !word.starts_with("--")) {
                    named.push(Stage::named(name)?);
                }
                if named.len() == before {
                    bail!("--stage needs the name of a stage");
                }
            }
            unknown => bail!("unknown option {unknown:?}; there are --full and --stage NAME..."),
        }
    }
    if full && !named.is_empty() {
        bail!("--full and --stage exclude each other");
    }
    let asked =
        |stage: &Stage| if named.is_empty() { full || !stage.only_in_full() } else { named.contains(stage) };
    Ok(Stage::ALL.into_iter().filter(asked).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_options_all_but_the_full_stages_run() -> Result<()> {
        let stages = stages_from(&[])?;
        assert_eq!(stages, Stage::ALL[..9]);
        assert!(!stages.contains(&Stage::Reference));
        Ok(())
    }

    #[test]
    fn full_runs_them_all() -> Result<()> {
        assert_eq!(stages_from(&["--full"])?, Stage::ALL);
        Ok(())
    }

    #[test]
    fn named_stages_run_alone_and_in_their_own_order() -> Result<()> {
        assert_eq!(stages_from(&["--stage", "node", "format"])?, [Stage::Format, Stage::Node]);
        assert_eq!(stages_from(&["--stage", "unit", "--stage", "floors"])?, [Stage::Floors, Stage::Unit]);
        assert_eq!(stages_from(&["--stage", "reference"])?, [Stage::Reference]);
        Ok(())
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for options in
            [&["--stage"][..], &["--stage", "nod"], &["node"], &["--fast"], &["--full", "--stage", "node"]]
        {
            assert!(stages_from(options).is_err(), "{options:?}");
        }
    }
}
