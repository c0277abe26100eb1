//! The client of the common Socket.IO guides, for the server of `chat.rs`: `cargo run -p tidewire --features client --example guide_client`.
#![allow(clippy::print_stdout, reason = "the example prints the events")]

use std::time::Duration;

use tidewire::client::{Client, Data, DisconnectReason, Socket};

#[tokio::main]
async fn main() {
    let socket = connect("http://localhost:3000");
    let _ = tokio::signal::ctrl_c().await;
    socket.client().close().await;
}

pub(crate) fn connect(url: &str) -> Socket {
    Client::builder(url)
        .reconnection_attempts(5)
        .reconnection_delay(Duration::from_secs(1))
        .on_connect(async |socket: Socket| {
            println!("connected: {}", socket.id().unwrap_or_default());
            socket.emit("join-room", "general");
            socket.emit("message", "hello");
        })
        .on("notification", async |Data(text): Data<String>| println!("{text}"))
        .on("message", async |Data(text): Data<String>| println!("{text}"))
        .on_disconnect(async |reason: DisconnectReason| println!("disconnected: {reason}"))
        .on_reconnect_failed(|| println!("no more attempts"))
        .connect()
}
