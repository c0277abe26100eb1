//! Handlers that take a state which the program has not provided.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

use tidewire_server::{
    Context, Extract, HandlerError, HandlerKind, MissingState, Server, ServerSide, Socket, State, StateMap,
};

use crate::support::{Client, program, serve};

struct Rooms;

/// An extractor of the program, which takes the state.
struct RoomCount;

impl<K: HandlerKind<Side = ServerSide>> Extract<K> for RoomCount {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        <State<Rooms> as Extract<K>>::extract(context).map(|_| Self)
    }

    fn check_state(states: &StateMap) -> Result<(), MissingState> {
        <State<Rooms> as Extract<K>>::check_state(states)
    }
}

/// Returns the message of the panic, and the line of this file at which it says that the program is wrong.
fn refused(register: impl FnOnce()) -> (String, u32) {
    thread_local!(static LINE: Cell<u32> = const { Cell::new(0) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match panic.location() {
            Some(location) if location.file() == file!() => LINE.set(location.line()),
            _ => former(panic),
        }));
    });
    LINE.set(0);
    let panic = catch_unwind(AssertUnwindSafe(register)).expect_err("the handler is refused");
    (panic.downcast_ref::<String>().expect("a message").clone(), LINE.get())
}

#[test]
fn a_handler_without_its_state_is_refused_where_it_is_registered() {
    let io = Server::new();
    let admin = io.of("/admin");
    let parent = io.of_pattern(|_| true);
    let refusals = [
        (
            "the handler of `join` in namespace `/`",
            refused(|| drop(io.on("join", async |_: State<Rooms>| {}))),
        ),
        ("`on_fallback` in namespace `/`", refused(|| drop(io.on_fallback(async |_: RoomCount| {})))),
        ("`on_connection` in", refused(|| admin.on_connection(async |_: State<Rooms>| {}))),
        (
            "`on_disconnect` in namespace `/admin`",
            refused(|| admin.on_disconnect(async |_: State<Rooms>| {})),
        ),
        ("a middleware in namespace `/admin`", refused(|| admin.middleware(async |_: State<Rooms>| {}))),
        ("a middleware of events in", refused(|| admin.event_middleware(async |_: State<Rooms>| {}))),
        ("the handler of `leave` in", refused(|| drop(parent.on("leave", async |_: State<Rooms>| {})))),
    ];
    for (handler, (message, line)) in refusals {
        let reason = "cannot be called: no state of type `socketio::missing_state::Rooms`: pass a value to `.state(..)`";
        assert!(message.starts_with(handler) && message.contains(reason), "{message}");
        assert_ne!(line, 0, "the panic of {handler} names a line of the library");
    }
}

#[test]
fn a_handler_with_its_state_is_registered() {
    let io = Server::builder().state(Rooms).state(1_u8).build();
    io.on("join", async |_: RoomCount, _: State<Rooms>, _: State<u8>| {});
    io.of_pattern(|_| true).middleware(async |_: State<Rooms>| {});
}

#[test]
fn a_state_in_an_arc_is_named() {
    let io = Server::builder().state(Arc::new(Rooms)).build();
    let (message, _) = refused(|| drop(io.on("join", async |_: State<Rooms>| {})));
    assert!(message.contains("the builder has an `Arc` of it"), "{message}");
}

#[tokio::test]
async fn a_handler_of_one_socket_without_its_state_is_reported_when_it_is_registered() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket| {
        socket.on("join", async |_: State<Rooms>| {});
        socket.once("leave", async |_: RoomCount| {});
        socket.emit("ready", ());
    });
    io.on("guard", async |socket: Socket| socket.event_middleware(async |_: State<Rooms>| {}));
    let mut client = Client::join(serve(&io).await).await;
    client.expect(r#"42["ready"]"#).await;
    let missing = "handler failed: no state of type `socketio::missing_state::Rooms`: pass a value to `.state(..)` on the builder";
    program.lines.expect([format!("error in join: {missing}"), format!("error in leave: {missing}")]).await;
    // The client learns that something is wrong, and no more.
    client.expect_only(r#"427["join"]"#, r#"437[{"error":"handler failed"}]"#).await;
    program.lines.expect([format!("error in join: {missing}")]).await;
    client.expect_only(r#"428["guard"]"#, "438[]").await;
    program.lines.expect([format!("error in -: {missing}")]).await;
}
