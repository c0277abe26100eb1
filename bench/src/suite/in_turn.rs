//! A run in which all servers are there at once, and are loaded in turn; or all clients, of which one at a time goes on.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::options::Options;
use super::process::{Client, Server, answer_of};
use super::sample::{Sample, show};
use super::servers::{self, OURS, Program};
use super::table::name_faults;
use super::workloads::{self, Planned};
use crate::load::{Compression, Row, Turns, Workload};

/// How long a client goes on, before it is the turn of the next.
const TURN: Duration = Duration::from_millis(50);

/// What one round has found, server by server, or client by client.
type Round = Vec<Turns>;

/// Runs all workloads that can be interrupted, and says what each server takes of what Tidewire takes.
pub(super) fn run(options: &Options, programs: &[Program], turns: usize) -> Result<String> {
    ensure!(programs.iter().any(|program| program.name == OURS), "there is no {OURS} to compare with");
    let mut out = String::from(
        "\n### In turn\n\n\
         | workload | who | CPU µs/message | tidewire by it | of the rounds | faults |\n\
         |---|---|---:|---:|---:|---|\n",
    );
    for workload in workloads::all().iter().filter(|workload| options.wants(workload)) {
        let parsed = Workload::named(&workload.name)?;
        let measure = match parsed {
            Workload::Echo { .. } => measure_servers,
            Workload::ClientEcho { .. } => measure_clients,
            _ => continue,
        };
        let programs: Vec<&Program> =
            programs.iter().filter(|program| program.runs(workload.protocol, parsed)).collect();
        let Some(ours) = programs.iter().position(|program| program.name == OURS) else { continue };
        let mut rounds = Vec::new();
        for number in 1..=options.rounds {
            eprint!(
                "round {number}/{}  {} {:<60}\r",
                options.rounds,
                workload.protocol.name(),
                workload.name
            );
            let round = measure(&programs, workload, turns).with_context(|| workload.name.clone());
            rounds.push(round?);
        }
        for (place, program) in programs.iter().enumerate() {
            let _ = writeln!(out, "| {} | {} {}", workload.name, program.name, row(&rounds, place, ours));
        }
    }
    Ok(out)
}

/// One round: every server is started, all are loaded in turn, and end.
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

/// One round: every client is started, each with a floor server of its own, and all but one are stopped at any time. A client
/// finds out by itself what it has taken, so that a round is one figure.
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

/// The figures of the server at `place`, beside the one at `ours`.
fn row(rounds: &[Round], place: usize, ours: usize) -> String {
    let costs = rounds.iter().flat_map(|round| round[place].costs.iter().copied().flatten()).collect();
    let ratios: Vec<Sample> = rounds.iter().map(|round| ratios(&round[ours], &round[place])).collect();
    let all = Sample(ratios.iter().flat_map(|sample| sample.0.iter().copied()).collect());
    let of_rounds = Sample(ratios.iter().filter_map(Sample::median).collect());
    format!(
        "| {} | {} | {} | {} |",
        show(Sample(costs).median(), 2),
        all.show_with_confidence(2),
        of_rounds.show_with_range(2),
        faults(rounds.iter().map(|round| &round[place])),
    )
}

/// Turn by turn: those of one number were taken within the same second.
fn ratios(ours: &Turns, other: &Turns) -> Sample {
    let pairs = ours.costs.iter().zip(&other.costs);
    Sample(pairs.filter_map(|(&ours, &other)| Some(ours? / other?)).collect())
}

fn faults<'r>(turns: impl Iterator<Item = &'r Turns>) -> String {
    let mut sum = Turns::default();
    let mut stalled = 0;
    for one in turns {
        sum.lost += one.lost;
        sum.wrong += one.wrong;
        sum.reordered += one.reordered;
        sum.disconnected += one.disconnected;
        stalled += one.costs.iter().filter(|cost| cost.is_none()).count() as u64;
    }
    name_faults(&[
        ("lost", sum.lost),
        ("wrong", sum.wrong),
        ("reordered", sum.reordered),
        ("disconnected", sum.disconnected),
        ("stalled turns", stalled),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(costs: &[f64]) -> Turns {
        Turns { costs: costs.iter().map(|&cost| (cost > 0.0).then_some(cost)).collect(), ..Turns::default() }
    }

    #[test]
    fn a_server_is_compared_turn_by_turn_and_one_without_an_answer_is_a_fault() {
        let first = vec![turns(&[2.0, 4.0, 6.0]), turns(&[1.0, 8.0, 0.0])];
        let second = vec![turns(&[3.0]), turns(&[4.0])];
        let row = row(&[first, second], 1, 0);
        assert_eq!(row, "| 4.00 | 0.75 (0.50–2.00) | 1.00 (0.75–1.25) | stalled turns 1 |");
    }
}
