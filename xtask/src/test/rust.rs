//! The stages that run cargo.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::tally::{RustSummary, Tally};
use crate::process::{cargo, succeeds, succeeds_watched};
use crate::{environment, floors};

/// Packages every crate as `cargo publish` does, without building it again. Uncommitted changes are allowed.
const PACKAGE: [&str; 6] = ["package", "--workspace", "--no-verify", "--allow-dirty", "--locked", "--quiet"];

/// The target of browsers.
const WASM: &str = "wasm32-unknown-unknown";

pub(super) fn format() -> Result<Tally> {
    Ok(Tally::of_check("rustfmt", succeeds(cargo().args(["fmt", "--all", "--check"]))?))
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
    Ok(Tally::of_check("clippy", clippy)
        + Tally::of_check("rustdoc", documentation)
        + Tally::of_check("clippy without features", without_features)
        + single_side()?
        + Tally::of_check("the packages for crates.io", succeeds(cargo().args(PACKAGE))?))
}

/// Checks what a single server compiles, alone and with features that need more of the protocol crates, and what a client
/// compiles. The tests of the crates enable features of their dependencies, so only libraries are checked.
fn single_side() -> Result<Tally> {
    let clippy = |packages: &[&str], arguments: &[&str]| {
        let clippy = ["clippy", "--package", "tidewire", "--lib", "--locked"];
        succeeds(cargo().args(clippy).args(packages).args(arguments).args(["--", "--deny", "warnings"]))
    };
    let packages = ["--package", "tidewire-adapter", "--package", "tidewire-server"];
    let alone = clippy(&packages, &[])?;
    let features = "tidewire/compression,tidewire/msgpack,tidewire/tls";
    let with_features = clippy(&packages, &["--features", features])?;
    let client = clippy(&[], &["--no-default-features", "--features", "client"])?;
    let documentation = ["doc", "--lib", "--no-deps", "--locked"];
    let documentation =
        succeeds(cargo().args(documentation).args(packages).env("RUSTDOCFLAGS", "--deny warnings"))?;
    Ok(Tally::of_check("clippy of a single server", alone)
        + Tally::of_check("clippy of a single server with features", with_features)
        + Tally::of_check("clippy of a client", client)
        + Tally::of_check("rustdoc of a single server", documentation))
}

/// Checks each crate by itself, so that no crate depends on features that only another crate enables.
pub(super) fn wasm() -> Result<Tally> {
    environment::rust_target(WASM)?;
    let mut tally = Tally::default();
    for package in floors::portable_packages()? {
        let check = ["check", "--locked", "--target", WASM, "--package", &package];
        tally = tally + Tally::of_check(&package, succeeds(cargo().args(check))?);
    }
    Ok(tally)
}

/// Runs all Rust tests. Naming the kinds of tests leaves out the examples, which `cargo test` would build and link without
/// running them. The examples compile in `lints`, and the tests of `crates/tidewire` run most of them.
pub(super) fn unit() -> Result<Tally> {
    // The binary enables every feature, so all features are on in the workspace.
    let test = ["test", "--workspace", "--locked", "--no-fail-fast"];
    Ok(tests(cargo().args(test).arg("--tests"))? + tests(cargo().args(test).arg("--doc"))?)
}

/// Runs the tests of the adapters that start databases. `postgres` is the folder of its programs, `redis` is the server.
pub(super) fn with_databases(postgres: &Path, redis: &Path) -> Result<Tally> {
    // The binary enables the same features as in the other stages, so that fewer crates are compiled again.
    let packages = ["tidewire-adapter-postgres", "tidewire-adapter-redis", "tidewire-cli"];
    let features =
        "tidewire-adapter-postgres/postgres-server-tests,tidewire-adapter-redis/redis-server-tests";
    let mut command = cargo();
    command.args(["test", "--locked", "--no-fail-fast", "--test", "all", "--features", features]);
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    // These tests mostly wait, for timeouts of seconds.
    command.args(["--", "--test-threads=8"]);
    tests(command.env("TIDEWIRE_POSTGRES_BIN", postgres).env("TIDEWIRE_REDIS_SERVER", redis))
}

/// The arguments for the crates whose features the workspace enables, to build them without these features.
const WITHOUT_FEATURES: [&str; 26] = [
    "--package",
    "tidewire-ws-proto",
    "--package",
    "tidewire-engineio-proto",
    "--package",
    "tidewire-socketio-proto",
    "--package",
    "tidewire-engineio",
    "--package",
    "tidewire-net",
    "--package",
    "tidewire-ws",
    "--package",
    "tidewire-engineio-client",
    "--package",
    "tidewire-server",
    "--package",
    "tidewire-client",
    "--package",
    "tidewire-adapter-postgres",
    "--package",
    "tidewire-adapter-redis",
    "--package",
    "tidewire",
    "--no-default-features",
    "--locked",
];

fn tests(command: &mut Command) -> Result<Tally> {
    let mut summary = RustSummary::default();
    let succeeded = succeeds_watched(command, |line| summary.read(line))?;
    let tally = summary.into_tally();
    // Tests with a harness of their own, and tests that do not compile, fail without printing a line to count.
    let broken = || Tally::broken("a test program did not compile, or ended early");
    Ok(if succeeded || tally.failed > 0 { tally } else { tally + broken() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A package contains nothing outside of the folder of its crate. A link to a folder counts as a folder.
    #[test]
    fn no_crate_includes_a_file_that_its_package_lacks() -> Result<()> {
        fn visit(folder: &Path, depth: usize, found: &mut usize) -> Result<()> {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    visit(&path, depth + 1, found)?;
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    for line in fs::read_to_string(&path)?.lines() {
                        let Some((_, literal)) =
                            line.split_once("\"../").filter(|_| line.contains("include_"))
                        else {
                            continue;
                        };
                        *found += 1;
                        let parents = 1 + literal.matches("../").count();
                        assert!(parents <= depth, "{}: {line}", path.display());
                    }
                }
            }
            Ok(())
        }
        let mut found = 0;
        for crate_folder in fs::read_dir(environment::root()?.join("crates"))? {
            visit(&crate_folder?.path().join("src"), 1, &mut found)?;
        }
        assert!(found > 0);
        Ok(())
    }

    #[test]
    fn no_test_file_is_left_out() -> Result<()> {
        let mut files = 0;
        for crate_folder in fs::read_dir(environment::root()?.join("crates"))? {
            let tests = crate_folder?.path().join("tests");
            // With `tests/main.rs`, a crate turns off `autotests`, and cargo ignores a file that is no module.
            let Ok(main) = fs::read_to_string(tests.join("main.rs")) else { continue };
            for file in fs::read_dir(&tests)? {
                let path = file?.path();
                let (Some(name), Some("rs")) = (
                    path.file_stem().and_then(|name| name.to_str()),
                    path.extension().and_then(|e| e.to_str()),
                ) else {
                    continue;
                };
                files += 1;
                let is_module = main.lines().any(|line| line == format!("mod {name};"));
                assert!(is_module || name == "main", "{} is not in main.rs", path.display());
            }
        }
        assert!(files > 0);
        Ok(())
    }
}
