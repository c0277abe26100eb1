//! Installs missing programs from Debian's packages.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process;

/// Lets apt wait 120 seconds for another apt to finish.
const WAIT_FOR_APT: &str = "DPkg::Lock::Timeout=120";

/// Returns the path of `program`. If it is not installed, installs the package of the same name.
pub(crate) fn provided(program: &str) -> Result<PathBuf> {
    if let Some(found) = on_path(program) {
        return Ok(found);
    }
    install(program)?;
    on_path(program).with_context(|| {
        format!("apt-get has installed the package {program}, but `{program}` is not on the PATH")
    })
}

/// Installs a package that is missing.
pub(crate) fn install(package: &str) -> Result<()> {
    ensure!(
        on_path("apt-get").is_some(),
        "`{package}` is missing, and there is no apt-get to install it; install it by hand"
    );
    let sudo = become_root(package)?;
    for arguments in
        [&["update", "--quiet=2"][..], &["install", "--quiet=2", "--yes", "--no-install-recommends", package]]
    {
        ensure!(process::succeeds(&mut apt_get(sudo, arguments))?, "apt-get failed; `{package}` is needed");
    }
    Ok(())
}

fn apt_get(sudo: bool, arguments: &[&str]) -> Command {
    let mut command = Command::new(if sudo { "sudo" } else { "apt-get" });
    if sudo {
        command.args(["--non-interactive", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    command.args(["--option", WAIT_FOR_APT]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Returns whether `sudo` is needed. Fails if it is needed and does not work.
fn become_root(package: &str) -> Result<bool> {
    let says = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if says("id", &["-u"]).as_deref() == Some("0") {
        return Ok(false);
    }
    if says("sudo", &["--non-interactive", "true"]).is_some() {
        return Ok(true);
    }
    bail!(
        "`{package}` is missing, and only root may install it (sudo asks for a password or is missing); \
         run `apt-get update && apt-get install {package}` as root"
    )
}

/// Finds the first executable file of this name in the folders of `PATH`, like `command -v`, or where Debian installs
/// servers. `PATH` of an ordinary user does not contain that folder.
fn on_path(program: &str) -> Option<PathBuf> {
    find_in(&std::env::var_os("PATH")?, program).or_else(|| find_in(OsStr::new("/usr/sbin"), program))
}

fn find_in(path: &OsStr, program: &str) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_first_folder_that_can_run_it() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = std::env::join_paths([here, Path::new("/bin"), Path::new("/usr/bin")]).expect("no colon");
        assert_eq!(find_in(&path, "sh"), Some("/bin/sh".into()));
        // A file that is not executable, and a folder.
        assert_eq!(find_in(&path, "Cargo.toml"), None);
        assert_eq!(find_in(&path, "src"), None);
        assert_eq!(find_in(&path, "no-such-program-anywhere"), None);
    }
}
