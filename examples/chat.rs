//! The Socket.IO server of `README.md`: `cargo run -p tidewire --example chat`.
#![allow(clippy::print_stdout, reason = "the example prints the events")]

use tidewire::server::{Cors, Data, DisconnectReason, Server, Socket};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt::init(); // turns on the log
    let io = chat();
    io.listen("0.0.0.0:3000").await
}

pub(crate) fn chat() -> Server {
    let io = Server::builder().cors(Cors::any()).build();

    io.on_connection(async |socket: Socket| println!("connected: {}", socket.id()));
    io.on("join-room", async |io: Server, socket: Socket, Data(room): Data<String>| {
        socket.join(&room);
        io.to(&room).emit("notification", format!("{} joined {room}", socket.id()));
    });
    io.on("message", async |socket: Socket, Data(text): Data<String>| {
        socket.emit("message", format!("Echo: {text}"));
    });
    io.on_disconnect(async |socket: Socket, reason: DisconnectReason| println!("{}: {reason}", socket.id()));
    io
}
