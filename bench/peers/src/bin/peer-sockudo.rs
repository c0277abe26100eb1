//! Raw echo with sockudo-ws on axum. `peer-sockudo ADDRESS deflate` compresses if clients offer it.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::any;
use futures_util::StreamExt;
use sockudo_ws::axum_integration::{WebSocket, WebSocketUpgrade};
use sockudo_ws::{Compression, Config, Message};

fn main() -> anyhow::Result<()> {
    tidewire_bench_peers::run(async |listener| {
        axum::serve(listener, Router::new().route("/ws", any(handshake))).await?;
        Ok(())
    })
}

async fn handshake(upgrade: WebSocketUpgrade) -> impl IntoResponse {
    let compression =
        if tidewire_bench_peers::deflates() { Compression::Dedicated } else { Compression::Disabled };
    let config = Config::builder().max_payload_length(2 << 20).compression(compression).build();
    upgrade.config(config).on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.next().await {
        if matches!(message, Message::Text(_) | Message::Binary(_)) && socket.send(message).await.is_err() {
            return;
        }
    }
}
