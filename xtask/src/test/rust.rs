//! The stages that cargo runs.

use std::process::Command;

use anyhow::Result;

use super::tally::{Tally, of_test_result};
use crate::process::{cargo, succeeds, succeeds_watched};
use crate::{environment, floors};

/// What browsers run.
const WASM: &str = "wasm32-unknown-unknown";

pub(super) fn format() -> Result<Tally> {
    Ok(Tally::of_check(succeeds(cargo().args(["fmt", "--all", "--check"]))?))
}

pub(super) fn lints() -> Result<Tally> {
    let clippy = succeeds(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ]))?;
    let documentation = succeeds(
        cargo().args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "--deny warnings"),
    )?;
    let without_features = succeeds(cargo().arg("clippy").args(WITHOUT_FEATURES).args([
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))?;
    Ok(Tally::of_check(clippy) + Tally::of_check(documentation) + Tally::of_check(without_features))
}

/// Crate by crate, so that none gets by with features that only another one asks for.
pub(super) fn wasm() -> Result<Tally> {
    environment::rust_target(WASM)?;
    let mut tally = Tally::default();
    for package in floors::portable_packages()? {
        let check = ["check", "--locked", "--target", WASM, "--package", &package];
        tally = tally + Tally::of_check(succeeds(cargo().args(check))?);
    }
    Ok(tally)
}

/// An example with tests of its own says `test = true` in its manifest and is counted here as well.
pub(super) fn unit() -> Result<Tally> {
    // The binary has every feature, so in the workspace they are all on.
    tests(cargo().args(["test", "--workspace", "--locked", "--no-fail-fast"]))
}

/// What the workspace builds with its features, as it is without them.
const WITHOUT_FEATURES: [&str; 10] = [
    "--package",
    "tidewire-net",
    "--package",
    "tidewire-ws",
    "--package",
    "tidewire-server",
    "--package",
    "tidewire",
    "--no-default-features",
    "--locked",
];

fn tests(command: &mut Command) -> Result<Tally> {
    let mut tally = Tally::default();
    let succeeded = succeeds_watched(command, |line| {
        tally = tally + of_test_result(line).unwrap_or_default();
    })?;
    // Tests that cargo runs with a harness of their own, or that do not compile, fail without a line to count.
    Ok(if succeeded || tally.failed > 0 { tally } else { tally + Tally::broken() })
}
