//! The option `retries`.

use super::*;
use crate::{AckError, EmitError, Limits};
use engineio_proto::CloseReason;

fn with_retries(retries: u32) -> (Network, Builder) {
    let (network, builder) = client();
    (network, builder.retries(retries).ack_timeout(secs(5)))
}

#[tokio::test(start_paused = true)]
async fn an_event_is_sent_until_it_is_acknowledged_and_the_next_one_waits() {
    let (network, builder) = with_retries(3);
    let socket = builder.connect();
    within(socket.connected()).await.unwrap();
    network.take_received();
    network.state().acknowledges = false;
    socket.emit("a", 1);
    socket.emit("b", 2);
    socket.volatile().emit("volatile", ());
    tokio::time::sleep(secs(6)).await;
    network.state().acknowledges = true;
    tokio::time::sleep(secs(6)).await;
    assert_eq!(
        network.take_received(),
        [r#"20["a",1]"#, r#"2["volatile"]"#, r#"21["a",1]"#, r#"22["a",1]"#, r#"23["b",2]"#]
    );
}

#[tokio::test(start_paused = true)]
async fn after_the_last_try_an_event_is_given_up_and_reported() {
    let (network, builder) = with_retries(1);
    let log = Log::default();
    let socket = builder
        .on_error({
            let log = log.clone();
            move |error, _, event| log.say(format!("{}: {error}", event.unwrap_or_default()))
        })
        .connect();
    within(socket.connected()).await.unwrap();
    network.take_received();
    network.state().acknowledges = false;
    let asked = socket.emit_with_ack::<()>("a", ());
    socket.emit("b", ());
    assert_eq!(within(asked).await, Err(AckError::Timeout));
    assert_eq!(log.wait(1).await, ["b: the event was given up: operation has timed out"]);
    assert_eq!(network.take_received(), [r#"20["a"]"#, r#"21["a"]"#, r#"22["b"]"#, r#"23["b"]"#]);
}

#[tokio::test(start_paused = true)]
async fn an_event_in_flight_is_sent_again_on_the_next_connection_and_only_once() {
    let (network, builder) = with_retries(5);
    let socket = builder.on_connect(async |socket: Socket| socket.emit("in on_connect", ())).connect();
    within(socket.connected()).await.unwrap();
    settle().await;
    network.take_received();
    network.state().acknowledges = false;
    let asked = socket.emit_with_ack::<String>("a", "x");
    network.cut(CloseReason::TransportClose);
    settle().await;
    network.state().acknowledges = true;
    assert_eq!(within(asked).await.as_deref(), Ok("x"));
    settle().await;
    assert_eq!(network.take_received(), [r#"21["a","x"]"#, "0", r#"22["a","x"]"#, r#"23["in on_connect"]"#]);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_offline_for_hours_delivers_all_in_order() {
    let (network, builder) = with_retries(u32::MAX);
    let socket = builder.auto_connect(false).connect();
    for reading in 0..1_000 {
        socket.emit("reading", reading);
        tokio::time::sleep(secs(20)).await;
    }
    socket.connect();
    tokio::time::sleep(secs(60)).await;
    let expected: Vec<String> =
        (0..1_000).map(|reading| format!(r#"2{reading}["reading",{reading}]"#)).collect();
    assert_eq!(network.take_received()[1..], expected);
}

#[tokio::test(start_paused = true)]
async fn attachments_are_sent_again_too() {
    let (network, builder) = with_retries(3);
    let socket = builder.connect();
    within(socket.connected()).await.unwrap();
    network.take_received();
    socket.emit("x", bytes::Bytes::from_static(&[1, 2]));
    tokio::time::sleep(secs(6)).await;
    let text = |id| format!(r#"51-{id}["x",{{"_placeholder":true,"num":0}}]"#);
    assert_eq!(network.take_received(), [text(0), text(1)]);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_limited() {
    let (network, builder) = with_retries(3);
    let limits = Limits { max_send_buffer_events: 2, ..Limits::default() };
    let socket = builder.limits(limits).auto_connect(false).connect();
    assert_eq!(socket.try_emit("a", ()), Ok(()));
    assert_eq!(socket.try_emit("b", ()), Ok(()));
    assert_eq!(socket.try_emit("c", ()), Err(EmitError::Full));
    let waiting = tokio::spawn({
        let socket = socket.clone();
        async move { socket.emit_wait("d", ()).await }
    });
    socket.connect();
    assert_eq!(within(waiting).await.unwrap(), Ok(()));
    settle().await;
    assert_eq!(network.take_received(), ["0", r#"20["a"]"#, r#"21["b"]"#, r#"22["d"]"#]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_sent_again_fails_at_once_and_does_not_hold_up_the_next_one() {
    let (network, builder) = with_retries(1);
    let socket = builder.connect();
    within(socket.connected()).await.unwrap();
    network.take_received();
    // What is sent again is read first, and what has binary values is read only to some depth.
    let deep =
        (0..200).fold(socketio_proto::Value::from(1), |inner, _| socketio_proto::Value::Array(vec![inner]));
    let asked = within(socket.emit_with_ack::<()>("deep", (bytes::Bytes::from_static(b"x"), deep))).await;
    assert!(matches!(asked, Err(AckError::NotSent(EmitError::Encode(_)))), "{asked:?}");
    socket.emit("b", ());
    settle().await;
    let received = network.take_received();
    assert!(matches!(&received[..], [event] if event.ends_with(r#"["b"]"#)), "{received:?}");
}
