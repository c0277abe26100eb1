//! Over real sockets: the listener, the echo example, and a client of another implementation.

#[allow(dead_code, reason = "its main would listen on a fixed port")]
#[path = "../../../examples/echo.rs"]
mod example;

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tidewire_ws::WebSocket;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::support::soon;

/// Runs the example on a free port.
async fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(tidewire_ws::serve(listener, example::echo));
    address
}

#[tokio::test]
async fn a_tungstenite_client_receives_its_echo_and_closes() {
    let address = echo_server().await;
    let (mut client, _) = tokio_tungstenite::connect_async(format!("ws://{address}/")).await.unwrap();
    let large = Bytes::from(vec![9; 5 * 1024 * 1024]);
    let messages = [
        Message::text("hello"),
        Message::text(""),
        Message::binary(Bytes::from_static(b"\x00\xff")),
        Message::binary(large),
        Message::text("é".repeat(100_000)),
    ];
    for message in messages {
        client.send(message.clone()).await.unwrap();
        let echoed = soon(client.next()).await.unwrap().unwrap();
        assert!(echoed == message, "{} bytes for {}", echoed.len(), message.len());
    }
    client.send(Message::Ping(Bytes::from_static(b"?"))).await.unwrap();
    assert_eq!(soon(client.next()).await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"?")));

    let frame = CloseFrame { code: CloseCode::Away, reason: "".into() };
    client.close(Some(frame.clone())).await.unwrap();
    assert_eq!(soon(client.next()).await.unwrap().unwrap(), Message::Close(Some(frame)));
    assert!(soon(client.next()).await.is_none());
}

#[tokio::test]
async fn many_messages_in_flight_are_echoed_in_order() {
    let address = echo_server().await;
    let (client, _) = tokio_tungstenite::connect_async(format!("ws://{address}/")).await.unwrap();
    let (mut sink, mut stream) = client.split();
    let sender = tokio::spawn(async move {
        for n in 0..20_000 {
            sink.feed(Message::text(format!("message {n}"))).await.unwrap();
        }
        sink.flush().await.unwrap();
        sink
    });
    for n in 0..20_000 {
        assert_eq!(soon(stream.next()).await.unwrap().unwrap(), Message::text(format!("message {n}")));
    }
    drop(sender.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_in_other_tasks_miss_no_wake_on_several_threads() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handler = async |socket: WebSocket| drop(tokio::spawn(example::echo(socket)));
    tokio::spawn(tidewire_ws::serve(listener, handler));
    let clients: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn(async move {
                let (mut client, _) =
                    tokio_tungstenite::connect_async(format!("ws://{address}/")).await.unwrap();
                for n in 0..300 {
                    client.send(Message::text(format!("message {n}"))).await.unwrap();
                    let echoed = soon(client.next()).await.unwrap().unwrap();
                    assert_eq!(echoed, Message::text(format!("message {n}")));
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_violation_right_after_the_request_gets_a_close_without_a_reset() {
    let address = echo_server().await;
    for hours in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // If the server closed too soon, the bytes after the unmasked frame would cause a reset.
        stream
            .write_all(&[crate::support::REQUEST, b"\x81\x00", &vec![0; 1_000_000]].concat())
            .await
            .unwrap();
        let mut response = Vec::new();
        soon(stream.read_to_end(&mut response)).await.unwrap_or_else(|error| panic!("hour {hours}: {error}"));
        assert!(response.ends_with(b"\r\n\r\n\x88\x02\x03\xea"), "{}", String::from_utf8_lossy(&response));
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(3_600)).await;
        tokio::time::resume();
    }
}

#[tokio::test]
async fn after_a_reset_the_connection_ends_and_sending_fails() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(tidewire_ws::serve(listener, move |mut socket: WebSocket| {
        let report = report.clone();
        async move {
            while socket.recv().await.is_some() {}
            report.send((socket.close_cause().unwrap(), socket.try_send("late").is_err())).unwrap();
        }
    }));
    let (client, _) = tokio_tungstenite::connect_async(format!("ws://{address}/")).await.unwrap();
    let tokio_tungstenite::MaybeTlsStream::Plain(stream) = client.get_ref() else { unreachable!() };
    stream.set_zero_linger().unwrap();
    drop(client);
    let (closed, refused) = soon(reports.recv()).await.unwrap();
    assert_eq!(closed, tidewire_ws::CloseCause::Io(std::io::ErrorKind::ConnectionReset));
    assert!(refused);
}
