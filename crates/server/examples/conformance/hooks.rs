//! `/events` and `/hooks`: middleware and catch-all listeners of events, handlers of one socket, and the rooms of a socket
//! that disconnects. The hooks of `/events` belong to each socket, those of `/hooks` to the namespace.

use std::sync::Mutex;
use std::time::Duration;

use serde::Serialize;
use tidewire_server::{
    Data, DisconnectReason, HandlerError, Namespace, ObservedEvent, RawArguments, ReceivedEvent, Reply,
    Server, Socket,
};

pub(crate) fn register(io: &Server) {
    let (events, hooks) = (io.of("/events"), io.of("/hooks"));
    events.on_connection(async |socket: Socket| {
        set_up(&socket);
        socket.on_any(observe_received);
        socket.on_any_outgoing(observe_sent);
        socket.event_middleware(change_or_refuse);
        socket.on_disconnecting(say_farewell);
    });
    hooks.on_connection(async |socket: Socket| set_up(&socket));
    hooks.on_any(observe_received);
    hooks.on_any_outgoing(observe_sent);
    hooks.event_middleware(change_or_refuse);
    hooks.on_disconnecting(say_farewell);
    for namespace in [&events, &hooks] {
        register_events(namespace);
    }
}

/// The names of the events of one socket, oldest first.
#[derive(Clone, Default, Serialize)]
struct Observed {
    received: Vec<String>,
    sent: Vec<String>,
}

type ObservedBySocket = Mutex<Observed>;

fn set_up(socket: &Socket) {
    socket.set_extension(ObservedBySocket::default());
    socket.once("once", async |socket: Socket| socket.emit("once-back", ()));
    socket.on("until off", async |socket: Socket| socket.emit("until-off-back", ()));
}

fn observe_received(socket: &Socket, event: ObservedEvent<'_>) {
    observe(socket, |observed| observed.received.push(event.name().to_owned()));
}

fn observe_sent(socket: &Socket, event: ObservedEvent<'_>) {
    observe(socket, |observed| observed.sent.push(event.name().to_owned()));
}

fn observe<R>(socket: &Socket, change: impl FnOnce(&mut Observed) -> R) -> R {
    let observed = socket.extension::<ObservedBySocket>().expect("`on_connection` has set it");
    change(&mut observed.lock().expect("no panic"))
}

async fn change_or_refuse(event: ReceivedEvent) -> Result<ReceivedEvent, HandlerError> {
    match event.name() {
        "refused" => Err(HandlerError::new("refused")),
        "old name" => Ok(ReceivedEvent::new("echo", "renamed")?),
        _ => {
            let delay = event.data::<u64>().unwrap_or_default() % 3;
            tokio::time::sleep(Duration::from_millis(delay)).await;
            Ok(event)
        }
    }
}

fn say_farewell(socket: &Socket, reason: DisconnectReason) {
    for room in socket.rooms() {
        socket.to(room.clone()).emit("leaving", (room.to_string(), reason.as_str()));
    }
}

fn register_events(namespace: &Namespace) {
    for name in ["echo", "refused"] {
        namespace.on(name, async |socket: Socket, RawArguments(arguments): RawArguments| {
            socket.emit("echo-back", arguments);
        });
    }
    namespace.on("off", async |socket: Socket| socket.off("until off"));
    namespace.on("join", async |socket: Socket, Data(room): Data<String>| {
        socket.join(&room);
    });
    namespace.on("to-all", async |namespace: Namespace| namespace.emit("to-all", ()));
    namespace.on("observed", async |socket: Socket| Reply(observe(&socket, |observed| observed.clone())));
}
