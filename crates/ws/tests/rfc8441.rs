//! RFC 8441, WebSocket over HTTP/2: the requirements that need a connection. The client is the crate `h2`; the tests
//! build each WebSocket frame themselves. The requirements on the handshake are in `rfc8441.rs` of the crate
//! `ws-proto`.

use std::time::Duration;

use h2::Reason;
use http::{StatusCode, header};
use net::{Http2Limits, HttpLimits};
use tidewire_ws::{CloseCause, CloseCode, CloseFrame, DeflateOptions, Limits, Message, WebSocket};
use tokio::sync::mpsc;
use ws_proto::Opcode;

use crate::support::http2::{self, Client, Server, request};
use crate::support::{echo, soon};

#[tokio::test]
async fn section_3_must_1_the_setting_says_that_an_extended_connect_may_come() {
    let server = Server::start(echo).await;
    let mut client = Client::connect(server.address).await;
    // The settings arrive before the first response.
    let response = client.send(http::Request::get("http://localhost/").body(()).expect("a request")).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(client.may_send_an_extended_connect());
}

#[tokio::test]
async fn section_5_the_stream_carries_what_a_connection_of_rfc_6455_would() {
    let server = Server::start(echo).await;
    let mut client = Client::connect(server.address).await;
    let mut socket = client.open().await;
    for (opcode, payload) in
        [(Opcode::Text, "hällo".as_bytes()), (Opcode::Binary, &[0, 255]), (Opcode::Text, b"")]
    {
        socket.send(opcode, payload).await;
        assert_eq!(socket.next().await, Some((opcode, payload.to_vec())));
    }
    socket.send(Opcode::Ping, b"there?").await;
    assert_eq!(socket.next().await, Some((Opcode::Pong, b"there?".to_vec())));
}

#[tokio::test]
async fn messages_larger_than_every_window_pass_in_both_directions() {
    let server = Server::start(echo).await;
    let mut client = Client::connect(server.address).await;
    let mut socket = client.open().await;
    let message: Vec<u8> = (0..3_000_000u32).map(|number| number as u8).collect();
    for _ in 0..2 {
        let (echoed, ()) = tokio::join!(socket.receiver.next(), socket.sender.send(Opcode::Binary, &message));
        let (opcode, payload) = echoed.expect("a message");
        assert_eq!(opcode, Opcode::Binary);
        assert!(payload == message, "{} bytes", payload.len());
    }
}

#[tokio::test]
async fn section_5_the_closing_handshake_ends_with_end_stream() {
    let server = Server::start(echo).await;
    let mut client = Client::connect(server.address).await;
    let mut socket = client.open().await;
    socket.send(Opcode::Close, &[3, 232]).await;
    assert_eq!(socket.next().await, Some((Opcode::Close, vec![3, 232])));
    assert_eq!(socket.next().await, None);
    assert_eq!(socket.receiver.reset, None);
}

#[tokio::test]
async fn section_5_a_server_that_closes_ends_the_stream_behind_the_answer() {
    let server = Server::start(async |mut socket: WebSocket| {
        socket.close(CloseFrame::new(CloseCode::GOING_AWAY, "bye")).await;
    })
    .await;
    let mut client = Client::connect(server.address).await;
    let mut socket = client.open().await;
    assert_eq!(socket.next().await, Some((Opcode::Close, b"\x03\xe9bye".to_vec())));
    socket.send(Opcode::Close, &[3, 233]).await;
    assert_eq!(socket.next().await, None);
    assert_eq!(socket.receiver.reset, None);
}

#[tokio::test]
async fn section_5_a_reset_is_an_end_without_a_close_and_harms_no_other_stream() {
    let (sender, mut ends) = mpsc::unbounded_channel();
    let server = Server::start(move |mut socket: WebSocket| {
        let sender = sender.clone();
        async move {
            while let Some(message) = socket.recv().await {
                let _ = socket.send(message).await;
            }
            let _ = sender.send(socket.close_cause());
        }
    })
    .await;
    let mut client = Client::connect(server.address).await;
    let mut other = client.open().await;
    for reason in [Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::PROTOCOL_ERROR] {
        let mut socket = client.open().await;
        socket.send(Opcode::Text, b"hello").await;
        assert_eq!(socket.next().await, Some((Opcode::Text, b"hello".to_vec())));
        socket.reset(reason);
        let closed = soon(ends.recv()).await.expect("an end").expect("it says how");
        assert!(matches!(closed, CloseCause::Eof | CloseCause::Io(_)), "{reason}: {closed}");
        other.send(Opcode::Text, b"still there").await;
        assert_eq!(other.next().await, Some((Opcode::Text, b"still there".to_vec())));
    }
}

