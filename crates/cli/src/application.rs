//! The built-in application. It handles the events of the common Socket.IO guides.

use serde::Deserialize;
use tidewire::server::{Builder, Data, HandlerError, Limits, Server, Socket, Value};

/// A message to a room.
#[derive(Deserialize)]
struct ToRoom {
    room: String,
    message: Value,
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
    io.on("message", echo_or_relay);
    // Other events do nothing, but if the client requests an acknowledgement, it receives one.
    io.on_fallback(async || {});
    io
}

/// Echoes a text, and sends the message of `{ room, message }` to all other sockets in the room.
///
/// An untagged enum could distinguish the two, but serde reads the argument twice for it and takes four times as long.
async fn echo_or_relay(socket: Socket, Data(argument): Data<Value>) -> Result<(), HandlerError> {
    if let Value::String(text) = argument {
        socket.emit("message", format!("Echo: {text}"));
        return Ok(());
    }
    let ToRoom { room, message } = argument
        .deserialize_into()
        .map_err(|_| HandlerError::new("argument 0: expected a text or { room, message }"))?;
    socket.to(room).emit("receive-message", message);
    Ok(())
}
