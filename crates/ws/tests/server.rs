//! The server with settings: which handshakes it accepts, what its handlers receive, and how it shuts down.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use http::Request;
use tidewire_ws::{
    AddressLimits, AllowedOrigins, ClientAddress, CloseCause, CloseCode, CloseFrame, ClosePace, ConnectError,
    Connector, DeflateOptions, Handler, HttpLimits, Limits, Message, PeerAddress, Server, ServerBuilder,
    TrustedProxies, WebSocket,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::support::{REQUEST, echo, soon};

async fn serve<M: 'static>(builder: ServerBuilder, handler: impl Handler<M>) -> SocketAddr {
    let server = builder.bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().expect("an address");
    tokio::spawn(server.serve(handler));
    address
}

/// Starts a server that shuts down when the test says so. Also returns the task of the server.
async fn serve_until_told<M: 'static>(
    builder: ServerBuilder,
    handler: impl Handler<M>,
) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let server = builder.bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().expect("an address");
    let (sender, stop) = oneshot::channel();
    let stop = async { stop.await.expect("the test tells") };
    (address, sender, tokio::spawn(server.serve_until(handler, stop)))
}

async fn connect(server: SocketAddr) -> WebSocket {
    soon(Connector::new(format!("ws://{server}/")).connect()).await.expect("accepted")
}

