//! A reconnect storm: all connections of a server are cut at once, and all clients connect again at once. `storm
//! [--connections N] [--processes N] [--recovery] [SERVER]` starts the server, by default `ours` beside this program, and
//! prints how long the clients waited and what memory the server took.

use tidewire_bench::{host, storm};

fn main() -> anyhow::Result<()> {
    host::raise_descriptor_limit()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, arguments @ ..] = &arguments[..]
        && word == storm::CLIENTS
    {
        return storm::run_clients(arguments);
    }
    storm::run(&storm::Options::from_arguments(&arguments)?)
}
