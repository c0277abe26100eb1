//! The server of the page `/playground/`: the namespace `/playground`, whose events do something that can be seen.

use std::time::Duration;

use tidewire::server::{Data, HandlerError, Namespace, RawArguments, Reply, Server, Socket, Value};

/// The largest number of rooms of one visitor.
const MAX_ROOMS: usize = 20;

/// The longest name of a room, in bytes.
const MAX_ROOM_NAME: usize = 64;

/// How long a visitor may take to answer a question.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// Registers the handlers.
pub(super) fn register(io: &Server) {
    let playground = io.of("/playground");
    // The pages measure the round trip.
    playground.on("round-trip", async || {});

    // Sends all arguments back, as an event and as the acknowledgement. They are not decoded.
    playground.on("echo", async |socket: Socket, RawArguments(arguments): RawArguments| {
        socket.emit("echo", arguments.clone());
        Reply(arguments)
    });

    playground.on("join-room", async |playground: Namespace, socket: Socket, Data(room): Data<String>| {
        let id = socket.id();
        // Each socket is in one more room, which has its id as the name.
        if socket.rooms().len() > MAX_ROOMS {
            return Err(HandlerError::new(format!("you are in {MAX_ROOMS} rooms already")));
        }
        if room.is_empty() || room.len() > MAX_ROOM_NAME {
            return Err(HandlerError::new(format!("the name of a room has 1 to {MAX_ROOM_NAME} bytes")));
        }
        socket.join(&room).await.map_err(|error| HandlerError::new(error.to_string()))?;
        playground.to(&room).emit("notification", format!("{id} joined {room}"));
        Ok(())
    });
    playground.on("leave-room", async |socket: Socket, Data(room): Data<String>| socket.leave(&room));

    // Sends a value to the others in a room, if the sender is in it.
    playground.on("say", async |socket: Socket, Data((room, value)): Data<(String, Value)>| {
        if !socket.rooms().iter().any(|joined| **joined == *room) {
            return Err(HandlerError::new(format!("you are not in the room {room:?}")));
        }
        socket.to(&room).emit("said", (room, value));
        Ok(())
    });

    // Asks the visitor back, and acknowledges with the answer.
    playground.on("ask-me", async |socket: Socket, RawArguments(question): RawArguments| {
        let answer = socket.timeout(ACK_TIMEOUT).emit_with_ack::<()>("question", question);
        answer.raw().await.map_err(|error| HandlerError::new(error.to_string()))
    });

    playground.on("fail", async || Err::<(), _>(HandlerError::new("this event always fails")));
}
