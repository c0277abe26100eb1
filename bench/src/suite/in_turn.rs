//! A run in which all servers run at once and are loaded in turn, or all clients run at once and continue in turn.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::options::Options;
use super::process::{Client, Server, answer_of};
use super::sample::{Sample, show};
use super::servers::{self, OURS, Program};
use super::table::{NO_FAULTS, in_order, name_faults};
use super::workloads::{self, Planned};
use crate::load::{Compression, Row, Turns, Workload};

/// How long a client runs in each of its turns.
const TURN: Duration = Duration::from_millis(50);

/// The result of one round, by server or client.
type Round = Vec<Turns>;

/// A line of a table: the cost of each program under a workload, compared with Tidewire.
#[derive(Debug, PartialEq)]
struct Line {
    workload: String,
    /// Tidewire's processor time for each message in microseconds.
    cost: String,
    /// The names of the other programs, and Tidewire's cost divided by theirs.
    ratios: Vec<(String, String)>,
    faults: String,
}

/// Runs all workloads that can be interrupted, and returns tables of Tidewire's cost divided by the cost of each other
/// program.
pub(super) fn run(options: &Options, programs: &[Program], turns: usize) -> Result<String> {
    ensure!(programs.iter().any(|program| program.name == OURS), "there is no {OURS} to compare with");
    let (mut servers, mut clients) = (Vec::new(), Vec::new());
    for workload in workloads::all().iter().filter(|workload| options.wants(workload)) {
        let parsed = Workload::named(&workload.name)?;
        let (measure, lines): (fn(_, _, _) -> _, _) = match parsed {
            Workload::Echo { .. } => (measure_servers, &mut servers),
            Workload::ClientEcho { .. } => (measure_clients, &mut clients),
            _ => continue,
        };
        let programs: Vec<&Program> =
            programs.iter().filter(|program| program.runs(workload.protocol, parsed)).collect();
        if !programs.iter().any(|program| program.name == OURS) {
            continue;
        }
        let mut rounds = Vec::new();
        for number in 1..=options.rounds {
            let label = format!("{} {}", workload.protocol.name(), workload.name);
            eprint!("round {number}/{}  {label:<60}\r", options.rounds);
            let round: Result<Round> = measure(&programs, workload, turns);
            rounds.push(round.with_context(|| workload.name.clone())?);
        }
        let names: Vec<&str> = programs.iter().map(|program| program.name.as_str()).collect();
        lines.push(line(&workload.name, &names, &rounds));
    }
    Ok(table("Servers in turn", &servers) + &table("Clients in turn", &clients))
}

fn table(title: &str, lines: &[Line]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let names = in_order(lines.iter().flat_map(|line| &line.ratios).map(|(name, _)| name.as_str()));
    let mut out = format!(
        "\n### {title}\n\n| workload | {OURS} µs/message | {} | faults |\n|---|---:|{}---|\n",
        names.iter().map(|name| format!("by {name}")).collect::<Vec<_>>().join(" | "),
        "---:|".repeat(names.len()),
    );
    for line in lines {
        let ratio = |name: &&str| {
            let found = line.ratios.iter().find(|(known, _)| known == name);
            found.map_or_else(|| show(None, 2), |(_, ratio)| ratio.clone())
        };
        let ratios: Vec<String> = names.iter().map(ratio).collect();
        let _ =
            writeln!(out, "| {} | {} | {} | {} |", line.workload, line.cost, ratios.join(" | "), line.faults);
    }
    out
}

/// Runs one round: starts every server, loads them in turn, and stops them.
fn measure_servers(programs: &[&Program], planned: &Planned, turns: usize) -> Result<Round> {
    let compression = Workload::named(&planned.name)?.compression();
    let mut running = Vec::new();
    for program in programs {
        running.push(Server::start(program, compression, &[])?);
    }
    let mut generator = servers::generator()?;
    generator.args(["in-turn", planned.protocol.name(), &planned.name, &turns.to_string()]);
    generator.args(running.iter().flat_map(Server::coordinates));
    let found = answer_of(generator);
    for server in running {
        server.stop()?;
    }
    found
}

