//! Memory that comes back. `memory [--connections N] COMMAND...` starts the binary, which must listen on `{port}` of its
//! command, fills its memory in several ways, and prints what stays resident after the clients have left.

use tidewire_bench::{host, memory};

fn main() -> anyhow::Result<()> {
    host::raise_descriptor_limit()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    memory::run(&memory::Options::from_arguments(&arguments)?)
}
