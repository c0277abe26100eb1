//! Observers of events in both directions, and handlers of one socket.

use tidewire_server::{
    ConnectError, Data, DisconnectReason, EventName, HandlerError, ReceivedEvent, Reply, Server, Socket,
    State,
};

use crate::support::{Client, Joined, Log, program, serve};

fn observe(io: &Server, log: &Log) {
    let (received, sent) = (log.clone(), log.clone());
    io.on_any(move |_, event| {
        let (name, arguments) = (event.name(), event.arguments().json_elements());
        received.say(format_args!("received {name} {arguments} {}", event.is_ack_requested()));
    });
    io.on_any_outgoing(move |_, event| {
        let (name, arguments) = (event.name(), event.arguments().json_elements());
        sent.say(format_args!("sent {name} {arguments} {}", event.is_ack_requested()));
    });
}

/// Returns a log that writes to the lines of the program.
async fn log_of(io: &Server, program: &mut crate::support::Program, address: std::net::SocketAddr) -> Log {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let sender = std::sync::Arc::new(std::sync::Mutex::new(Some(sender)));
    let setup = io.of("/setup");
    setup.on_connection(move |log: State<Log>| {
        if let Some(sender) = sender.lock().expect("no panic").take() {
            let _ = sender.send((*log).clone());
        }
        async {}
    });
    Client::open(address).await.connect("/setup,").await;
    program.lines.expect_silence();
    receiver.await.expect("the handler ran")
}

