//! A run in which all servers are there at once, and are loaded in turn.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};

use super::options::Options;
use super::process::{Server, answer_of};
use super::sample::{Sample, show};
use super::servers::{self, OURS, Program};
use super::table::name_faults;
use super::workloads::{self, Planned};
use crate::load::{Turns, Workload};

/// What one round has found, server by server.
type Round = Vec<Turns>;

/// Runs all workloads that can be interrupted, and says what each server takes of what Tidewire takes.
pub(super) fn run(options: &Options, programs: &[Program], turns: usize) -> Result<String> {
    ensure!(programs.iter().any(|program| program.name == OURS), "there is no {OURS} to compare with");
    let mut out = String::from(
        "\n### In turn\n\n\
         | workload | server | CPU µs/message | tidewire by it | of the rounds | faults |\n\
         |---|---|---:|---:|---:|---|\n",
    );
    for workload in workloads::all().iter().filter(|workload| options.wants(workload)) {
        let parsed = Workload::named(&workload.name)?;
        if !matches!(parsed, Workload::Echo { .. }) {
            continue;
        }
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
            rounds.push(measure(&programs, workload, parsed, turns)?);
        }
        for (place, program) in programs.iter().enumerate() {
            let _ = writeln!(out, "| {} | {} {}", workload.name, program.name, row(&rounds, place, ours));
        }
    }
    Ok(out)
}

/// One round: every server is started, all are loaded in turn, and end.
fn measure(programs: &[&Program], planned: &Planned, workload: Workload, turns: usize) -> Result<Round> {
    let mut running = Vec::new();
    for program in programs {
        running.push(Server::start(program, workload.compression(), &[])?);
    }
    let mut generator = servers::generator()?;
    generator.args(["in-turn", planned.protocol.name(), &planned.name, &turns.to_string()]);
    generator.args(running.iter().flat_map(Server::coordinates));
    let found = answer_of(generator).with_context(|| planned.name.clone());
    for server in running {
        server.stop()?;
    }
    found
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