#[tokio::test]
async fn a_client_that_ends_its_half_without_a_close_still_gets_one() {
    let server = Server::start(echo).await;
    let mut client = Client::connect(server.address).await;
    let mut socket = client.open().await;
    socket.sender.end();
    assert_eq!(socket.next().await.map(|(opcode, _)| opcode), Some(Opcode::Close));
    assert_eq!(socket.next().await, None);
}

#[tokio::test]
async fn many_websockets_and_requests_share_a_connection() {
    let server = Server::start(echo).await;
    let mut client = Client::connect(server.address).await;
    let mut sockets = Vec::new();
    for _ in 0..50 {
        sockets.push(client.open().await);
        assert_eq!(client.send(http2::get("http://localhost/")).await.status(), StatusCode::BAD_REQUEST);
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        socket.send(Opcode::Text, number.to_string().as_bytes()).await;
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        assert_eq!(socket.next().await, Some((Opcode::Text, number.to_string().into_bytes())));
    }
}

#[tokio::test]
async fn each_websocket_of_an_http_2_connection_counts_towards_the_limit() {
    let server = tidewire_ws::Server::builder().max_connections(2);
    let server = server.bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().expect("an address");
    tokio::spawn(server.serve(echo));
    let mut client = Client::connect(address).await;
    let (mut first, _second) = (client.open().await, client.open().await);
    assert_eq!(client.send(request()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    first.send(Opcode::Close, &[]).await;
    while first.next().await.is_some() {}
    soon(async {
        // The connection's task ends a moment later.
        while client.send(request()).await.status() != StatusCode::OK {}
    })
    .await;
}

#[tokio::test]
async fn protocols_and_compression_are_negotiated_as_over_http_1() {
    let server = Server::start(echo).await;
    let mut client = Client::connect(server.address).await;
    let mut request = request();
    let headers = request.headers_mut();
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, "chat.v1, chat.v2".parse().expect("a value"));
    headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate".parse().expect("a value"));
    let (response, mut socket) = client.open_by(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], "chat.v2");
    let extensions = response.headers()[header::SEC_WEBSOCKET_EXTENSIONS].to_str().expect("text");
    assert!(extensions.starts_with("permessage-deflate"), "{extensions}");
    assert_eq!(response.headers().get(header::SEC_WEBSOCKET_ACCEPT), None);
    socket.send(Opcode::Text, b"hello").await;
    assert_eq!(socket.next().await, Some((Opcode::Text, b"hello".to_vec())));
}

#[tokio::test]
async fn a_rejection_over_http_2_is_valid_and_affects_no_other_stream() {
    let server = Server::start(echo).await;
    let mut client = Client::connect(server.address).await;
    let mut socket = client.open().await;
    let changed = |name: &'static str, value: &'static str| {
        let mut request = request();
        request.headers_mut().insert(name, value.parse().expect("a value"));
        request
    };
    let mut without_protocol = request();
    without_protocol.extensions_mut().clear();
    *without_protocol.uri_mut() = http::Uri::from_static("localhost:80");
    let mut other_protocol = request();
    other_protocol.extensions_mut().insert(h2::ext::Protocol::from_static("webtransport"));
    for (request, status) in [
        (changed("sec-websocket-version", "8"), 400),
        (changed("sec-websocket-protocol", "a,a"), 400),
        (changed("sec-websocket-extensions", ";"), 400),
        (http2::get("http://localhost/chat"), 400),
        (without_protocol, 400),
        (other_protocol, 501),
    ] {
        let what = format!("{request:?}");
        let response = client.send(request).await;
        assert_eq!(response.status(), status, "{what}");
        for name in ["connection", "upgrade", "keep-alive", "transfer-encoding"] {
            assert_eq!(response.headers().get(name), None, "{what}");
        }
    }
    socket.send(Opcode::Text, b"still there").await;
    assert_eq!(socket.next().await, Some((Opcode::Text, b"still there".to_vec())));
}

