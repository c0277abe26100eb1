//! The `tidewire` binary: a ready-made Socket.IO server and WebSocket echo server.

mod application;
mod args;
mod log;
mod serve;

use clap::Parser;

use crate::args::{Cli, Command};

fn main() -> anyhow::Result<()> {
    let arguments = Cli::parse();
    let _log = log::init(&arguments.log)?;
    let Command::Serve(serve) = arguments.command.unwrap_or(Command::Serve(arguments.serve));
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve::run(serve))
}
