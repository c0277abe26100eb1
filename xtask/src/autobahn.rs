//! `cargo xtask autobahn`, and the stage of that name. Autobahn's test suite connects to `/ws` of the binary, and accepts
//! connections of the program `conformance/autobahn/client.rs`.

mod cases;
mod index;
mod wstest;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use std::{fs, thread};

use anyhow::{Context, Result, ensure};

pub(crate) use cases::Cases;
pub(crate) use index::Verdict;

use crate::environment::{self, python};
use crate::process::{self, Server};

/// The role of Tidewire in a run. Autobahn has the other role.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Role {
    Server,
    Client,
}

impl Role {
    const ALL: &'static [Self] = &[Self::Server, Self::Client];

    fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// Runs the cases that match the patterns, or all cases if there are no patterns. A role may precede the patterns; without
/// one, the cases run in both roles. Returns `Ok(true)` if every case passed.
pub(crate) fn command(words: &[&str]) -> Result<bool> {
    let (roles, patterns) = roles_and_patterns(words);
    let cases = if patterns.is_empty() { Cases::every() } else { Cases::matching(patterns) };
    let verdict = in_roles(roles, &cases)?;
    Ok(verdict.complaints.is_empty())
}

fn roles_and_patterns<'a>(words: &'a [&'a str]) -> (&'static [Role], &'a [&'a str]) {
    match words {
        ["server", patterns @ ..] => (&[Role::Server], patterns),
        ["client", patterns @ ..] => (&[Role::Client], patterns),
        patterns => (Role::ALL, patterns),
    }
}

/// Runs the cases in both roles and prints the verdict.
pub(crate) fn run(cases: &Cases) -> Result<Verdict> {
    in_roles(Role::ALL, cases)
}

fn in_roles(roles: &[Role], cases: &Cases) -> Result<Verdict> {
    let python = python::cpython_2_7()?;
    let folder = environment::target_directory()?.join("conformance/autobahn");
    let wstest = python::wstest(&python, &environment::root()?.join("conformance/autobahn"), &folder)?;
    let reports = folder.join("reports");
    if reports.exists() {
        fs::remove_dir_all(&reports)?;
    }
    let suite = Suite { wstest, reports, programs: Programs::build(roles, cases.are_many())?, cases };
    let verdict = suite.run(roles)?;
    for complaint in &verdict.complaints {
        println!("{complaint}");
    }
    println!("{}", verdict.summary());
    Ok(verdict)
}

const SERVER: &str = "tidewire";
const CLIENT: &str = "autobahn_client";

/// The programs that Autobahn tests.
struct Programs {
    server: Option<PathBuf>,
    client: Option<PathBuf>,
}

impl Programs {
    /// Builds the programs of these roles. An optimised build takes longer, and pays off if there are many cases.
    fn build(roles: &[Role], optimised: bool) -> Result<Self> {
        // One build for the whole workspace shares the crates that the stage `unit` has built.
        let mut arguments = vec!["--workspace"];
        for role in roles {
            arguments.extend(match role {
                Role::Server => ["--bin", SERVER],
                Role::Client => ["--example", CLIENT],
            });
        }
        if optimised {
            arguments.push("--release");
        }
        let mut built = process::build_executables(&arguments)?;
        Ok(Self { server: built.remove(SERVER), client: built.remove(CLIENT) })
    }
}

struct Suite<'a> {
    wstest: PathBuf,
    reports: PathBuf,
    programs: Programs,
    cases: &'a Cases,
}

impl Suite<'_> {
    /// Runs all parts in all roles. A run of Autobahn uses one core at most, so parts run in parallel.
    fn run(&self, roles: &[Role]) -> Result<Verdict> {
        let mut server = self.programs.server.as_deref().map(Server::start).transpose()?;
        let url = server.as_ref().map(|server| format!("{}/ws", server.url().replacen("http", "ws", 1)));
        let parts: Vec<(Role, usize)> = (0..self.cases.parts().len())
            .flat_map(|part| roles.iter().map(move |role| (*role, part)))
            .collect();
        let next = AtomicUsize::new(0);
        let verdicts = Mutex::new(Vec::new());
        let cores = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..cores.min(parts.len()) {
                scope.spawn(|| {
                    while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let verdict = self.part(*part, url.as_deref());
                        verdicts.lock().unwrap_or_else(PoisonError::into_inner).push((*part, verdict));
                    }
                });
            }
        });
        if let Some(server) = &mut server {
            ensure!(server.is_running()?, "the server has exited during the run");
        }
        let mut verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
        verdicts.sort_by_key(|((role, part), _)| (*role == Role::Client, *part));
        verdicts.into_iter().try_fold(Verdict::default(), |all, (_, verdict)| Ok(all.and(verdict?)))
    }

    /// Runs one part of the cases in one role.
    fn part(&self, (role, part): (Role, usize), url: Option<&str>) -> Result<Verdict> {
        let part = &self.cases.parts()[part];
        let name = format!("{}-{}", role.name(), part.name);
        let run = wstest::Run { wstest: &self.wstest, folder: &self.reports.join(&name), part };
        let start = Instant::now();
        let index = match role {
            Role::Server => run.as_client(url.context("no server was started")?),
            Role::Client => run.as_server(self.programs.client.as_deref().context("no client was built")?),
        }?;
        let verdict = Verdict::read(&index, wstest::AGENT, run.folder)?;
        println!("{name}: {}, {:.0} s", verdict.summary(), start.elapsed().as_secs_f64());
        ensure!(verdict.cases() > 0, "{name}: no case ran, {}", run.see_log());
        let count = part.count.unwrap_or(verdict.cases());
        ensure!(verdict.cases() == count, "{name}: only {} of {count} cases ran", verdict.cases());
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_precede_the_patterns() {
        for (words, roles, patterns) in [
            (&[][..], Role::ALL, &[][..]),
            (&["client"], &[Role::Client], &[]),
            (&["server", "6.4.*", "7.3.6"], &[Role::Server], &["6.4.*", "7.3.6"]),
            (&["6.4.*"], Role::ALL, &["6.4.*"]),
        ] {
            assert_eq!(roles_and_patterns(words), (roles, patterns), "{words:?}");
        }
    }
}
