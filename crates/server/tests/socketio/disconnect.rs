//! Disconnect reasons, and what the client receives.

use std::time::Duration;

use tidewire_server::{Builder, Data, DisconnectReason, DroppedEvents, Server, Socket, State};

use crate::support::{Client, Gate, Joined, Log, Program, program, serve, soon, until};

/// A server that logs the disconnect reason of each socket.
fn leaving(change: impl FnOnce(Builder) -> Builder) -> (Server, Program) {
    let (builder, program) = program();
    let io = change(builder).build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| {
        let _ = joined.0.0.send(socket);
    });
    io.on("kick", async |socket: Socket| socket.disconnect());
    io.on("kick-all", async |socket: Socket| socket.close_connection());
    io.on("wait", async |gate: State<Gate>| gate.pass().await);
    io.on("event", async |log: State<Log>| log.say("an event"));
    io.on_disconnect(async |socket: Socket, log: State<Log>, reason: DisconnectReason| {
        log.say(format_args!(
            "{reason}, connected: {}, rooms: {}",
            socket.is_connected(),
            socket.rooms().len()
        ));
    });
    (io, program)
}

/// Asserts that `on_disconnect` is called once, with `reason`.
async fn expect_reason(io: &Server, mut program: Program, client: Option<Client>, reason: DisconnectReason) {
    let socket = program.joined().await;
    assert_eq!(soon(socket.disconnected()).await, reason);
    program.lines.expect([format!("{reason}, connected: false, rooms: 0")]).await;
    drop(client);
    io.close().await;
    program.lines.expect_silence();
    assert_eq!(soon(socket.disconnected()).await, reason, "the first reason stays");
}

