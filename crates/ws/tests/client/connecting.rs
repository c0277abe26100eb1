//! Connecting to a URL, and all failures of that.

use std::time::Duration;

use tidewire_ws::{
    ClientHandshakeError, ConnectError, Connector, DialError, HandshakeResponseError, Message, UriError,
};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;

use super::{begin, frame, value};
use crate::support::soon;

const URL: &str = "ws://server.example:9001/chat?room=1";

#[tokio::test(start_paused = true)]
async fn the_request_contains_all_settings() {
    let connect = Connector::new(URL)
        .header("Cookie", "a=1")
        .header("cookie", "b=2")
        .header("origin", "https://example.com")
        .protocol("chat.v2")
        .protocol(String::from("chat.v1"));
    let (mut peer, connecting) = begin(connect);
    let head = peer.accept("Sec-WebSocket-Protocol: chat.v1\r\n").await;
    assert!(head.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{head}");
    for (name, expected) in [
        ("host", Some("server.example:9001")),
        ("connection", Some("Upgrade")),
        ("upgrade", Some("websocket")),
        ("sec-websocket-version", Some("13")),
        ("sec-websocket-protocol", Some("chat.v2, chat.v1")),
        ("sec-websocket-extensions", None),
        ("origin", Some("https://example.com")),
        ("content-length", None),
    ] {
        assert_eq!(value(&head, name), expected, "{name}");
    }
    assert!(head.contains("cookie: a=1\r\ncookie: b=2\r\n"), "{head}");
    let socket = soon(connecting).await.unwrap().unwrap();
    assert_eq!(socket.protocol(), Some("chat.v1"));
}

#[tokio::test(start_paused = true)]
async fn each_connection_has_its_own_handshake_key() {
    let connect = Connector::new(URL);
    let mut keys = Vec::new();
    for _ in 0..3 {
        let (mut peer, _connecting) = begin(connect.clone());
        let head = peer.head().await;
        keys.push(value(&head, "sec-websocket-key").unwrap().to_owned());
    }
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2], "{keys:?}");
}

