//! Runs the official JavaScript clients, in Node (`conformance/node`) and in Chromium and Firefox (`conformance/browser`),
//! and the tests of our client for browsers (`web/client`) and of the pages of the binary (`web/pages`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::tally::{NodeSummary, Tally};
use crate::environment::{self, apt, python};
use crate::process::{build_executable, build_executables, succeeds_watched};
use crate::shard::{Scope, Shard};

/// The number of shards of the tests against the reference.
const REFERENCE_SHARDS: usize = 6;

/// These files run for every change and belong to no shard: one file for each protocol.
const REFERENCE_SMOKE: &[&str] =
    &["engineio-requests.test.js", "rooms.test.js", "websocket-handshake.test.js"];

/// This file runs in Firefox for every change: both clients over each transport, restarts of the server, and the builds of
/// our client that the binary contains.
const FIREFOX_SMOKE: &str = "application.test.js";

/// Runs the tests in Node against our programs, and our clients against Node's servers. Completely, our client runs
/// against socketioxide too.
pub(super) fn in_node(scope: Scope) -> Result<Tally> {
    let folder = suite("conformance/node")?;
    let mut tests = npm(&folder, "test");
    with_programs(&mut tests, &folder)?;
    tests.envs(repetitions(scope));
    let programs = our_programs()?;
    let tally = against_tidewire(&mut tests, &programs)?;
    match scope {
        Scope::Shard(_) => Ok(tally),
        Scope::Full => Ok(tally + against_socketioxide(&folder, &programs)?),
    }
}

/// Runs our client against a server of the crate socketioxide, which takes minutes to build.
fn against_socketioxide(folder: &Path, programs: &[Program]) -> Result<Tally> {
    let manifest = environment::root()?.join("conformance/socketioxide/Cargo.toml");
    let manifest = manifest.to_str().context("the path of the repository is not valid UTF-8")?;
    let program = "tidewire-conformance-socketioxide";
    let server = build_executable(&["--manifest-path", manifest, "--bin", program])?;
    let mut tests = npm(folder, "socketioxide");
    tests.env("TIDEWIRE_CONFORMANCE_SOCKETIOXIDE", server);
    tests.envs(programs.iter().cloned());
    run(&mut tests)
}

/// Runs the tests in Node against Node's own server. Tests of behaviour that only Tidewire has are skipped, and counted as
/// skipped.
pub(super) fn against_the_reference(scope: Scope) -> Result<Tally> {
    let folder = suite("conformance/node")?;
    let mut tests = npm(&folder, "reference");
    with_programs(&mut tests, &folder)?;
    tests.envs(repetitions(scope));
    if let Some(shard) = scope.shard_of(REFERENCE_SHARDS)? {
        let files = smoke_and(REFERENCE_SMOKE, shard, test_files(&folder)?);
        tests.arg("--").args(files.iter().map(|file| format!("test/{file}")));
    }
    run(&mut tests)
}

/// Tells the tests to repeat some of them, if all tests run.
pub(super) fn repetitions(scope: Scope) -> Option<(&'static str, &'static str)> {
    (scope == Scope::Full).then_some(("TIDEWIRE_FULL", "1"))
}

/// The sorted names of the test files.
pub(super) fn test_files(folder: &Path) -> Result<Vec<String>> {
    let tests = folder.join("test");
    let entries = fs::read_dir(&tests).with_context(|| format!("cannot read {}", tests.display()))?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    names.retain(|name| name.ends_with(".test.js"));
    names.sort();
    Ok(names)
}

/// The smoke test, and the shard of the other files.
pub(super) fn smoke_and(smoke: &[&str], shard: Shard, files: Vec<String>) -> Vec<String> {
    let (mut chosen, others): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| smoke.contains(&file.as_str()));
    chosen.extend(shard.of_all(others));
    chosen
}

/// Runs the tests of our client for browsers, and those in Chromium and Firefox against our programs. Completely, also runs
/// those that drive a client against Node's own server.
pub(super) fn in_a_browser(scope: Scope) -> Result<Tally> {
    let client = run(&mut npm(&suite("web/client")?, "test"))? + run(&mut npm(&suite("web/pages")?, "test"))?;
    suite("examples/react-chat")?; // `react-chat.test.js` builds it
    let folder = suite("conformance/browser")?;
    let chromium = apt::provided("chromium")?;
    let programs = our_programs()?;
    let mut tests = npm(&folder, "test");
    let mut in_chromium = against_tidewire(tests.env("TIDEWIRE_CHROMIUM", &chromium), &programs)?;
    if scope == Scope::Full {
        suite("conformance/node")?; // Node's server
        let mut tests = npm(&folder, "reference");
        tests.env("TIDEWIRE_CHROMIUM", &chromium).arg("--").args(files_for_any_browser(&folder)?);
        in_chromium = in_chromium + run(&mut tests)?;
    }
    Ok(client + in_chromium + in_firefox(&folder, &programs, scope)?)
}

/// Runs a smoke test in Firefox. Completely, runs all tests that need no Playwright, against our programs and against Node's
/// own server, and opens the pages of the binary.
fn in_firefox(folder: &Path, programs: &[Program], scope: Scope) -> Result<Tally> {
    let firefox = apt::provided("firefox-esr")?;
    let tests = |script, files: &[String]| {
        let mut tests = npm(folder, script);
        tests.env("TIDEWIRE_BROWSER", "firefox").env("TIDEWIRE_FIREFOX", &firefox);
        tests.arg("--").args(files);
        tests
    };
    match scope {
        Scope::Shard(_) => against_tidewire(&mut tests("test", &[format!("test/{FIREFOX_SMOKE}")]), programs),
        Scope::Full => {
            let mut files = files_for_any_browser(folder)?;
            let reference = run(&mut tests("reference", &files))?;
            files.push("full/pages.js".to_owned());
            Ok(against_tidewire(&mut tests("test", &files), programs)? + reference)
        }
    }
}

