//! Connecting, namespaces, credentials.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use super::*;
use crate::engine::simulation::Attempt;
use crate::{ConnectError, DisconnectReason};

#[tokio::test(start_paused = true)]
async fn a_socket_connects_and_has_an_id() {
    let (network, builder) = client();
    let socket = builder.connect();
    assert!(!socket.is_connected() && socket.is_active() && socket.id().is_none());
    within(socket.connected()).await.unwrap();
    assert_eq!((socket.namespace(), socket.id().as_deref()), ("/", Some("0")));
    assert!(socket.is_connected() && socket.client().is_open());
    assert_eq!(network.take_received(), ["0"]);
}

#[tokio::test(start_paused = true)]
async fn without_auto_connect_the_program_decides_when() {
    let (network, builder) = client();
    let socket = builder.auto_connect(false).connect();
    settle().await;
    assert!(network.state().attempt_times.is_empty() && !socket.is_active());
    socket.connect();
    within(socket.connected()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_path_of_the_url_is_the_namespace() {
    let network = Network::new();
    let socket = Client::builder("http://simulated/admin?token=1").simulated(network.clone()).connect();
    within(socket.connected()).await.unwrap();
    assert_eq!(socket.namespace(), "/admin");
    assert_eq!(network.take_received(), ["0/admin,"]);
}

#[tokio::test(start_paused = true)]
async fn namespaces_share_one_connection() {
    let (network, socket) = connected().await;
    let client = socket.client();
    let admin = client.namespace("admin").auth(json!({"token": "1"})).connect();
    within(admin.connected()).await.unwrap();
    assert_eq!(client.socket("/admin").namespace(), "/admin");
    admin.emit("x", ());
    socket.emit("y", ());
    assert_eq!(network.take_received(), [r#"0/admin,{"token":"1"}"#, r#"2/admin,["x"]"#, r#"2["y"]"#]);
    assert_eq!(network.state().attempt_times.len(), 1);
    socket.disconnect();
    settle().await;
    assert!(admin.is_connected(), "the other namespace stays");
    admin.disconnect();
    settle().await;
    assert_eq!(network.take_received(), ["1", "1/admin,"]);
    assert_eq!((network.open_links(), client.is_open()), (0, false), "no socket needs the connection");
    socket.connect();
    within(socket.connected()).await.unwrap();
    assert!(!admin.is_active());
}

#[tokio::test(start_paused = true)]
async fn the_function_for_credentials_is_called_at_every_connect() {
    let (network, builder) = client();
    let calls = Arc::new(AtomicU32::new(0));
    let socket = builder
        .auth_with(move || {
            let calls = Arc::clone(&calls);
            async move {
                tokio::time::sleep(secs(1)).await;
                match calls.fetch_add(1, Ordering::Relaxed) {
                    0 => Err("no token"),
                    call => Ok(json!({ "call": call })),
                }
            }
        })
        .connect();
    let log = Log::default();
    socket.on_connect_error({
        let log = log.clone();
        move |error: ConnectError| {
            log.say(error);
            std::future::ready(())
        }
    });
    within(socket.connected()).await.unwrap();
    assert_eq!(log.lines(), ["cannot obtain the credentials: no token"]);
    network.cut(engineio_proto::CloseReason::TransportClose);
    settle().await;
    within(socket.connected()).await.unwrap();
    assert_eq!(network.take_received(), [r#"0{"call":1}"#, r#"0{"call":2}"#]);
}

#[tokio::test(start_paused = true)]
async fn credentials_can_be_replaced_for_the_next_connection() {
    let (network, builder) = client();
    let socket = builder.auth(json!({"token": 1})).connect();
    within(socket.connected()).await.unwrap();
    socket.set_auth(json!({"token": 2}));
    network.cut(engineio_proto::CloseReason::TransportClose);
    settle().await;
    within(socket.connected()).await.unwrap();
    assert_eq!(network.take_received(), [r#"0{"token":1}"#, r#"0{"token":2}"#]);
}

#[tokio::test(start_paused = true)]
async fn a_function_for_credentials_that_panics_is_an_error() {
    let (_network, builder) = client();
    let log = Log::default();
    let _socket = builder
        .auth_with(|| -> std::future::Ready<Result<(), &str>> { panic!("no secret") })
        .on_connect_error({
            let log = log.clone();
            move |error: ConnectError| {
                log.say(error);
                std::future::ready(())
            }
        })
        .connect();
    let lines = log.wait(2).await;
    assert_eq!(lines[1], "cannot obtain the credentials: panicked: no secret");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_socket_does_not_try_again_by_itself() {
    let (network, builder) = client();
    network.state().accepts = false;
    let socket = builder.connect();
    settle().await;
    network.send(r#"4{"message":"no","data":{"code":7}}"#);
    let error = within(socket.connected()).await.unwrap_err();
    let ConnectError::Rejected { message, data } = error else { panic!("{error}") };
    assert_eq!((&*message, data.unwrap().as_str()), ("no", r#"{"code":7}"#));
    tokio::time::sleep(secs(3_600)).await;
    assert!(!socket.is_active());
    assert_eq!(network.state().attempt_times.len(), 1);
    network.state().accepts = true;
    socket.connect();
    within(socket.connected()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_reason_of_a_disconnect_is_told() {
    use engineio_proto::CloseReason;
    for (close, reason) in [
        (Some(CloseReason::TransportClose), "transport close"),
        (Some(CloseReason::TransportError), "transport error"),
        (Some(CloseReason::PingTimeout), "ping timeout"),
        (None, "io server disconnect"),
    ] {
        let (network, socket) = connected().await;
        let log = Log::default();
        socket.on_disconnect({
            let log = log.clone();
            move |reason: DisconnectReason| {
                log.say(reason);
                std::future::ready(())
            }
        });
        match close {
            Some(close) => network.cut(close),
            None => network.send("1"),
        }
        assert_eq!(log.wait(1).await, [reason]);
        assert_eq!(socket.is_active(), close.is_some());
        if close.is_some() {
            network.state().attempt_times.clear();
            settle().await;
            within(socket.connected()).await.unwrap();
        }
        network.send("2[");
        if close.is_some() {
            assert_eq!(log.wait(1).await, ["parse error"]);
            settle().await;
            within(socket.connected()).await.unwrap();
            socket.disconnect();
            assert_eq!(log.wait(1).await, ["io client disconnect"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_url_is_reported_and_not_tried_again() {
    let log = Log::default();
    let socket = Client::builder("localhost:3000")
        .on_connect_error({
            let log = log.clone();
            move |error: ConnectError| {
                log.say(error);
                std::future::ready(())
            }
        })
        .connect();
    assert!(matches!(within(socket.connected()).await, Err(ConnectError::InvalidSetting(_))));
    assert_eq!(log.lines(), ["the URL must begin with ws:// or wss://"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_told_to_every_socket_that_needs_the_connection() {
    let (network, builder) = client();
    network.state().attempts.extend([Attempt::Refuse, Attempt::Hang]);
    let log = Log::default();
    let report = |name: &'static str| {
        let log = log.clone();
        move |error: ConnectError| {
            log.say(format!("{name}: {error}"));
            std::future::ready(())
        }
    };
    let socket = builder.on_connect_error(report("/")).connect();
    let _admin = socket.client().namespace("/admin").on_connect_error(report("/admin")).connect();
    let idle = socket.client().namespace("/idle").on_connect_error(report("/idle")).create();
    within(socket.connected()).await.unwrap();
    let refused = "the simulation ended it";
    assert_eq!(
        log.lines(),
        [
            format!("/: {refused}"),
            format!("/admin: {refused}"),
            "/: timeout".into(),
            "/admin: timeout".into()
        ]
    );
    assert!(!idle.is_active());
}

#[tokio::test(start_paused = true)]
async fn the_program_is_told_when_a_connection_opens_and_how_it_ends() {
    let log = Log::default();
    let (network, builder) = client();
    let [opens, closes, reconnects] = [log.clone(), log.clone(), log.clone()];
    network.state().attempts = [Attempt::Refuse].into();
    let socket = builder
        .on_open(move || opens.say("open"))
        .on_close(move |reason| closes.say(reason))
        .on_reconnect(move |attempt| reconnects.say(format!("reconnect {attempt}")))
        .connect();
    within(socket.connected()).await.unwrap();
    assert_eq!(log.wait(2).await, ["open", "reconnect 1"], "a connection that was refused has not opened");
    tokio::time::sleep(secs(10)).await;
    network.cut(engineio_proto::CloseReason::PingTimeout);
    assert_eq!(log.wait(3).await, ["ping timeout", "open", "reconnect 1"]);
    within(socket.connected()).await.unwrap();
    socket.disconnect();
    assert_eq!(log.wait(1).await, ["forced close"]);
    socket.connect();
    within(socket.connected()).await.unwrap();
    socket.client().close().await;
    assert_eq!(log.wait(2).await, ["open", "forced close"]);
}
