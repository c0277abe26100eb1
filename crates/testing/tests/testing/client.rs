//! A Socket.IO client: receiving, errors, syncing, connecting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use serde_json::{Value, json};
use server::{
    Auth, ConnectError as Refusal, ConnectionStateRecovery, Data, HandlerError, ReceivedEvent, Reply, Server,
    Socket,
};
use tidewire_testing::{self as testing, Client, ConnectError, DisconnectReason, Error};
use tokio::sync::Notify;

use crate::Tested;

/// A server whose event `say` is passed to the other clients.
fn chat() -> Server {
    let io = Server::new();
    io.on("say", async |socket: Socket, Data(text): Data<String>| {
        socket.broadcast().emit("message", (socket.id().to_string(), text));
    });
    io
}

/// A server that emits these numbers to each client, as `odd` or `even`.
fn counter(numbers: std::ops::Range<u32>) -> Server {
    let io = Server::new();
    io.on_connection(move |socket: Socket| {
        for number in numbers.clone() {
            socket.emit(if number % 2 == 0 { "even" } else { "odd" }, number);
        }
        std::future::ready(())
    });
    io
}

#[tokio::test]
async fn clients_of_one_server_hear_each_other() -> Tested {
    let io = chat();
    let mut alice = testing::connect(&io).await?;
    let mut bob = testing::connect(&io).await?;
    alice.emit("say", "hello").await?;
    let (who, text): (String, String) = bob.recv("message").await?;
    assert_eq!((who, text.as_str()), (alice.id(), "hello"));
    alice.expect_nothing().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_work_on_a_runtime_with_several_threads() -> Tested {
    let io = counter(0..4);
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let io = io.clone();
            tokio::spawn(async move {
                let mut client = testing::connect(&io).await?;
                for number in 0..4 {
                    assert_eq!(client.recv_any().await?.data::<u32>()?, number);
                }
                client.expect_nothing().await?;
                client.link().cut();
                assert_eq!(client.disconnected().await?, DisconnectReason::TransportClose);
                client.reconnect().await?;
                assert_eq!(client.recv::<u32>("odd").await?, 1);
                client.disconnect().await?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            })
        })
        .collect();
    for client in clients {
        client.await?.map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[tokio::test]
async fn recv_takes_the_next_event_of_its_name_and_keeps_the_others_in_order() -> Tested {
    let mut client = testing::connect(&counter(0..6)).await?;
    assert_eq!(client.recv::<u32>("odd").await?, 1);
    assert_eq!(client.recv::<u32>("odd").await?, 3);
    assert_eq!(client.recv::<u32>("even").await?, 0);
    for (name, number) in [("even", 2), ("even", 4), ("odd", 5)] {
        let event = client.recv_any().await?;
        assert_eq!((event.name(), event.data::<u32>()?), (name, number));
    }
    client.expect_nothing().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_error_of_an_event_that_does_not_come_lists_what_came_instead() -> Tested {
    let mut client = Client::builder(&counter(0..3)).timeout(Duration::from_secs(60)).connect().await?;
    let begin = tokio::time::Instant::now();
    let error = client.recv::<String>("message").await.unwrap_err();
    assert_eq!(begin.elapsed().as_secs(), 60);
    assert_eq!(
        error.to_string(),
        r#"the event "message" did not arrive within 60s; instead, this arrived: "even" [0], "odd" [1], "even" [2]"#
    );
    assert_eq!(client.recv::<u32>("odd").await?, 1, "the events are kept");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_error_does_not_print_thousands_of_events() -> Tested {
    let mut client = testing::connect(&counter(0..1_000)).await?;
    let Err(Error::TimedOut { arrived, .. }) = client.recv::<String>("message").await else {
        panic!("an event")
    };
    assert_eq!((arrived.len(), arrived.last().map(String::as_str)), (21, Some("and 980 more")));
    Ok(())
}

#[tokio::test]
async fn an_event_of_another_type_is_an_error_that_shows_it() -> Tested {
    let mut client = testing::connect(&counter(1..2)).await?;
    let error = client.recv::<String>("odd").await.unwrap_err();
    assert!(matches!(error, Error::WrongType { .. }), "{error:?}");
    assert!(error.to_string().starts_with(r#"the event "odd" has another type: "#), "{error}");
    assert!(error.to_string().ends_with(r#"received: "odd" [1]"#), "{error}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_is_deserialized_and_a_missing_one_is_an_error() -> Tested {
    let io = counter(0..1);
    io.on("add", async |Data((a, b)): Data<(i32, i32)>| Reply(a + b));
    let mut client = testing::connect(&io).await?;
    assert_eq!(client.emit_with_ack::<i32>("add", (1, 2)).await?, 3);
    let error = client.emit_with_ack::<String>("add", (1, 2)).await.unwrap_err();
    assert!(error.to_string().ends_with("received: [3]"), "{error}");
    io.on("fail", async || Err::<(), _>(HandlerError::new("slow down")));
    io.on("rooms", async || Reply(["general"]));
    let mut other = testing::connect(&io).await?;
    let error = other.emit_with_ack::<()>("fail", ()).await.unwrap_err();
    let reason = "the handler of the server failed; received: [{\"error\":\"slow down\"}]";
    assert!(error.to_string().ends_with(reason), "{error}");
    other.emit_with_ack::<()>("add", (1, 2)).await?;
    other.emit_with_ack::<()>("rooms", ()).await?;
    let error = client.emit_with_ack::<i32>("no such event", ()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"the acknowledgement of "no such event" did not arrive within 5s; instead, this arrived: "even" [0]"#
    );
    Ok(())
}

#[tokio::test]
async fn try_recv_returns_what_has_arrived_and_does_not_wait() -> Tested {
    let io = chat();
    let mut alice = testing::connect(&io).await?;
    assert!(alice.try_recv().is_none());
    io.emit("news", 1);
    assert!(alice.try_recv().is_none(), "it is on the way");
    alice.sync().await?;
    assert_eq!(alice.try_recv().expect("it has arrived").data::<u32>()?, 1);
    assert!(alice.try_recv().is_none());
    Ok(())
}

#[tokio::test]
async fn sync_waits_for_handlers_that_wait() -> Tested {
    let (gate, is_done) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let io = Server::new();
    io.on("work", {
        let (gate, is_done) = (Arc::clone(&gate), Arc::clone(&is_done));
        move |socket: Socket| {
            let (gate, is_done) = (Arc::clone(&gate), Arc::clone(&is_done));
            async move {
                gate.notified().await;
                is_done.store(true, Ordering::Relaxed);
                socket.emit("done", ());
            }
        }
    });
    let mut client = testing::connect(&io).await?;
    client.emit("work", ()).await?;
    tokio::spawn(async move {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        gate.notify_one();
    });
    client.sync().await?;
    assert!(is_done.load(Ordering::Relaxed));
    assert_eq!(client.try_recv().expect("it came before the end of the handler").name(), "done");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn sync_fails_if_a_handler_does_not_end() -> Tested {
    let io = Server::new();
    io.on("work", async || std::future::pending::<()>().await);
    let mut client = testing::connect(&io).await?;
    client.emit("work", ()).await?;
    let error = client.sync().await.unwrap_err();
    assert!(
        error.to_string().starts_with("the end of the handlers of this client's events did not"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn sync_passes_a_server_that_refuses_or_catches_unknown_events() -> Tested {
    let io = Server::new();
    io.event_middleware(async |event: ReceivedEvent| {
        if event.name() == "known" { Ok(()) } else { Err(HandlerError::new("unknown event")) }
    });
    testing::connect(&io).await?.expect_nothing().await?;

    let io = Server::new();
    let caught = Arc::new(AtomicUsize::new(0));
    io.on_fallback({
        let caught = Arc::clone(&caught);
        move || {
            caught.fetch_add(1, Ordering::Relaxed);
            std::future::ready(())
        }
    });
    testing::connect(&io).await?.expect_nothing().await?;
    assert_eq!(caught.load(Ordering::Relaxed), 0, "the fallback does not see it");
    Ok(())
}

#[tokio::test]
async fn expect_nothing_fails_for_what_the_server_has_sent() -> Tested {
    let io = chat();
    let mut alice = testing::connect(&io).await?;
    alice.expect_nothing().await?;
    io.emit("news", (1, "two"));
    let error = alice.expect_nothing().await.unwrap_err();
    assert_eq!(error.to_string(), r#"nothing should have arrived, but this did: "news" [1,"two"]"#);
    assert_eq!(alice.recv::<(u32, String)>("news").await?, (1, "two".to_owned()), "it is kept");
    alice.expect_nothing().await?;
    Ok(())
}

#[tokio::test]
async fn a_rejected_client_gets_the_message_and_the_data_of_the_server() -> Tested {
    let io = Server::new();
    let admin = io.of("/admin");
    admin.middleware(async |Auth(auth): Auth<Value>| match auth["token"].as_str() {
        Some("secret") => Ok(()),
        _ => Err(Refusal::new("not authorized").data(json!({ "retry": false }))),
    });
    let builder = || Client::builder(&io).namespace("/admin");
    let rejected = builder().auth(json!({ "token": "wrong" })).connect().await.unwrap_err();
    assert_eq!(
        rejected.to_string(),
        r#"the server has rejected the connection: "not authorized", data: {"retry":false}"#
    );
    let ConnectError::Rejected { message, data: Some(data) } = rejected else { panic!("{rejected:?}") };
    assert_eq!(
        (message.as_str(), data.deserialize::<Value>()?),
        ("not authorized", json!({ "retry": false }))
    );
    builder().auth(json!({ "token": "secret" })).connect().await?;

    let unknown = Client::builder(&io).namespace("/nowhere").connect().await.unwrap_err();
    assert_eq!(unknown.to_string(), r#"the server has rejected the connection: "Invalid namespace""#);
    Ok(())
}

#[tokio::test]
async fn the_requests_pass_through_the_layers_of_the_program() -> Tested {
    let io = chat();
    let app = axum::Router::new().layer(io.layer()).layer(from_fn(
        async |request: axum::extract::Request, next: Next| {
            if request.headers().contains_key("x-token") {
                Ok(next.run(request).await)
            } else {
                Err((StatusCode::UNAUTHORIZED, "who are you?"))
            }
        },
    ));
    let refused = Client::builder(&io).service(app.clone()).connect().await.unwrap_err();
    assert!(matches!(refused, ConnectError::Failed(_)), "{refused:?}");
    assert!(refused.to_string().contains("401") && refused.to_string().contains("who are you?"), "{refused}");
    let client = Client::builder(&io).service(app).configure(|client| client.extra_header("x-token", "1"));
    client.connect().await?.expect_nothing().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_the_server_does_not_accept_in_time_is_an_error() {
    let io = Server::new();
    io.middleware(async || {
        std::future::pending::<()>().await;
        Ok::<_, Refusal>(())
    });
    let error = testing::connect(&io).await.unwrap_err();
    assert_eq!(error.to_string(), "the client was not connected within 5s");
}

#[tokio::test]
async fn all_transports_work() -> Tested {
    use client::Transport::{Polling, WebSocket};
    const ALL: [&[client::Transport]; 3] = [&[Polling], &[WebSocket], &[Polling, WebSocket]];
    let io = chat();
    for transports in ALL {
        let configure = move |client: client::Builder| client.transports(transports);
        let mut alice = Client::builder(&io).configure(configure).connect().await?;
        io.emit("news", 1);
        assert_eq!(alice.recv::<u32>("news").await?, 1);
        alice.expect_nothing().await?;
        alice.disconnect().await?;
    }
    Ok(())
}

#[tokio::test]
async fn events_that_came_before_the_end_of_the_connection_are_received_and_then_the_reason_is_returned()
-> Tested {
    let io = Server::new();
    io.on("leave", async |socket: Socket| {
        socket.emit("bye", 1);
        socket.disconnect();
    });
    let mut client = testing::connect(&io).await?;
    client.emit("leave", ()).await?;
    assert_eq!(client.recv::<u32>("bye").await?, 1);
    let error = client.recv_any().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "an event did not arrive, because the connection has ended: io server disconnect; nothing else arrived"
    );
    assert_eq!(client.disconnected().await?, DisconnectReason::IoServerDisconnect);
    let error = client.emit("leave", ()).await.unwrap_err();
    assert_eq!(error.to_string(), r#"the event "leave" was not sent: io server disconnect"#);
    client.expect_nothing().await?;
    assert!(client.server_socket().is_err());
    Ok(())
}

#[tokio::test]
async fn disconnect_waits_until_the_server_has_noticed_it() -> Tested {
    let io = chat();
    let mut alice = testing::connect(&io).await?;
    let socket = alice.server_socket()?;
    alice.disconnect().await?;
    assert!(!socket.is_connected());
    assert_eq!(alice.disconnected().await?, DisconnectReason::IoClientDisconnect);
    alice.reconnect().await?;
    assert_ne!(alice.id(), socket.id().to_string());
    alice.expect_nothing().await?;
    Ok(())
}

#[tokio::test]
async fn a_dropped_client_disconnects() -> Tested {
    let io = chat();
    let alice = testing::connect(&io).await?;
    let socket = alice.server_socket()?;
    drop(alice);
    let reason = tokio::time::timeout(Duration::from_secs(10), socket.disconnected()).await?;
    assert_eq!(reason, server::DisconnectReason::ClientNamespaceDisconnect);
    Ok(())
}

#[tokio::test]
async fn a_client_that_reconnects_recovers_what_it_has_missed() -> Tested {
    let io = Server::builder().connection_state_recovery(ConnectionStateRecovery::default()).build();
    let mut alice = testing::connect(&io).await?;
    alice.server_socket()?.join("room");
    let id = alice.id();
    io.to("room").emit("news", 1);
    assert_eq!(alice.recv::<u32>("news").await?, 1);
    alice.link().down();
    assert_eq!(alice.disconnected().await?, DisconnectReason::TransportClose);
    io.to("room").emit("news", 2);
    assert!(alice.reconnect().await.is_err(), "the link is down");
    alice.link().restore();
    alice.reconnect().await?;
    assert!(alice.socket().is_recovered());
    assert_eq!(alice.id(), id);
    assert_eq!(alice.recv::<u32>("news").await?, 2);
    alice.expect_nothing().await?;
    Ok(())
}
