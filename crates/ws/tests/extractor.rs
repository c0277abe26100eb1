//! `Upgrade` as an extractor in an axum program.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::any;
use http::HeaderMap;
use tidewire_ws::{AllowedOrigins, ConnectError, Connector, Message, Upgrade, UpgradeRejection, WebSocket};
use tokio::net::TcpListener;

use crate::support::soon;

async fn chat(
    State(origins): State<AllowedOrigins>,
    upgrade: Upgrade,
    Path(room): Path<String>,
    headers: HeaderMap,
) -> Result<Response, UpgradeRejection> {
    let host = headers["host"].to_str().unwrap_or_default().to_owned();
    let greeting = format!("{room} at {host}");
    Ok(upgrade.allow_origins(&origins)?.on_upgrade(move |mut socket: WebSocket| async move {
        let _ = socket.send(greeting).await;
    }))
}

async fn serve() -> SocketAddr {
    let origins = AllowedOrigins::new(["https://app.example"]).expect("an origin");
    let app = Router::new().route("/chat/{room}", any(chat)).with_state(origins);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn a_handshake_is_extracted_and_leaves_the_request_to_other_extractors() {
    let server = serve().await;
    let connect = Connector::new(format!("ws://{server}/chat/lobby"));
    let mut socket = soon(connect.connect()).await.expect("accepted");
    assert_eq!(soon(socket.recv()).await, Some(Message::from(format!("lobby at {server}"))));
}

#[tokio::test]
async fn invalid_and_forbidden_handshakes_get_a_response_that_says_why() {
    let server = serve().await;
    let stranger =
        Connector::new(format!("ws://{server}/chat/lobby")).header("origin", "https://evil.example");
    match soon(stranger.connect()).await {
        Err(ConnectError::Rejected(response)) => {
            assert_eq!(response.status().as_u16(), 403);
            assert_eq!(response.body()[..], b"pages of this origin may not connect\n"[..]);
        }
        other => panic!("{other:?}"),
    }
    let app = tower::ServiceExt::<http::Request<String>>::oneshot(
        Router::new().route("/", any(async |_: Upgrade| {})),
        http::Request::get("/").header("host", "h").body(String::new()).expect("a request"),
    );
    let response = app.await.expect("infallible");
    assert_eq!(response.status().as_u16(), 426);
    assert_eq!(response.headers()["upgrade"], "websocket");
}
