//! The load generator. `load ADDRESS PROCESS raw|socket.io WORKLOAD SECONDS|MESSAGESm` prints one row as JSON. `load
//! in-turn raw|socket.io WORKLOAD TURNS ADDRESS PROCESS [ADDRESS PROCESS ...]` prints the cost of each of several
//! servers.

use tidewire_bench::{host, load};

fn main() -> anyhow::Result<()> {
    host::raise_descriptor_limit()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, arguments @ ..] = &arguments[..]
        && word == "in-turn"
    {
        let turns = load::run_in_turn(&load::InTurn::from_arguments(arguments)?)?;
        println!("{}", serde_json::to_string(&turns)?);
        return Ok(());
    }
    let row = load::run(&load::Options::from_arguments(&arguments)?)?;
    println!("{}", serde_json::to_string(&row)?);
    Ok(())
}