#[tokio::test(start_paused = true)]
async fn what_comes_with_the_answer_is_received() {
    let (mut peer, connecting) = begin(Connector::new(URL));
    let early = [frame(1, b"early"), frame(2, b"bird")].concat();
    let head = peer.head().await;
    let accept = ws_proto::accept_key(value(&head, "sec-websocket-key").unwrap());
    let response = format!(
        "HTTP/1.1 101 \r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
    );
    peer.write(&[response.as_bytes(), &early].concat()).await;
    let mut socket = soon(connecting).await.unwrap().unwrap();
    assert_eq!(soon(socket.recv()).await, Some(Message::from("early")));
    assert_eq!(soon(socket.recv()).await, Some(Message::from(&b"bird"[..])));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_keeps_its_status_headers_and_body() {
    for (wire, shown) in [
        (
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 16\r\n\r\nwho are you?\nsay",
            "the server responded with 401 Unauthorized: \"who are you?\"",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: wss://other.example/\r\nContent-Length: 0\r\n\r\n",
            "the server responded with 302 Found, Location \"wss://other.example/\"",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n<html>\r\n0\r\n\r\n",
            "the server responded with 200 OK: \"<html>\"",
        ),
        (
            "HTTP/1.0 503 Down\r\n\r\n\x1b[31m",
            "the server responded with 503 Service Unavailable: \"\\u{1b}[31m\"",
        ),
    ] {
        let (mut peer, connecting) = begin(Connector::new(URL));
        peer.head().await;
        peer.write(wire.as_bytes()).await;
        let error = soon(connecting).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), shown);
        let ConnectError::Rejected(response) = &error else { panic!("{error:?}") };
        assert_eq!(error.status(), Some(response.status()));
        for name in ["www-authenticate", "location"] {
            let kept = response.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(kept, value(wire, name), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_handshake_response_fails_the_connection() {
    for (lines, expected) in [
        ("Sec-WebSocket-Protocol: chat\r\n", HandshakeResponseError::ProtocolNotOffered("chat".to_owned())),
        ("Sec-WebSocket-Extensions: permessage-deflate\r\n", HandshakeResponseError::ExtensionNotOffered),
        ("Sec-WebSocket-Accept: again\r\n", HandshakeResponseError::InvalidAccept),
    ] {
        let (mut peer, connecting) = begin(Connector::new(URL));
        peer.accept(lines).await;
        let error = soon(connecting).await.unwrap().unwrap_err();
        assert!(matches!(&error, ConnectError::Handshake(error) if *error == expected), "{error:?}");
        assert!(soon(peer.stream.read_u8()).await.is_err(), "the connection is closed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_http_differs_from_no_response() {
    for (response, shown) in [
        ("", "no response to the handshake: the server closed the connection without a response"),
        (
            "HTTP/1.1 101 Swi",
            "no response to the handshake: the server closed the connection without a response",
        ),
        ("\x15\x03\x01\x00\x02\x02\x46", "no response to the handshake: the response is not HTTP/1.1: "),
        ("220 mail.example ESMTP\r\n", "no response to the handshake: the response is not HTTP/1.1: "),
    ] {
        let (mut peer, connecting) = begin(Connector::new(URL));
        peer.head().await;
        peer.write(response.as_bytes()).await;
        drop(peer);
        let error = soon(connecting).await.unwrap().unwrap_err();
        assert!(matches!(error, ConnectError::NoResponse(_)), "{error:?}");
        assert!(error.to_string().starts_with(shown), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn connecting_times_out() {
    for (connect, seconds) in
        [(Connector::new(URL), 20), (Connector::new(URL).timeout(Duration::from_secs(3)), 3)]
    {
        let begun = Instant::now();
        let (mut peer, connecting) = begin(connect);
        peer.head().await;
        peer.write(b"HTTP/1.1 101 Switching Protocols\r\nX: ").await;
        let error = connecting.await.unwrap().unwrap_err();
        assert!(matches!(error, ConnectError::TimedOut), "{error:?}");
        assert_eq!(begun.elapsed().as_secs(), seconds);
        assert!(peer.stream.read_u8().await.is_err(), "the connection is closed");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_dropped_closes_its_connection() {
    let (mut peer, connecting) = begin(Connector::new(URL));
    peer.head().await;
    connecting.abort();
    assert!(soon(peer.stream.read_u8()).await.is_err());
}

#[tokio::test]
async fn invalid_settings_fail_before_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let error = async |connect: Connector| soon(connect.connect()).await.unwrap_err();

    let reserved = error(Connector::new(&url).header("Upgrade", "h2c")).await;
    assert!(
        matches!(reserved, ConnectError::Request(ClientHandshakeError::ReservedHeader(_))),
        "{reserved:?}"
    );
    for (name, value) in [("a b", "1"), ("", "1"), ("a", "b\r\nc: d")] {
        let invalid = error(Connector::new(&url).header(name, value).header("x", "1")).await;
        assert!(matches!(&invalid, ConnectError::InvalidHeader(shown) if shown == name), "{invalid:?}");
    }
    let twice = error(Connector::new(&url).protocol("a").protocol("a")).await;
    assert!(matches!(twice, ConnectError::Request(ClientHandshakeError::ProtocolRepeated(_))), "{twice:?}");
    let ftp = error(Connector::new("ftp://server.example/")).await;
    assert!(matches!(ftp, ConnectError::Url(UriError::UnknownScheme(_))), "{ftp:?}");
    let accepted = tokio::time::timeout(Duration::from_millis(10), listener.accept()).await;
    assert!(accepted.is_err(), "a client has connected");
}

#[tokio::test]
async fn an_error_names_the_address_that_refuses_connections() {
    // It does not listen, and as long as it exists nobody else gets its port.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    let error = soon(tidewire_ws::connect(format!("ws://{address}/"))).await.unwrap_err();
    let ConnectError::Dial(DialError::Connect { address: named, error: reason }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!((*named, reason.kind()), (address, std::io::ErrorKind::ConnectionRefused));
}

#[tokio::test]
async fn connect_with_response_returns_the_response() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(tidewire_ws::serve(listener, crate::support::echo));
    let (mut socket, response) = soon(Connector::new(url).connect_with_response()).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["upgrade"]),
        (101, &"websocket".parse().unwrap())
    );
    socket.send("hello").await.unwrap();
    assert_eq!(soon(socket.recv()).await, Some(Message::from("hello")));
}
