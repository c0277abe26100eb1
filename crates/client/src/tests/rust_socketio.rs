//! A test for each defect of the crate `rust_socketio` that its users have met.

use super::*;
use crate::{AckError, Data, Reply};
use engineio_proto::CloseReason;

/// There, ids of acknowledgements are random numbers below 1,000 that may be in use.
#[tokio::test(start_paused = true)]
async fn ids_of_acknowledgements_never_collide() {
    let (_network, socket) = connected().await;
    let asked: Vec<_> = (0..5_000).map(|number| socket.emit_with_ack::<u32>("ask", number)).collect();
    for (number, asked) in asked.into_iter().enumerate() {
        assert_eq!(within(asked).await, Ok(number as u32));
    }
}

/// There, a program is not told of an acknowledgement that times out, and its callback is never removed.
#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_times_out_is_told_and_forgotten() {
    let (network, socket) = connected().await;
    network.state().acknowledges = false;
    let asked = socket.timeout(secs(1)).emit_with_ack::<()>("ask", ());
    assert_eq!(pending_acks(&socket), 1);
    assert_eq!(within(asked).await, Err(AckError::Timeout));
    assert_eq!(pending_acks(&socket), 0);
}

/// There, an emit with acknowledgement inside the callback of another one deadlocks.
#[tokio::test(start_paused = true)]
async fn a_handler_may_ask_again_when_it_has_an_answer() {
    let (network, socket) = connected().await;
    let log = Log::default();
    socket.on("go", {
        let log = log.clone();
        move |socket: Socket| {
            let log = log.clone();
            async move {
                let first: u32 = socket.emit_with_ack("ask", 1).await.unwrap();
                let second: u32 = socket.emit_with_ack("ask", first + 1).await.unwrap();
                log.say(second);
            }
        }
    });
    socket.start();
    network.send(r#"2["go"]"#);
    assert_eq!(log.wait(1).await, ["2"]);
}

/// There, one slow callback stops everything, even the preparation of a reconnect.
#[tokio::test(start_paused = true)]
async fn a_slow_handler_stops_neither_acknowledgements_nor_reconnecting() {
    let (network, socket) = connected().await;
    socket.on("slow", async || std::future::pending::<()>().await);
    socket.start();
    network.send(r#"2["slow"]"#);
    settle().await;
    assert_eq!(within(socket.emit_with_ack::<u32>("ask", 1)).await, Ok(1));
    network.cut(CloseReason::PingTimeout);
    settle().await;
    within(socket.connected()).await.unwrap();
    assert_eq!(within(socket.emit_with_ack::<u32>("ask", 2)).await, Ok(2));
}

/// There, the event `["foo"]` is passed to the handler of `message`, with "foo" as its data.
#[tokio::test(start_paused = true)]
async fn an_event_without_arguments_goes_to_its_own_handler() {
    let (network, socket) = connected().await;
    let log = Log::default();
    for name in ["foo", "message"] {
        let log = log.clone();
        socket.on(name, move |_: Data<()>| {
            log.say(name);
            std::future::ready(())
        });
    }
    socket.start();
    network.send(r#"2["foo"]"#);
    assert_eq!(log.wait(1).await, ["foo"]);
}

/// There, an event with several attachments loses data.
#[tokio::test(start_paused = true)]
async fn an_event_with_attachments_anywhere_is_complete() {
    let (network, socket) = connected().await;
    let log = Log::default();
    socket.on("x", {
        let log = log.clone();
        move |Data((a, text, b)): Data<(bytes::Bytes, String, Vec<bytes::Bytes>)>| {
            log.say(format!("{a:?} {text} {b:?}"));
            std::future::ready(())
        }
    });
    socket.start();
    let placeholder = |number| format!(r#"{{"_placeholder":true,"num":{number}}}"#);
    network.send(&format!(r#"52-["x",{},"t",[{}]]"#, placeholder(0), placeholder(1)));
    network.send_binary(b"one");
    network.send_binary(b"two");
    assert_eq!(log.wait(1).await, [r#"b"one" t [b"two"]"#]);
}

/// There, the delays end after 15 minutes, and then the client tries without any pause.
#[tokio::test(start_paused = true)]
async fn after_an_hour_it_still_waits_between_its_attempts() {
    let (network, socket) = connected().await;
    network.state().attempts.extend([crate::engine::simulation::Attempt::Refuse; 1_000]);
    network.cut(CloseReason::TransportClose);
    tokio::time::sleep(secs(3_600)).await;
    let attempts = network.state().attempt_times.len();
    assert!((700..730).contains(&attempts), "{attempts} attempts in an hour");
    assert!(socket.is_active());
}

/// There, the client panics if the connection ends while an attachment is missing.
#[tokio::test(start_paused = true)]
async fn a_connection_may_end_between_an_event_and_its_attachment() {
    let (network, socket) = connected().await;
    let log = Log::default();
    socket.on("x", {
        let log = log.clone();
        move |Data(data): Data<bytes::Bytes>| {
            log.say(format!("{data:?}"));
            std::future::ready(())
        }
    });
    socket.start();
    let text = r#"51-["x",{"_placeholder":true,"num":0}]"#;
    network.send(text);
    settle().await;
    network.cut(CloseReason::TransportClose);
    settle().await;
    within(socket.connected()).await.unwrap();
    network.send(text);
    network.send_binary(b"whole");
    assert_eq!(log.wait(1).await, [r#"b"whole""#]);
}

/// There, a client cannot acknowledge an event.
#[tokio::test(start_paused = true)]
async fn a_handler_answers_the_server() {
    let (network, socket) = connected().await;
    socket.on("add", async |Data((a, b)): Data<(i32, i32)>| Reply(a + b));
    socket.start();
    network.send(r#"23["add",1,2]"#);
    settle().await;
    assert_eq!(network.take_received(), ["33[3]"]);
}
