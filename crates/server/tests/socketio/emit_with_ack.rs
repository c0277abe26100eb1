//! The server asks, the client acknowledges.

use std::time::Duration;

use serde_json::Value;
use tidewire_server::{AckError, Data, DisconnectReason, EmitError, Limits, Server, Socket, State};

use crate::support::{Client, Gate, Joined, Log, Program, program, serve, soon};

async fn ask(io: &Server, program: &mut Program) -> (Client, Socket) {
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    let client = Client::join(serve(io).await).await;
    (client, program.joined().await)
}

#[tokio::test]
async fn the_answer_is_read_as_the_type_that_was_asked_for() {
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
    // In any order.
    client.send_all([r#"431["x"]"#, "430[7]", r#"432["ignored"]"#, r#"433[{"a": 1},2]"#]).await;
    assert_eq!(soon(one).await, Ok(7));
    assert_eq!(soon(two).await, Ok(("x".to_owned(), None)));
    assert_eq!(soon(none).await, Ok(()));
    let raw = soon(raw).await.expect("an answer");
    assert_eq!(raw.deserialize::<(Value, u8)>().expect("it fits"), (serde_json::json!({ "a": 1 }), 2));
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_invalid() {
    let (builder, mut program) = program();
    let (mut client, socket) = ask(&builder.build(), &mut program).await;
    let answer = socket.emit_with_ack::<u64>("question", ());
    client.expect(r#"420["question"]"#).await;
    client.send(r#"430["seven"]"#).await;
    let error = soon(answer).await.expect_err("another type");
    assert!(matches!(error, AckError::Invalid(_)), "{error:?}");
    let words = error.to_string();
    assert!(words.starts_with("cannot deserialize the acknowledgement: argument 0: "), "{words}");
}

#[tokio::test]
async fn a_client_that_does_not_answer_in_time_is_waited_for_no_longer_and_may_answer_later() {
    let (builder, mut program) = program();
    let limits = Limits { ack_timeout: Duration::from_millis(30), ..Limits::default() };
    let (mut client, socket) = ask(&builder.limits(limits).build(), &mut program).await;
    assert_eq!(soon(socket.emit_with_ack::<u64>("question", ())).await, Err(AckError::Timeout));
    let own = socket.timeout(Duration::from_millis(10)).emit_with_ack::<u64>("question", ());
    assert_eq!(soon(own).await, Err(AckError::Timeout));
    client.send_all(["430[1]", "431[1]"]).await;
    let answer = socket.timeout(Duration::from_secs(10)).emit_with_ack::<u64>("question", ());
    client.send("432[2]").await;
    assert_eq!(soon(answer).await, Ok(2));
}

#[tokio::test]
async fn the_answers_of_a_client_that_leaves_fail_at_once() {
    let (builder, mut program) = program();
    let (client, socket) = ask(&builder.build(), &mut program).await;
    let answer = socket.timeout(Duration::from_secs(3_600)).emit_with_ack::<u64>("question", ());
    drop(client);
    assert_eq!(soon(answer).await, Err(AckError::Disconnected));
    let answer = socket.emit_with_ack::<u64>("question", ());
    assert_eq!(soon(answer).await, Err(AckError::NotSent(EmitError::Disconnected)));
}

/// A handler asks, and meanwhile more events come than may wait otherwise.
fn asking_with_limits(soft: usize, hard: usize) -> (Server, Program) {
    let (builder, program) = program();
    let limits = Limits { max_queued_events: soft, max_queued_events_hard: hard, ..Limits::default() };
    let io = builder.limits(limits).build();
    io.on("ask", async |socket: Socket, log: State<Log>| {
        let answer = socket.emit_with_ack::<u64>("question", ()).await;
        log.say(format_args!("{answer:?}"));
    });
    io.on("event", async |Data(number): Data<u64>, log: State<Log>| log.say(number));
    io.on("wait", async |gate: State<Gate>| gate.pass().await);
    io.on_disconnect(async |reason: DisconnectReason, log: State<Log>| log.say(reason));
    (io, program)
}

#[tokio::test]
async fn a_handler_that_asks_gets_its_answer_although_more_events_come_than_may_wait() {
    let (io, mut program) = asking_with_limits(4, 10_000);
    let mut client = Client::join_in_memory(&io, 64).await;
    client.send(r#"42["ask"]"#).await;
    client.expect(r#"420["question"]"#).await;
    // The stream holds 64 bytes: that these can be sent at all shows that they are read.
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
async fn at_the_soft_limit_the_client_is_read_no_further_until_handlers_have_caught_up() {
    let (io, mut program) = asking_with_limits(4, 10_000);
    let mut client = Client::join_in_memory(&io, 64).await;
    client.send(r#"42["wait"]"#).await;
    let events: Vec<_> = (0..1_000).map(|number| format!(r#"42["event",{number}]"#)).collect();
    let mut sending = Box::pin(client.send_all(&events));
    // The clock goes on only when every task waits: this one for room.
    let stopped = tokio::time::timeout(Duration::from_secs(5), &mut sending).await;
    assert!(stopped.is_err(), "nothing stopped the client");
    program.lines.expect_silence();
    program.gate.open();
    sending.await;
    program.lines.expect((0..1_000).map(|number: u64| number.to_string())).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_kept_beyond_its_time_lifts_the_soft_limit_no_longer() {
    for polled in [false, true] {
        let (io, program) = asking_with_limits(4, 10_000);
        io.on("keep", move |socket: Socket| async move {
            let mut answer = Box::pin(socket.emit_with_ack::<u64>("question", ()));
            // It is kept as long as the test takes, and looked at or not.
            tokio::spawn(async move {
                if polled {
                    assert_eq!((&mut answer).await, Err(AckError::Timeout));
                }
                std::future::pending::<()>().await;
                drop(answer);
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
