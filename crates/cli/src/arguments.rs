//! What may be said on the command line and in the environment.

use clap::{Args, Parser, Subcommand};

/// A Socket.IO and WebSocket server.
#[derive(Debug, Parser)]
#[command(name = "tidewire", version, about, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Without a subcommand the server is run.
    #[command(flatten)]
    pub(crate) serve: Serve,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server (what happens without a subcommand too)
    Serve(Serve),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", env = "TIDEWIRE_LISTEN", default_value = "127.0.0.1:3000")]
    pub(crate) listen: String,

    /// Origin whose pages may read the responses, for instance https://example.com; may be given several times
    /// [default: every origin]
    #[arg(long, value_name = "ORIGIN", env = "TIDEWIRE_ALLOW_ORIGIN", value_delimiter = ',')]
    pub(crate) allow_origin: Vec<String>,
}
