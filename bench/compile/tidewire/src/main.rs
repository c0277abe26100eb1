//! A small chat beside a route of axum. The program of the other folder does the same.

use axum::Router;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tidewire::server::{Data, Reply, Server, Socket};

/// Another value makes Cargo build this program again.
const GREETING: Option<&str> = option_env!("COMPILE_GREETING");

#[derive(Debug, Serialize, Deserialize)]
struct Message {
    room: String,
    text: String,
}

fn server() -> Server {
    let io = Server::builder().build();
    io.on("join", async |socket: Socket, Data(room): Data<String>| {
        socket.join(&room);
        Reply(room)
    });
    io.on("message", async |socket: Socket, Data(message): Data<Message>| {
        let room = message.room.clone();
        socket.to(&room).emit("message", message);
    });
    io.on("echo", async |socket: Socket, Data(text): Data<String>| {
        socket.emit("echo", text);
    });
    io.on_disconnect(async |_socket: Socket| println!("disconnected"));
    io
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/", get(async || GREETING.unwrap_or("hello"))).layer(server().layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app).await
}
