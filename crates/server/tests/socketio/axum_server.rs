//! The server in an axum program, with the feature `axum`.

use std::net::SocketAddr;

use axum::routing::get;
use axum::{Extension as AxumExtension, Router};
use tidewire_server::{Builder, Extension, Server, Socket, TrustedProxies};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::soon;

async fn start(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn exchange(server: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server).await.expect("it listens");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.9\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.expect("a response");
    response
}

/// Opens a session by polling, connects, and returns what the client is told.
async fn first_events(server: SocketAddr, path: &str) -> String {
    let opened = exchange(server, "GET", &format!("{path}?EIO=4&transport=polling"), "").await;
    let (_, rest) = opened.split_once("\"sid\":\"").unwrap_or_else(|| panic!("{path}: {opened}"));
    let session = format!("{path}?EIO=4&transport=polling&sid={}", &rest[..20]);
    let posted = exchange(server, "POST", &session, "40").await;
    assert!(posted.starts_with("HTTP/1.1 200 "), "{path}: {posted}");
    exchange(server, "GET", &session, "").await
}

fn server(builder: Builder) -> Server {
    let io = builder.build();
    io.on_connection(async |socket: Socket| {
        let address = socket.handshake().address().map(|address| address.to_string());
        socket.emit("you", (address, socket.handshake().url().split('?').next().expect("a path")));
    });
    io
}

#[tokio::test]
async fn the_address_is_that_of_the_peer_or_the_one_that_a_trusted_proxy_reports() {
    let direct = start(Router::new().layer(server(Server::builder()).layer())).await;
    let events = first_events(direct, "/socket.io/").await;
    assert!(events.contains(r#"["you","127.0.0.1","/socket.io/"]"#), "{events}");
    let proxies = TrustedProxies::new(["127.0.0.1"]).expect("an address");
    let io = server(Server::builder().trusted_proxies(proxies));
    let events = first_events(start(Router::new().layer(io.layer())).await, "/socket.io/").await;
    assert!(events.contains(r#"["you","203.0.113.9","/socket.io/"]"#), "{events}");
}

#[tokio::test]
async fn a_server_in_a_router_is_at_its_path_or_at_its_path_below_the_prefix() {
    let io = || server(Server::builder());
    let at = |path| server(Server::builder().path(path));
    let hello = || Router::new().route("/hello", get(async || "hello"));
    let nest_service = |prefix, io: Server| Router::new().nest_service(prefix, io.service());
    for (mounted, app, path, seen) in [
        ("at its own path", nest_service("/socket.io", io()), "/socket.io/", "/socket.io/"),
        ("below a prefix", nest_service("/api", io()), "/api/socket.io/", "/socket.io/"),
        ("at the whole path", nest_service("/api/rt", at("/api/rt")), "/api/rt/", "/api/rt/"),
        ("as a route", hello().route_service("/socket.io/", io().service()), "/socket.io/", "/socket.io/"),
        (
            "as a route of a nested router",
            Router::new().nest("/api", hello().route_service("/socket.io/", io().service())),
            "/api/socket.io/",
            "/socket.io/",
        ),
        (
            "as a layer of a router that is a service",
            Router::new().nest_service("/api", hello().layer(io().layer())),
            "/api/socket.io/",
            "/socket.io/",
        ),
        (
            "as a layer around a nested router",
            Router::new().nest("/api", hello()).layer(at("/api/socket.io").layer()),
            "/api/socket.io/",
            "/api/socket.io/",
        ),
    ] {
        let events = first_events(start(app).await, path).await;
        assert!(events.contains(&format!(r#"["you","127.0.0.1","{seen}"]"#)), "{mounted}: {events}");
    }
    let elsewhere = start(nest_service("/elsewhere", io())).await;
    let response = exchange(elsewhere, "GET", "/elsewhere/?EIO=4&transport=polling", "").await;
    assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
    assert!(response.ends_with("Not found: this service handles /socket.io/\n"), "{response}");
}

#[tokio::test]
async fn an_extension_of_axum_reaches_the_handlers_if_the_server_keeps_its_type() {
    #[derive(Clone)]
    struct Account(&'static str);

    let io = Server::builder().keep_request_extension::<Account>().build();
    io.on_connection(async |socket: Socket, Extension(account): Extension<Account>| {
        socket.emit("welcome", account.0);
    });
    let app = Router::new().layer(io.layer()).layer(AxumExtension(Account("ann")));
    let events = first_events(start(app).await, "/socket.io/").await;
    assert!(events.contains(r#"["welcome","ann"]"#), "{events}");
}
