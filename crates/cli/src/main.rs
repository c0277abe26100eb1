//! The `tidewire` binary: a ready-made Socket.IO server and WebSocket echo server.

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
        .with_env_filter(
            EnvFilter::builder()
                .parse(&arguments.log)
                .context("invalid log filter in --log or TIDEWIRE_LOG")?,
        )
        .with_writer(std::io::stderr)
        // The subscriber would also write its internal errors to standard error, and would panic if that is closed.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let Command::Serve(serve) = arguments.command.unwrap_or(Command::Serve(arguments.serve));
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve::run(serve))
}
