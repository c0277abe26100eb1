//! What an idle connection takes. `scale [--connections N,N,...] [--runtime WORD]` starts the server `ours` beside this
//! program several times, connects that many clients, and prints the memory that each one adds to the process and to the
//! kernel.

use tidewire_bench::{host, scale};

fn main() -> anyhow::Result<()> {
    host::raise_descriptor_limit()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    scale::run(&scale::Options::from_arguments(&arguments)?)
}
