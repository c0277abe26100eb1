//! What a program learns of the upgrade from long-polling to WebSocket.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tidewire_server::{Socket, State, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Joined, program, serve, soon};

/// Sends a request of a polling client, and returns the body of the response.
async fn poll(address: SocketAddr, method: &str, sid: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let length = body.len();
    let request = format!(
        "{method} /socket.io/?EIO=4&transport=polling{sid} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.expect("a response");
    response.split_once("\r\n\r\n").expect("a body").1.to_owned()
}

/// Opens a polling session that connects to these namespaces. Returns the query parameter with its id.
async fn open(address: SocketAddr, connects: &str) -> String {
    let opened = poll(address, "GET", "", "").await;
    let id = opened.strip_prefix(r#"0{"sid":""#).and_then(|rest| rest.get(..20)).expect(&opened);
    let sid = format!("&sid={id}");
    assert_eq!(poll(address, "POST", &sid, connects).await, "ok");
    assert!(poll(address, "GET", &sid, "").await.starts_with("40"));
    sid
}

async fn upgrade(address: SocketAddr, sid: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let url = format!("ws://localhost/socket.io/?EIO=4&transport=websocket{sid}");
    let (mut stream, _) = soon(tokio_tungstenite::client_async(url, stream)).await.expect("a handshake");
    soon(stream.send(Message::text("2probe"))).await.expect("sent");
    assert_eq!(recv(&mut stream).await, "3probe");
    soon(stream.send(Message::text("5"))).await.expect("sent");
    stream
}

async fn recv(stream: &mut WebSocketStream<TcpStream>) -> String {
    let message = soon(stream.next()).await.expect("a message").expect("no error");
    message.into_text().expect("a text").to_string()
}

#[tokio::test]
async fn every_connected_socket_is_told_when_its_connection_upgrades() {
    let (builder, mut program) = program();
    let io = builder.build();
    for namespace in [io.of("/"), io.of("/other")] {
        namespace.on_upgrade(|socket| socket.emit("upgraded", socket.transport().name()));
        namespace.on_connection(async |socket: Socket, joined: State<Joined>| {
            socket.on_upgrade(|_| panic!("it never runs"));
            socket.on_upgrade(|socket| socket.emit("this one, too", ()));
            let _ = joined.0.0.send(socket);
        });
    }
    let address = serve(&io).await;
    let sid = open(address, "40\u{1e}40/other,").await;
    let (socket, other) = (program.joined().await, program.joined().await);
    assert_eq!(socket.transport(), Transport::Polling);
    let waiting = tokio::spawn({
        let socket = socket.clone();
        async move { socket.upgraded().await }
    });
    let mut stream = upgrade(address, &sid).await;
    assert!(soon(waiting).await.expect("no panic"));
    assert!(soon(other.upgraded()).await, "also afterwards");
    assert_eq!(other.transport(), Transport::WebSocket);
    let mut received = Vec::new();
    for _ in 0..4 {
        received.push(recv(&mut stream).await);
    }
    received.sort();
    let expected = [
        r#"42/other,["this one, too"]"#,
        r#"42/other,["upgraded","websocket"]"#,
        r#"42["this one, too"]"#,
        r#"42["upgraded","websocket"]"#,
    ];
    assert_eq!(received, expected);
    drop(stream);
    assert!(soon(socket.disconnected()).await.as_str() == "transport close");
    assert!(soon(socket.upgraded()).await, "it had");
}

#[tokio::test]
async fn a_function_that_panics_at_the_upgrade_is_reported_and_harms_nothing() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_upgrade(|_| panic!("boom"));
    io.on_connection(async |socket: Socket, joined: State<Joined>| {
        let _ = joined.0.0.send(socket);
    });
    let address = serve(&io).await;
    let sid = open(address, "40").await;
    let socket = program.joined().await;
    let mut stream = upgrade(address, &sid).await;
    program.lines.expect(["error in -: handler failed: panicked: boom"]).await;
    socket.emit("still here", ());
    assert_eq!(recv(&mut stream).await, r#"42["still here"]"#);
}

#[tokio::test]
async fn a_connection_that_started_on_websocket_never_upgrades() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_upgrade(|socket| socket.emit("upgraded", ()));
    io.on_connection(async |socket: Socket, joined: State<Joined>| {
        let _ = joined.0.0.send(socket);
    });
    let mut client = Client::join(serve(&io).await).await;
    let socket = program.joined().await;
    assert_eq!(socket.transport(), Transport::WebSocket);
    client.expect_only("40/nope,", r#"44/nope,{"message":"Invalid namespace"}"#).await;
    socket.disconnect();
    assert!(!soon(socket.upgraded()).await);
}
