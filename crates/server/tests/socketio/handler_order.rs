//! The order in which handlers run, and what waits for them.

use std::time::Duration;

use tidewire_server::{Data, DisconnectReason, EventName, Reply, Socket, State};

use crate::support::{Client, Gate, Joined, Log, program, serve, until};

#[tokio::test]
async fn events_are_handled_one_after_another_however_long_each_handler_waits() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("number", async |log: State<Log>, socket: Socket, Data(number): Data<u64>| {
        log.say(format_args!("{number} begins"));
        for _ in 0..number * 7 % 5 {
            tokio::task::yield_now().await;
        }
        log.say(format_args!("{number} ends"));
        socket.emit("number", number);
    });
    let mut client = Client::join(serve(&io).await).await;
    client.send_all((0..500).map(|number| format!("42[\"number\",{number}]"))).await;
    for number in 0..500 {
        client.expect(&format!("42[\"number\",{number}]")).await;
        program.lines.expect([format!("{number} begins"), format!("{number} ends")]).await;
    }
}

#[tokio::test]
async fn no_event_is_handled_before_on_connection_has_finished_and_none_is_lost() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |log: State<Log>, gate: State<Gate>| {
        log.say("joined");
        gate.pass().await;
        log.say("welcomed");
    });
    io.on("event", async |log: State<Log>, Data(number): Data<u64>| log.say(number));
    let _other = io.of("/other");
    let mut client = Client::join(serve(&io).await).await;
    client.send_all(["42[\"event\",1]", "42[\"event\",2]", "42[\"event\",3]"]).await;
    program.lines.expect(["joined"]).await;
    // Packets are handled in order, so this reply shows that the server has received the events before it.
    client.connect("/other,").await;
    program.lines.expect_silence();
    program.gate.open();
    program.lines.expect(["welcomed", "1", "2", "3"]).await;
}

#[tokio::test]
async fn a_handler_that_waits_holds_up_only_its_own_socket() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("wait", async |log: State<Log>, gate: State<Gate>| {
        log.say("waiting");
        gate.pass().await;
        log.say("done");
    });
    io.on("event", async |log: State<Log>| log.say("event"));
    let address = serve(&io).await;
    let mut slow = Client::join(address).await;
    let mut fast = Client::join(address).await;
    slow.send_all(["42[\"wait\"]", "42[\"event\"]"]).await;
    program.lines.expect(["waiting"]).await;
    fast.send("42[\"event\"]").await;
    program.lines.expect(["event"]).await;
    program.lines.expect_silence();
    program.gate.open();
    program.lines.expect(["done", "event"]).await;
}

#[tokio::test]
async fn on_disconnect_runs_after_the_running_handler_which_is_not_cancelled() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("wait", async |log: State<Log>, gate: State<Gate>, socket: Socket| {
        log.say("waiting");
        gate.pass().await;
        log.say(format_args!("connected: {}", socket.is_connected()));
    });
    io.on("event", async |log: State<Log>| log.say("an event that was not started"));
    io.on_disconnect(async |log: State<Log>, reason: DisconnectReason| log.say(reason));
    let mut client = Client::join(serve(&io).await).await;
    client.send_all(["42[\"wait\"]", "42[\"event\"]", "42[\"event\"]"]).await;
    program.lines.expect(["waiting"]).await;
    drop(client);
    until(|| io.connection_count() == 0).await;
    program.lines.expect_silence();
    program.gate.open();
    program.lines.expect(["connected: false", "transport close"]).await;
    io.close().await;
    program.lines.expect_silence();
}

#[tokio::test]
async fn a_client_that_joins_and_vanishes_at_once_still_gets_its_on_disconnect() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |log: State<Log>, gate: State<Gate>| {
        log.say("joined");
        gate.pass().await;
    });
    io.on_disconnect(async |log: State<Log>, reason: DisconnectReason| log.say(reason));
    let address = serve(&io).await;
    for _ in 0..20 {
        let mut client = Client::open(address).await;
        client.send("40").await;
        drop(client);
        program.lines.expect(["joined"]).await;
        program.gate.open();
        program.lines.expect(["transport close"]).await;
    }
}

#[tokio::test]
async fn acknowledgements_do_not_wait_for_a_handler() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    io.on("wait", async |gate: State<Gate>, log: State<Log>| {
        log.say("waiting");
        gate.pass().await;
    });
    let mut client = Client::join(serve(&io).await).await;
    let socket = program.joined().await;
    client.send("42[\"wait\"]").await;
    program.lines.expect(["waiting"]).await;
    let acknowledged = socket.emit_with_ack::<u64>("question", ());
    client.expect("420[\"question\"]").await;
    client.send("430[7]").await;
    assert_eq!(acknowledged.await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_does_not_wait_for_a_handler() {
    let (builder, mut program) = program();
    let io =
        builder.ping_interval(Duration::from_millis(20)).ping_timeout(Duration::from_millis(500)).build();
    io.on("wait", async |gate: State<Gate>, log: State<Log>, socket: Socket| {
        gate.pass().await;
        log.say(format_args!("connected: {}", socket.is_connected()));
    });
    io.on("pinged", async |log: State<Log>| log.say("pinged"));
    let mut client = Client::join_in_memory(&io, 1_024).await;
    client.send_all(["42[\"wait\"]", "42[\"pinged\"]"]).await;
    // Twice the timeout: without pongs the connection would be closed.
    let silence = tokio::time::timeout(Duration::from_secs(1), client.recv()).await;
    assert!(silence.is_err(), "{silence:?}");
    program.gate.open();
    program.lines.expect(["connected: true", "pinged"]).await;
}

#[tokio::test]
async fn a_socket_handler_precedes_the_handler_of_the_namespace() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("event", async |log: State<Log>| log.say("of the namespace"));
    io.on("special", async |socket: Socket| {
        socket.on("event", async |log: State<Log>, Data(number): Data<u64>| {
            log.say(format_args!("own {number}"));
        });
    });
    io.on_fallback(async |log: State<Log>, EventName(name): EventName| {
        log.say(format_args!("fallback {name}"));
    });
    let address = serve(&io).await;
    let mut special = Client::join(address).await;
    let mut other = Client::join(address).await;
    special.send_all(["42[\"event\",0]", "42[\"special\"]", "42[\"event\",1]"]).await;
    program.lines.expect(["of the namespace", "own 1"]).await;
    other.send_all(["42[\"event\",2]", "42[\"unheard-of\"]"]).await;
    program.lines.expect(["of the namespace", "fallback unheard-of"]).await;
}

#[tokio::test]
async fn handlers_that_are_registered_later_do_not_apply_to_sockets_that_are_connected() {
    let (builder, mut program) = program();
    let io = builder.build();
    let address = serve(&io).await;
    io.on_connection(async |socket: Socket, joined: State<Joined>| drop(joined.0.0.send(socket)));
    io.on("version", async || Reply(1));
    let mut early = Client::join(address).await;
    let socket = program.joined().await;
    io.on("version", async || Reply(2));
    io.on("later", async |log: State<Log>| log.say("later"));
    let mut late = Client::join(address).await;
    early.send(r#"42["later"]"#).await;
    early.expect_only(r#"420["version"]"#, "430[1]").await;
    program.lines.expect_silence();
    // A handler of the socket itself may come at any time.
    socket.on("later", async |log: State<Log>| log.say("its own"));
    early.expect_only(r#"421["later"]"#, "431[]").await;
    program.lines.expect(["its own"]).await;
    late.expect_only(r#"420["version"]"#, "430[2]").await;
    late.expect_only(r#"421["later"]"#, "431[]").await;
    program.lines.expect(["later"]).await;
}
