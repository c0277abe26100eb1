//! Our client against a server of another implementation.

use futures_util::{SinkExt, StreamExt};
use tidewire_ws::{CloseCause, CloseCode, CloseFrame, Connector, Message};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame as TheirFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode as TheirCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message as Theirs};

use crate::support::soon;

#[tokio::test]
async fn our_client_works_with_a_tungstenite_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/path?query", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        #[allow(clippy::result_large_err, reason = "the type is theirs")]
        let check = |request: &Request, mut response: Response| {
            assert_eq!(request.uri(), "/path?query");
            assert_eq!(request.headers()["x-token"], "secret");
            response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("b"));
            Ok(response)
        };
        let fragment =
            |data, payload: Bytes, fin| Theirs::Frame(Frame::message(payload, OpCode::Data(data), fin));
        let mut theirs = tokio_tungstenite::accept_hdr_async(stream, check).await.unwrap();
        let mut close = None;
        while let Some(message) = theirs.next().await {
            match message.unwrap() {
                Theirs::Close(frame) => close = frame,
                Theirs::Ping(_) | Theirs::Pong(_) => {}
                message if message.is_text() && message.to_text().unwrap() == "ping me" => {
                    theirs.send(Theirs::Ping(Bytes::from_static(b"?"))).await.unwrap();
                    theirs.send(message).await.unwrap();
                }
                message if message.is_text() && message.to_text().unwrap() == "größer" => {
                    // Split in the middle of a character.
                    let mut payload = message.into_data();
                    let first = payload.split_to(3);
                    theirs.feed(fragment(Data::Text, first, false)).await.unwrap();
                    theirs.feed(Theirs::Ping(Bytes::from_static(b"between"))).await.unwrap();
                    theirs.send(fragment(Data::Continue, payload, true)).await.unwrap();
                }
                message => theirs.send(message).await.unwrap(),
            }
        }
        close
    });

    let connect = Connector::new(url).header("x-token", "secret").protocol("a").protocol("b");
    let mut socket = soon(connect.connect()).await.unwrap();
    assert_eq!(socket.protocol(), Some("b"));
    for message in [
        Message::from("hello"),
        Message::from(""),
        Message::from("ping me"),
        Message::from("größer"),
        Message::from(&b"\x00\xff"[..]),
        Message::from(vec![9; 5 * 1024 * 1024]),
        Message::from("é".repeat(100_000)),
    ] {
        socket.send(message.clone()).await.unwrap();
        let echoed = soon(socket.recv()).await.unwrap();
        assert!(echoed == message, "{} bytes for {}", echoed.len(), message.len());
    }
    let closed = soon(socket.close(CloseFrame::new(CloseCode::GOING_AWAY, "bye"))).await;
    assert!(
        matches!(&closed, CloseCause::ClosingHandshake(Some(frame)) if frame.code == CloseCode::GOING_AWAY),
        "{closed}"
    );
    let seen = soon(server).await.unwrap();
    assert_eq!(seen, Some(TheirFrame { code: TheirCode::Away, reason: "bye".into() }));
}
