//! The programs and packages that the tests need besides Rust. This module installs them, at pinned versions, or returns an
//! error that names what is missing.

pub(crate) mod apt;
pub(crate) mod python;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::MetadataCommand;

use crate::process;

/// The oldest Node whose test runner has the options we use.
const OLDEST_NODE: u32 = 20;

/// The top folder of the repository.
pub(crate) fn root() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(manifest.parent().context("xtask is not in the repository")?.to_owned())
}

/// The target directory of cargo. Tests may write their output there.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cargo metadata")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// Checks that Node is installed, and installs the packages of the lock file in `folder`.
pub(crate) fn node_packages(folder: &Path) -> Result<()> {
    let node = version_of("node", "Node.js 20 or newer")?;
    version_of("npm", "npm, which comes with Node.js")?;
    let major =
        major_of(&node).with_context(|| format!("cannot parse the output of `node --version`: {node:?}"))?;
    ensure!(major >= OLDEST_NODE, "Node.js {OLDEST_NODE} or newer is needed, found {node}");
    let mut install = Command::new("npm");
    install.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder);
    ensure!(process::succeeds(&mut install)?, "`npm ci` failed in {}", folder.display());
    Ok(())
}

/// Installs the standard library for another `target` with rustup. If it is installed already, no network is needed.
pub(crate) fn rust_target(target: &str) -> Result<()> {
    let mut print_libdir = Command::new("rustc");
    print_libdir.args(["--print", "target-libdir", "--target", target]);
    let output = print_libdir.output().context("cannot run `rustc`")?;
    if output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists() {
        return Ok(());
    }
    version_of(
        "rustup",
        &format!("the standard library of Rust for {target}, which `rustup target add` installs"),
    )?;
    let installed = process::succeeds(Command::new("rustup").args(["target", "add", target]))?;
    ensure!(installed, "`rustup target add {target}` failed; it needs the network");
    Ok(())
}

/// Returns the output of `program --version`. The error names what to install.
fn version_of(program: &str, what: &str) -> Result<String> {
    match Command::new(program).arg("--version").output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => bail!("`{program} --version` failed with {}; needed: {what}", output.status),
        Err(error) => bail!("`{program}` is missing ({error}); needed: {what}"),
    }
}

/// Returns 20 for `v20.11.1`.
fn major_of(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_the_first_number() {
        assert_eq!(major_of("v20.11.1"), Some(20));
        assert_eq!(major_of("11.19.1"), Some(11));
        assert_eq!(major_of("unknown"), None);
    }

    #[test]
    fn a_missing_program_is_named_together_with_what_provides_it() {
        let error =
            version_of("no-such-program-anywhere", "the Thing 3").expect_err("it cannot exist").to_string();
        assert!(error.contains("no-such-program-anywhere") && error.contains("the Thing 3"), "{error}");
    }
}
