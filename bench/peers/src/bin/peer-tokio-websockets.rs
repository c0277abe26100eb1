//! Raw echo with tokio-websockets.

use futures_util::{SinkExt, StreamExt};
use tokio_websockets::{Limits, ServerBuilder};

fn main() -> anyhow::Result<()> {
    tidewire_bench_peers::run(async |listener| {
        tidewire_bench_peers::accept(listener, async |stream| {
            let limits = Limits::default().max_payload_len(Some(2 << 20));
            let (_, mut socket) = ServerBuilder::new().limits(limits).accept(stream).await?;
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