#[tokio::test]
async fn on_any_sees_every_event_before_middleware_and_handler() {
    let (builder, mut program) = program();
    let io = builder.build();
    let address = serve(&io).await;
    let log = log_of(&io, &mut program, address).await;
    observe(&io, &log);
    io.event_middleware(async |log: State<Log>, event: ReceivedEvent| {
        log.say("middleware");
        if event.name() == "refused" {
            return Err(HandlerError::new("no"));
        }
        Ok(ReceivedEvent::new("renamed", event.arguments())?)
    });
    io.on_fallback(async |log: State<Log>, EventName(name): EventName| {
        log.say(format_args!("handled {name}"));
    });
    let mut client = Client::join(address).await;
    client.expect_only(r#"427["a",1,"x"]"#, "437[]").await;
    client.send(r#"42["refused"]"#).await;
    program
        .lines
        .expect([
            r#"received a 1,"x" true"#,
            "middleware",
            "handled renamed",
            "received refused  false",
            "middleware",
            "error in refused: no",
        ])
        .await;
    program.lines.expect_silence();
}

#[tokio::test]
async fn on_any_outgoing_sees_emits_and_broadcasts_but_no_acknowledgements() {
    let (builder, mut program) = program();
    let io = builder.build();
    let address = serve(&io).await;
    let log = log_of(&io, &mut program, address).await;
    observe(&io, &log);
    io.on_connection(async |socket: Socket, joined: State<Joined>| {
        socket.join("room");
        let _ = joined.0.0.send(socket);
    });
    io.on("echo", async |socket: Socket, Data(text): Data<String>| {
        socket.emit("echoed", &text);
        Reply(text)
    });
    let mut client = Client::join(address).await;
    let socket = program.joined().await;
    client.send(r#"420["echo","hi"]"#).await;
    client.expect(r#"42["echoed","hi"]"#).await;
    client.expect(r#"430["hi"]"#).await;
    program.lines.expect([r#"received echo "hi" true"#, r#"sent echoed "hi" false"#]).await;
    io.to("room").emit("news", (1, 2));
    io.to("another room").emit("news", 3);
    io.except("room").emit("news", 4);
    socket.broadcast().emit("news", 5);
    program.lines.expect(["sent news 1,2 false"]).await;
    client.expect(r#"42["news",1,2]"#).await;
    let _question = socket.emit_with_ack::<()>("question", serde_bytes::Blob);
    program.lines.expect([r#"sent question {"_placeholder":true,"num":0} true"#]).await;
    socket.disconnect();
    socket.emit("late", ());
    program.lines.expect_silence();
}

/// A value that is sent as an attachment.
mod serde_bytes {
    #[derive(Debug)]
    pub(super) struct Blob;

    impl serde::Serialize for Blob {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&[1, 2, 3])
        }
    }
}

#[tokio::test]
async fn an_observer_of_one_socket_sees_only_its_events_and_may_emit_and_panic() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| {
        let _ = joined.0.0.send(socket);
    });
    io.on_fallback(async || {});
    let address = serve(&io).await;
    let mut watched = Client::join(address).await;
    let socket = program.joined().await;
    let mut other = Client::join(address).await;
    program.joined().await;
    socket.on_any(|_, event| assert_ne!(event.name(), "boom"));
    socket.on_any_outgoing(|socket, event| {
        socket.emit("seen", event.name());
        assert_ne!(event.name(), "boom");
    });
    io.emit("boom", ());
    watched.expect(r#"42["boom"]"#).await;
    watched.expect(r#"42["seen","boom"]"#).await;
    other.expect(r#"42["boom"]"#).await;
    watched.send(r#"42["boom"]"#).await;
    for line in [program.lines.next().await, program.lines.next().await] {
        assert!(line.starts_with("error in boom: handler failed: panicked: "), "{line}");
    }
    socket.emit("fine", ());
    watched.expect(r#"42["fine"]"#).await;
    watched.expect(r#"42["seen","fine"]"#).await;
    other.expect_only("40/nope,", r#"44/nope,{"message":"Invalid namespace"}"#).await;
    program.lines.expect_silence();
}

#[tokio::test]
async fn off_any_removes_the_observers_of_the_socket_and_leaves_those_of_the_namespace() {
    let (builder, mut program) = program();
    let io = builder.build();
    let address = serve(&io).await;
    let log = log_of(&io, &mut program, address).await;
    observe(&io, &log);
    io.on_connection(async |socket: Socket, joined: State<Joined>| {
        let _ = joined.0.0.send(socket);
    });
    let mut client = Client::join(address).await;
    let socket = program.joined().await;
    let own = log.clone();
    socket.on_any(move |_, event| own.say(format_args!("own received {}", event.name())));
    let own = log.clone();
    socket.on_any_outgoing(move |_, event| own.say(format_args!("own sent {}", event.name())));
    client.send(r#"42["one"]"#).await;
    program.lines.expect(["received one  false", "own received one"]).await;
    socket.emit("two", ());
    program.lines.expect(["sent two  false", "own sent two"]).await;
    socket.off_any();
    socket.off_any_outgoing();
    client.send(r#"42["three"]"#).await;
    program.lines.expect(["received three  false"]).await;
    socket.emit("four", ());
    program.lines.expect(["sent four  false"]).await;
    program.lines.expect_silence();
}

#[tokio::test]
async fn once_is_for_one_event_and_off_removes_the_handlers_of_the_socket() {
    let (builder, _program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket| {
        socket.on("event", async || Reply("on"));
        socket.once("event", async || Reply("replaced"));
        socket.once("event", async || Reply("once"));
        socket.once("other", async |Data(number): Data<u8>| Reply(number));
    });
    io.on("event", async || Reply("namespace"));
    io.on("off", async |socket: Socket, Data(name): Data<String>| {
        socket.once("event", async || Reply("never"));
        socket.off(name);
    });
    io.on_fallback(async || Reply("fallback"));
    let mut client = Client::join(serve(&io).await).await;
    client.expect_only(r#"421["event"]"#, r#"431["once"]"#).await;
    client.expect_only(r#"422["event"]"#, r#"432["on"]"#).await;
    client.expect_only(r#"423["event"]"#, r#"433["on"]"#).await;
    client.expect_only(r#"424["off","event"]"#, "434[]").await;
    client.expect_only(r#"425["event"]"#, r#"435["namespace"]"#).await;
    // A handler is used up even if it could not be called.
    client.send(r#"426["other"]"#).await;
    assert!(client.recv().await.is_some_and(|reply| reply.starts_with(r#"436[{"error":""#)));
    client.expect_only(r#"427["other",1]"#, r#"437["fallback"]"#).await;
}

#[tokio::test]
async fn on_disconnecting_sees_the_rooms_and_the_reason_before_on_disconnect() {
    let (builder, mut program) = program();
    let io = builder.build();
    let address = serve(&io).await;
    let log = log_of(&io, &mut program, address).await;
    let shared = log.clone();
    io.on_disconnecting(move |socket, reason| {
        let rooms = socket.rooms();
        shared.say(format_args!("disconnecting from {} rooms: {reason}", rooms.len()));
        socket.namespace().to("room").emit("left", reason.as_str());
        socket.disconnect();
        assert_ne!(reason, DisconnectReason::ServerNamespaceDisconnect);
    });
    io.on_connection(move |socket: Socket| {
        let log = log.clone();
        socket.join("room");
        socket.on_disconnecting(move |socket, _| log.say(format_args!("own: {}", socket.rooms().len())));
        async {}
    });
    io.on("kick", async |socket: Socket| socket.disconnect());
    io.on_disconnect(async |socket: Socket, log: State<Log>, reason: DisconnectReason| {
        log.say(format_args!("disconnected from {} rooms: {reason}", socket.rooms().len()));
    });
    let mut witness = Client::join(address).await;
    let client = Client::join(address).await;
    drop(client);
    witness.expect(r#"42["left","transport close"]"#).await;
    let expected = [
        "disconnecting from 2 rooms: transport close",
        "own: 2",
        "disconnected from 0 rooms: transport close",
    ];
    program.lines.expect(expected).await;
    let mut kicked = Client::join(address).await;
    kicked.expect_only(r#"42["kick"]"#, "41").await;
    program.lines.expect(["disconnecting from 2 rooms: server namespace disconnect"]).await;
    let line = program.lines.next().await;
    assert!(line.starts_with("error in -: handler failed: panicked: "), "{line}");
    program.lines.expect(["own: 2", "disconnected from 0 rooms: server namespace disconnect"]).await;
}

#[tokio::test]
async fn a_refused_client_neither_disconnects_nor_was_it_there() {
    let (builder, mut program) = program();
    let io = builder.build();
    let address = serve(&io).await;
    let log = log_of(&io, &mut program, address).await;
    io.middleware(async || Err::<(), _>(ConnectError::new("nobody")));
    io.on_disconnecting(move |_, reason| log.say(format_args!("disconnecting: {reason}")));
    io.on_disconnect(async |log: State<Log>, reason: DisconnectReason| log.say(reason));
    let mut client = Client::open(address).await;
    client.expect_only("40", r#"44{"message":"nobody"}"#).await;
    client.expect_only("40", r#"44{"message":"nobody"}"#).await;
    drop(client);
    crate::support::until(|| io.connection_count() == 0).await;
    io.close().await;
    program.lines.expect_silence();
}
