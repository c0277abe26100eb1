//! The load generator: `load ADDRESS PROCESS raw|socket.io WORKLOAD SECONDS|MESSAGESm` prints one row as JSON.

use tidewire_bench::{host, load};

fn main() -> anyhow::Result<()> {
    host::raise_descriptor_limit()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let row = load::run(&load::Options::from_arguments(&arguments)?)?;
    println!("{}", serde_json::to_string(&row)?);
    Ok(())
}