#[tokio::test]
async fn send_waits_for_the_http_2_window_of_the_client() {
    const MESSAGES: usize = 200;
    let (sender, mut sent) = mpsc::unbounded_channel();
    let server = Server::start_with(
        HttpLimits::default(),
        Limits { max_write_buffer_size: 64 * 1024, ..Limits::default() },
        move |mut socket: WebSocket| {
            let sender = sender.clone();
            async move {
                for number in 0..MESSAGES {
                    socket.send(vec![number as u8; 16 * 1024]).await.expect("an open connection");
                    let _ = sender.send(number);
                }
                socket.recv().await;
            }
        },
    )
    .await;
    let mut client = Client::connect_with_window(server.address, 1_000).await;
    let mut socket = client.open().await;
    // The messages fit into the queue, hyper's buffer and the window.
    let mut last = 0;
    while let Ok(number) = tokio::time::timeout(Duration::from_millis(500), sent.recv()).await {
        last = number.expect("a number");
    }
    assert!(last < 20, "{last} messages were taken");
    for number in 0..MESSAGES {
        assert_eq!(socket.next().await, Some((Opcode::Binary, vec![number as u8; 16 * 1024])));
    }
    socket.send(Opcode::Close, &[]).await;
    assert_eq!(socket.next().await.map(|(opcode, _)| opcode), Some(Opcode::Close));
}

#[tokio::test]
async fn unread_messages_fill_only_the_window_of_their_own_stream() {
    let server = Server::start_with(
        HttpLimits {
            http2: Some(Http2Limits { initial_stream_window_size: 70_000, ..Http2Limits::default() }),
            ..HttpLimits::default()
        },
        Limits::default(),
        async |mut socket: WebSocket| {
            while let Some(message) = socket.recv().await {
                if message == Message::from("stop reading") {
                    std::future::pending::<()>().await;
                }
                let _ = socket.send(message).await;
            }
        },
    )
    .await;
    let mut client = Client::connect(server.address).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut socket = client.open().await;
        socket.send(Opcode::Text, b"stop reading").await;
        let megabyte = vec![0; 1_000_000];
        let sending =
            tokio::time::timeout(Duration::from_millis(50), socket.send(Opcode::Binary, &megabyte)).await;
        assert!(sending.is_err(), "somebody reads it");
        stalled.push(socket);
    }
    let mut socket = client.open().await;
    socket.send(Opcode::Text, b"hello").await;
    assert_eq!(socket.next().await, Some((Opcode::Text, b"hello".to_vec())));
}

#[tokio::test]
async fn a_peer_that_reads_nothing_times_out_and_its_stream_is_reset() {
    let (sender, mut ends) = mpsc::unbounded_channel();
    let server = Server::start_with(
        HttpLimits { write_timeout: Duration::from_millis(300), ..HttpLimits::default() },
        Limits { idle_timeout: Some(Duration::from_millis(300)), ping_after: None, ..Limits::default() },
        move |mut socket: WebSocket| {
            let sender = sender.clone();
            async move {
                while socket.send(vec![0; 100_000]).await.is_ok() {}
                let _ = sender.send(socket.close_cause());
            }
        },
    )
    .await;
    let mut client = Client::connect_with_window(server.address, 1_000).await;
    let mut socket = client.open().await;
    assert_eq!(soon(ends.recv()).await, Some(Some(CloseCause::IdleTimeout)));
    // The server frees the stream although the window stays closed.
    assert_eq!(socket.sender.until_reset().await, Reason::CANCEL);
}

#[tokio::test]
async fn a_hyper_server_that_detects_the_version_supports_websockets_over_http_2() {
    let options = DeflateOptions::default();
    let address = http2::serve_by_hyper(options, echo).await;
    let mut client = Client::connect(address).await;
    let mut socket = client.open().await;
    socket.send(Opcode::Text, b"hello").await;
    assert_eq!(socket.next().await, Some((Opcode::Text, b"hello".to_vec())));
    socket.send(Opcode::Close, &[]).await;
    assert_eq!(socket.next().await, Some((Opcode::Close, Vec::new())));
    assert_eq!(socket.next().await, None);
}
