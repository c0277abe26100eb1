//! `cargo xtask autobahn`, and the stage of that name: Autobahn's fuzzing client against the binary's `/ws`.

mod index;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

pub(crate) use index::Verdict;

use crate::environment::{self, python};
use crate::process::{self, Server};

/// Cases by Autobahn's patterns.
#[derive(Debug)]
pub(crate) struct Cases<'a> {
    included: &'a [&'a str],
    excluded: &'a [&'a str],
    /// How many they are, where we know: a run with fewer has gone wrong.
    count: Option<usize>,
}

impl<'a> Cases<'a> {
    /// What is run at every change.
    pub(crate) const QUICK: Cases<'static> = Cases {
        included: &["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"],
        excluded: &[],
        count: Some(301),
    };

    /// With 12 and 13, which are about compression and take minutes.
    const ALL: Cases<'static> = Cases { included: &["*"], excluded: &[], count: Some(517) };

    const fn matching(patterns: &'a [&'a str]) -> Self {
        Self { included: patterns, excluded: &[], count: None }
    }
}

/// The name under which Autobahn reports on us.
const AGENT: &str = "tidewire";

/// A run takes half a minute; one that takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// What is missing on a machine that cannot run Autobahn.
pub(crate) const NO_PYTHON: &str = "this machine has no CPython 2.7";

/// The cases that match the patterns, or all of them; `Ok(true)` when each of them passed.
pub(crate) fn command(patterns: &[&str]) -> Result<bool> {
    let cases = if patterns.is_empty() { Cases::ALL } else { Cases::matching(patterns) };
    let verdict = run(&cases)?.context(NO_PYTHON)?;
    Ok(verdict.complaints.is_empty())
}

/// Runs the cases and prints what came of them; `None` when the machine has no CPython 2.7.
pub(crate) fn run(cases: &Cases<'_>) -> Result<Option<Verdict>> {
    let Some(python) = python::cpython_2_7() else { return Ok(None) };
    let folder = environment::target_directory()?.join("conformance/autobahn");
    let wstest = python::wstest(&python, &environment::root()?.join("conformance/autobahn"), &folder)?;
    let binary = process::build_executable(&["--package", "tidewire-cli", "--bin", "tidewire"])?;
    let mut server = Server::start(&binary)?;
    let verdict = fuzz(&wstest, &folder, &server, cases)?;
    ensure!(server.is_running()?, "the server has not survived it");
    Ok(Some(verdict))
}

fn fuzz(wstest: &Path, folder: &Path, server: &Server, cases: &Cases<'_>) -> Result<Verdict> {
    let reports = folder.join("reports");
    if reports.exists() {
        fs::remove_dir_all(&reports)?;
    }
    let instructions = folder.join("fuzzingclient.json");
    let url = format!("{}/ws", server.url().replacen("http", "ws", 1));
    fs::write(
        &instructions,
        json!({
            "outdir": reports,
            "servers": [{ "agent": AGENT, "url": url }],
            "cases": cases.included,
            "exclude-cases": cases.excluded,
            "exclude-agent-cases": {},
        })
        .to_string(),
    )?;

    // It says several lines about each case, which are of use only when it cannot go on.
    let log = folder.join("wstest.log");
    let output = File::create(&log)?;
    let mut command = Command::new(wstest);
    command.args(["--mode", "fuzzingclient", "--spec"]).arg(&instructions);
    command.stdout(output.try_clone()?).stderr(output);
    let ended_well = process::succeeds_within(PATIENCE, &mut command)?;

    let index = reports.join("index.json");
    let index = fs::read_to_string(&index)
        .ok()
        .filter(|_| ended_well)
        .with_context(|| format!("Autobahn did not finish, see {}", log.display()))?;
    let verdict = Verdict::read(&index, AGENT)?;
    println!("{}", verdict.summary());
    for complaint in &verdict.complaints {
        println!("{complaint}");
    }
    if !verdict.complaints.is_empty() {
        println!("the reports are in {}", reports.display());
    }
    let count = cases.count.unwrap_or(verdict.cases());
    ensure!(verdict.cases() > 0, "no case was run, see {}", log.display());
    ensure!(verdict.cases() == count, "{} cases were run, and {count} expected", verdict.cases());
    Ok(verdict)
}
