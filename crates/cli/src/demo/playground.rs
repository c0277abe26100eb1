//! The server of the page `/playground/`: the namespace `/playground`, whose events do something that can be seen.

use std::time::{Duration, Instant};

use tidewire::server::{
    Data, Extension, HandlerError, Namespace, RawArguments, Reply, Server, Socket, Value,
};

use super::connection_limits::ConnectionLimits;
use super::rate_limit::TOO_FAST;

/// The largest number of rooms of one visitor.
const MAX_ROOMS: usize = 20;

/// The longest name of a room, in bytes.
const MAX_ROOM_NAME: usize = 64;

/// The largest size of what `say` sends to a whole room, in bytes.
const MAX_SAID: usize = 64 * 1024;

/// How long a visitor may take to answer a question.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// Registers the handlers.
pub(super) fn register(io: &Server) {
    let playground = io.of("/playground");
    playground.event_middleware(async |Extension(limits): Extension<ConnectionLimits>| {
        if limits.playground.try_take(Instant::now()) { Ok(()) } else { Err(HandlerError::new(TOO_FAST)) }
    });
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
        socket.join(channel(&room)).await.map_err(|error| HandlerError::new(error.to_string()))?;
        playground.to(channel(&room)).emit("notification", format!("{id} joined {room}"));
        Ok(())
    });
    playground
        .on("leave-room", async |socket: Socket, Data(room): Data<String>| socket.leave(channel(&room)));

    // Sends a value to the others in a room, if the sender is in it.
    playground.on("say", async |socket: Socket, RawArguments(arguments): RawArguments| {
        if arguments.size() > MAX_SAID {
            return Err(HandlerError::new(format!("a room gets at most {MAX_SAID} bytes at once")));
        }
        let (room, value): (String, Value) =
            arguments.deserialize().map_err(|error| HandlerError::new(error.to_string()))?;
        if !socket.is_in(channel(&room)) {
            return Err(HandlerError::new(format!("you are not in the room {room:?}")));
        }
        socket.to(channel(&room)).emit("said", (room, value));
        Ok(())
    });

    // Asks the visitor back, and acknowledges with the answer.
    playground.on("ask-me", async |socket: Socket, RawArguments(question): RawArguments| {
        let answer = socket.timeout(ACK_TIMEOUT).emit_with_ack::<()>("question", question);
        answer.raw().await.map_err(|error| HandlerError::new(error.to_string()))
    });

    playground.on("fail", async || Err::<(), _>(HandlerError::new("this event always fails")));
}

/// The Socket.IO room of a room of the playground. The prefix keeps visitors out of the rooms of single sockets.
fn channel(room: &str) -> String {
    format!("room:{room}")
}
