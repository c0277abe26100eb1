//! `cargo xtask bench`: builds the workspace of the bench and runs it.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{environment, process};

/// `options` are those of the bench; `--help` lists them.
pub(crate) fn command(options: &[&str]) -> Result<bool> {
    let manifest = environment::root()?.join("bench/Cargo.toml");
    let manifest = manifest.to_str().context("the path of the repository is no UTF-8")?;
    let mut build = process::cargo();
    build.args(["build", "--release", "--locked", "--workspace", "--manifest-path", manifest]);
    ensure!(process::succeeds(&mut build)?, "the bench does not build");
    // The servers and the generator lie beside the program that starts them.
    let run = process::build_executable(&[
        "--release",
        "--manifest-path",
        manifest,
        "--workspace",
        "--bin",
        "run",
    ])?;
    process::succeeds(Command::new(run).args(options))
}
