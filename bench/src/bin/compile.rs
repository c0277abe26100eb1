//! How long a small program takes to build, on Tidewire and on socketioxide: `compile [ROUNDS]` builds each of them in
//! turn, from nothing and after a change, and prints the time and the sizes.

use tidewire_bench::compile;

fn main() -> anyhow::Result<()> {
    let rounds = match std::env::args().nth(1) {
        Some(rounds) => rounds.parse()?,
        None => 3,
    };
    compile::run(rounds)
}
