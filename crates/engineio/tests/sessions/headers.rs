//! The headers that an application adds to the responses of a session.

use http::HeaderValue;
use tidewire_engineio::{Cookie, Cors, HeadersHook, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Server, websocket_request};

/// Options whose hooks add the headers `x-initial` and `x-every`, with the target of the request.
fn options() -> Options {
    let add = |name: &'static str| {
        HeadersHook::new(move |headers, request| {
            let path = HeaderValue::from_str(request.uri.path()).expect("a path");
            headers.insert(name, path);
        })
    };
    let (on_initial_headers, on_headers) = (Some(add("x-initial")), Some(add("x-every")));
    Options { cors: Some(Cors::any()), on_initial_headers, on_headers, ..Options::default() }
}

/// Returns whether the response has the headers of the two hooks.
fn added(head: &str) -> (bool, bool) {
    (head.contains("x-initial: /engine.io/\r\n"), head.contains("x-every: /engine.io/"))
}

/// Sends a WebSocket handshake, and returns the head of the response.
async fn handshake(server: &Server, query: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.expect("it listens");
    stream.write_all(websocket_request(query).as_bytes()).await.expect("sent");
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a response").into());
    }
    head.to_ascii_lowercase()
}

#[tokio::test]
async fn hooks_add_headers_to_every_response_of_a_session() {
    let mut server = Server::start(options()).await;
    let opening = server.get("EIO=4&transport=polling").await.response().await;
    assert_eq!(added(&opening.head), (true, true), "{}", opening.head);
    let _ = server.opened().await;

    let (client, opened) = server.open_polling().await;
    let post = client.post("4hello").await;
    assert_eq!((post.status, added(&post.head)), (200, (false, true)), "{}", post.head);
    opened.session.send_text("hello");
    let poll = client.get().await.response().await;
    assert_eq!((poll.status, added(&poll.head)), (200, (false, true)), "{}", poll.head);

    let upgrade = client.query().replace("transport=polling", "transport=websocket");
    let head = handshake(&server, &upgrade).await;
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert_eq!(added(&head), (false, true), "{head}");
    let head = handshake(&server, "EIO=4&transport=websocket").await;
    assert_eq!(added(&head), (true, true), "{head}");
}

#[tokio::test]
async fn hooks_add_no_headers_to_refusals_and_preflight_responses() {
    let server = Server::start(options()).await;
    let refused = server.get("EIO=4&transport=unknown").await.response().await;
    assert_eq!((refused.status, added(&refused.head)), (400, (false, false)), "{}", refused.head);
    let preflight = b"OPTIONS /engine.io/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let response = server.send(preflight).await.response().await;
    assert_eq!((response.status, added(&response.head)), (204, (false, false)), "{}", response.head);
}

#[tokio::test]
async fn headers_that_node_adds_and_that_mean_nothing_are_missing() {
    let server = Server::start(Options { cors: Some(Cors::any()), ..Options::default() }).await;
    let preflight = b"OPTIONS /engine.io/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let response = server.send(preflight).await.response().await;
    assert_eq!(response.status, 204);
    // RFC 9110 §8.6: a 204 has none.
    assert!(!response.head.contains("content-length"), "{}", response.head);
    let explorer = b"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
        User-Agent: Mozilla/5.0 (compatible;MSIE 10.0; Trident/6.0)\r\n\r\n";
    let response = server.send(explorer).await.response().await;
    assert_eq!(response.status, 200);
    assert!(!response.head.contains("x-xss-protection"), "{}", response.head);
}

#[tokio::test]
async fn a_hook_may_replace_headers_of_cors_and_cookie() {
    let hook = HeadersHook::new(|headers, _| {
        headers.remove("access-control-allow-origin");
        headers.insert("set-cookie", HeaderValue::from_static("mine=1"));
    });
    let cookie = Some(Cookie::default());
    let server = Server::start(Options { on_headers: Some(hook), cookie, ..options() }).await;
    let head = server.get("EIO=4&transport=polling").await.response().await.head;
    assert!(!head.contains("access-control") && head.contains("set-cookie: mine=1\r\n"), "{head}");
    assert_eq!(head.matches("set-cookie").count(), 1, "{head}");
}

#[tokio::test]
async fn the_cookie_is_set_by_the_polling_handshake_and_by_no_other_response() {
    let mut server = Server::start(Options { cookie: Some(Cookie::default()), ..Options::default() }).await;
    let opening = server.get("EIO=4&transport=polling").await.response().await;
    let session = server.opened().await.session;
    let cookie = format!("set-cookie: io={}; Path=/; HttpOnly; SameSite=Lax\r\n", session.id().as_str());
    assert!(opening.head.contains(&cookie.to_ascii_lowercase()), "{}", opening.head);

    let (client, opened) = server.open_polling().await;
    let post = client.post("4hello").await;
    opened.session.send_text("hello");
    let poll = client.get().await.response().await;
    let websocket = handshake(&server, "EIO=4&transport=websocket").await;
    for head in [post.head, poll.head, websocket] {
        assert!(!head.contains("set-cookie"), "{head}");
    }
}
