//! What is buffered while the socket is not connected, or while the connection takes no more.

use super::*;
use crate::engine::MAX_BYTES_AHEAD;
use crate::{EmitError, Limits, Overflow};
use engineio_proto::CloseReason;

#[tokio::test(start_paused = true)]
async fn events_are_buffered_in_order_and_sent_before_the_connect_handler_runs() {
    let (network, builder) = client();
    let socket = builder.on_connect(async |socket: Socket| socket.emit("in on_connect", ())).connect();
    socket.emit("a", 1);
    socket.volatile().emit("volatile", ());
    socket.emit("b", ("x", 2));
    within(socket.connected()).await.unwrap();
    settle().await;
    assert_eq!(network.take_received(), ["0", r#"2["a",1]"#, r#"2["b","x",2]"#, r#"2["in on_connect"]"#]);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_by_the_program_keeps_what_nobody_awaits() {
    let (network, builder) = client();
    let socket = builder.auto_connect(false).connect();
    socket.emit("kept", ());
    let asked = socket.emit_with_ack::<()>("asked", ());
    socket.disconnect();
    assert_eq!(within(asked).await, Err(crate::AckError::Disconnected));
    socket.connect();
    within(socket.connected()).await.unwrap();
    assert_eq!(network.take_received(), ["0", r#"2["kept"]"#]);
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_refuses_the_newest_event() {
    let (network, builder) = client();
    let log = Log::default();
    let limits = Limits { max_send_buffer_events: 2, ..Limits::default() };
    let socket = builder
        .limits(limits)
        .on_error({
            let log = log.clone();
            move |error, _, event| log.say(format!("{}: {error}", event.unwrap_or_default()))
        })
        .auto_connect(false)
        .connect();
    assert_eq!(socket.try_emit("a", ()), Ok(()));
    assert_eq!(socket.try_emit("b", ()), Ok(()));
    assert_eq!(socket.try_emit("c", ()), Err(EmitError::Full));
    socket.emit("d", ());
    assert_eq!(log.lines(), ["d: the event was not sent: the send buffer is full"]);
    let asked = within(socket.emit_with_ack::<()>("e", ())).await;
    assert_eq!(asked, Err(crate::AckError::NotSent(EmitError::Full)));
    let waiting = tokio::spawn({
        let socket = socket.clone();
        async move { socket.emit_wait("f", ()).await }
    });
    settle().await;
    assert!(!waiting.is_finished());
    socket.connect();
    assert_eq!(within(waiting).await.unwrap(), Ok(()));
    settle().await;
    assert_eq!(network.take_received(), ["0", r#"2["a"]"#, r#"2["b"]"#, r#"2["f"]"#]);
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_can_drop_the_oldest_event_instead() {
    let (network, builder) = client();
    let limits = Limits { max_send_buffer_events: 2, overflow: Overflow::DropOldest, ..Limits::default() };
    let socket = builder.limits(limits).auto_connect(false).connect();
    let dropped = socket.emit_with_ack::<()>("a", ());
    socket.emit("b", ());
    socket.emit("c", ());
    assert_eq!(within(dropped).await, Err(crate::AckError::Dropped));
    socket.connect();
    within(socket.connected()).await.unwrap();
    assert_eq!(network.take_received(), ["0", r#"2["b"]"#, r#"2["c"]"#]);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_limited_too() {
    let (_network, builder) = client();
    let limits = Limits { max_send_buffer_bytes: 10_000, ..Limits::default() };
    let socket = builder.limits(limits).auto_connect(false).connect();
    assert_eq!(socket.try_emit("a", "x".repeat(9_000)), Ok(()));
    assert_eq!(socket.try_emit("b", "x".repeat(1_000)), Err(EmitError::Full));
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_connection_does_not_take_survives_its_end() {
    let (network, socket) = connected().await;
    network.state().buffered = MAX_BYTES_AHEAD;
    socket.emit("a", ());
    socket.volatile().emit("volatile", ());
    let asked = socket.emit_with_ack::<String>("b", "x");
    settle().await;
    assert!(network.take_received().is_empty());
    network.cut(CloseReason::PingTimeout);
    settle().await;
    network.state().buffered = 0;
    assert_eq!(within(asked).await.as_deref(), Ok("x"));
    assert_eq!(network.take_received(), ["0", r#"2["a"]"#, r#"20["b","x"]"#]);
}

#[tokio::test(start_paused = true)]
async fn a_volatile_event_that_cannot_be_sent_fails_its_acknowledgement_at_once() {
    let (network, socket) = connected().await;
    network.state().buffered = 1;
    let asked = within(socket.volatile().emit_with_ack::<()>("x", ())).await;
    assert_eq!(asked, Err(crate::AckError::NotSent(EmitError::NotReady)));
    assert!(network.take_received().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_encoded_is_an_error() {
    let (_network, socket) = connected().await;
    assert!(matches!(socket.try_emit("disconnect", ()), Err(EmitError::Encode(_))));
    assert!(matches!(
        socket.try_emit("x", std::collections::HashMap::from([((1, 2), 3)])),
        Err(EmitError::Encode(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_must_not_be_compressed_is_not_however_it_is_sent() {
    for retries in [None, Some(3)] {
        let (network, mut builder) = client();
        if let Some(retries) = retries {
            builder = builder.retries(retries);
        }
        let socket = builder.connect();
        socket.compress(false).emit("buffered", ());
        within(socket.connected()).await.unwrap();
        let _ = within(socket.compress(false).emit_with_ack::<()>("asked", ())).await;
        socket.compress(false).volatile().emit("volatile", ());
        let _ = within(socket.emit_with_ack::<()>("plain", ())).await;
        assert_eq!(network.state().uncompressed, 3);
    }
}
