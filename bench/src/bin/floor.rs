//! The floor server: `floor ADDRESS`. Raw echo on `/ws`, and under `/socket.io/` the events of the bench.

fn main() -> anyhow::Result<()> {
    tidewire_bench::host::raise_descriptor_limit()?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    tidewire_bench::floor::serve(&address)
}
