//! The `tidewire` binary: a Socket.IO server and a WebSocket echo, to run as they are.

mod application;
mod arguments;
mod serve;

use clap::Parser;

use crate::arguments::{Arguments, Command};

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("TIDEWIRE_LOG").unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let Command::Serve(serve) = arguments.command.unwrap_or(Command::Serve(arguments.serve));
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve::run(serve))
}
