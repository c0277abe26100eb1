use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tower::service_fn;

use super::*;
use crate::Stream;
use crate::http::eager_service::EagerService;
use crate::http::http1_service::Http1Service;
use crate::http::http1_state::Http1State;
use crate::http::server_stream::ServerStream;

/// Filters `input` in reads of at most `read` bytes. After each head, hyper finds the next of `heads`.
fn filter(input: &[u8], heads: &[Continuation], read: usize) -> String {
    let (mut filter, parsed, mut heads) = (RequestFilter::new(), ParsedHead::default(), heads.iter());
    let (mut output, mut rest) = (Vec::new(), input);
    while !rest.is_empty() {
        if filter.0 == State::HeadEnd {
            parsed.set(*heads.next().expect("another head"));
        }
        filter.continue_after(&parsed);
        let passed =
            filter.filter(&rest[..read.min(rest.len())], read, |bytes| output.extend_from_slice(bytes));
        assert_ne!(passed, 0, "hyper would take this for the end of the stream");
        rest = &rest[passed..];
    }
    String::from_utf8(output).unwrap()
}

#[test]
fn bytes_of_a_query_that_hyper_refuses_are_encoded_wherever_a_read_ends() {
    let input = "\r\nGET /a<?u={\"id\":1}&ü=?\"&x=|^`\\<> HTTP/1.1\r\nHost: \"<>\"?\r\n\r\n\
                 POST /?\" HTTP/1.0\nContent-Length: 24\n\nGET /?\" HTTP/1.1\r\n\r\n?\"<>\n\
                 GET http://h/?\" HTTP/1.1\r\n\r\n";
    let output = "\r\nGET /a<?u={%22id%22:1}&%C3%BC=?%22&x=|^`\\%3C%3E HTTP/1.1\r\nHost: \"<>\"?\r\n\r\n\
                  POST /?%22 HTTP/1.0\nContent-Length: 24\n\nGET /?\" HTTP/1.1\r\n\r\n?\"<>\n\
                  GET http://h/?%22 HTTP/1.1\r\n\r\n";
    for read in 3..input.len() {
        assert_eq!(filter(input.as_bytes(), &[Continuation::Body(0), Continuation::Body(24)], read), output);
    }
}

#[test]
fn http_accepts_every_visible_byte_of_a_filtered_query() {
    for byte in (b'!'..=b'~').chain(0x80..=0xff) {
        let line = [b"GET /?", &[byte][..], b" HTTP/1.1\r\n"].concat();
        let line = filter(&line, &[], 100);
        let target = line.split(' ').nth(1).unwrap();
        assert!(target.parse::<Uri>().is_ok(), "{target}");
    }
}

#[test]
fn after_a_place_that_is_not_certain_all_bytes_pass_unchanged() {
    let request = "GET /?\" HTTP/1.1\r\n\r\n";
    for head in [Continuation::Unknown, Continuation::AfterResponse] {
        let output = filter(request.repeat(3).as_bytes(), &[head], 100);
        assert_eq!(output, format!("GET /?%22 HTTP/1.1\r\n\r\n{request}{request}"), "{head:?}");
    }
    // hyper reads on, although the filter has passed a whole head.
    let (mut reads_on, parsed) = (RequestFilter::new(), ParsedHead::default());
    reads_on.filter(request.as_bytes(), 100, |_| {});
    reads_on.continue_after(&parsed);
    assert!(reads_on.has_ended());
    // hyper has parsed a head, although the filter has not passed its end.
    let mut parses = RequestFilter::new();
    parses.filter(&request.as_bytes()[..10], 100, |_| {});
    parsed.set(Continuation::Body(0));
    parses.continue_after(&parsed);
    assert!(parses.has_ended());
}

