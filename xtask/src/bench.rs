//! `cargo xtask bench`: builds the workspace of the bench and runs it.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::environment::{self, apt};
use crate::process;

/// What the counts of instructions are compared with.
const RECORDED: &str = "bench/instructions.json";

/// `options` are those of the bench; `--help` lists them.
pub(crate) fn command(options: &[&str]) -> Result<bool> {
    run("--workspace", options)
}

/// Whether Tidewire needs no more instructions for a message than were recorded. Peers are not built for it.
pub(crate) fn instructions_kept() -> Result<bool> {
    apt::provided("valgrind")?;
    let recorded = environment::root()?.join(RECORDED);
    ensure!(recorded.exists(), "{RECORDED} is missing: without it nothing would be compared");
    run("--package=tidewire-bench", &["--check", &recorded.display().to_string()])
}

fn run(packages: &str, options: &[&str]) -> Result<bool> {
    let manifest = environment::root()?.join("bench/Cargo.toml");
    let manifest = manifest.to_str().context("the path of the repository is no UTF-8")?;
    let mut build = process::cargo();
    build.args(["build", "--release", "--locked", packages, "--manifest-path", manifest]);
    ensure!(process::succeeds(&mut build)?, "the bench does not build");
    // The servers and the generator lie beside the program that starts them.
    let program = ["--release", "--manifest-path", manifest, packages, "--bin", "run"];
    let program = process::build_executable(&program)?;
    process::succeeds(Command::new(program).args(options))
}
