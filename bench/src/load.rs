//! The load generator: one thread that runs one workload against one server and checks every response byte by byte.

mod broadcast;
mod burst;
mod client;
mod deflate;
mod echo;
mod fleet;
mod idle;
mod in_turn;
mod measure;
mod noisy_neighbors;
mod options;
mod paced;
mod polling;
mod script;
mod tally;
mod upgrade;
mod web;

use anyhow::Result;

pub use client::{Dialogue, run_client};
pub use in_turn::{InTurn, Turns, run_in_turn};
pub use measure::Row;
pub use options::{Compression, Options, Protocol, Workload};

/// Runs the workload. The row tells what it cost and whether the responses were correct.
pub fn run(options: &Options) -> Result<Row> {
    match options.workload {
        Workload::Echo { .. } => echo::run(options),
        Workload::Paced { .. } => paced::run(options),
        Workload::Broadcast { .. } => broadcast::run(options),
        Workload::Burst { .. } => burst::run(options),
        Workload::Polling { .. } => polling::run(options),
        Workload::Upgrade { .. } => upgrade::run(options),
        Workload::Idle { .. } => idle::run(options),
        Workload::ClientEcho { .. } => client::run_bare(options),
        Workload::Attack { .. } | Workload::LargeRoom { .. } => noisy_neighbors::run(options),
    }
}
