//! Compressed responses to polling requests, byte by byte.

use std::io::Read;

use engineio_proto::MessageEncoder;
use flate2::read::{GzDecoder, ZlibDecoder};
use tidewire_engineio::{CloseReason, HttpCompression, Options};
use tokio::io::AsyncReadExt;

use crate::support::{Request, Server, soon, until};

/// Returns the head in lower case, and the body as it was sent.
async fn response(mut request: Request) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    soon(request.0.read_to_end(&mut bytes)).await.expect("a response");
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let body = bytes.split_off(end + 4);
    (String::from_utf8(bytes).expect("text").to_ascii_lowercase(), body)
}

/// Sends a message of `length` characters `x` to a client that accepts `accepted`, and returns its response.
async fn poll(options: Options, length: usize, accepted: &str) -> (String, Vec<u8>) {
    let mut server = Server::start(options).await;
    let (client, opened) = server.open_polling().await;
    opened.session.send_text(&"x".repeat(length));
    response(client.request("GET", &format!("Accept-Encoding: {accepted}\r\n"), "").await).await
}

fn gunzip(body: &[u8]) -> String {
    let mut payload = String::new();
    GzDecoder::new(body).read_to_string(&mut payload).expect("gzip");
    payload
}

#[tokio::test]
async fn a_long_response_has_the_encoding_that_the_client_prefers_and_its_exact_length() {
    let (head, body) = poll(Options::default(), 1_023, "gzip, deflate, br").await;
    assert!(head.contains("\r\ncontent-encoding: gzip\r\n"), "{head}");
    assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
    assert!(head.contains("\r\ncontent-type: text/plain; charset=utf-8\r\n"), "{head}");
    assert!(!head.contains("\r\nvary:"), "{head}");
    assert_eq!(gunzip(&body), format!("4{}", "x".repeat(1_023)));

    let (head, body) = poll(Options::default(), 1_023, "gzip;q=0.5, deflate").await;
    assert!(head.contains("\r\ncontent-encoding: deflate\r\n"), "{head}");
    let mut payload = String::new();
    ZlibDecoder::new(&*body).read_to_string(&mut payload).expect("the format of zlib");
    assert_eq!(payload.len(), 1_024);
}

#[tokio::test]
async fn a_response_below_the_threshold_is_sent_as_it_is() {
    let (head, body) = poll(Options::default(), 1_022, "gzip").await;
    assert!(!head.contains("content-encoding"), "{head}");
    assert_eq!(body, format!("4{}", "x".repeat(1_022)).into_bytes());
}

#[tokio::test]
async fn a_client_that_accepts_neither_encoding_gets_text() {
    for accepted in ["br", "identity", "gzip;q=0", ""] {
        let (head, body) = poll(Options::default(), 5_000, accepted).await;
        assert!(!head.contains("content-encoding"), "{head}");
        assert_eq!(body.len(), 5_001);
    }
}

#[tokio::test]
async fn compression_can_be_switched_off_and_its_threshold_moved() {
    let off = Options { http_compression: None, ..Options::default() };
    assert_eq!(poll(off, 5_000, "gzip").await.1.len(), 5_001);
    let http_compression = Some(HttpCompression { threshold: 100, ..HttpCompression::default() });
    let lower = Options { http_compression, ..Options::default() };
    assert_eq!(gunzip(&poll(lower, 99, "gzip").await.1).len(), 100);
}

#[tokio::test]
async fn a_client_that_leaves_while_its_response_is_compressed_ends_the_session() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let mut request = client.poll_request();
    request.headers_mut().insert("accept-encoding", http::HeaderValue::from_static("gzip"));
    let mut polling = Box::pin(server.engine.handle(request));
    opened.session.send_text(&"x".repeat(1_000_000));
    until(|| opened.session.buffered() == 0).await;
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(polling.as_mut().poll(&mut cx).is_pending(), "a long payload is compressed in pieces");
    drop(polling);
    opened.expect_end(CloseReason::TransportError).await;
}

#[tokio::test]
async fn a_response_is_sent_as_it_is_if_none_of_its_packets_may_be_compressed() {
    for (allowed, compressed) in [([false, false], false), ([false, true], true), ([true, false], true)] {
        let mut server = Server::start(Options::default()).await;
        let (client, opened) = server.open_polling().await;
        for compress in allowed {
            let mut encoder = MessageEncoder::new();
            encoder.begin();
            encoder.text().extend_from_slice("x".repeat(1_000).as_bytes());
            opened.session.send(encoder.finish().with_compression(compress));
        }
        let (head, _) = response(client.request("GET", "Accept-Encoding: gzip\r\n", "").await).await;
        assert_eq!(head.contains("\r\ncontent-encoding: gzip\r\n"), compressed, "{allowed:?}: {head}");
    }
}
