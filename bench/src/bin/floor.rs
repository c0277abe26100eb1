//! The floor server: `floor ADDRESS`. It serves a raw echo on `/ws`, and the events of the bench under `/socket.io/`.

fn main() -> anyhow::Result<()> {
    tidewire_bench::host::raise_descriptor_limit()?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    tidewire_bench::floor::serve(&address)
}
