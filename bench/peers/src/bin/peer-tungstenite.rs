//! Raw echo with tokio-tungstenite.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::accept_async;

fn main() -> anyhow::Result<()> {
    tidewire_bench_peers::run(async |listener| {
        tidewire_bench_peers::accept(listener, async |stream| {
            let mut socket = accept_async(stream).await?;
            while let Some(message) = socket.next().await {
                let message = message?;
                if message.is_text() || message.is_binary() {
                    socket.send(message).await?;
                }
            }
            Ok(())
        })
        .await
    })
}