#[tokio::test]
async fn server_namespace_disconnect() {
    let (io, program) = leaving(|builder| builder);
    let mut client = Client::join(serve(&io).await).await;
    client.expect_only(r#"42["kick"]"#, "41").await;
    expect_reason(&io, program, Some(client), DisconnectReason::ServerNamespaceDisconnect).await;
}

#[tokio::test]
async fn server_namespace_disconnect_of_the_whole_connection() {
    let (io, mut program) = leaving(|builder| builder);
    let _ = io.of("/other");
    let mut client = Client::join(serve(&io).await).await;
    client.connect("/other,").await;
    client.send(r#"42["kick-all"]"#).await;
    let mut packets = [client.recv().await.expect("a packet"), client.recv().await.expect("a packet")];
    packets.sort();
    assert_eq!(packets, ["41", "41/other,"]);
    client.expect_end().await;
    program.lines.expect(["server namespace disconnect, connected: false, rooms: 0"]).await;
    until(|| io.connection_count() == 0).await;
}

#[tokio::test]
async fn client_namespace_disconnect() {
    let (io, program) = leaving(|builder| builder);
    let mut client = Client::join(serve(&io).await).await;
    client.send("41").await;
    expect_reason(&io, program, Some(client), DisconnectReason::ClientNamespaceDisconnect).await;
}

#[tokio::test]
async fn transport_close() {
    let (io, program) = leaving(|builder| builder);
    drop(Client::join(serve(&io).await).await);
    expect_reason(&io, program, None, DisconnectReason::TransportClose).await;
}

#[tokio::test]
async fn transport_error() {
    let (io, program) = leaving(|builder| builder);
    let mut client = Client::join(serve(&io).await).await;
    client.send("2").await;
    client.expect_end().await;
    expect_reason(&io, program, Some(client), DisconnectReason::TransportError).await;
}

#[tokio::test]
async fn the_end_of_a_connection_is_described_if_there_is_more_to_say_than_its_reason() {
    for (packet, description) in [
        ("2", Some("the client sent a packet of the heartbeat that is the server's")),
        ("x", Some("the client sent an invalid packet")),
        ("41", None),
    ] {
        let (io, mut program) = leaving(|builder| builder);
        let mut client = Client::join(serve(&io).await).await;
        let socket = program.joined().await;
        assert_eq!(socket.disconnect_description(), None);
        client.send(packet).await;
        soon(socket.disconnected()).await;
        assert_eq!(socket.disconnect_description(), description, "{packet}");
    }
}

#[tokio::test(start_paused = true)]
async fn ping_timeout() {
    let short = Duration::from_millis(50);
    let (io, program) = leaving(|builder| builder.ping_interval(short).ping_timeout(short));
    let client = Client::join_in_memory(&io, 1_024).await;
    expect_reason(&io, program, Some(client), DisconnectReason::PingTimeout).await;
}

#[tokio::test]
async fn parse_error() {
    let (io, program) = leaving(|builder| builder);
    let mut client = Client::join(serve(&io).await).await;
    client.send("x").await;
    client.expect_end().await;
    expect_reason(&io, program, Some(client), DisconnectReason::ParseError).await;
}

#[tokio::test]
async fn forced_close_is_reported_to_the_error_hook() {
    for undecodable in ["4", "49", "42[", "42[\"connect\"]", "451-[\"a\",{\"_placeholder\":true,\"num\":7}]"]
    {
        let (io, mut program) = leaving(|builder| builder);
        let mut client = Client::join(serve(&io).await).await;
        client.send(undecodable).await;
        if undecodable.starts_with("451") {
            client.send_binary(&[1]).await;
        }
        client.expect_end().await;
        let line = program.lines.next().await;
        assert!(line.starts_with("error in -: "), "{undecodable}: {line}");
        expect_reason(&io, program, Some(client), DisconnectReason::ForcedClose).await;
    }
}

#[tokio::test]
async fn forced_server_close() {
    for broken in ["40", "42/other,[\"event\"]", "43/other,0[]", "41/other,", "44{\"message\":\"x\"}"] {
        let (io, program) = leaving(|builder| builder);
        let mut client = Client::join(serve(&io).await).await;
        client.send(broken).await;
        client.expect_end().await;
        expect_reason(&io, program, Some(client), DisconnectReason::ForcedServerClose).await;
    }
}

#[tokio::test]
async fn server_shutting_down() {
    let (io, program) = leaving(|builder| builder);
    let mut client = Client::join(serve(&io).await).await;
    // No `41`, so that the client reconnects.
    let gone = async move { client.expect_end().await };
    tokio::join!(io.close(), gone);
    expect_reason(&io, program, None, DisconnectReason::ServerShuttingDown).await;
}

#[tokio::test]
async fn an_event_before_the_connect_packet_closes_the_connection() {
    let (io, mut program) = leaving(|builder| builder);
    let mut client = Client::open(serve(&io).await).await;
    client.send(r#"42["event"]"#).await;
    client.expect_end().await;
    until(|| io.connection_count() == 0).await;
    program.lines.expect_silence();
}

#[tokio::test]
async fn packets_that_mean_nothing_are_ignored() {
    let (io, mut program) = leaving(|builder| builder);
    let mut client = Client::join(serve(&io).await).await;
    // An unexpected acknowledgement, and an event without a handler.
    client.send_all(["43999[]", r#"42["unheard-of"]"#, r#"42["event"]"#]).await;
    program.lines.expect(["an event"]).await;
}

#[tokio::test]
async fn on_disconnect_may_ask_how_many_events_were_dropped() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("wait", async |gate: State<Gate>, log: State<Log>| {
        log.say("waiting");
        gate.pass().await;
    });
    io.on_disconnect(async |log: State<Log>, DroppedEvents(dropped): DroppedEvents| log.say(dropped));
    let mut client = Client::join(serve(&io).await).await;
    client.send_all([r#"42["wait"]"#, r#"42["wait"]"#, r#"42["wait"]"#, "41"]).await;
    program.lines.expect(["waiting"]).await;
    program.gate.open();
    program.lines.expect(["2"]).await;
}

#[tokio::test]
async fn events_after_a_handler_whose_error_disconnects_the_socket_count_as_dropped() {
    let (builder, mut program) = program();
    let io = builder.on_error(|_, socket, _| socket.disconnect()).build();
    io.on("wait", async |gate: State<Gate>, log: State<Log>| {
        log.say("waiting");
        gate.pass().await;
        Err::<(), _>(std::fmt::Error)
    });
    io.on("last", async || {});
    io.on_disconnect(async |log: State<Log>, DroppedEvents(dropped): DroppedEvents| log.say(dropped));
    let mut client = Client::join(serve(&io).await).await;
    client.send_all([r#"42["wait"]"#, r#"42["last"]"#, r#"42["last"]"#]).await;
    program.lines.expect(["waiting"]).await;
    // The server may read the packets in several pieces. The reply shows that it has read all of them.
    client.expect_only("40/none,", r#"44/none,{"message":"Invalid namespace"}"#).await;
    program.gate.open();
    program.lines.expect(["2"]).await;
}

#[tokio::test]
async fn a_disconnected_socket_joins_nothing_and_receives_nothing() {
    let (io, mut program) = leaving(|builder| builder);
    let mut client = Client::join(serve(&io).await).await;
    let socket = program.joined().await;
    socket.join("room");
    socket.disconnect();
    assert!(!socket.is_connected());
    assert!(socket.rooms().is_empty());
    socket.join("room");
    assert!(io.to("room").to(socket.id()).sockets().is_empty());
    assert_eq!(io.to("room").to(socket.id()).try_emit("event", ()), Ok(()));
    assert!(io.socket(&socket.id()).is_none());
    socket.emit("event", ());
    assert_eq!(socket.try_emit("event", ()), Err(tidewire_server::EmitError::Disconnected));
    client.expect("41").await;
    client.expect_only("40/nope,", r#"44/nope,{"message":"Invalid namespace"}"#).await;
    program.lines.expect(["server namespace disconnect, connected: false, rooms: 0"]).await;
}

#[tokio::test]
async fn a_handler_that_disconnects_goes_on_and_no_event_follows() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("last", async |socket: Socket, log: State<Log>, Data(word): Data<String>| {
        socket.emit("bye", ());
        socket.disconnect();
        socket.emit("unseen", ());
        tokio::task::yield_now().await;
        log.say(word);
    });
    io.on_disconnect(async |log: State<Log>| log.say("left"));
    let mut client = Client::join(serve(&io).await).await;
    client.send_all([r#"42["last","one"]"#, r#"42["last","two"]"#]).await;
    client.expect(r#"42["bye"]"#).await;
    client.expect("41").await;
    program.lines.expect(["one", "left"]).await;
    client.expect_only("40/nope,", r#"44/nope,{"message":"Invalid namespace"}"#).await;
    program.lines.expect_silence();
}
