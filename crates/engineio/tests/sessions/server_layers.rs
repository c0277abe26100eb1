//! Tower layers around a server see every request, refuse requests, and change responses.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, Method, StatusCode};
use net::PeerAddress;
use tidewire_engineio::Cors;
use tidewire_engineio::server::{SendError, Server, Socket};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tower::ServiceBuilder;

use crate::support::{self, Polling, WebSocket, frames, soon, websocket_request};

async fn echo(mut socket: Socket) -> Result<(), SendError> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

async fn request(address: SocketAddr, request: &str) -> support::Request {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("sent");
    support::Request(Box::new(stream))
}

fn plain(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n")
}

type Log = Arc<Mutex<Vec<String>>>;

/// Logs every request, refuses those with `X-Refuse`, and gives every response a number.
fn router(server: &Server, log: &Log) -> Router {
    let (log, count) = (Arc::clone(log), Arc::new(AtomicUsize::new(0)));
    let middleware = move |request: Request, next: Next| {
        let (log, count) = (Arc::clone(&log), Arc::clone(&count));
        async move {
            assert!(request.extensions().get::<PeerAddress>().is_some());
            let upgrade = request.headers().contains_key("upgrade");
            let kind = if upgrade { "WEBSOCKET" } else { request.method().as_str() };
            log.lock().expect("no panic").push(format!("{kind} {}", request.uri().path()));
            let mut response: Response = if request.headers().contains_key("x-refuse") {
                (StatusCode::UNAUTHORIZED, "who are you?").into_response()
            } else {
                next.run(request).await
            };
            let number = HeaderValue::from(count.fetch_add(1, Ordering::SeqCst));
            response.headers_mut().insert("x-request-id", number);
            response
        }
    };
    Router::new().route("/hello", get(async || "hello")).layer(server.layer()).layer(from_fn(middleware))
}

/// Serves the router on the server's own listener. Returns what ends it, and the task.
async fn serve(server: &Server, log: &Log) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = server.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel();
    let (server, router) = (server.clone(), router(server, log));
    let stopped = async move {
        let _ = stopped.await;
    };
    (address, stop, tokio::spawn(async move { server.serve_with(listener, router, stopped).await }))
}

#[tokio::test]
async fn layers_see_polls_posts_preflights_handshakes_and_the_other_routes() {
    let (server, log) = (Server::builder().cors(Cors::any()).build(echo), Log::default());
    let (address, stop, serving) = serve(&server, &log).await;
    let client = Polling::open(address).await;
    client.post_ok("4hello").await;
    assert_eq!(client.poll().await, "4hello");
    let preflight =
        plain("OPTIONS", "/engine.io/", "Origin: http://a\r\nAccess-Control-Request-Method: POST\r\n");
    assert_eq!(request(address, &preflight).await.response().await.status, 204);
    let mut websocket = client.candidate(&frames(["2probe", "5", "4moved"])).await;
    websocket.expect("3probe").await;
    websocket.expect("4moved").await;
    request(address, &plain("GET", "/hello", "")).await.response().await.expect(200, "hello");
    let seen = std::mem::take(&mut *log.lock().expect("no panic"));
    assert_eq!(
        seen,
        [
            "GET /engine.io/",
            "POST /engine.io/",
            "GET /engine.io/",
            "OPTIONS /engine.io/",
            "WEBSOCKET /engine.io/",
            "GET /hello"
        ]
    );

    stop.send(()).expect("it serves");
    websocket.expect_close(None).await;
    soon(serving).await.expect("no panic");
    assert_eq!(server.session_count(), 0);
}

#[tokio::test]
async fn layers_add_headers_to_every_response_and_their_refusals_reach_the_client() {
    let (server, log) = (Server::new(echo), Log::default());
    let (address, _stop, _serving) = serve(&server, &log).await;
    let mut number = 0;
    let mut expect_number = |head: &str| {
        assert!(head.contains(&format!("\r\nx-request-id: {number}\r\n")), "{head}");
        number += 1;
    };
    let open = "/engine.io/?EIO=4&transport=polling";
    expect_number(&request(address, &plain("GET", open, "")).await.response().await.head);
    expect_number(
        &request(address, &plain("GET", "/engine.io/?EIO=4&transport=no", "")).await.response().await.head,
    );
    let stream = TcpStream::connect(address).await.expect("it listens");
    let handshake = websocket_request("EIO=4&transport=websocket");
    let (_websocket, head) = WebSocket::handshake(Box::new(stream), handshake.as_bytes()).await;
    expect_number(&head.to_ascii_lowercase());
    assert_eq!(server.session_count(), 2);

    for refused in [
        plain("GET", open, "X-Refuse: yes\r\n"),
        handshake
            .replace("Host: h", "Host: h\r\nX-Refuse: yes")
            .replace("Connection: Upgrade", "Connection: close, Upgrade"),
    ] {
        let response = request(address, &refused).await.response().await;
        response.expect(401, "who are you?");
        expect_number(&response.head);
    }
    assert_eq!(server.session_count(), 2, "a refused request opens nothing");
}

#[tokio::test]
async fn layers_of_tower_wrap_the_service_of_a_server() {
    let server = Server::new(echo);
    let service = ServiceBuilder::new()
        .map_response(|mut response: http::Response<_>| {
            response.headers_mut().insert("x-served-by", HeaderValue::from_static("node-1"));
            response
        })
        .map_request(|request: http::Request<_>| {
            assert_eq!(request.method(), Method::GET);
            request
        })
        .service(server.service());
    let listener = server.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let serving = server.clone();
    tokio::spawn(async move { serving.serve_with(listener, service, pending()).await });
    let response =
        request(address, &plain("GET", "/engine.io/?EIO=4&transport=polling", "")).await.response().await;
    assert_eq!(response.status, 200);
    assert!(response.head.contains("\r\nx-served-by: node-1\r\n"));
}
