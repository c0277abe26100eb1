//! The built-in application: the events of the common Socket.IO guides.

use serde::Deserialize;
use tidewire::server::{Builder, Data, HandlerError, Limits, Server, Socket};

/// What a `message` carries.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or { room, message }")]
enum Message {
    /// Answered to the sender.
    Echo(String),
    /// Sent to everyone else in the room.
    ToRoom { room: String, message: serde_json::Value },
}

/// Rooms of one socket, less than elsewhere: here every client joins whatever it names.
const MAX_ROOMS: usize = 1_000;

/// The server with its handlers.
pub(crate) fn build(builder: Builder) -> Server {
    let io = builder.limits(Limits { max_rooms: MAX_ROOMS, ..Limits::default() }).build();
    io.on("join-room", async |io: Server, socket: Socket, Data(room): Data<String>| {
        // A client that asked for an acknowledgement is told what was wrong with its room.
        socket.join(&room).await.map_err(|error| HandlerError::new(error.to_string()))?;
        io.to(&room).emit("notification", format!("{} joined {room}", socket.id()));
        Ok::<_, HandlerError>(())
    });
    io.on("leave-room", async |socket: Socket, Data(room): Data<String>| socket.leave(&room));
    io.on("message", async |socket: Socket, Data(message): Data<Message>| match message {
        Message::Echo(text) => socket.emit("message", format!("Echo: {text}")),
        Message::ToRoom { room, message } => socket.to(room).emit("receive-message", message),
    });
    // An event of another name does nothing here; a client that asks for an acknowledgement gets one all the same.
    io.on_fallback(async || {});
    io
}
