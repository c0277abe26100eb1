//! Counts that do not depend on the load of the machine: system calls, instructions and allocations for each message.
//!
//! Each count is the difference of two runs that differ only in the number of messages. So start and handshakes cancel
//! out.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::options::Options;
use super::process::Server;
use super::servers::{self, OURS, Program};
use crate::load::{Protocol, Workload};

/// The workloads that are counted, and the number of messages in the shorter run. They have fewer connections than in
/// the measurements, because instruments are slow, and fewer messages if each is expensive.
const WORKLOADS: [(Protocol, &str, u64); 7] = [
    (Protocol::Raw, "echo-c10-k8-s32", 2_000),
    (Protocol::Raw, "echo-c10-k1-s65536", 100),
    (Protocol::Raw, "echo-deflate-c10-k8-s1024", 200),
    (Protocol::SocketIo, "echo-c10-k1-s32", 2_000),
    (Protocol::SocketIo, "echo-c10-k8-s32", 2_000),
    (Protocol::SocketIo, "echo-c10-k8-s1024", 2_000),
    (Protocol::SocketIo, "ack-c10-k8-s32", 2_000),
];

/// The factor between the numbers of messages of the two runs.
const MORE: u64 = 6;

/// The relative increase over the recorded count that counts as a failure.
const TOLERANCE: f64 = 0.05;

/// One line of the table of counts. A count is `None` if the instrument is missing or cannot inspect the server.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) server: String,
    pub(super) protocol: Protocol,
    pub(super) workload: &'static str,
    pub(super) system_calls: Option<f64>,
    pub(super) instructions: Option<f64>,
    pub(super) allocations: Option<f64>,
}

pub(super) fn all(servers: &[Program]) -> Vec<Counts> {
    let mut counts = Vec::new();
    for (protocol, workload, messages) in WORKLOADS {
        let parsed = Workload::named(workload).expect("the workloads above are well formed");
        for server in servers.iter().filter(|server| server.runs(protocol, parsed)) {
            eprint!("counting {} {workload} {:<40}\r", protocol.name(), server.name);
            let count = |instrument: Instrument| match each(server, protocol, workload, messages, instrument)
            {
                Ok(count) => Some(count),
                Err(error) => {
                    eprintln!("not counted: {instrument:?} of {}: {error:#}", server.name);
                    None
                }
            };
            counts.push(Counts {
                server: server.name.clone(),
                protocol,
                workload,
                system_calls: count(Instrument::Strace),
                instructions: server.is_native().then(|| count(Instrument::Callgrind)).flatten(),
                allocations: server.is_native().then(|| count(Instrument::Memcheck)).flatten(),
            });
        }
    }
    counts
}

/// Compares our instructions per message with the recorded ones. Records them if there are none.
pub(super) fn check(recorded: &Path) -> Result<bool> {
    let options = Options {
        servers: vec![OURS.to_owned()],
        ..Options::from_arguments(&[])?.unwrap_or_else(|| unreachable!())
    };
    let servers = servers::all(&options)?;
    let ours = servers.programs.first().context("our server")?;
    let before: Option<BTreeMap<String, f64>> = match recorded.exists() {
        true => Some(serde_json::from_slice(&std::fs::read(recorded)?)?),
        false => None,
    };
    let mut found = BTreeMap::new();
    let mut good = true;
    for (protocol, workload, messages) in WORKLOADS {
        let name = format!("{} {workload}", protocol.name());
        let before = before.as_ref().and_then(|before| before.get(&name)).copied();
        let bearable = before.map_or(0.0, |before| before * (1.0 + TOLERANCE));
        let count = fewest(bearable, || each(ours, protocol, workload, messages, Instrument::Callgrind))?;
        match before {
            Some(before) => {
                let verdict = if count > bearable { "  WORSE" } else { "" };
                let change = (count / before - 1.0) * 100.0;
                println!("{name:<30} {before:>8} -> {count:>8} instructions  {change:+.1} %{verdict}");
                good &= count <= bearable;
            }
            None => println!("{name:<30} {count:>8} instructions, with nothing to compare"),
        }
        found.insert(name, count);
    }
    if before.is_none() {
        std::fs::write(recorded, serde_json::to_string_pretty(&found)? + "\n")?;
        println!("recorded in {}", recorded.display());
    }
    Ok(good)
}

/// Counts at most three times, until the count is low enough. The number of messages per poll is random, and each
/// message costs more if there are fewer.
fn fewest(enough: f64, mut count: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut fewest = f64::INFINITY;
    for _ in 0..3 {
        fewest = fewest.min(count()?.round());
        if fewest <= enough {
            break;
        }
    }
    Ok(fewest)
}

#[derive(Debug, Clone, Copy)]
enum Instrument {
    Strace,
    Callgrind,
    Memcheck,
}

fn each(
    server: &Program,
    protocol: Protocol,
    workload: &str,
    messages: u64,
    instrument: Instrument,
) -> Result<f64> {
    let few = total(server, protocol, workload, instrument, messages)?;
    let many = total(server, protocol, workload, instrument, messages * MORE)?;
    Ok((many - few) / (messages * (MORE - 1)) as f64)
}

/// Returns the count of the instrument for a whole run with that number of messages.
fn total(
    server: &Program,
    protocol: Protocol,
    workload: &str,
    instrument: Instrument,
    messages: u64,
) -> Result<f64> {
    let report = std::env::temp_dir().join(format!("tidewire-bench-{}", std::process::id()));
    let path = report.display().to_string();
    let log = format!("--log-file={path}");
    let command: &[&str] = match instrument {
        Instrument::Strace => &["strace", "-c", "-f", "-o", &path],
        Instrument::Callgrind => &["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", &log],
        Instrument::Memcheck => {
            &["valgrind", "--tool=memcheck", "--leak-check=no", "--undef-value-errors=no", &log]
        }
    };
    let running = Server::start(server, Workload::named(workload)?.compression(), command)?;
    let row = running.load(server.generator()?, protocol, workload, &format!("{messages}m"));
    running.stop()?;
    let row = row?;
    ensure!(row.lost + row.wrong == 0, "answers were lost or wrong");
    let text = std::fs::read_to_string(&report).context("the instrument has reported nothing")?;
    let _ = std::fs::remove_file(&report);
    match instrument {
        // The sum is the line `100.00 seconds usecs/call calls errors total`.
        Instrument::Strace => text
            .lines()
            .find(|line| line.trim_end().ends_with(" total"))
            .and_then(|line| line.split_whitespace().nth(3)?.parse().ok()),
        Instrument::Callgrind => number_after(&text, "Collected :"),
        Instrument::Memcheck => number_after(&text, "total heap usage:"),
    }
    .with_context(|| format!("{instrument:?} has not counted: {text}"))
}

/// Returns the number after `mark`. It may contain commas.
fn number_after(text: &str, mark: &str) -> Option<f64> {
    let (_, rest) = text.split_once(mark)?;
    rest.split_whitespace().next()?.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_taken_again_only_while_it_is_too_high() {
        let mut counts = [7.0, 5.4, 6.0, 1.0].into_iter();
        let mut count = || counts.next().context("asked too often");
        assert_eq!(fewest(8.0, &mut count).unwrap(), 7.0);
        assert_eq!(fewest(4.0, &mut count).unwrap(), 1.0);
        assert!(fewest(4.0, &mut count).is_err());
    }

    #[test]
    fn numbers_are_found_behind_their_marks() {
        let text = "==1== total heap usage: 1,204 allocs, 3 frees";
        assert_eq!(number_after(text, "total heap usage:"), Some(1204.0));
    }
}
