//! The events of a socket as a stream.

use futures_util::{FutureExt, StreamExt};
use tidewire_server::{Data, DisconnectReason, EventName, Limits, Reply, Socket, State};

use crate::support::{Client, Gate, Joined, Log, program, serve, soon};

#[tokio::test]
async fn on_connection_may_be_the_loop_that_takes_the_events() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, log: State<Log>| {
        tokio::task::yield_now().await;
        let mut events = socket.events();
        while let Some(event) = events.next().await {
            log.say(format_args!("{} {}", event.name(), event.arguments().json_elements()));
            match event.data::<(i64, i64)>() {
                Ok((a, b)) => event.ack(a + b),
                Err(_) => event.ack(()),
            }
        }
        log.say("the stream has ended");
    });
    io.on("handled", async || Reply("by its handler"));
    io.on_fallback(async || Reply("by the fallback"));
    io.on_disconnect(async |log: State<Log>, reason: DisconnectReason| log.say(reason));
    let mut client = Client::join(serve(&io).await).await;
    client.expect_only(r#"420["add",1,2]"#, "430[3]").await;
    client.expect_only(r#"421["other"]"#, "431[]").await;
    client.expect_only(r#"422["handled"]"#, r#"432["by its handler"]"#).await;
    client.send(r#"42["last"]"#).await;
    program.lines.expect(["add 1,2", "other ", "last "]).await;
    client.send("41").await;
    program.lines.expect(["the stream has ended", "client namespace disconnect"]).await;
}

#[tokio::test]
async fn no_event_is_handled_before_on_connection_takes_the_stream() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, log: State<Log>, gate: State<Gate>| {
        log.say("joined");
        gate.pass().await;
        let mut events = socket.events();
        log.say("taken");
        while let Some(event) = events.next().await {
            log.say(event.name());
        }
    });
    let _other = io.of("/other");
    let mut client = Client::join(serve(&io).await).await;
    client.send_all([r#"42["a"]"#, r#"42["b"]"#]).await;
    client.connect("/other,").await;
    program.lines.expect(["joined"]).await;
    program.lines.expect_silence();
    program.gate.open();
    program.lines.expect(["taken", "a", "b"]).await;
}

#[tokio::test]
async fn a_stream_that_is_not_read_stops_the_reading_and_loses_nothing() {
    const EVENTS: usize = 200;
    let (builder, mut program) = program();
    let limits = Limits { max_queued_events: 4, max_queued_events_hard: 4, ..Limits::default() };
    let io = builder.limits(limits).build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| {
        let _ = joined.0.0.send(socket);
    });
    let mut client = Client::join_in_memory(&io, 4 * 1024).await;
    let mut events = program.joined().await.events();
    let payload = "x".repeat(16 * 1024);
    let sending = tokio::spawn(async move {
        for number in 0..EVENTS {
            client.send(&format!(r#"42["event",{number},"{payload}"]"#)).await;
        }
        client
    });
    // The client has sent more than the stream, the queue and the buffers of the connection hold.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(!sending.is_finished());
    for number in 0..EVENTS {
        let event = soon(events.next()).await.expect("an event");
        assert_eq!(event.data::<usize>().ok(), Some(number));
    }
    drop(soon(sending).await.expect("no panic"));
    assert!(soon(StreamExt::next(&mut events)).await.is_none());
}

#[tokio::test]
async fn next_is_cancel_safe_and_an_unanswered_request_is_reported() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| {
        let _ = joined.0.0.send(socket);
    });
    let mut client = Client::join(serve(&io).await).await;
    let socket = program.joined().await;
    let mut events = socket.events();
    assert!(events.next().now_or_never().is_none());
    client.send(r#"425["event"]"#).await;
    let event = soon(events.next()).await.expect("an event");
    assert!(event.is_ack_requested());
    drop(event);
    let line = program.lines.next().await;
    assert!(line.starts_with("error in -: ") && line.contains("`Ack` was dropped"), "{line}");
}

#[tokio::test]
async fn a_dropped_stream_gives_the_events_back_to_the_fallback() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| {
        let _ = joined.0.0.send(socket);
    });
    io.on("ping", async || Reply("pong"));
    io.on_fallback(async |EventName(name): EventName, Data(()): Data<()>| Reply(name));
    let mut client = Client::join(serve(&io).await).await;
    let socket = program.joined().await;
    client.expect_only(r#"421["event"]"#, r#"431["event"]"#).await;
    let mut first = socket.events();
    let mut second = socket.events();
    client.send(r#"42["event"]"#).await;
    assert!(soon(second.next()).await.is_some());
    assert!(soon(first.next()).await.is_none(), "the second stream has replaced the first");
    drop(first);
    client.send(r#"42["event"]"#).await;
    assert!(soon(second.next()).await.is_some());
    drop(second);
    client.expect_only(r#"422["event"]"#, r#"432["event"]"#).await;
    socket.disconnect();
    assert!(soon(socket.events().next()).await.is_none());
}
