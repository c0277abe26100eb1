//! Acknowledgements that the server requests from the client.

use std::time::Duration;

use serde_json::Value;
use tidewire_server::{AckError, Data, DisconnectReason, EmitError, Limits, Server, Socket, State};
use tokio::time::Instant;

use crate::support::{Client, Gate, Joined, Log, Program, program, serve, soon};

async fn ask(io: &Server, program: &mut Program) -> (Client, Socket) {
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    let client = Client::join(serve(io).await).await;
    (client, program.joined().await)
}

#[tokio::test]
async fn the_acknowledgement_is_deserialized_as_the_requested_type() {
    let (builder, mut program) = program();
    let (mut client, socket) = ask(&builder.build(), &mut program).await;
    let one = socket.emit_with_ack::<u64>("question", 1);
    let two = socket.emit_with_ack::<(String, Option<bool>)>("question", (1, "b"));
    let none = socket.emit_with_ack::<()>("question", ());
    let raw = socket.emit_with_ack::<()>("question", ()).raw();
    client.expect(r#"420["question",1]"#).await;
    client.expect(r#"421["question",1,"b"]"#).await;
    client.expect(r#"422["question"]"#).await;
    client.expect(r#"423["question"]"#).await;
    // Acknowledgements may arrive in any order.
    client.send_all([r#"431["x"]"#, "430[7]", r#"432["ignored"]"#, r#"433[{"a": 1},2]"#]).await;
    assert_eq!(soon(one).await, Ok(7));
    assert_eq!(soon(two).await, Ok(("x".to_owned(), None)));
    assert_eq!(soon(none).await, Ok(()));
    let raw = soon(raw).await.expect("an acknowledgement");
    assert_eq!(raw.deserialize::<(Value, u8)>().expect("it fits"), (serde_json::json!({ "a": 1 }), 2));
}

#[tokio::test]
async fn an_acknowledgement_of_another_type_is_invalid() {
    let (builder, mut program) = program();
    let (mut client, socket) = ask(&builder.build(), &mut program).await;
    let acknowledged = socket.emit_with_ack::<u64>("question", ());
    client.expect(r#"420["question"]"#).await;
    client.send(r#"430["seven"]"#).await;
    let error = soon(acknowledged).await.expect_err("another type");
    assert!(matches!(error, AckError::Invalid(_)), "{error:?}");
    let words = error.to_string();
    assert!(words.starts_with("cannot deserialize the acknowledgement: argument 0: "), "{words}");
}

#[tokio::test]
async fn an_acknowledgement_after_the_timeout_is_ignored() {
    let (builder, mut program) = program();
    let limits = Limits { ack_timeout: Duration::from_millis(30), ..Limits::default() };
    let (mut client, socket) = ask(&builder.limits(limits).build(), &mut program).await;
    assert_eq!(soon(socket.emit_with_ack::<u64>("question", ())).await, Err(AckError::Timeout));
    let own = socket.timeout(Duration::from_millis(10)).emit_with_ack::<u64>("question", ());
    assert_eq!(soon(own).await, Err(AckError::Timeout));
    client.send_all(["430[1]", "431[1]"]).await;
    let acknowledged = socket.timeout(Duration::from_secs(10)).emit_with_ack::<u64>("question", ());
    client.send("432[2]").await;
    assert_eq!(soon(acknowledged).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn without_a_timeout_the_server_waits_for_ten_seconds() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    let _client = Client::join_in_memory(&io, 64 * 1024).await;
    let socket = program.joined().await;
    let began = Instant::now();
    assert_eq!(socket.emit_with_ack::<u64>("question", ()).await, Err(AckError::Timeout));
    let elapsed = began.elapsed();
    assert!(elapsed >= Duration::from_secs(10) && elapsed < Duration::from_secs(11), "{elapsed:?}");
}

#[tokio::test]
async fn a_second_acknowledgement_of_an_event_is_ignored() {
    let (builder, mut program) = program();
    let (mut client, socket) = ask(&builder.build(), &mut program).await;
    let [one, two] = [(); 2].map(|()| socket.emit_with_ack::<u64>("question", ()));
    client.send_all(["430[1]", "430[2]", "431[3]", "430[4]"]).await;
    assert_eq!((soon(one).await, soon(two).await), (Ok(1), Ok(3)));
    assert!(socket.is_connected());
}

#[tokio::test]
async fn pending_acknowledgements_fail_when_the_client_disconnects() {
    let (builder, mut program) = program();
    let (client, socket) = ask(&builder.build(), &mut program).await;
    let acknowledged = socket.timeout(Duration::from_secs(3_600)).emit_with_ack::<u64>("question", ());
    drop(client);
    assert_eq!(soon(acknowledged).await, Err(AckError::Disconnected));
    let acknowledged = socket.emit_with_ack::<u64>("question", ());
    assert_eq!(soon(acknowledged).await, Err(AckError::NotSent(EmitError::Disconnected)));
}

/// A handler awaits an acknowledgement, while more events arrive than the soft limits allow.
fn asking_with_limits(soft: usize, hard: usize) -> (Server, Program) {
    let (builder, program) = program();
    let limits = Limits { max_queued_events: soft, max_queued_events_hard: hard, ..Limits::default() };
    let io = builder.limits(limits).build();
    io.on("ask", async |socket: Socket, log: State<Log>| {
        let acknowledged = socket.emit_with_ack::<u64>("question", ()).await;
        log.say(format_args!("{acknowledged:?}"));
    });
    io.on("event", async |Data(number): Data<u64>, log: State<Log>| log.say(number));
    io.on("wait", async |gate: State<Gate>| gate.pass().await);
    io.on_disconnect(async |reason: DisconnectReason, log: State<Log>| log.say(reason));
    (io, program)
}

#[tokio::test]
async fn a_pending_acknowledgement_arrives_although_the_soft_limits_are_exceeded() {
    let (io, mut program) = asking_with_limits(4, 10_000);
    let mut client = Client::join_in_memory(&io, 64).await;
    client.send(r#"42["ask"]"#).await;
    client.expect(r#"420["question"]"#).await;
    // The stream buffers 64 bytes, so these sends finish only if the server reads.
    client.send_all((0..1_000).map(|number| format!(r#"42["event",{number}]"#))).await;
    program.lines.expect_silence();
    client.send("430[7]").await;
    program.lines.expect(["Ok(7)"]).await;
    program.lines.expect((0..1_000).map(|number: u64| number.to_string())).await;
}

#[tokio::test]
async fn beyond_the_hard_limit_the_connection_is_closed() {
    let (io, mut program) = asking_with_limits(4, 100);
    let mut client = Client::join_in_memory(&io, 1 << 20).await;
    client.send(r#"42["ask"]"#).await;
    client.expect(r#"420["question"]"#).await;
    client.send_all((0..101).map(|number| format!(r#"42["event",{number}]"#))).await;
    client.expect_end().await;
    program.lines.expect(["Err(Disconnected)", "forced server close"]).await;
    program.lines.expect_silence();
}

#[tokio::test(start_paused = true)]
async fn at_the_soft_limit_the_server_stops_reading_until_handlers_catch_up() {
    let (io, mut program) = asking_with_limits(4, 10_000);
    let mut client = Client::join_in_memory(&io, 64).await;
    client.send(r#"42["wait"]"#).await;
    let events: Vec<_> = (0..1_000).map(|number| format!(r#"42["event",{number}]"#)).collect();
    let mut sending = Box::pin(client.send_all(&events));
    // The clock advances only when every task waits; this one waits for capacity.
    let stopped = tokio::time::timeout(Duration::from_secs(5), &mut sending).await;
    assert!(stopped.is_err(), "nothing stopped the client");
    program.lines.expect_silence();
    program.gate.open();
    sending.await;
    program.lines.expect((0..1_000).map(|number: u64| number.to_string())).await;
}

#[tokio::test(start_paused = true)]
async fn a_future_kept_after_its_timeout_does_not_lift_the_soft_limits() {
    for polled in [false, true] {
        let (io, program) = asking_with_limits(4, 10_000);
        io.on("keep", move |socket: Socket| async move {
            let mut acknowledged = Box::pin(socket.emit_with_ack::<u64>("question", ()));
            // The future is kept for the whole test. It is polled in one case and not in the other.
            tokio::spawn(async move {
                if polled {
                    assert_eq!((&mut acknowledged).await, Err(AckError::Timeout));
                }
                std::future::pending::<()>().await;
                drop(acknowledged);
            });
        });
        let mut client = Client::join_in_memory(&io, 64).await;
        client.send(r#"42["keep"]"#).await;
        client.expect(r#"420["question"]"#).await;
        tokio::time::sleep(Duration::from_secs(11)).await;
        client.send(r#"42["wait"]"#).await;
        let events: Vec<_> = (0..1_000).map(|number| format!(r#"42["event",{number}]"#)).collect();
        let stopped = tokio::time::timeout(Duration::from_secs(5), client.send_all(&events)).await;
        assert!(stopped.is_err(), "nothing stopped the client; polled: {polled}");
        drop(program);
    }
}
