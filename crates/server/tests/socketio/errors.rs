//! Handlers that fail or cannot be called.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use tidewire_server::{
    Ack, AckError, Auth, ConnectError, Data, DisconnectReason, DroppedEvents, EmitError, HandlerError, Reply,
    Server, Socket, SocketId, State,
};
use tracing::Level;

use crate::support::{Client, Gate, Log, Logged, program, serve};

/// Panics. The return type is one that a handler may return.
fn fail(how: &str) {
    panic!("{how}");
}

fn register(io: &Server) {
    io.on("number", async |log: State<Log>, Data(number): Data<u8>| log.say(number));
    io.on("owned", async |ack: Ack<u8>, Data(number): Data<u8>| ack.send(number));
    io.on("auth", async |Auth(_): Auth<Vec<u8>>| {});
    io.on("panic", async || fail("at once"));
    io.on("panic-later", async |gate: State<Gate>| {
        gate.pass().await;
        fail("later");
    });
    io.on("panic-with-ack", async |_ack: Ack<u8>, gate: State<Gate>| {
        gate.pass().await;
        fail("with the acknowledgement in its hands");
    });
}

#[tokio::test]
async fn invalid_arguments_are_reported_to_the_client_and_the_hook() {
    let (builder, mut program) = program();
    let io = builder.build();
    register(&io);
    let mut client = Client::join(serve(&io).await).await;
    client.send(r#"420["number","seven"]"#).await;
    let expected = r#"430[{"error":"argument 0: invalid type: string "seven", expected u8"}]"#;
    client.expect(&expected.replace("\"seven\"", r#"\"seven\""#)).await;
    let line = program.lines.next().await;
    assert!(line.starts_with("error in number: "), "{line}");
    client.send_all([r#"42["number"]"#, r#"42["number",7]"#]).await;
    let line = program.lines.next().await;
    assert!(line.starts_with("error in number: "), "{line}");
    program.lines.expect(["7"]).await;
}

#[tokio::test]
async fn a_failed_extractor_becomes_an_error_reply_even_if_the_handler_takes_the_ack() {
    let (builder, mut program) = program();
    let io = builder.build();
    register(&io);
    let mut client = Client::join(serve(&io).await).await;
    client.expect_only(r#"420["owned",7]"#, "430[7]").await;
    client.send(r#"421["owned","seven"]"#).await;
    let acknowledgement = client.recv().await.expect("an acknowledgement");
    assert!(acknowledgement.starts_with(r#"431[{"error":""#), "{acknowledgement}");
    let line = program.lines.next().await;
    assert!(line.starts_with("error in owned: "), "{line}");
    client.expect_only(r#"422["owned",8]"#, "432[8]").await;
    program.lines.expect_silence();
}

#[tokio::test]
async fn a_missing_state_is_named_to_the_hook_and_not_to_the_client() {
    let (builder, mut program) = program();
    let io = builder.build();
    // The handlers of a namespace are checked when they are registered.
    io.on_connection(async |socket: Socket| socket.on("stateless", async |_: State<Vec<u8>>| {}));
    let mut client = Client::join(serve(&io).await).await;
    client.expect_only(r#"420["stateless"]"#, r#"430[{"error":"handler failed"}]"#).await;
    let line = program.lines.next().await;
    assert!(line.starts_with("error in stateless: ") && line.contains("Vec<u8>"), "{line}");
}

#[tokio::test]
async fn an_invalid_auth_payload_is_an_error_of_the_handler_that_extracts_it() {
    let (builder, mut program) = program();
    let io = builder.build();
    register(&io);
    let mut client = Client::join(serve(&io).await).await;
    client.send(r#"42["auth"]"#).await;
    let line = program.lines.next().await;
    assert!(line.starts_with("error in auth: "), "{line}");
}

#[tokio::test]
async fn a_handler_that_panics_is_reported_and_the_connection_continues() {
    let (builder, mut program) = program();
    let io = builder.build();
    register(&io);
    let mut client = Client::join(serve(&io).await).await;
    client.send_all([r#"42["panic"]"#, r#"42["number",1]"#]).await;
    program.lines.expect(["error in panic: handler failed: panicked: at once", "1"]).await;
    client.send_all([r#"42["panic-later"]"#, r#"42["number",2]"#]).await;
    program.gate.open();
    let line = program.lines.next().await;
    assert!(line.starts_with("error in ") && line.ends_with("panicked: later"), "{line}");
    program.lines.expect(["2"]).await;
}

#[tokio::test]
async fn a_panic_of_the_handler_becomes_an_error_reply() {
    let (builder, mut program) = program();
    let io = builder.build();
    register(&io);
    let mut client = Client::join(serve(&io).await).await;
    client.expect_only(r#"420["panic"]"#, r#"430[{"error":"handler failed"}]"#).await;
    program.gate.open();
    client.expect_only(r#"421["panic-later"]"#, r#"431[{"error":"handler failed"}]"#).await;
    program.gate.open();
    client.expect_only(r#"422["panic-with-ack"]"#, r#"432[{"error":"handler failed"}]"#).await;
    let lines = [program.lines.next().await, program.lines.next().await, program.lines.next().await];
    assert!(lines.iter().all(|line| line.contains("panicked: ")), "{lines:?}");
    program.lines.expect_silence();
}

#[tokio::test]
async fn an_acknowledgement_that_cannot_be_encoded_becomes_an_error_reply() {
    let (builder, mut program) = program();
    let io = builder.build();
    // JSON cannot encode a map whose keys are not strings.
    io.on("returned", async || Reply(HashMap::from([((1, 2), 3)])));
    io.on("sent", async |ack: Ack<HashMap<(u8, u8), u8>>| ack.send(HashMap::from([((1, 2), 3)])));
    let mut client = Client::join(serve(&io).await).await;
    for (event, reported) in [("returned", "returned"), ("sent", "-")] {
        client.expect_only(&format!("427[\"{event}\"]"), r#"437[{"error":"handler failed"}]"#).await;
        let line = program.lines.next().await;
        let expected =
            format!("error in {reported}: handler failed: the arguments cannot be written as JSON: ");
        assert!(line.starts_with(&expected), "{line}");
        program.lines.expect_silence();
    }
}

#[tokio::test]
async fn on_connection_that_fails_is_reported_and_disconnects_the_client() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, gate: State<Gate>, Auth(how): Auth<Value>| {
        socket.emit("hello", ());
        match how["fails"].as_str() {
            Some("at once") => return Err(HandlerError::internal("no place")),
            Some("later") => gate.pass().await,
            _ => fail("in panic"),
        }
        Err(HandlerError::internal("no place, later"))
    });
    io.on("event", async |log: State<Log>| log.say("an event of a client that was not set up"));
    io.on_disconnect(async |log: State<Log>, reason: DisconnectReason, dropped: DroppedEvents| {
        log.say(format_args!("{reason}, {} dropped", dropped.0));
    });
    let mut client = Client::open(serve(&io).await).await;
    for (auth, error) in [("{\"fails\":\"at once\"}", "no place"), ("", "panicked: in panic")] {
        client.send(&format!("40{auth}")).await;
        assert!(client.recv().await.is_some_and(|reply| reply.starts_with("40{\"sid\":\"")));
        client.expect(r#"42["hello"]"#).await;
        client.expect("41").await;
        program.lines.expect([&*format!("error in -: handler failed: {error}")]).await;
        program.lines.expect(["server namespace disconnect, 0 dropped"]).await;
        client.send(r#"42["event"]"#).await;
    }
    client.send_all([r#"40{"fails":"later"}"#, r#"42["event"]"#]).await;
    assert!(client.recv().await.is_some_and(|reply| reply.starts_with("40{\"sid\":\"")));
    client.expect(r#"42["hello"]"#).await;
    client.expect_only("40/nope,", r#"44/nope,{"message":"Invalid namespace"}"#).await;
    program.lines.expect_silence();
    program.gate.open();
    client.expect("41").await;
    program.lines.expect(["error in -: handler failed: no place, later"]).await;
    program.lines.expect(["server namespace disconnect, 1 dropped"]).await;
}

#[tokio::test]
async fn on_disconnect_that_panics_is_reported() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_disconnect(async || fail("at the end"));
    let client = Client::join(serve(&io).await).await;
    drop(client);
    program.lines.expect(["error in -: handler failed: panicked: at the end"]).await;
}

#[tokio::test]
async fn without_a_hook_failures_are_logged_in_few_and_short_lines() {
    let (logged, _logging) = Logged::start();
    let io = Server::new();
    io.on_fallback(async |Data(_): Data<u8>| {});
    io.on("done", async || {});
    let mut client = Client::join(serve(&io).await).await;
    let name = format!(r"two\nlines\u001b[31m{}", "n".repeat(100_000));
    let argument = format!(r"x\nWARN forged {}", "x".repeat(100_000));
    client.send_all((0..60).map(|_| format!(r#"42["{name}","{argument}"]"#))).await;
    client.expect_only(r#"420["done"]"#, "430[]").await;
    let lines = logged.lines().into_iter().filter(|line| line.contains("refused an event"));
    let lines: Vec<_> = lines.collect();
    // Ten lines, and one for every second that the test takes.
    assert!((10..40).contains(&lines.len()), "{} lines", lines.len());
    for line in lines {
        assert!(line.contains(r"event=two\nlines\u{1b}[31mnnn"), "{line}");
        assert!(line.contains("WARN") && line.len() < 1_000, "{line}");
    }
}

#[tokio::test]
async fn an_event_that_has_no_handler_is_a_short_line_of_the_debug_log() {
    let (logged, _logging) = Logged::start_at(Level::DEBUG);
    let io = Server::new();
    io.on("done", async || {});
    let mut client = Client::join(serve(&io).await).await;
    client.send(&format!(r#"42["two\nlines\u001b[31m{}"]"#, "n".repeat(100_000))).await;
    client.expect_only(r#"420["done"]"#, "430[]").await;
    let lines = logged.lines();
    let line = lines.iter().find(|line| line.contains("no handler")).expect("a line");
    assert!(line.contains(r"event=two\nlines\u{1b}[31mnnn"), "{line}");
    let bytes: usize = lines.iter().map(String::len).sum();
    assert!(bytes < 10_000, "{bytes} bytes");
}

#[tokio::test]
async fn a_hook_for_new_namespaces_that_panics_is_logged_in_few_lines() {
    let (logged, _logging) = Logged::start_at(Level::INFO);
    let io = Server::new();
    let _rooms = io.of_pattern(|name| name.starts_with("/room-"));
    io.on_new_namespace(|_| fail("as the test asked for"));
    let mut client = Client::open(serve(&io).await).await;
    for number in 0..60 {
        client.send(&format!("40/room-{number},")).await;
        assert!(client.recv().await.is_some());
    }
    let lines = logged.lines();
    let lines = lines.iter().filter(|line| line.contains("the hook for new namespaces panicked")).count();
    // Ten lines, and one for every second that the test takes.
    assert!((10..40).contains(&lines), "{lines} lines");
}

#[tokio::test]
async fn a_handler_that_ends_because_its_client_has_left_has_not_failed() {
    let (builder, mut program) = program();
    let io = builder.max_write_buffer_size(1_000).build();
    io.on("download", async |socket: Socket, log: State<Log>, ack: Ack<()>| {
        log.say("begins");
        for _ in 0..1_000 {
            socket.emit_wait("part", "x".repeat(500)).await?;
        }
        ack.send(());
        Ok::<_, EmitError>(())
    });
    io.on("question", async |socket: Socket, log: State<Log>| {
        log.say("asks");
        let (): () = socket.emit_with_ack("answer?", ()).await?;
        Ok::<(), AckError>(())
    });
    io.on("others", async |io: Server, Data(other): Data<SocketId>| {
        let other = io.socket(&other).ok_or(HandlerError::new("nobody"))?;
        other.disconnect();
        other.try_emit("late", ())?;
        Ok::<(), HandlerError>(())
    });
    io.on_disconnect(async |log: State<Log>| log.say("left"));
    for event in ["download", "question"] {
        let mut client = Client::join_in_memory(&io, 1_000).await;
        client.send(&format!(r#"420["{event}"]"#)).await;
        program.lines.expect([if event == "download" { "begins" } else { "asks" }]).await;
        drop(client);
        program.lines.expect(["left"]).await;
    }
    // It is an error if the handler's own client is still there.
    let address = serve(&io).await;
    let mut other = Client::open(address).await;
    let id = other.connect("").await;
    let mut client = Client::join(address).await;
    client.expect_only(&format!(r#"420["others","{id}"]"#), r#"430[{"error":"handler failed"}]"#).await;
    program.lines.expect(["error in others: handler failed: socket has been disconnected", "left"]).await;
    program.lines.expect_silence();
}

#[tokio::test]
async fn errors_for_clients_do_not_name_positions_in_the_text() {
    #[derive(Debug, Deserialize)]
    struct Credentials {
        #[expect(dead_code, reason = "it is only read")]
        user: Vec<u8>,
    }

    let (builder, _program) = program();
    let io = builder.build();
    io.on("nested", async |_: Data<(u8, Credentials)>| {});
    io.of("/auth").middleware(async |_: Auth<Credentials>| {});
    let mut client = Client::join(serve(&io).await).await;
    for arguments in [r#"1,{"user":[1,"two"]}"#, r#"1,{"user":{}}"#, "1,{}", r#""one",{}"#] {
        client.send(&format!(r#"420["nested",{arguments}]"#)).await;
        let reply = client.recv().await.expect("an acknowledgement");
        assert!(reply.starts_with(r#"430[{"error":"argument "#) && !reply.contains(" at line "), "{reply}");
    }
    client.send(r#"40/auth,{"user":[1,"two"]}"#).await;
    let refusal = r#"44/auth,{"message":"auth payload: invalid type: string \"two\", expected u8"}"#;
    client.expect(refusal).await;
}

#[tokio::test]
async fn a_client_that_was_refused_is_not_logged_as_one_that_left() {
    let (logged, _logging) = Logged::start_at(Level::DEBUG);
    let (builder, _program) = program();
    let io = builder.build();
    io.of("/closed").middleware(async || Err::<(), _>(ConnectError::new("nobody")));
    let mut client = Client::join(serve(&io).await).await;
    client.expect_only("40/closed,", r#"44/closed,{"message":"nobody"}"#).await;
    client.send("41").await;
    client.expect_only("40/nowhere,", r#"44/nowhere,{"message":"Invalid namespace"}"#).await;
    let left = logged.lines().into_iter().filter(|line| line.contains("socket disconnected"));
    let left: Vec<_> = left.collect();
    assert!(matches!(&left[..], [line] if line.contains("namespace=\"/\"")), "{left:?}");
}
