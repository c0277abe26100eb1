//! A client of raw echo with tokio-websockets.

use std::net::SocketAddr;

use anyhow::Result;
use tidewire_bench::load::{Dialogue, run_client};
use tidewire_bench_peers::connect;
use tokio_websockets::{ClientBuilder, Message};

fn main() -> Result<()> {
    run_client(talk)
}

async fn talk(address: SocketAddr, dialogue: Dialogue) -> Result<()> {
    let builder = ClientBuilder::new().uri(&format!("ws://{address}/ws"))?;
    let (socket, _) = builder.connect_on(connect(address).await?).await?;
    let message = |text: &str| Message::text(text.to_owned());
    tidewire_bench_peers::talk(socket, dialogue, message, |message| &**message.as_payload()).await
}
