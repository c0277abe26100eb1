//! The `tidewire` binary: a ready-made Socket.IO server and WebSocket echo server.

mod application;
mod args;
mod browser_client;
mod certificate;
mod cluster;
mod demo;
mod log;
#[cfg(feature = "metrics")]
mod metrics;
mod output;
mod serve;
mod web_sockets;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::args::{Cli, Command};

/// Returns freed memory to the system within seconds. glibc keeps most of it: docs/deployment.md, "Memory".
#[cfg(all(feature = "jemalloc", target_os = "linux"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let Err(error) = run(Cli::parse()) else { return ExitCode::SUCCESS };
    // Returning the error would print it too, but would wait until somebody reads it.
    let print = move || drop(writeln!(io::stderr(), "Error: {error:?}"));
    output::in_background(print).wait_at_most(Duration::from_secs(1));
    ExitCode::FAILURE
}

fn run(arguments: Cli) -> anyhow::Result<()> {
    let _log = log::init(&arguments.log)?;
    let Command::Serve(serve) = arguments.command.unwrap_or(Command::Serve(arguments.serve));
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // A thread's queue holds 256 tasks. If several hundred connections are busy, more events at once make it overflow,
        // and some connections then wait much longer than others: docs/deployment.md, "Fairness under full load".
        .max_io_events_per_tick(32)
        .build()?
        .block_on(serve::run(serve))
}
