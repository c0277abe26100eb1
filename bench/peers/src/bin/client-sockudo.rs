//! A client of raw echo with sockudo-ws.

use std::net::SocketAddr;

use anyhow::Result;
use sockudo_ws::client::WebSocketClient;
use sockudo_ws::{Config, Http1, Message};
use tidewire_bench::load::{Dialogue, run_client};
use tidewire_bench_peers::connect;

fn main() -> Result<()> {
    run_client(talk)
}

async fn talk(address: SocketAddr, dialogue: Dialogue) -> Result<()> {
    let client = WebSocketClient::<Http1>::new(Config::default());
    let (socket, _) = client.connect(connect(address).await?, &address.to_string(), "/ws", None).await?;
    tidewire_bench_peers::talk(socket, dialogue, |text| Message::text(text.to_owned()), payload).await
}

fn payload(message: &Message) -> &[u8] {
    match message {
        Message::Text(text) => text,
        _ => &[],
    }
}
