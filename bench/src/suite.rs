//! A complete run: every server and every client under every workload, in turn, in several rounds.

mod counts;
mod in_turn;
mod options;
mod process;
mod sample;
mod servers;
mod table;
mod workloads;

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::host;
use crate::load::{Row, Workload};
use process::Server;
use servers::{Program, Servers};
use workloads::Planned;

pub use options::Options;

/// One row of the run, as stored by `--json`.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    server: String,
    round: usize,
    row: Row,
}

/// Runs the selected programs and workloads and prints the tables. Returns `false` if instruction counts were to be
/// checked and are worse than the recorded ones.
pub fn run(options: &Options) -> Result<bool> {
    let cores = std::thread::available_parallelism()?.get();
    ensure!(cores > 1, "server and generator need a core each, and this machine shows {cores}");
    if let Some(recorded) = &options.check {
        return counts::check(recorded);
    }
    if let Some(file) = &options.tables {
        let text = std::fs::read_to_string(file).context("--tables")?;
        let rows: Vec<Measured> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        print!("{}", table::print(&rows, &[]));
        return Ok(true);
    }
    // Servers that do not raise their limit inherit it.
    host::raise_descriptor_limit()?;
    let Servers { programs, missing } = servers::all(options)?;
    if let Some(turns) = options.in_turn {
        print!("{}", in_turn::run(options, &programs, turns)?);
        return Ok(true);
    }
    let floor = servers::floor()?;
    let mut json = options.json.as_ref().map(std::fs::File::create).transpose().context("--json")?;
    let mut rows = Vec::new();
    for round in 1..=options.rounds {
        for workload in workloads::all() {
            if !options.wants(&workload) {
                continue;
            }
            let parsed = Workload::named(&workload.name)?;
            for program in programs.iter().filter(|program| program.runs(workload.protocol, parsed)) {
                let label = format!("{} {} {}", workload.protocol.name(), workload.name, program.name);
                eprint!("round {round}/{}  {label:<60}\r", options.rounds);
                let row = measure(program, &floor, &workload, options.seconds);
                let row = match row {
                    Ok(row) => row,
                    Err(error) => {
                        eprintln!("FAILED: {label}: {error:#}");
                        Row::failed(workload.protocol, &workload.name)
                    }
                };
                let measured = Measured { server: program.name.clone(), round, row };
                if let Some(json) = &mut json {
                    writeln!(json, "{}", serde_json::to_string(&measured)?)?;
                }
                rows.push(measured);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
    let counts = if options.counts { counts::all(&programs) } else { Vec::new() };
    print!("{}", table::print(&rows, &counts));
    for complaint in missing {
        println!("\nNot measured, because it does not install here: {complaint}");
    }
    Ok(true)
}

/// Measures a server with the generator, or a client with the floor server.
fn measure(program: &Program, floor: &Program, planned: &Planned, seconds: f64) -> Result<Row> {
    let server = if program.is_client() { floor } else { program };
    let compression = Workload::named(&planned.name)?.compression();
    let running = Server::start(server, compression, &[])?;
    let row = running.load(program.generator()?, planned.protocol, &planned.name, &seconds.to_string());
    running.stop()?;
    row
}
