//! Middleware of events.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidewire_server::{
    Ack, Data, DisconnectReason, DroppedEvents, EventName, HandlerError, RawArguments, ReceivedEvent, Reply,
    Socket, State,
};

use crate::support::{Client, Gate, Log, program, serve};

#[tokio::test]
async fn a_middleware_passes_changes_refuses_and_counts_events() {
    struct Count(AtomicUsize);
    let (builder, mut program) = program();
    let io = builder.state(Count(AtomicUsize::new(0))).build();
    io.event_middleware(async |count: State<Count>| {
        count.0.0.fetch_add(1, Ordering::Relaxed);
    });
    io.event_middleware(async |mut event: ReceivedEvent| {
        if let Some(name) = event.name().strip_prefix("old-").map(str::to_owned) {
            event.set_name(name)?;
        }
        if event.name() == "double" {
            let number: u32 = event.data()?;
            event.set_arguments((number, number))?;
        }
        Ok::<_, HandlerError>(event)
    });
    io.event_middleware(async |EventName(name): EventName| match &*name {
        "secret" => Err(HandlerError::new("not allowed")),
        _ => Ok(()),
    });
    io.on("double", async |Data((a, b)): Data<(u32, u32)>| Reply(a + b));
    io.on("count", async |count: State<Count>| Reply(count.0.0.load(Ordering::Relaxed)));
    io.on("secret", async |log: State<Log>| log.say("a refused event"));
    let mut client = Client::join(serve(&io).await).await;
    client.expect_only(r#"420["double",4]"#, "430[8]").await;
    client.expect_only(r#"421["old-double",5]"#, "431[10]").await;
    client.expect_only(r#"422["old-secret"]"#, r#"432[{"error":"not allowed"}]"#).await;
    client.expect_only(r#"423["count"]"#, "433[4]").await;
    client.send(r#"42["secret"]"#).await;
    program.lines.expect(["error in secret: not allowed", "error in secret: not allowed"]).await;
    client.expect_only(r#"424["count"]"#, "434[6]").await;
    program.lines.expect_silence();
}

#[tokio::test]
async fn a_middleware_that_cannot_be_called_or_panics_refuses_the_event() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.event_middleware(async |gate: State<Gate>, Data(how): Data<String>| {
        assert_ne!(how, "at once");
        gate.pass().await;
        assert_ne!(how, "later");
    });
    io.on("event", async |log: State<Log>, Data(how): Data<String>| log.say(how));
    let mut client = Client::join(serve(&io).await).await;
    let failed = |id| format!(r#"43{id}[{{"error":"handler failed"}}]"#);
    client.expect_only(r#"420["event","at once"]"#, &failed(0)).await;
    program.gate.open();
    client.expect_only(r#"421["event","later"]"#, &failed(1)).await;
    let expected = r#"432[{"error":"argument 0: invalid type: integer `7`, expected a string"}]"#;
    client.expect_only(r#"422["event",7]"#, expected).await;
    for how in ["panicked", "panicked", "argument 0"] {
        let line = program.lines.next().await;
        assert!(line.starts_with("error in event: ") && line.contains(how), "{line}");
    }
    program.gate.open();
    client.send(r#"42["event","fine"]"#).await;
    program.lines.expect(["fine"]).await;
}

#[tokio::test]
async fn a_middleware_of_one_socket_runs_after_those_of_the_namespace() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket| {
        socket.event_middleware(async |log: State<Log>, EventName(name): EventName| {
            log.say(format_args!("own, for {name}"));
        });
    });
    io.event_middleware(async |log: State<Log>| log.say("shared"));
    io.on("event", async |log: State<Log>| log.say("handler"));
    let mut client = Client::join(serve(&io).await).await;
    client.send(r#"42["event"]"#).await;
    program.lines.expect(["shared", "own, for event", "handler"]).await;
}

#[tokio::test]
async fn later_events_wait_behind_a_middleware_even_if_the_handler_is_concurrent() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.set_concurrency_limit(10);
    io.event_middleware(async |gate: State<Gate>, EventName(name): EventName| {
        if name == "slow" {
            gate.pass().await;
        }
    });
    io.on("slow", async |log: State<Log>| log.say("slow")).concurrent();
    io.on("fast", async |log: State<Log>, ack: Ack<u8>| {
        log.say("fast");
        ack.send(1);
    });
    let _other = io.of("/other");
    let mut client = Client::join(serve(&io).await).await;
    client.send_all([r#"42["slow"]"#, r#"420["fast"]"#]).await;
    // Packets are handled in order, so this reply shows that the server has received the events before it.
    client.connect("/other,").await;
    program.lines.expect_silence();
    program.gate.open();
    program.lines.expect(["slow", "fast"]).await;
    client.expect("430[1]").await;
}

#[tokio::test]
async fn an_event_whose_middleware_waits_at_the_disconnect_is_dropped_and_counted() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.event_middleware(async |log: State<Log>, gate: State<Gate>| {
        log.say("middleware");
        gate.pass().await;
        Ok::<(), Infallible>(())
    });
    io.on("event", async |log: State<Log>, RawArguments(_): RawArguments| log.say("handler"));
    io.on_disconnect(async |log: State<Log>, reason: DisconnectReason, dropped: DroppedEvents| {
        log.say(format_args!("{reason}, {} dropped", dropped.0));
    });
    let mut client = Client::join(serve(&io).await).await;
    client.send_all([r#"42["event"]"#, r#"42["event"]"#]).await;
    program.lines.expect(["middleware"]).await;
    client.send("41").await;
    client.expect_only("40/nope,", r#"44/nope,{"message":"Invalid namespace"}"#).await;
    program.lines.expect_silence();
    program.gate.open();
    program.lines.expect(["client namespace disconnect, 2 dropped"]).await;
}
