//! `cargo xtask bench`: builds the workspace of the bench and runs it.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::environment::{self, apt};
use crate::process;

/// The file with the recorded counts of instructions.
const RECORDED: &str = "bench/instructions.json";

/// Runs the bench with these `options`; `--help` lists them.
pub(crate) fn command(options: &[&str]) -> Result<bool> {
    run("--workspace", options)
}

/// Returns whether a message takes no more instructions than recorded, within the tolerance of the bench. It does not build
/// the peers.
pub(crate) fn instructions_kept() -> Result<bool> {
    apt::provided("valgrind")?;
    let recorded = environment::root()?.join(RECORDED);
    ensure!(recorded.exists(), "{RECORDED} is missing; it has the counts to compare with");
    run("--package=tidewire-bench", &["--check", &recorded.display().to_string()])
}

fn run(packages: &str, options: &[&str]) -> Result<bool> {
    let manifest = environment::root()?.join("bench/Cargo.toml");
    let manifest = manifest.to_str().context("the path of the repository is not valid UTF-8")?;
    let mut build = process::cargo();
    build.args(["build", "--release", "--locked", packages, "--manifest-path", manifest]);
    ensure!(process::succeeds(&mut build)?, "the bench failed to build");
    // `run` expects the servers and the generator in its own folder.
    let program = ["--release", "--manifest-path", manifest, packages, "--bin", "run"];
    let program = process::build_executable(&program)?;
    process::succeeds(Command::new(program).args(options))
}
