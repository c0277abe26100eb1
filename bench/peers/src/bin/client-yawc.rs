//! A client of raw echo with yawc.

use std::net::SocketAddr;

use anyhow::Result;
use futures_util::StreamExt;
use tidewire_bench::load::{Dialogue, run_client};
use tidewire_bench_peers::connect;
use yawc::{Frame, Options, WebSocket, WebSocketError};

fn main() -> Result<()> {
    run_client(talk)
}

async fn talk(address: SocketAddr, dialogue: Dialogue) -> Result<()> {
    // The library checks UTF-8 only on request. Enable it, so that all clients do the same checks.
    let options = Options::default().with_max_payload_read(2 << 20).with_utf8().without_compression();
    let url = format!("ws://{address}/ws").parse()?;
    let socket = WebSocket::handshake(url, connect(address).await?, options).await?;
    let socket = socket.map(Ok::<_, WebSocketError>);
    let message = |text: &str| Frame::text(text.to_owned());
    tidewire_bench_peers::talk(socket, dialogue, message, |frame| &**frame.payload()).await
}
