//! A WebSocket server that echoes each message: `cargo run -p tidewire-ws --example echo`.

use tidewire_ws::{SendError, WebSocket};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tidewire_ws::listen("127.0.0.1:9001", echo).await
}

pub(crate) async fn echo(mut socket: WebSocket) -> Result<(), SendError> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}
