//! The log lines about clients that are refused.

use tidewire_server::{
    AddressLimits, AllowedOrigins, Auth, ConnectError, ConnectionStateRecovery, Server, State, TrustedProxies,
};
use tracing::Level;

use crate::support::{Client, Log, Logged, program, request_in_memory, serve};

fn request(method: &str, query: &str, header: &str) -> String {
    // `request_in_memory` adds the version and the rest of the head.
    format!("{method} /socket.io/?{query} HTTP/1.1\r\n{header}X-Version:")
}

fn server() -> Server {
    let origins = AllowedOrigins::new(["https://example.com"]).expect("an origin");
    let builder = Server::builder().allow_origins(origins).trusted_proxies(TrustedProxies::default());
    builder
        .allow_request(|request| match request.headers.contains_key("x-refuse") {
            true => Err("who are you?".to_owned()),
            false => Ok(()),
        })
        .build()
}

#[tokio::test]
async fn each_refused_handshake_is_a_warning_with_its_reason() {
    let io = server();
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let long_head = format!("X-Long: {}\r\n", "x".repeat(20_000));
    for (method, query, header, reason) in [
        ("GET", "EIO=4&transport=x", "", r#"Transport unknown: "x""#),
        ("GET", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA", "", "Session ID unknown"),
        ("POST", "EIO=4&transport=polling", "", "Bad handshake method: POST"),
        ("GET", "EIO=4&transport=websocket", "", "Bad request: a plain HTTP request"),
        ("GET", "EIO=4&transport=websocket", websocket, "Bad request: "),
        ("GET", "EIO=3&transport=polling", "", "Unsupported protocol version: 3"),
        ("GET", "EIO=4&transport=polling", "X-Refuse: 1\r\n", "Forbidden: who are you?"),
        (
            "GET",
            "EIO=4&transport=polling",
            "Origin: https://evil.example\r\n",
            "origin=https://evil.example error=Forbidden: pages of this origin may not connect",
        ),
        ("GET", "EIO=4&transport=polling", &*long_head, "the head of its request exceeds"),
    ] {
        let (logged, _logging) = Logged::start();
        let response = request_in_memory(&io, &request(method, query, header)).await;
        assert!(response.starts_with("HTTP/1.1 4"), "{reason}: {response}");
        let lines = logged.lines();
        assert!(
            matches!(&lines[..], [line] if line.contains(" WARN ") && line.contains(reason)),
            "{reason}: {lines:?}"
        );
    }
}

#[tokio::test]
async fn a_client_that_is_refused_in_a_namespace_is_one_line_that_says_what_is_missing() {
    let io = Server::new();
    io.of("/chat").middleware(async |_: Auth<(u8,)>| {});
    for (namespace, reason) in [
        ("/nope", "error=Invalid namespace hint=\"no namespace has this name: `Server::of` creates one"),
        ("/chat", "error=auth payload: invalid type: map, expected a tuple of size 1"),
    ] {
        let mut client = Client::open(serve(&io).await).await;
        let (logged, _logging) = Logged::start();
        client.send(&format!("40{namespace},")).await;
        assert!(client.recv().await.is_some_and(|packet| packet.starts_with("44")));
        let lines = logged.lines();
        assert!(
            matches!(&lines[..], [line] if line.contains("refused a client") && line.contains(reason)),
            "{reason}: {lines:?}"
        );
    }
}

#[tokio::test]
async fn a_closing_server_logs_whom_it_refuses() {
    let io = server();
    io.close().await;
    let (logged, _logging) = Logged::start();
    let response = request_in_memory(&io, &request("GET", "EIO=4&transport=polling", "")).await;
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    let lines = logged.lines();
    assert!(
        matches!(&lines[..], [line] if line.contains("INFO") && line.contains("is closing")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_limit_per_address_is_a_warning() {
    let limits = AddressLimits { max_sessions: 1, include_private: true, ..AddressLimits::default() };
    let io = Server::builder().address_limits(limits).build();
    let address = serve(&io).await;
    let _open = Client::open(address).await;
    let (logged, _logging) = Logged::start();
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    assert!(tokio_tungstenite::connect_async(url).await.is_err());
    let lines = logged.lines();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.contains(" WARN ") && line.contains("127.0.0.1") && line.contains("max_sessions"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn each_reason_has_ten_lines_at_once() {
    let io = server();
    let (logged, _logging) = Logged::start();
    for _ in 0..13 {
        request_in_memory(&io, &request("GET", "EIO=4&transport=x", "")).await;
    }
    request_in_memory(&io, &request("POST", "EIO=4&transport=polling", "")).await;
    let lines = logged.lines();
    let count = |reason| lines.iter().filter(|line| line.contains(reason)).count();
    assert_eq!((count("Transport unknown"), count("Bad handshake method")), (10, 1), "{lines:?}");
}

#[tokio::test]
async fn a_client_that_a_middleware_refuses_is_a_warning_with_the_reason() {
    let (builder, _program) = program();
    let io = builder.build();
    io.of("/closed").middleware(async || Err::<(), _>(ConnectError::new("nobody").code("closed")));
    io.of("/broken").middleware(async || Err::<(), ConnectError>(std::io::Error::other("no table").into()));
    let mut client = Client::join(serve(&io).await).await;
    for (connect, reason) in [
        ("40/closed,", r#"namespace=/closed address=127.0.0.1 error=nobody (closed)"#),
        ("40/broken,", "error=handler failed: no table"),
        ("40/nowhere,", "namespace=/nowhere address=127.0.0.1 error=Invalid namespace"),
    ] {
        let (logged, _logging) = Logged::start();
        client.send(connect).await;
        assert!(client.recv().await.expect("a refusal").starts_with("44/"));
        let lines = logged.lines();
        let warned = |line: &String| line.contains("refused a client") && line.contains(reason);
        assert!(lines.iter().any(warned), "{reason}: {lines:?}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_is_a_warning_that_names_the_limit() {
    let (builder, mut program) = program();
    let io = builder.max_http_buffer_size(1_000).build();
    io.on_disconnect(async |log: State<Log>| log.say("left"));
    let mut client = Client::join(serve(&io).await).await;
    let (logged, _logging) = Logged::start();
    client.send(&format!(r#"42["{}"]"#, "x".repeat(2_000))).await;
    program.lines.expect(["left"]).await;
    let lines = logged.lines();
    let reason = "the client has sent a message that exceeds `max_http_buffer_size`";
    let named = |line: &String| line.contains(reason) && line.contains("max_http_buffer_size=1000");
    assert!(matches!(&lines[..], [line] if named(line)), "{lines:?}");
}

#[tokio::test]
async fn a_session_that_is_not_recovered_is_a_line_for_debugging() {
    let (logged, _logging) = Logged::start_at(Level::DEBUG);
    let recovery = ConnectionStateRecovery::default();
    let io = Server::builder().connection_state_recovery(recovery).build();
    let mut client = Client::open(serve(&io).await).await;
    client.send(r#"40{"pid":"unknown","offset":"0"}"#).await;
    assert!(client.recv().await.expect("it is connected").starts_with("40{"));
    let lines = logged.lines();
    assert!(lines.iter().any(|line| line.contains("DEBUG") && line.contains("not recovered")), "{lines:?}");
}
