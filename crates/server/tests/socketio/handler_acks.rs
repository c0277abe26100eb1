//! Acknowledgements that handlers return or send.

use tidewire_server::{Ack, Data, HandlerError, RawArguments, Reply, Server, State};

use crate::support::{Client, Gate, Log, program, serve};

fn register(io: &Server) {
    io.on("nothing", async || {});
    io.on("value", async || Reply(7));
    io.on("values", async || Reply(("a", [1, 2], ())));
    io.on("array", async || Reply(vec![1, 2]));
    io.on("double", async |Data(number): Data<i64>| -> Result<i64, HandlerError> {
        if number < 0 {
            return Err(HandlerError::new("too small"));
        }
        Ok(number * 2)
    });
    io.on("parse", async |Data(text): Data<String>| -> Result<u8, HandlerError> { Ok(text.parse()?) });
    io.on("owned", async |ack: Ack<(u8, &'static str)>| {
        if ack.is_requested() {
            ack.send((1, "x"));
        }
        // This return value is ignored, because the handler has an `Ack`.
        Reply("ignored")
    });
    io.on("dropped", async |_ack: Ack| {});
    io.on("later", async |ack: Ack<u8>, gate: State<Gate>| {
        tokio::spawn(async move {
            gate.pass().await;
            ack.send(9);
        });
    });
    io.on("raw", async |RawArguments(arguments): RawArguments| Reply(arguments));
}

#[tokio::test]
async fn a_requested_acknowledgement_carries_the_return_value() {
    let (builder, mut program) = program();
    let io = builder.build();
    register(&io);
    let mut client = Client::join(serve(&io).await).await;
    for (event, acknowledgement) in [
        (r#"420["nothing"]"#, "430[]"),
        (r#"421["value"]"#, "431[7]"),
        (r#"422["values"]"#, r#"432["a",[1,2],null]"#),
        (r#"423["array"]"#, "433[[1,2]]"),
        (r#"424["double",21]"#, "434[42]"),
        (r#"425["owned"]"#, r#"435[1,"x"]"#),
        (r#"426["raw",{"a":[1, 2]},"x"]"#, r#"436[{"a":[1, 2]},"x"]"#),
        (r#"42999["value"]"#, "43999[7]"),
    ] {
        client.send(event).await;
        client.expect(acknowledgement).await;
    }
    program.lines.expect_silence();
}

#[tokio::test]
async fn without_a_requested_acknowledgement_nothing_is_sent_and_nothing_fails() {
    let (builder, mut program) = program();
    let io = builder.build();
    register(&io);
    let mut client = Client::join(serve(&io).await).await;
    for event in ["nothing", "value", "values", "owned", "dropped", "raw"] {
        client.send(&format!("42[\"{event}\"]")).await;
    }
    client.expect_only(r#"420["nothing"]"#, "430[]").await;
    program.lines.expect_silence();
}

#[tokio::test]
async fn an_error_with_a_message_reaches_the_client_and_the_hook() {
    let (builder, mut program) = program();
    let io = builder.build();
    register(&io);
    let mut client = Client::join(serve(&io).await).await;
    client.expect_only(r#"420["double",-1]"#, r#"430[{"error":"too small"}]"#).await;
    program.lines.expect(["error in double: too small"]).await;
    client.send(r#"42["double",-1]"#).await;
    program.lines.expect(["error in double: too small"]).await;
    client.expect_only(r#"421["double",1]"#, "431[2]").await;
}

#[tokio::test]
async fn the_text_of_a_converted_error_reaches_only_the_hook() {
    let (builder, mut program) = program();
    let io = builder.build();
    register(&io);
    let mut client = Client::join(serve(&io).await).await;
    client.expect_only(r#"420["parse","7"]"#, "430[7]").await;
    client.expect_only(r#"421["parse","seven"]"#, r#"431[{"error":"handler failed"}]"#).await;
    program.lines.expect(["error in parse: handler failed: invalid digit found in string"]).await;
}

#[tokio::test]
async fn an_acknowledgement_may_be_sent_when_the_handler_has_long_finished() {
    let (builder, program) = program();
    let io = builder.build();
    register(&io);
    let mut client = Client::join(serve(&io).await).await;
    client.send_all([r#"420["later"]"#, r#"421["nothing"]"#]).await;
    client.expect("431[]").await;
    program.gate.open();
    client.expect("430[9]").await;
}

#[tokio::test]
async fn an_acknowledgement_that_is_dropped_unsent_is_reported() {
    let (builder, mut program) = program();
    let io = builder.build();
    register(&io);
    let mut client = Client::join(serve(&io).await).await;
    client.send(r#"420["dropped"]"#).await;
    program.lines.expect(["error in -: an `Ack` was dropped before its acknowledgement was sent"]).await;
    client.expect_only(r#"421["nothing"]"#, "431[]").await;
}

#[tokio::test]
async fn bytes_come_back_as_bytes() {
    let (builder, _program) = program();
    let io = builder.build();
    register(&io);
    let mut client = Client::join(serve(&io).await).await;
    client.send(r#"451-0["raw",{"_placeholder":true,"num":0},"x"]"#).await;
    client.send_binary(&[1, 2, 3]).await;
    client.expect(r#"461-0[{"_placeholder":true,"num":0},"x"]"#).await;
    client.expect(r#"b"\x01\x02\x03""#).await;
}

#[tokio::test]
async fn the_log_is_shared_by_all_handlers() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("event", async |State(log): State<Log>| log.say("heard"));
    let mut client = Client::join(serve(&io).await).await;
    client.send(r#"42["event"]"#).await;
    program.lines.expect(["heard"]).await;
}

#[tokio::test]
async fn an_id_that_needs_more_than_64_bits_becomes_the_largest_one() {
    let io = program().0.build();
    register(&io);
    let mut client = Client::join(serve(&io).await).await;
    for id in ["18446744073709551615", "18446744073709551616", "999999999999999999999999999999"] {
        client.expect_only(&format!(r#"42{id}["value"]"#), "4318446744073709551615[7]").await;
    }
    client.expect_only(r#"42007["value"]"#, "437[7]").await;
}
