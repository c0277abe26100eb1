//! The official JavaScript clients, in `conformance/node`.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::tally::{NodeSummary, Tally};
use crate::environment;
use crate::process::{build_executable, succeeds_watched};

/// The binary and the conformance server, as `cargo build` makes them: unoptimised, which saves more than it costs.
pub(super) fn against_tidewire() -> Result<Tally> {
    let folder = environment::root()?.join("conformance/node");
    environment::node_packages(&folder)?;
    let binary = build_executable(&["--package", "tidewire-cli", "--bin", "tidewire"])?;
    let conformance_server = build_executable(&["--package", "tidewire-server", "--example", "conformance"])?;
    let mut tests = npm(&folder, "test");
    tests.env("TIDEWIRE_BINARY", binary).env("TIDEWIRE_CONFORMANCE_SERVER", conformance_server);
    let tally = run(&mut tests)?;
    // Against Tidewire there is nothing to skip: a skipped test is one that somebody has switched off.
    Ok(Tally { failed: tally.failed + tally.skipped, ..tally })
}

/// Tests of what only Tidewire promises are skipped here, and counted as such.
pub(super) fn against_the_reference() -> Result<Tally> {
    let folder = environment::root()?.join("conformance/node");
    environment::node_packages(&folder)?;
    run(&mut npm(&folder, "reference"))
}

fn npm(folder: &Path, script: &str) -> Command {
    let mut command = Command::new("npm");
    command
        .args(["run", "--silent", script])
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .env_remove("FORCE_COLOR");
    command
}

fn run(tests: &mut Command) -> Result<Tally> {
    let mut summary = NodeSummary::default();
    let succeeded = succeeds_watched(tests, |line| summary.read(line))?;
    let tally = summary.tally();
    Ok(if succeeded || tally.failed > 0 { tally } else { tally + Tally::broken() })
}
