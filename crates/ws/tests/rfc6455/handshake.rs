//! Section 4: requests and their responses, line by line.

use std::convert::Infallible;

use hyper::body::Incoming;
use net::{HttpLimits, Listener};
use tidewire_ws::AllowedOrigins;
use tower::service_fn;

use super::{Client, serve};
use crate::support::{REQUEST, echo, text};

/// The valid request with one of its lines replaced.
fn request(line: &str, by: &str) -> String {
    let good = String::from_utf8(REQUEST.to_vec()).expect("text");
    assert!(good.contains(line), "{line}");
    good.replace(line, by)
}

#[tokio::test]
async fn section_4_2_2_must_1_a_handshake_is_answered_by_101_and_the_proof() {
    let server = serve(echo).await;
    let mut client = Client::connect(server).await;
    client.write(REQUEST).await;
    let head = client.head().await;
    let mut lines: Vec<_> =
        head.trim_end().split("\r\n").filter(|line| !line.starts_with("Date: ")).collect();
    assert_eq!(lines.remove(0), "HTTP/1.1 101 Switching Protocols");
    let expected =
        ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn section_4_2_1_must_1_section_7_2_2_must_1_a_bad_handshake_gets_an_http_error_and_the_end() {
    let server = serve(echo).await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let host = "Host: localhost\r\n";
    let upgrade = "Upgrade: websocket\r\n";
    let connection = "Connection: Upgrade\r\n";
    for (line, by, status) in [
        ("GET ", "POST ", 405),
        ("GET ", "get ", 405),
        ("HTTP/1.1", "HTTP/1.0", 400),
        ("/chat", "ftp://localhost/chat", 400),
        ("/chat", "localhost:80", 400),
        (host, "", 400),
        (host, "Host: \r\n", 400),
        (host, "Host: localhost\r\nHost: localhost\r\n", 400),
        (host, "Host: me@localhost/\r\n", 400),
        (upgrade, "", 426),
        (upgrade, "Upgrade: h2c\r\n", 426),
        (connection, "", 400),
        (connection, "Connection: keep-alive\r\n", 400),
        (key, "", 400),
        (key, "Sec-WebSocket-Key: c2hvcnQ=\r\n", 400),
        (key, "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==\r\n", 400),
        (version, "", 426),
        (version, "Sec-WebSocket-Version: 12\r\n", 426),
        (version, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, chat\r\n", 400),
        (version, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: foo bar\r\n", 400),
        (version, "Sec-WebSocket-Version: 13\r\nContent-Length: 1\r\n", 400),
        (version, "Sec-WebSocket-Version: 13\r\nTransfer-Encoding: chunked\r\n", 400),
        // The HTTP parser rejects these.
        ("HTTP/1.1", "HTTP/1.2", 400),
        (version, "Sec-WebSocket-Version : 13\r\n", 400),
        (version, "Sec WebSocket-Version: 13\r\n", 400),
    ] {
        // The bytes that follow must be parsed neither as frames nor as a request: a proxy in front of the server may
        // assume that the upgrade succeeded.
        for trailing in [&b""[..], REQUEST, &text("early"), &vec![0x55; 1 << 20]] {
            let mut client = Client::connect(server).await;
            client.write(&[request(line, by).as_bytes(), trailing].concat()).await;
            let response = String::from_utf8(client.rest().await).expect("text");
            let (head, body) = response.split_once("\r\n\r\n").expect("a response");
            let head = head.to_ascii_lowercase();
            let length = format!("content-length: {}", body.len());
            assert_eq!(head[9..12], status.to_string(), "{by:?}: {response}");
            assert!(head.contains("\r\nconnection: close") && head.contains(&length), "{by:?}: {response}");
            let versions = head.contains("\r\nsec-websocket-version: 13\r\n");
            assert_eq!(versions, status == 426 && line == version, "{response}");
        }
    }
}

#[tokio::test]
async fn section_4_2_2_must_3_a_program_that_does_not_like_the_origin_answers_in_http() {
    let service = service_fn(async |mut request: http::Request<Incoming>| {
        let welcome = request.headers().get("origin").is_some_and(|origin| origin == "https://app.example");
        let upgrade = tidewire_ws::upgrade(&mut request).expect("a handshake");
        let response = if welcome { upgrade.on_upgrade(echo) } else { forbidden() };
        Ok::<_, Infallible>(response)
    });
    let listener = Listener::bind("127.0.0.1:0", HttpLimits::default()).await.expect("a free port");
    let server = listener.local_addr().expect("an address");
    tokio::spawn(listener.serve(service, std::future::pending()));

    let mut client = Client::connect(server).await;
    for origin in ["https://evil.example", "null"] {
        let by = format!("Host: localhost\r\nOrigin: {origin}\r\n");
        client.write(request("Host: localhost\r\n", &by).as_bytes()).await;
        assert!(client.head().await.starts_with("HTTP/1.1 403 "));
    }
    // The connection still speaks HTTP.
    let by = "Host: localhost\r\nOrigin: https://app.example\r\n";
    client.write(request("Host: localhost\r\n", by).as_bytes()).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    client.write(&text("hello")).await;
    client.expect(b"\x81\x05hello").await;
}

fn forbidden() -> http::Response<String> {
    let mut response = http::Response::new(String::new());
    *response.status_mut() = http::StatusCode::FORBIDDEN;
    response
}

#[tokio::test]
async fn section_4_2_2_must_3_a_list_of_origins_refuses_all_others_with_403_and_says_why() {
    let origins = AllowedOrigins::new(["https://app.example", "https://*.pages.example"]).expect("origins");
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        let upgrade = tidewire_ws::upgrade(&mut request).and_then(|upgrade| upgrade.allow_origins(&origins));
        async {
            Ok::<_, Infallible>(match upgrade {
                Ok(upgrade) => upgrade.on_upgrade(echo),
                Err(error) => error.response(),
            })
        }
    });
    let listener = Listener::bind("127.0.0.1:0", HttpLimits::default()).await.expect("a free port");
    let server = listener.local_addr().expect("an address");
    tokio::spawn(listener.serve(service, std::future::pending()));

    for (origin, status) in [
        ("", 101),
        ("Origin: https://app.example\r\n", 101),
        ("Origin: https://a.pages.example\r\n", 101),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: https://app.example\r\nOrigin: https://app.example\r\n", 403),
    ] {
        let mut client = Client::connect(server).await;
        client
            .write(request("Host: localhost\r\n", &format!("Host: localhost\r\n{origin}")).as_bytes())
            .await;
        if status == 101 {
            assert!(client.head().await.starts_with("HTTP/1.1 101 "), "{origin}");
            client.write(&text("hello")).await;
            client.expect(b"\x81\x05hello").await;
        } else {
            let response = String::from_utf8(client.rest().await).expect("text");
            assert!(response.starts_with("HTTP/1.1 403 "), "{origin}: {response}");
            assert!(response.ends_with("\r\n\r\npages of this origin may not connect\n"), "{response}");
        }
    }
}

/// A client must not send anything before it has read the response. If it does, the server may reject the frame or
/// handle it; this server handles it.
#[tokio::test]
async fn section_4_1_must_32_a_frame_in_the_segment_of_the_request_is_heard() {
    let server = serve(echo).await;
    let mut client = Client::connect(server).await;
    client.write(&[REQUEST, &text("early")].concat()).await;
    client.head().await;
    client.expect(b"\x81\x05early").await;
}