#[test]
fn the_filter_continues_if_a_response_does_not_switch_protocols() {
    let (mut filter, parsed) = (RequestFilter::new(), ParsedHead::default());
    filter.filter(b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", 100, |_| {});
    parsed.set(Continuation::AfterResponse);
    filter.continue_after(&parsed);
    // hyper finds nothing to read.
    filter.continue_after(&parsed);
    parsed.set(Continuation::Body(0));
    filter.continue_after(&parsed);
    assert_eq!(filter.0, State::Start);
}

#[test]
fn a_filter_without_capacity_for_an_encoded_byte_still_makes_progress() {
    let mut filter = RequestFilter::new();
    filter.filter(b"GET /?", 100, |_| {});
    for (capacity, output) in [(1, "%"), (2, "%2"), (3, "%22")] {
        let mut passed = Vec::new();
        assert_eq!(filter.filter(b"\"\"", capacity, |bytes| passed.extend_from_slice(bytes)), 1);
        assert_eq!(passed, output.as_bytes());
    }
}

/// Every head that hyper's parser accepts ends for the filter where it ends for the parser.
#[test]
fn the_filter_and_the_parser_of_hyper_agree_about_the_end_of_a_head() {
    const BYTES: &[u8] = b"\r\n :a";
    const LENGTH: u32 = 8;
    let mut complete = 0;
    for start in [&b"GET /?a HTTP/1.1"[..], b"\r\n\nGET / HTTP/1.0\r\nb:c"] {
        for number in 0..(BYTES.len() as u32).pow(LENGTH) {
            let digit = |place| BYTES[(number / (BYTES.len() as u32).pow(place)) as usize % BYTES.len()];
            let input = [start, &(0..LENGTH).map(digit).collect::<Vec<_>>()].concat();
            let mut headers = [httparse::EMPTY_HEADER; 8];
            let mut filter = RequestFilter::new();
            let passed = filter.filter(&input, 100, |_| {});
            match httparse::Request::new(&mut headers).parse(&input) {
                Ok(httparse::Status::Complete(end)) => {
                    complete += 1;
                    assert_eq!((filter.0, passed), (State::HeadEnd, end), "{}", input.escape_ascii());
                }
                Ok(httparse::Status::Partial) => {
                    assert_ne!(filter.0, State::HeadEnd, "{}", input.escape_ascii());
                }
                // hyper ends the connection.
                Err(_) => {}
            }
        }
    }
    assert!(complete > 1_000, "{complete}");
}

/// Serves a connection with hyper, as the listener does. Responses say what arrived; `/switch` gets 101.
fn serve(buffer: usize) -> DuplexStream {
    let (client, server) = duplex(buffer);
    let state = Arc::new(Http1State::default());
    let stream = ServerStream::new(Stream::boxed(server), Duration::from_secs(30));
    let stream = stream.filter_requests(Arc::clone(&state));
    let service = service_fn(async |mut request: Request<Incoming>| {
        if request.uri().path() == "/switch" {
            let upgrade = crate::PendingUpgrade::from_request(&mut request);
            tokio::spawn(async move {
                let mut upgraded = crate::finish_upgrade(upgrade).await.unwrap();
                upgraded.stream.write_all(&upgraded.leftover).await.unwrap();
                let (mut reader, mut writer) = tokio::io::split(upgraded.stream);
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
                writer.shutdown().await.unwrap();
            });
            let mut response = Response::new(String::new());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            return Ok::<_, Infallible>(response);
        }
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body);
        Ok(Response::new(format!("[{} {} {body}]", head.method, head.uri)))
    });
    let service = Http1Service { service: EagerService(service), state };
    tokio::spawn(http1::Builder::new().serve_connection(stream, service).with_upgrades());
    client
}

/// Sends requests in writes of any length, and returns everything that the server sends.
async fn converse(requests: &str, buffer: usize) -> String {
    let (mut reader, mut writer) = tokio::io::split(serve(buffer));
    let requests = requests.to_owned();
    tokio::spawn(async move {
        // The server may end the connection before.
        let _ = writer.write_all(requests.as_bytes()).await;
        std::future::pending::<()>().await;
    });
    let mut read = Vec::new();
    reader.read_to_end(&mut read).await.unwrap();
    String::from_utf8(read).unwrap()
}

/// The texts in brackets.
fn echoes(responses: &str) -> Vec<&str> {
    responses.split('[').skip(1).map(|rest| rest.split(']').next().unwrap()).collect()
}

#[tokio::test]
async fn requests_are_filtered_through_hyper_on_a_connection_that_is_kept_alive() {
    let body = "GET /?\"<>\" HTTP/1.1\r\nHost: h\r\n\r\n";
    let requests = format!(
        "GET /a?u={{\"id\":1}} HTTP/1.1\r\nHost: h\r\n\r\n\
         POST /b?<> HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}\
         GET /c?\" HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
        body.len()
    );
    let last = "GET /d?plain HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let post = format!("POST /b?%3C%3E {body}");
    for buffer in [1, 2, 3, 7, 50, 64 * 1024] {
        let responses = converse(&format!("{requests}{last}"), buffer).await;
        let expected = ["GET /a?u={%22id%22:1} ", &post, "GET /c?%22 ", "GET /d?plain "];
        assert_eq!(echoes(&responses), expected, "{buffer}");
    }
}

#[tokio::test]
async fn nothing_is_changed_after_a_chunked_body() {
    let chunk = "5\r\nGET /\r\n8\r\n?\"<> HTT\r\n0\r\n\r\n";
    let post = format!("POST /a?\" HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    let plain = "GET /b?plain HTTP/1.1\r\nHost: h\r\n\r\n";
    let quoted = "GET /c?\" HTTP/1.1\r\nHost: h\r\n\r\n";
    for buffer in [1, 7, 64 * 1024] {
        let responses = converse(&format!("{post}{plain}{quoted}"), buffer).await;
        assert_eq!(echoes(&responses), ["POST /a?%22 GET /?\"<> HTT", "GET /b?plain "], "{buffer}");
        assert!(responses.contains("HTTP/1.1 400 "), "{buffer}: {responses}");
    }
}

#[tokio::test]
async fn bytes_of_another_protocol_pass_unchanged_even_if_they_come_with_the_request() {
    let after = "GET /?\"<> HTTP/1.1\r\n\r\nGET /?\" HTTP/1.1\r\n\r\n".repeat(100);
    let request = "GET /switch?\" HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    for buffer in [1, 7, 64 * 1024] {
        let (mut reader, mut writer) = tokio::io::split(serve(buffer));
        let sent = format!("{request}{after}");
        tokio::spawn(async move { writer.write_all(sent.as_bytes()).await.unwrap() });
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            read.push(reader.read_u8().await.unwrap());
        }
        let mut echoed = vec![0; after.len()];
        reader.read_exact(&mut echoed).await.unwrap();
        assert!(echoed == after.as_bytes(), "{buffer}: {}", echoed.escape_ascii());
    }
}
