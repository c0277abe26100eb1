//! The examples do what their readers expect. Most of them have their tests in their own file, for readers to copy, and are
//! modules here: a program for each of them would have to be linked.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tower::ServiceExt;

use crate::chat;

#[path = "../../../examples/axum.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod axum_example;

#[path = "../../../examples/feed.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod feed;

#[path = "../../../examples/collaboration.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod collaboration;

#[path = "../../../examples/cookie_session.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod cookie_session;

#[path = "../../../examples/graceful_shutdown.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod graceful_shutdown;

#[path = "../../../examples/jwt.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod jwt;

#[path = "../../../examples/notifications.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod notifications;

#[path = "../../../examples/rest.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod rest;

#[cfg(feature = "tls")]
#[path = "../../../examples/tls.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod tls_example;

#[path = "../../../examples/trading_feed.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod trading_feed;

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("in time")
}

/// A Socket.IO or Engine.IO client that sends and receives literal packets.
pub(crate) struct Client(WebSocketStream<TcpStream>);

impl Client {
    /// Opens an Engine.IO session.
    pub(crate) async fn open(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        let url = format!("ws://localhost{path}?EIO=4&transport=websocket");
        let (stream, _) = soon(tokio_tungstenite::client_async(url, stream)).await.expect("a handshake");
        let mut client = Self(stream);
        assert!(client.recv().await.starts_with('0'));
        client
    }

    pub(crate) async fn send(&mut self, packet: &str) {
        soon(self.0.send(Message::text(packet))).await.expect("sent");
    }

    pub(crate) async fn recv(&mut self) -> String {
        let message = soon(self.0.next()).await.expect("a message").expect("no error");
        message.into_text().expect("text").to_string()
    }
}

#[tokio::test]
async fn the_chat_example_announces_joins_and_echoes_messages() -> Result<(), testing::Error> {
    let io = chat::chat();
    let mut ann = testing::connect(&io).await.expect("everyone may connect");
    let mut bob = testing::connect(&io).await.expect("everyone may connect");
    ann.emit("join-room", "general").await?;
    assert_eq!(ann.recv::<String>("notification").await?, format!("{} joined general", ann.id()));
    bob.emit("join-room", "general").await?;
    let joined = format!("{} joined general", bob.id());
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.recv::<String>("notification").await?, joined);
    }
    bob.emit("message", "hello").await?;
    assert_eq!(bob.recv::<String>("message").await?, "Echo: hello");
    ann.expect_nothing().await
}

#[tokio::test]
async fn the_axum_example_serves_events_and_requests_with_one_router() {
    let io = axum_example::server();
    let router = axum_example::router(&io);
    let mut client =
        testing::Client::builder(&io).service(router.clone()).connect().await.expect("connected");
    assert_eq!(client.emit_with_ack::<String>("greet", "Ann").await.expect("a reply"), "Hello, Ann!");

    let response = router.oneshot(Request::new(Body::empty())).await.expect("a response");
    let body = axum::body::to_bytes(response.into_body(), 1_000).await.expect("a body");
    assert_eq!(body, "Socket.IO is at /socket.io/\n");
}

#[tokio::test]
async fn the_feed_example_passes_what_is_published_to_the_subscribers() {
    let server = feed::feed();
    let listener = server.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
    let mut ann = Client::open(address, "/engine.io/").await;
    let mut bob = Client::open(address, "/engine.io/").await;
    for client in [&mut ann, &mut bob] {
        client.send("4subscribe weather").await;
        assert_eq!(client.recv().await, "4subscribed weather");
    }
    ann.send("4publish weather it rains").await;
    assert_eq!(ann.recv().await, "4weather it rains");
    assert_eq!(bob.recv().await, "4weather it rains");
    drop(ann);
    bob.send("4publish news nobody hears this").await;
    bob.send("4publish weather it snows").await;
    assert_eq!(bob.recv().await, "4weather it snows");
    for number in 1..100 {
        bob.send(&format!("4subscribe {number}")).await;
        assert_eq!(bob.recv().await, format!("4subscribed {number}"));
    }
    bob.send("4subscribe 100").await;
    assert_eq!(bob.recv().await, "4error: too many topics");
}
