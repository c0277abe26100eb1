//! Runs the bench: `cargo xtask bench` builds everything and starts this.

use std::process::ExitCode;

use tidewire_bench::suite::{self, Options};

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(options) = Options::from_arguments(&arguments)? else { return Ok(ExitCode::SUCCESS) };
    Ok(if suite::run(&options)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
