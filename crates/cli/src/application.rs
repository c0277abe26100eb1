//! The built-in application. It handles the events of the common Socket.IO guides.

use serde::Deserialize;
use tidewire::server::{Builder, Data, HandlerError, Limits, Server, Socket, Value};

/// The argument of a `message` event.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or { room, message }")]
enum Message {
    /// Echoed to the sender.
    Echo(String),
    /// Sent to all other sockets in the room.
    ToRoom { room: String, message: Value },
}

/// The maximum number of rooms per socket. It is lower than the library's default, because any client of this
/// application may join any room.
const MAX_ROOMS: usize = 1_000;

/// Builds the server and registers its handlers.
pub(crate) fn build(builder: Builder) -> Server {
    let io = builder.limits(Limits { max_rooms: MAX_ROOMS, ..Limits::default() }).build();
    io.on("join-room", async |io: Server, socket: Socket, Data(room): Data<String>| {
        // If the client requested an acknowledgement, it receives the reason.
        socket.join(&room).await.map_err(|error| HandlerError::new(error.to_string()))?;
        io.to(&room).emit("notification", format!("{} joined {room}", socket.id()));
        Ok::<_, HandlerError>(())
    });
    io.on("leave-room", async |socket: Socket, Data(room): Data<String>| socket.leave(&room));
    io.on("message", async |socket: Socket, Data(message): Data<Message>| match message {
        Message::Echo(text) => socket.emit("message", format!("Echo: {text}")),
        Message::ToRoom { room, message } => socket.to(room).emit("receive-message", message),
    });
    // Other events do nothing, but if the client requests an acknowledgement, it receives one.
    io.on_fallback(async || {});
    io
}
