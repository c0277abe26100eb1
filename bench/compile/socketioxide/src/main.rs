//! A small chat beside a route of axum. The program of the other folder does the same.

use axum::Router;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};

/// Another value makes Cargo build this program again.
const GREETING: Option<&str> = option_env!("COMPILE_GREETING");

#[derive(Debug, Serialize, Deserialize)]
struct Message {
    room: String,
    text: String,
}

async fn on_connect(socket: SocketRef) {
    socket.on("join", async |socket: SocketRef, Data::<String>(room), ack: AckSender| {
        socket.join(room.clone());
        let _ = ack.send(&room);
    });
    socket.on("message", async |socket: SocketRef, Data::<Message>(message)| {
        let room = message.room.clone();
        let _ = socket.to(room).emit("message", &message).await;
    });
    socket.on("echo", async |socket: SocketRef, Data::<String>(text)| {
        let _ = socket.emit("echo", &text);
    });
    socket.on_disconnect(async |_socket: SocketRef| println!("disconnected"));
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", on_connect);
    let app = Router::new().route("/", get(async || GREETING.unwrap_or("hello"))).layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app).await
}
