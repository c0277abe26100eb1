//! Reconnecting: delays, hooks, giving up.

use super::*;
use crate::AckError;
use crate::engine::simulation::Attempt::{HangUp, Refuse};
use engineio_proto::CloseReason;

/// Logs what the client reports about its attempts.
fn with_hooks(builder: Builder, log: &Log) -> Builder {
    let (a, b, c, d) = (log.clone(), log.clone(), log.clone(), log.clone());
    builder
        .on_reconnect_attempt(move |attempt| a.say(format!("reconnect_attempt {attempt}")))
        .on_reconnect(move |attempt| b.say(format!("reconnect {attempt}")))
        .on_reconnect_error(move |_| c.say("reconnect_error"))
        .on_reconnect_failed(move || d.say("reconnect_failed"))
}

#[tokio::test(start_paused = true)]
async fn it_reconnects_after_growing_delays_and_reports_each_attempt() {
    let (network, builder) = client();
    let log = Log::default();
    let socket = with_hooks(builder, &log).connect();
    within(socket.connected()).await.unwrap();
    network.state().latency = Duration::ZERO;
    network.state().attempts.extend([Refuse; 4]);
    tokio::time::sleep(secs(60)).await;
    network.state().attempt_times.clear();
    let lost = crate::platform::now();
    network.cut(CloseReason::TransportClose);
    let expected = [
        "reconnect_attempt 1",
        "reconnect_error",
        "reconnect_attempt 2",
        "reconnect_error",
        "reconnect_attempt 3",
        "reconnect_error",
        "reconnect_attempt 4",
        "reconnect_error",
        "reconnect_attempt 5",
        "reconnect 5",
    ];
    assert_eq!(log.wait(10).await, expected);
    let delays: Vec<u64> =
        network.state().attempt_times.iter().map(|at| at.saturating_since(lost).as_secs()).collect();
    assert_eq!(delays, [1, 3, 7, 12, 17]);
    within(socket.connected()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_it_gives_up_and_awaited_acknowledgements_fail() {
    let (network, builder) = client();
    network.state().attempts.extend([Refuse; 3]);
    let log = Log::default();
    let socket = with_hooks(builder, &log).reconnection_attempts(2).connect();
    socket.emit("kept", ());
    let asked = socket.emit_with_ack::<()>("asked", ());
    assert_eq!(within(asked).await, Err(AckError::Disconnected));
    assert!(within(socket.connected()).await.is_err());
    let expected = [
        "reconnect_attempt 1",
        "reconnect_error",
        "reconnect_attempt 2",
        "reconnect_failed",
        "reconnect_error",
    ];
    assert_eq!(log.wait(5).await, expected, "in the order of JavaScript");
    tokio::time::sleep(secs(3_600)).await;
    assert_eq!(network.state().attempt_times.len(), 3);
    socket.connect();
    within(socket.connected()).await.unwrap();
    assert_eq!(network.take_received(), ["0", r#"2["kept"]"#], "the failed event is not sent");
}

#[tokio::test(start_paused = true)]
async fn zero_attempts_make_the_first_failure_final() {
    let (network, builder) = client();
    network.state().attempts.push_back(Refuse);
    let log = Log::default();
    let socket = with_hooks(builder, &log).reconnection_attempts(0).connect();
    assert!(within(socket.connected()).await.is_err());
    assert_eq!(log.lines(), ["reconnect_failed"]);
    assert_eq!(network.state().attempt_times.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_reconnection_a_lost_connection_is_final() {
    let (network, builder) = client();
    let socket = builder.reconnection(false).connect();
    within(socket.connected()).await.unwrap();
    network.state().acknowledges = false;
    let asked = socket.emit_with_ack::<()>("asked", ());
    network.cut(CloseReason::TransportClose);
    assert_eq!(within(asked).await, Err(AckError::Disconnected));
    tokio::time::sleep(secs(3_600)).await;
    assert_eq!(network.state().attempt_times.len(), 1);
    assert!(!socket.is_connected());
    socket.connect();
    within(socket.connected()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_program_that_disconnects_during_a_delay_stops_the_attempts() {
    let (network, socket) = connected().await;
    network.cut(CloseReason::TransportClose);
    settle().await;
    socket.disconnect();
    tokio::time::sleep(secs(3_600)).await;
    assert_eq!(network.state().attempt_times.len(), 1);
    assert!(!socket.is_active());
}

#[tokio::test(start_paused = true)]
async fn a_program_that_disconnects_during_an_attempt_stops_it() {
    let (network, builder) = client();
    network.state().attempts.push_back(crate::engine::simulation::Attempt::Hang);
    let socket = builder.connect();
    settle().await;
    assert_eq!(network.open_links(), 1);
    socket.disconnect();
    settle().await;
    assert_eq!(network.open_links(), 0);
    socket.connect();
    within(socket.connected()).await.unwrap();
}

/// A program may connect the socket in the handler of its disconnect, as the documentation of Socket.IO advises for the
/// reason `io server disconnect`.
#[tokio::test(start_paused = true)]
async fn a_handler_may_connect_a_socket_that_the_server_has_disconnected() {
    let (network, socket) = connected().await;
    socket.on_disconnect(async |socket: Socket| socket.connect());
    network.send("1");
    settle().await;
    within(socket.connected()).await.unwrap();
    assert_eq!(network.take_received(), ["0"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_hangs_up_is_asked_less_and_less_often() {
    let (network, builder) = client();
    network.state().attempts.extend([HangUp; 5]);
    network.state().latency = Duration::ZERO;
    let socket = builder.connect();
    within(socket.connected()).await.unwrap();
    let times = network.state().attempt_times.clone();
    let delays: Vec<u64> = times.windows(2).map(|pair| pair[1].saturating_since(pair[0]).as_secs()).collect();
    assert_eq!(delays, [1, 2, 4, 5, 5]);
}
