//! The `tidewire` binary: a Socket.IO server and a WebSocket echo, to run as they are.

mod application;
mod args;
mod serve;

use std::io::IsTerminal;

use anyhow::Context;
use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};

fn main() -> anyhow::Result<()> {
    let arguments = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse(&arguments.log).context("TIDEWIRE_LOG")?)
        .with_writer(std::io::stderr)
        // They would go to standard error as well, with a panic if that is closed.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let Command::Serve(serve) = arguments.command.unwrap_or(Command::Serve(arguments.serve));
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve::run(serve))
}
