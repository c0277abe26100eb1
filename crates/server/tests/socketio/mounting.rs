//! The server mounted in another HTTP server.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::get;
use http::{HeaderValue, Method, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tidewire_server::{Extension, Reply, Server, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::support::{Client, program, serve, soon};

async fn plain_get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.expect("a response");
    response
}

fn greeting_server() -> Server {
    let io = program().0.build();
    io.on("question", async || Reply(42));
    io
}

#[tokio::test]
async fn as_a_layer_of_an_axum_router() {
    let io = greeting_server();
    let router = Router::new().route("/hello", get(async || "from the router")).layer(io.layer());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut client = Client::join(address).await;
    client.expect_only(r#"420["question"]"#, "430[42]").await;
    assert!(plain_get(address, "/hello").await.ends_with("from the router"));
    assert!(plain_get(address, "/other").await.starts_with("HTTP/1.1 404 "));
    let open = plain_get(address, "/socket.io/?EIO=4&transport=polling").await;
    assert!(open.contains("\r\n\r\n0{\"sid\":\""), "{open}");
}

#[tokio::test]
async fn as_a_service_of_a_plain_hyper_server() {
    let io = greeting_server();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let service = io.service();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades(),
            );
        }
    });
    let mut client = Client::join(address).await;
    client.expect_only(r#"420["question"]"#, "430[42]").await;
    assert!(plain_get(address, "/hello").await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn layers_around_the_server_see_every_request_and_refuse_some() {
    let io = greeting_server();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let authenticate = move |request: Request, next: Next| {
        let is_refused = request.headers().contains_key("x-refuse");
        let transport = request.uri().query().unwrap_or_default().contains("websocket");
        log.lock().expect("no panic").push((request.method().clone(), transport));
        async move {
            if is_refused {
                return (StatusCode::UNAUTHORIZED, "who are you?").into_response();
            }
            let mut response = next.run(request).await;
            response.headers_mut().insert("x-request-id", HeaderValue::from_static("7"));
            response
        }
    };
    let router = Router::new().layer(io.layer()).layer(from_fn(authenticate));
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let (server, stopped) = (io.clone(), async move { drop(stopped.await) });
    let serving = tokio::spawn(async move { server.serve_with(listener, router, stopped).await });

    let mut client = Client::join(address).await;
    client.expect_only(r#"420["question"]"#, "430[42]").await;
    let open = plain_get(address, "/socket.io/?EIO=4&transport=polling").await;
    assert!(open.contains("\r\nX-Request-Id: 7\r\n"), "{open}");
    let refused =
        plain_get(address, "/socket.io/?EIO=4&transport=polling HTTP/1.1\r\nX-Refuse: yes\r\nX:").await;
    assert!(refused.starts_with("HTTP/1.1 401 ") && refused.ends_with("\r\n\r\nwho are you?"), "{refused}");
    assert_eq!(io.connection_count(), 2);
    assert_eq!(
        *seen.lock().expect("no panic"),
        [(Method::GET, true), (Method::GET, false), (Method::GET, false)]
    );

    drop(stop);
    drop(client);
    soon(serving).await.expect("no panic");
    assert_eq!(io.connection_count(), 0);
}

#[tokio::test]
async fn a_layer_passes_a_value_to_the_handlers_if_the_server_keeps_it() {
    #[derive(Clone, Debug)]
    struct User(&'static str);
    #[derive(Clone, Debug)]
    struct Unkept;

    let (builder, mut program) = program();
    let io = builder.keep_request_extension::<User>().build();
    io.middleware(async |Extension(user): Extension<User>, socket: Socket| {
        assert!(socket.handshake().extension::<Unkept>().is_none());
        socket.set_extension(user.0.len());
    });
    io.on_connection(
        async |socket: Socket, Extension(user): Extension<User>, Extension(length): Extension<usize>| {
            socket.emit("welcome", (user.0, *length));
            socket.set_extension(User("another"));
            let of_request = socket.handshake().extension::<User>().expect("it is kept");
            socket.emit("welcome", (socket.extension::<User>().expect("it is set").0, of_request.0));
        },
    );
    io.on("unkept", async |_: Extension<Unkept>| {});
    let service = tower::ServiceBuilder::new()
        .map_request(|mut request: http::Request<_>| {
            request.extensions_mut().insert(User("ann"));
            request.extensions_mut().insert(Unkept);
            request
        })
        .service(io.service());
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = io.clone();
    tokio::spawn(async move { server.serve_with(listener, service, std::future::pending()).await });
    let mut client = Client::join(address).await;
    client.expect(r#"42["welcome","ann",3]"#).await;
    client.expect(r#"42["welcome","another","ann"]"#).await;
    client.expect_only(r#"420["unkept"]"#, r#"430[{"error":"handler failed"}]"#).await;
    let line = program.lines.next().await;
    assert!(line.contains("the socket has no extension of type") && line.contains("Unkept"), "{line}");
}

/// Futures that a program may hold across an `.await` are `Send`.
#[test]
fn what_a_program_awaits_is_send() {
    fn is_send<T: Send>(_: &T) {}
    let _ = |io: Server, socket: Socket| {
        is_send(&io.close());
        is_send(&io.listen("127.0.0.1:0"));
        is_send(&socket.disconnected());
        is_send(&socket.emit_wait("event", ()));
        is_send(&socket.emit_with_ack::<u64>("event", ()));
        is_send(&socket.emit_with_ack::<u64>("event", ()).raw());
        is_send(&io.to("room").except(socket.id()));
        is_send(&(io.clone(), socket.clone()));
    };
}

#[tokio::test]
async fn the_path_needs_its_slash_unless_that_is_switched_off() {
    const QUERY: &str = "?EIO=4&transport=polling";
    for (path, add_slash, handled) in [
        ("/socket.io/", true, true),
        ("/socket.io/longer", true, true),
        ("/socket.io", true, false),
        ("/socket.iox", true, false),
        ("/socket.io", false, true),
        ("/socket.io/", false, true),
        ("/socket.iox", false, true),
        ("/socket", false, false),
    ] {
        let io = program().0.add_trailing_slash(add_slash).build();
        let router = Router::new().fallback(async || "from the router").layer(io.layer());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let response = plain_get(address, &format!("{path}{QUERY}")).await;
        assert_eq!(response.contains("\r\n\r\n0{\"sid\":\""), handled, "{path} {add_slash}: {response}");
        assert_eq!(response.ends_with("from the router"), !handled, "{path} {add_slash}: {response}");
    }
}

#[tokio::test]
async fn the_body_of_a_post_must_arrive_within_the_timeout_of_the_builder() {
    let io = program().0.http_request_body_timeout(Duration::from_millis(1)).build();
    let address = serve(&io).await;
    let open = plain_get(address, "/socket.io/?EIO=4&transport=polling").await;
    let (_, rest) = open.split_once("\"sid\":\"").expect("an open packet");
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={}", &rest[..20]);
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // The body never arrives.
    let head = format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.expect("a response");
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
}