/// The paths of the tests that need no Playwright.
fn files_for_any_browser(folder: &Path) -> Result<Vec<String>> {
    let files = test_files(folder)?.into_iter().filter(|file| !needs_playwright(file));
    Ok(files.map(|file| format!("test/{file}")).collect())
}

/// Whether a test uses a page of the binary as a visitor does. Playwright does not drive the Firefox of Debian.
fn needs_playwright(file: &str) -> bool {
    file.starts_with("pages-") || ["react-chat.test.js", "start.test.js"].contains(&file)
}

/// Installs the packages of a suite and returns its folder.
pub(super) fn suite(folder: &str) -> Result<PathBuf> {
    let folder = environment::root()?.join(folder);
    environment::node_packages(&folder)?;
    Ok(folder)
}

/// Installs the proxies of the tests in Node, and the packages of the clients in Python.
fn with_programs(tests: &mut Command, folder: &Path) -> Result<()> {
    let (nginx, haproxy) = (apt::provided("nginx")?, apt::provided("haproxy")?);
    let packages = environment::target_directory()?.join("conformance/python");
    python::packages(&folder.join("python/requirements.txt"), &packages)?;
    tests.env("TIDEWIRE_NGINX", nginx).env("TIDEWIRE_HAPROXY", haproxy);
    tests.env("TIDEWIRE_PYTHON_PACKAGES", packages);
    Ok(())
}

/// An environment variable, and the program that it names to the tests.
pub(super) type Program = (&'static str, PathBuf);

/// Builds the binary and the conformance programs. Debug builds save more build time than the tests lose. All programs are
/// built at once and for the whole workspace, so that they share the crates that the stage `unit` has built.
fn our_programs() -> Result<Vec<Program>> {
    const EXAMPLES: [(&str, &str); 5] = [
        ("TIDEWIRE_CONFORMANCE_SERVER", "conformance"),
        ("TIDEWIRE_CONFORMANCE_CLIENT", "conformance_client"),
        ("TIDEWIRE_CONFORMANCE_ENGINE", "conformance_engine"),
        ("TIDEWIRE_CONFORMANCE_ENGINE_CLIENT", "conformance_engine_client"),
        ("TIDEWIRE_CONFORMANCE_SOCKETIO_CLIENT", "conformance_socketio_client"),
    ];
    let mut arguments = vec!["--workspace", "--bin", "tidewire"];
    arguments.extend(EXAMPLES.iter().flat_map(|(_, example)| ["--example", *example]));
    let mut built = build_executables(&arguments)?;
    let programs = [("TIDEWIRE_BINARY", "tidewire")].into_iter().chain(EXAMPLES);
    programs
        .map(|(variable, name)| {
            Ok((variable, built.remove(name).with_context(|| format!("cargo did not build {name}"))?))
        })
        .collect()
}

/// Runs `tests` against our programs.
pub(super) fn against_tidewire(tests: &mut Command, programs: &[Program]) -> Result<Tally> {
    tests.envs(programs.iter().cloned());
    let mut tally = run(tests)?;
    // Against Tidewire no test may be skipped: a skipped test is a disabled test.
    if tally.skipped > 0 {
        tally.failed += tally.skipped;
        tally.failures.push(format!("{} disabled tests", tally.skipped));
    }
    Ok(tally)
}

pub(super) fn npm(folder: &Path, script: &str) -> Command {
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
    let tally = summary.into_tally();
    let broken = || Tally::broken("the test runner ended early");
    Ok(if succeeded || tally.failed > 0 { tally } else { tally + broken() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_in_one_shard_of_the_reference_or_in_all_of_them() -> Result<()> {
        let files = test_files(&environment::root()?.join("conformance/node"))?;
        let mut times = vec![0; files.len()];
        for number in 1..=REFERENCE_SHARDS {
            let chosen =
                smoke_and(REFERENCE_SMOKE, format!("{number}/{REFERENCE_SHARDS}").parse()?, files.clone());
            for (file, times) in files.iter().zip(&mut times) {
                *times += chosen.iter().filter(|other| *other == file).count();
            }
        }
        for (file, times) in files.iter().zip(times) {
            let smoke = REFERENCE_SMOKE.contains(&file.as_str());
            assert_eq!(times, if smoke { REFERENCE_SHARDS } else { 1 }, "{file}");
        }
        assert!(REFERENCE_SMOKE.iter().all(|smoke| files.iter().any(|file| file == smoke)));
        Ok(())
    }

    #[test]
    fn the_tests_that_do_not_run_in_firefox_are_those_that_use_playwright() -> Result<()> {
        let folder = environment::root()?.join("conformance/browser");
        let files = test_files(&folder)?;
        for file in &files {
            let text = fs::read_to_string(folder.join("test").join(file))?;
            assert_eq!(needs_playwright(file), text.contains("support/pages.js"), "{file}");
        }
        assert!(files.iter().any(|file| file == FIREFOX_SMOKE));
        Ok(())
    }
}
