//! The examples do what their readers expect.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::chat;

#[path = "../../../examples/axum.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod axum_example;

#[path = "../../../examples/feed.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod feed;

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("in time")
}

/// A Socket.IO or Engine.IO client that sends and receives literal packets.
pub(crate) struct Client(WebSocketStream<TcpStream>);

impl Client {
    /// Connects to `/`. Returns the client and its socket id.
    async fn join(address: SocketAddr) -> (Self, String) {
        let mut client = Self::open(address, "/socket.io/").await;
        client.send("40").await;
        let reply = client.recv().await;
        let id = reply.strip_prefix("40{\"sid\":\"").and_then(|rest| rest.get(..20)).expect(&reply);
        (client, id.to_owned())
    }

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
async fn the_chat_example_announces_joins_and_echoes_messages() {
    let io = chat::chat();
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { io.serve(listener, std::future::pending()).await });
    let (mut ann, ann_id) = Client::join(address).await;
    let (mut bob, bob_id) = Client::join(address).await;
    ann.send(r#"42["join-room","general"]"#).await;
    assert_eq!(ann.recv().await, format!(r#"42["notification","{ann_id} joined general"]"#));
    bob.send(r#"42["join-room","general"]"#).await;
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.recv().await, format!(r#"42["notification","{bob_id} joined general"]"#));
    }
    bob.send(r#"42["message","hello"]"#).await;
    assert_eq!(bob.recv().await, r#"42["message","Echo: hello"]"#);
}

#[tokio::test]
async fn the_axum_example_serves_events_and_requests_on_one_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, axum_example::router(&axum_example::server())).await });
    let (mut client, _) = Client::join(address).await;
    client.send(r#"420["greet","Ann"]"#).await;
    assert_eq!(client.recv().await, r#"430["Hello, Ann!"]"#);

    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.expect("sent");
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.expect("a response");
    assert!(response.ends_with("\r\n\r\nSocket.IO is at /socket.io/\n"), "{response}");
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