/// Runs one round: starts every client, each with a floor server of its own. At any time all clients but one are
/// stopped. A client measures its own cost, so a round has one figure for each.
fn measure_clients(programs: &[&Program], planned: &Planned, turns: usize) -> Result<Round> {
    let seconds = TURN.as_secs_f64() * (turns * programs.len()) as f64;
    let floor = servers::floor()?;
    let mut running = Vec::new();
    for program in programs {
        let server = Server::start(&floor, Compression::Off, &[])?;
        let mut command = program.generator()?;
        command.args(server.coordinates());
        command.args([planned.protocol.name(), &planned.name, &seconds.to_string()]);
        running.push((Client::start(command)?, server));
    }
    while running.iter_mut().any(|(client, _)| client.is_running()) {
        for (client, _) in &mut running {
            client.go_on_for(TURN);
        }
    }
    let mut found = Vec::new();
    for (client, server) in running {
        let row: Row = client.answer()?;
        server.stop()?;
        found.push(Turns {
            costs: vec![row.figures.get("cpu_us_per_message").copied()],
            lost: row.lost,
            wrong: row.wrong,
            reordered: row.reordered,
            disconnected: 0,
        });
    }
    Ok(found)
}

/// Summarizes the rounds of a workload. The turns are in the order of `names`.
fn line(workload: &str, names: &[&str], rounds: &[Round]) -> Line {
    let mut line = Line {
        workload: workload.to_owned(),
        cost: String::new(),
        ratios: Vec::new(),
        faults: String::new(),
    };
    let ours = names.iter().position(|&name| name == OURS).unwrap_or_default();
    let mut faulty = Vec::new();
    for (place, &name) in names.iter().enumerate() {
        if place == ours {
            let costs = rounds.iter().flat_map(|round| round[ours].costs.iter().copied().flatten());
            line.cost = show(Sample(costs.collect()).median(), 2);
        } else {
            let ratios = rounds.iter().flat_map(|round| ratios(&round[ours], &round[place]));
            line.ratios.push((name.to_owned(), Sample(ratios.collect()).show_with_confidence(2)));
        }
        if let Some(faults) = faults(rounds.iter().map(|round| &round[place])) {
            faulty.push(format!("{name}: {faults}"));
        }
    }
    line.faults = if faulty.is_empty() { NO_FAULTS.to_owned() } else { faulty.join("; ") };
    line
}

/// Compare turn by turn: the turns with the same number were measured within the same second.
fn ratios<'r>(ours: &'r Turns, other: &'r Turns) -> impl Iterator<Item = f64> + 'r {
    let pairs = ours.costs.iter().zip(&other.costs);
    pairs.filter_map(|(&ours, &other)| Some(ours? / other?))
}

fn faults<'r>(turns: impl Iterator<Item = &'r Turns>) -> Option<String> {
    let mut sum = Turns::default();
    let mut stalled = 0;
    for one in turns {
        sum.lost += one.lost;
        sum.wrong += one.wrong;
        sum.reordered += one.reordered;
        sum.disconnected += one.disconnected;
        stalled += one.costs.iter().filter(|cost| cost.is_none()).count() as u64;
    }
    let named = name_faults(&[
        ("lost", sum.lost),
        ("wrong", sum.wrong),
        ("reordered", sum.reordered),
        ("disconnected", sum.disconnected),
        ("stalled turns", stalled),
    ]);
    (named != NO_FAULTS).then_some(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(costs: &[f64]) -> Turns {
        Turns { costs: costs.iter().map(|&cost| (cost > 0.0).then_some(cost)).collect(), ..Turns::default() }
    }

    #[test]
    fn tidewire_is_compared_turn_by_turn_and_one_without_an_answer_is_a_fault() {
        let first = vec![turns(&[1.0, 8.0, 0.0]), turns(&[2.0, 4.0, 6.0])];
        let second = vec![turns(&[4.0]), turns(&[3.0])];
        let line = line("echo-c1-k1-s32", &["peer", OURS], &[first, second]);
        let printed = table("Servers in turn", &[line]);
        let expected = "| echo-c1-k1-s32 | 3.50 | 0.75 (0.50–2.00) | peer: stalled turns 1 |";
        assert_eq!(printed.lines().last(), Some(expected), "{printed}");
    }

    #[test]
    fn one_that_does_not_run_a_workload_has_a_dash_in_its_line() {
        let line =
            |workload: &str, names: &[&str]| line(workload, names, &[vec![turns(&[1.0]), turns(&[2.0])]]);
        let printed = table("Servers in turn", &[line("one", &[OURS, "a"]), line("two", &[OURS, "b"])]);
        let expected =
            ["| one | 1.00 | 0.50 (0.50–0.50) | - | none |", "| two | 1.00 | - | 0.50 (0.50–0.50) | none |"];
        assert!(expected.iter().all(|line| printed.lines().any(|found| found == *line)), "{printed}");
    }
}
