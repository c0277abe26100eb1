//! Sets up Autobahn's test suite in a virtual environment of CPython 2.7, which it requires, and installs packages for
//! Python 3.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{apt, version_of};
use crate::process;

/// Prints `CPython 2.7.` on CPython 2.7. The code must be valid in every version of Python.
const IDENTIFY: &str =
    "import platform; print(platform.python_implementation() + ' ' + platform.python_version()[:4])";

/// Installs the packages of the file `requirements` for Python 3 into `folder`, which a program can have as its
/// `PYTHONPATH`. A folder needs no virtual environment, whose module Debian does not install with Python.
pub(crate) fn packages(requirements: &Path, folder: &Path) -> Result<()> {
    let wanted = fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let python = apt::provided("python3")?;
    // Compiled packages fit one version of Python. This file is written last, as in `wstest`.
    let wanted = format!("{}\n{wanted}", version_of("python3", "Python 3.10 or newer")?);
    let installed = folder.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let has_pip = Command::new(&python).args(["-m", "pip", "--version"]).output()?.status.success();
    if !has_pip {
        apt::install("python3-pip")?;
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut install = pip(&python);
    install.arg("--target").arg(folder).arg("--requirement").arg(requirements);
    ensure!(process::succeeds(&mut install)?, "cannot install the packages of {}", requirements.display());
    fs::write(installed, wanted)?;
    Ok(())
}

/// Finds CPython 2.7: the newest one in pyenv, or `python2.7` on the `PATH`. The error says how to install it.
pub(crate) fn cpython_2_7() -> Result<PathBuf> {
    let of_pyenv = pyenv_versions().map(|folder| interpreters_in(&folder)).unwrap_or_default();
    first_cpython_2_7(of_pyenv.into_iter().chain([PathBuf::from("python2.7")]))
}

fn first_cpython_2_7(mut candidates: impl Iterator<Item = PathBuf>) -> Result<PathBuf> {
    candidates.find(|python| is_cpython_2_7(python)).context(
        "this machine has no CPython 2.7, which Autobahn's test suite requires: \
         install pyenv (https://github.com/pyenv/pyenv) and run `pyenv install 2.7.18`, \
         or put a `python2.7` on the PATH",
    )
}

/// Returns the path of Autobahn's program `wstest` in `folder`. If it is missing, installs it with the pinned versions in
/// `pins`.
pub(crate) fn wstest(python: &Path, pins: &Path, folder: &Path) -> Result<PathBuf> {
    let environment = folder.join("python2.7");
    let wstest = environment.join("bin/wstest");
    let requirements = pins.join("requirements.txt");
    let wanted = fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    // This file is written last. Without it, an earlier setup did not finish.
    let installed = environment.join("installed.txt");
    if wstest.exists() && fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(wstest);
    }

    version_of("python3", "Python 3.8 or newer with pip")?;
    let tool = folder.join("virtualenv");
    for leftover in [&environment, &tool] {
        if leftover.exists() {
            fs::remove_dir_all(leftover)?;
        }
    }
    fs::create_dir_all(folder)?;
    let mut get_tool = pip(Path::new("python3"));
    get_tool.arg("--target").arg(&tool).arg("--requirement").arg(pins.join("virtualenv.txt"));
    ensure!(process::succeeds(&mut get_tool)?, "cannot install virtualenv");

    let mut create = Command::new("python3");
    create.args(["-m", "virtualenv", "--quiet", "--python"]).arg(python).arg(&environment);
    create.env("PYTHONPATH", &tool);
    ensure!(process::succeeds(&mut create)?, "cannot set up {}", environment.display());

    let mut install = pip(&environment.join("bin/python"));
    install.arg("--requirement").arg(&requirements);
    ensure!(process::succeeds(&mut install)?, "cannot install Autobahn");
    ensure!(wstest.exists(), "the packages do not contain {}", wstest.display());
    fs::write(installed, wanted)?;
    Ok(wstest)
}

/// `python -m pip install`, without dependencies: every package is pinned.
fn pip(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "install", "--quiet", "--no-deps"]);
    // These turn off the warnings that pip is old and runs as root. Both are true and intended.
    command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_ROOT_USER_ACTION", "ignore");
    command.env("PIP_NO_PYTHON_VERSION_WARNING", "1");
    command
}

fn pyenv_versions() -> Option<PathBuf> {
    let output = Command::new("pyenv").arg("root").output().ok().filter(|output| output.status.success())?;
    Some(Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("versions"))
}

/// The interpreters of Python 2.7 in pyenv's folder of versions, newest first.
fn interpreters_in(versions: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(versions) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    newest_first(names).iter().map(|name| versions.join(name).join("bin/python2.7")).collect()
}

fn newest_first(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<(u32, String)> =
        names.filter_map(|name| Some((name.strip_prefix("2.7.")?.parse().ok()?, name))).collect();
    names.sort_unstable_by(|one, other| other.cmp(one));
    names.into_iter().map(|(_, name)| name).collect()
}

/// Checks the interpreter, because a `python2.7` on the `PATH` may be anything, for instance a pyenv shim without a version.
fn is_cpython_2_7(python: &Path) -> bool {
    Command::new(python).args(["-c", IDENTIFY]).output().is_ok_and(|output| {
        output.status.success() && String::from_utf8_lossy(&output.stdout).trim() == "CPython 2.7."
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_versions_the_newest_comes_first() {
        let names = ["3.12.1", "2.7.9", "2.7.18", "2.7.18-dev", "pypy2.7-7.3", "2.6.9"].map(str::to_owned);
        assert_eq!(newest_first(names.into_iter()), ["2.7.18", "2.7.9"]);
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_interpreters() {
        assert_eq!(interpreters_in(Path::new("/no/such/folder")), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_machine_without_cpython_2_7_is_told_how_to_get_it() {
        let error = first_cpython_2_7(["no-such-program-anywhere".into(), "true".into()].into_iter())
            .expect_err("none of them is a Python")
            .to_string();
        assert!(error.contains("no CPython 2.7") && error.contains("pyenv install 2.7.18"), "{error}");
    }

    #[test]
    fn a_program_that_is_missing_or_no_python_is_not_taken() {
        assert!(!is_cpython_2_7(Path::new("no-such-program-anywhere")));
        assert!(!is_cpython_2_7(Path::new("true")));
    }
}
