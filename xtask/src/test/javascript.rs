//! The official JavaScript clients: in Node (`conformance/node`) and in Chromium (`conformance/browser`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::tally::{NodeSummary, Tally};
use crate::environment::{self, apt};
use crate::process::{build_executable, succeeds_watched};

/// In Node, against our programs; and our client against Node's servers.
pub(super) fn in_node() -> Result<Tally> {
    let folder = suite("conformance/node")?;
    let client = build_executable(&["--package", "tidewire-ws", "--example", "conformance_client"])?;
    against_tidewire(npm(&folder, "test").env("TIDEWIRE_CONFORMANCE_CLIENT", client))
}

/// In Node, against Node's own server. Tests of what only Tidewire promises are skipped here, and counted as such.
pub(super) fn against_the_reference() -> Result<Tally> {
    let folder = suite("conformance/node")?;
    run(&mut npm(&folder, "reference"))
}

/// In Chromium, against our programs.
pub(super) fn in_a_browser() -> Result<Tally> {
    let folder = suite("conformance/browser")?;
    let chromium = apt::provided("chromium")?;
    against_tidewire(npm(&folder, "test").env("TIDEWIRE_CHROMIUM", chromium))
}

/// The folder of a suite, with its packages installed.
fn suite(folder: &str) -> Result<PathBuf> {
    let folder = environment::root()?.join(folder);
    environment::node_packages(&folder)?;
    Ok(folder)
}

/// The binary and the conformance server, as `cargo build` makes them: unoptimised, which saves more than it costs.
fn against_tidewire(tests: &mut Command) -> Result<Tally> {
    let binary = build_executable(&["--package", "tidewire-cli", "--bin", "tidewire"])?;
    let conformance_server = build_executable(&["--package", "tidewire-server", "--example", "conformance"])?;
    tests.env("TIDEWIRE_BINARY", binary).env("TIDEWIRE_CONFORMANCE_SERVER", conformance_server);
    let tally = run(tests)?;
    // Against Tidewire there is nothing to skip: a skipped test is one that somebody has switched off.
    Ok(Tally { failed: tally.failed + tally.skipped, ..tally })
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
