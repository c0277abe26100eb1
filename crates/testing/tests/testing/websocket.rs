//! A client of raw WebSockets.

use std::time::Duration;

use axum::extract::Request as AxumRequest;
use axum::response::Response;
use axum::routing::any;
use serde_json::{Value, json};
use tidewire_testing::{self as testing, CloseCause, ConnectError, Error, Message};
use ws::http::Request;
use ws::{CloseCode, CloseFrame, SendError, WebSocket};

use crate::Tested;

async fn echo(mut socket: WebSocket) -> Result<(), SendError> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

/// Receives messages, and sends nothing.
async fn silence(mut socket: WebSocket) {
    while socket.recv().await.is_some() {}
}

#[tokio::test]
async fn messages_of_all_kinds_pass() -> Tested {
    let mut socket = testing::websocket(echo).await?;
    socket.send("hello").await?;
    assert_eq!(socket.recv_text().await?, "hello");
    socket.send(json!({ "a": 1 }).to_string()).await?;
    assert_eq!(socket.recv_json::<Value>().await?, json!({ "a": 1 }));
    socket.send(vec![0, 255]).await?;
    assert_eq!(socket.recv().await?, Message::from(vec![0, 255]));
    socket.send(vec![0, 255]).await?;
    let error = socket.recv_text().await.unwrap_err();
    assert!(
        error.to_string().starts_with("the message has another type: it is not a text; received:"),
        "{error}"
    );
    socket.expect_nothing().await?;
    Ok(())
}

#[tokio::test]
async fn a_handler_gets_the_request() -> Tested {
    let handler = async |mut socket: WebSocket, request: Request<()>| {
        let address = request.extensions().get::<ws::ClientAddress>().map(|address| address.ip().to_string());
        let _ = socket.send(format!("{} {}", request.uri(), address.unwrap_or_default())).await;
    };
    let mut socket = testing::WebSocket::builder(handler).path("/feed?topic=news").connect().await?;
    assert_eq!(socket.recv_text().await?, "/feed?topic=news 127.0.0.1");
    Ok(())
}

#[tokio::test]
async fn the_status_of_a_refusal_is_returned() {
    async fn refuse(_: AxumRequest) -> (http::StatusCode, &'static str) {
        (http::StatusCode::FORBIDDEN, "members only")
    }
    let app = || axum::Router::new().route("/members", any(refuse));
    for (path, status, text) in [("/members", 403, "members only"), ("/nowhere", 404, "404")] {
        let refused = testing::WebSocket::builder_for_service(app()).path(path).connect().await.unwrap_err();
        assert!(refused.to_string().contains(text), "{refused}");
        let ConnectError::WebSocket(refused) = refused else { panic!("{refused:?}") };
        assert_eq!(refused.status().map(|status| status.as_u16()), Some(status));
    }
}

#[tokio::test]
async fn a_service_selects_a_subprotocol() -> Tested {
    async fn accept(mut request: AxumRequest) -> Response<String> {
        match ws::upgrade(&mut request) {
            Ok(upgrade) => upgrade.select_protocol("chat.v2").on_upgrade(echo),
            Err(error) => error.response(),
        }
    }
    let app = axum::Router::new().route("/chat", any(accept));
    let mut socket = testing::WebSocket::builder_for_service(app)
        .path("chat")
        .configure(|connector| connector.protocol("chat.v1").protocol("chat.v2"))
        .connect()
        .await?;
    assert_eq!(socket.protocol(), Some("chat.v2"));
    socket.send("hello").await?;
    assert_eq!(socket.recv_text().await?, "hello");
    Ok(())
}

#[tokio::test]
async fn both_ends_can_close() -> Tested {
    let mut socket = testing::websocket(echo).await?;
    let normal = CloseCause::ClosingHandshake(Some(CloseFrame::from(CloseCode::NORMAL)));
    assert_eq!(socket.close(CloseFrame::from(CloseCode::NORMAL)).await?, normal);
    let error = socket.send("hello").await.unwrap_err();
    assert!(matches!(error, Error::NotSent { .. }), "{error:?}");

    let goodbye = async |mut socket: WebSocket| {
        let _ = socket.send("bye").await;
        socket.close(CloseFrame::new(CloseCode::POLICY_VIOLATION, "too loud")).await;
    };
    let mut socket = testing::websocket(goodbye).await?;
    let closed = socket.closed().await?;
    let expected = CloseFrame::new(CloseCode::POLICY_VIOLATION, "too loud");
    assert_eq!(closed, CloseCause::ClosingHandshake(Some(expected)));
    assert_eq!(socket.recv_text().await?, "bye", "what came before is kept");
    let error = socket.recv().await.unwrap_err();
    assert!(
        matches!(&error, Error::Disconnected { .. }) && error.to_string().contains("too loud"),
        "{error}"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_come_is_an_error() -> Tested {
    let mut socket = testing::websocket(silence).await?;
    socket.send("hello").await?;
    let error = socket.recv().await.unwrap_err();
    assert_eq!(error.to_string(), "a message did not arrive within 5s; nothing else arrived");
    Ok(())
}

#[tokio::test]
async fn expect_nothing_fails_for_what_the_handler_has_sent() -> Tested {
    let mut socket = testing::websocket(echo).await?;
    socket.expect_nothing().await?;
    socket.send("hello").await?;
    let error = socket.expect_nothing().await.unwrap_err();
    assert_eq!(error.to_string(), r#"nothing should have arrived, but this did: "hello""#);
    assert_eq!(
        socket.try_recv().and_then(|message| message.as_text().map(str::to_owned)).as_deref(),
        Some("hello")
    );
    assert!(socket.try_recv().is_none());
    Ok(())
}

#[tokio::test]
async fn a_cut_ends_the_connection_of_the_handler() -> Tested {
    let (sender, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |mut socket: WebSocket| {
        let sender = sender.clone();
        async move {
            while socket.recv().await.is_some() {}
            let _ = sender.send(socket.close_cause());
        }
    };
    let mut socket = testing::websocket(handler).await?;
    socket.sync().await?;
    socket.link().cut();
    assert_eq!(ended.recv().await, Some(Some(CloseCause::Eof)));
    assert_eq!(socket.closed().await?, CloseCause::Eof);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stalled_link_times_out_on_both_sides() -> Tested {
    let mut socket = testing::WebSocket::builder(silence).timeout(Duration::from_secs(600)).connect().await?;
    socket.link().stall();
    assert_eq!(socket.closed().await?, CloseCause::IdleTimeout);
    Ok(())
}
