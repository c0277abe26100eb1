//! A client of raw echo with tokio-tungstenite.

use std::net::SocketAddr;

use anyhow::Result;
use tidewire_bench::load::{Dialogue, run_client};
use tidewire_bench_peers::connect;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

fn main() -> Result<()> {
    run_client(talk)
}

async fn talk(address: SocketAddr, dialogue: Dialogue) -> Result<()> {
    let (socket, _) = client_async(format!("ws://{address}/ws"), connect(address).await?).await?;
    tidewire_bench_peers::talk(socket, dialogue, |text| Message::text(text), payload).await
}

fn payload(message: &Message) -> &[u8] {
    match message {
        Message::Text(text) => text.as_bytes(),
        _ => &[],
    }
}
