//! The Socket.IO events of the bench with socketioxide on axum.

use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};

fn main() -> anyhow::Result<()> {
    tidewire_bench_peers::run(async |listener| {
        let (layer, io) = SocketIo::builder().max_payload(2 << 20).build_layer();
        io.ns("/", on_connect);
        axum::serve(listener, axum::Router::new().layer(layer)).await?;
        Ok(())
    })
}

async fn on_connect(socket: SocketRef) {
    socket.on("echo", async |socket: SocketRef, Data::<String>(text)| {
        let _ = socket.emit("echo", &text);
    });
    socket.on("ack", async |Data::<String>(text), ack: AckSender| {
        let _ = ack.send(&text);
    });
    socket.on("join", async |socket: SocketRef, ack: AckSender| {
        socket.join("room");
        let _ = ack.send(&());
    });
    socket.on("relay", async |socket: SocketRef, Data::<Value>(value), ack: AckSender| {
        let _ = socket.to("nobody").emit("relay", &value).await;
        let _ = ack.send(&());
    });
    socket.on("broadcast", async |io: SocketIo, Data::<String>(text)| {
        let _ = io.to("room").emit("broadcast", &text).await;
    });
}