/// The status and the body of a rejection.
async fn refused(connect: Connector) -> (u16, String) {
    match soon(connect.connect()).await {
        Err(ConnectError::Rejected(response)) => {
            (response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_handler_can_take_the_request() {
    let handler = async |mut socket: WebSocket, request: Request<()>| {
        let peer = request.extensions().get::<PeerAddress>().expect("our listener tells it").0;
        let (path, token) = (request.uri().path(), request.headers()["authorization"].to_str().unwrap_or(""));
        socket.send(format!("{path} {token} {}", peer.ip())).await
    };
    let server = serve(Server::builder(), handler).await;
    let connect = Connector::new(format!("ws://{server}/chat")).header("authorization", "secret");
    let mut socket = soon(connect.connect()).await.expect("accepted");
    assert_eq!(soon(socket.recv()).await, Some(Message::from("/chat secret 127.0.0.1")));
}

#[tokio::test]
async fn the_websockets_of_one_address_are_limited_also_behind_a_proxy() {
    let handler = async |mut socket: WebSocket, request: Request<()>| {
        let client = request.extensions().get::<ClientAddress>().expect("our listener tells it").ip();
        let _ = socket.send(client.to_string()).await;
        echo(socket).await;
    };
    let proxies = TrustedProxies::new(["127.0.0.1"]).expect("an address");
    let limits = AddressLimits { max_sessions: 1, ..AddressLimits::default() };
    let server = serve(Server::builder().trusted_proxies(proxies).address_limits(limits), handler).await;
    let from = |client| Connector::new(format!("ws://{server}/")).header("x-forwarded-for", client);
    let mut first = soon(from("198.51.100.1, 203.0.113.1").connect()).await.expect("accepted");
    assert_eq!(soon(first.recv()).await, Some(Message::from("203.0.113.1")));
    let too_many = (429, "too many connections from this address\n".to_owned());
    assert_eq!(refused(from("203.0.113.1")).await, too_many);
    soon(from("203.0.113.2").connect()).await.expect("accepted");
    drop(first);
    // The server notices the end a moment later.
    soon(async { while from("203.0.113.1").connect().await.is_err() {} }).await;
}

#[tokio::test]
async fn with_the_proxy_protocol_only_proxies_connect_and_report_addresses() {
    let handler = async |mut socket: WebSocket, request: Request<()>| {
        let peer = request.extensions().get::<PeerAddress>().expect("the proxy reports it").0;
        let _ = socket.send(peer.to_string()).await;
        socket.recv().await;
    };
    let header = b"PROXY TCP4 203.0.113.1 127.0.0.1 4711 80\r\n";
    for (proxy, expected) in [("127.0.0.1", Some(&b"203.0.113.1:4711"[..])), ("192.0.2.1", None)] {
        let proxies = TrustedProxies::new([proxy]).expect("an address");
        let server = serve(Server::builder().trusted_proxies(proxies).proxy_protocol(true), handler).await;
        let mut stream = TcpStream::connect(server).await.expect("it listens");
        // The server may have closed the connection already.
        let _ = stream.write_all(&[header, REQUEST].concat()).await;
        let mut response = Vec::new();
        let is_complete = |response: &[u8]| expected.is_some_and(|address| response.ends_with(address));
        while !is_complete(&response) && soon(stream.read_buf(&mut response)).await.is_ok_and(|read| read > 0)
        {
        }
        assert_eq!(response.starts_with(b"HTTP/1.1 101 "), expected.is_some());
        assert_eq!(response.is_empty(), expected.is_none());
    }
}

#[tokio::test]
async fn a_proxy_protocol_header_that_does_not_arrive_ends_the_connection() {
    let proxies = TrustedProxies::new(["127.0.0.1"]).expect("an address");
    let http = HttpLimits { header_read_timeout: Duration::from_millis(50), ..HttpLimits::default() };
    let server = Server::builder().trusted_proxies(proxies).proxy_protocol(true).http_limits(http);
    let server = serve(server, echo).await;
    for begun in ["", "PROXY TCP4 203.0.113.1", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"] {
        let mut stream = TcpStream::connect(server).await.expect("it listens");
        stream.write_all(begun.as_bytes()).await.expect("written");
        let mut response = Vec::new();
        let _ = soon(stream.read_to_end(&mut response)).await;
        assert!(response.is_empty(), "{begun}");
    }
}

#[tokio::test]
async fn the_first_protocol_of_the_server_that_the_client_offers_is_selected() {
    let handler =
        async |mut socket: WebSocket| socket.send(socket.protocol().unwrap_or("none").to_owned()).await;
    let server = serve(Server::builder().protocols(["chat.v2", "chat.v1"]), handler).await;
    for (offered, agreed) in [
        (&["chat.v1", "chat.v2"][..], "chat.v2"),
        (&["x", "chat.v1"], "chat.v1"),
        (&["x"], "none"),
        (&[], "none"),
    ] {
        let connect = Connector::new(format!("ws://{server}/"));
        let connect = offered.iter().fold(connect, |connect, protocol| connect.protocol(*protocol));
        let mut socket = soon(connect.connect()).await.expect("accepted");
        assert_eq!(socket.protocol().unwrap_or("none"), agreed);
        assert_eq!(soon(socket.recv()).await, Some(Message::from(agreed)));
    }
}

#[tokio::test]
async fn limits_and_compression_settings_apply_to_connections() {
    let limits = Limits { max_message_size: 10_000, ..Limits::default() };
    let server = serve(Server::builder().limits(limits).compress(DeflateOptions::default()), echo).await;
    let connect = Connector::new(format!("ws://{server}/")).compress(DeflateOptions::default());
    let (mut socket, response) = soon(connect.connect_with_response()).await.expect("accepted");
    let extensions = response.headers()["sec-websocket-extensions"].to_str().expect("text");
    assert!(extensions.starts_with("permessage-deflate"), "{extensions}");
    let message = Message::from("x".repeat(10_000));
    socket.send(message.clone()).await.expect("open");
    assert_eq!(soon(socket.recv()).await, Some(message));
    socket.send("x".repeat(10_001)).await.expect("open");
    assert_eq!(soon(socket.recv()).await, None);
    let closed = socket.close_cause();
    assert!(
        matches!(&closed, Some(CloseCause::ClosingHandshake(Some(frame))) if frame.code == CloseCode::MESSAGE_TOO_BIG),
        "{closed:?}"
    );
}

#[tokio::test]
async fn rejected_handshakes_get_an_http_response_with_the_reason() {
    let origins = AllowedOrigins::new(["https://app.example"]).expect("an origin");
    let builder = Server::builder().allow_origins(origins).allow_request(|request| {
        if request.uri.path() == "/chat" { Ok(()) } else { Err("nothing is here".to_owned()) }
    });
    let server = serve(builder, echo).await;
    let connect = |path| Connector::new(format!("ws://{server}{path}"));
    assert_eq!(refused(connect("/other")).await, (403, "nothing is here\n".to_owned()));
    let stranger = connect("/chat").header("origin", "https://evil.example");
    assert_eq!(refused(stranger).await, (403, "pages of this origin may not connect\n".to_owned()));
    soon(connect("/chat").header("origin", "https://app.example").connect()).await.expect("accepted");

    let mut stream = TcpStream::connect(server).await.expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.expect("text, and the end");
    assert!(response.starts_with("HTTP/1.1 426 "), "{response}");
}

#[tokio::test]
async fn connections_above_the_limit_are_rejected_until_one_ends() {
    let (gone, mut goes) = mpsc::unbounded_channel();
    let handler = move |socket: WebSocket| {
        let gone = gone.clone();
        async move {
            echo(socket).await;
            gone.send(()).expect("the test waits");
        }
    };
    let server = serve(Server::builder().max_connections(2), handler).await;
    let (mut first, second) = (connect(server).await, connect(server).await);
    let third = Connector::new(format!("ws://{server}/"));
    assert_eq!(refused(third.clone()).await, (503, "too many connections\n".to_owned()));
    soon(first.close(None)).await;
    soon(goes.recv()).await.expect("a handler ends");
    soon(async {
        // The connection's task ends a moment later.
        while third.connect().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(second);
}

#[tokio::test]
async fn a_graceful_shutdown_closes_all_connections_and_waits_for_their_handlers() {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let handler = move |mut socket: WebSocket| {
        let ended = ended.clone();
        async move {
            while socket.recv().await.is_some() {}
            ended.send(socket.close_cause()).expect("the test waits");
        }
    };
    let (server, stop, stopped) = serve_until_told(Server::builder(), handler).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(connect(server).await);
    }
    // A connection with an unfinished handshake does not delay the shutdown.
    let mut late = TcpStream::connect(server).await.expect("it listens");
    late.write_all(&REQUEST[..20]).await.expect("written");
    stop.send(()).expect("it runs");
    let goodbye = CloseFrame::new(CloseCode::GOING_AWAY, "server shutting down");
    for client in &mut clients {
        assert_eq!(soon(client.recv()).await, None);
        assert_eq!(client.close_cause(), Some(CloseCause::ClosingHandshake(Some(goodbye.clone()))));
    }
    soon(stopped).await.expect("no panic");
    for _ in 0..10 {
        let closed = ends.try_recv().expect("all handlers have ended");
        assert!(matches!(closed, Some(CloseCause::ClosingHandshake(_))), "{closed:?}");
    }
    assert!(TcpStream::connect(server).await.is_err(), "the listener is closed");
    drop(late);
}

#[tokio::test]
async fn a_graceful_shutdown_closes_the_connections_in_batches() {
    let hour = Duration::from_secs(3600);
    let http = HttpLimits { shutdown_timeout: 100 * hour, ..HttpLimits::default() };
    let pace = ClosePace { batch_size: 1, pause: hour };
    let (server, stop, _stopped) =
        serve_until_told(Server::builder().http_limits(http).close_pace(pace), echo).await;
    let (mut one, mut two) = (connect(server).await, connect(server).await);
    for client in [&mut one, &mut two] {
        client.send("before").await.expect("open");
        assert_eq!(soon(client.recv()).await, Some(Message::from("before")));
    }
    stop.send(()).expect("it runs");
    let other = tokio::select! {
        closed = soon(one.recv()) => { assert_eq!(closed, None); &mut two }
        closed = soon(two.recv()) => { assert_eq!(closed, None); &mut one }
    };
    other.send("meanwhile").await.expect("open");
    assert_eq!(soon(other.recv()).await, Some(Message::from("meanwhile")));
}

#[tokio::test]
async fn a_shutdown_ends_at_its_timeout() {
    let http = HttpLimits { shutdown_timeout: Duration::from_millis(100), ..HttpLimits::default() };
    for handler_goes_on in [true, false] {
        let handler = move |socket: WebSocket| async move {
            if handler_goes_on {
                pending::<()>().await;
            }
            echo(socket).await;
        };
        let (server, stop, stopped) =
            serve_until_told(Server::builder().http_limits(http.clone()), handler).await;
        // This client never responds to a Close.
        let mut stream = TcpStream::connect(server).await.expect("it listens");
        stream.write_all(REQUEST).await.expect("written");
        assert_eq!(soon(stream.read_u8()).await.expect("a response"), b'H');
        stop.send(()).expect("it runs");
        soon(stopped).await.expect("no panic");
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tungstenite_connects_over_tls() {
    let authority = crate::support::certificate_authority::Authority::new();
    let (chain, key) = authority.issue("localhost");
    let tls = tidewire_ws::ServerTls::from_pem(chain.as_bytes(), key.as_bytes())
        .expect("the key matches the certificate");
    let server = serve(Server::builder().tls(tls), echo).await;
    let connect = Connector::new(format!("wss://localhost:{}/", server.port())).tls(authority.client());
    let mut socket = soon(connect.connect()).await.expect("accepted");
    socket.send("hello").await.expect("open");
    assert_eq!(soon(socket.recv()).await, Some(Message::from("hello")));
}

#[tokio::test]
async fn the_backlog_of_the_builder_takes_precedence_over_that_of_the_http_limits() {
    let limits = || HttpLimits { backlog: 1, ..HttpLimits::default() };
    for builder in [
        Server::builder().backlog(200).http_limits(limits()),
        Server::builder().http_limits(limits()).backlog(200),
    ] {
        let server = builder.bind("127.0.0.1:0").await.expect("a free port");
        let address = server.local_addr().expect("an address");
        // If the queue is full, the system tries again after a second.
        let connect = |_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(900));
        (0..150).map(connect).collect::<Result<Vec<_>, _>>().expect("the queue has capacity");
    }
}
