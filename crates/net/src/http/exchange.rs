//! One request of HTTP/1.1 and its answer, after which the stream may belong to another protocol.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::ext::on_informational;
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::http::upgrade::Upgraded;
use crate::io::Stream;
use ws_proto::ErrorChain;

/// Bytes of the head of an answer. Answers a server whose head does not end.
const MAX_HEAD_SIZE: usize = 16 * 1024;

/// Header fields of an answer.
const MAX_HEADERS: usize = 100;

/// Interim answers (1xx) before the answer. Answers a server that sends nothing else; Go's client takes five.
const MAX_INFORMATIONAL_RESPONSES: usize = 16;

/// Bytes of a refusal's body that are kept. It is for a message, not for a page.
const MAX_BODY_SIZE: usize = 16 * 1024;

/// How long the body of a refusal is waited for. The head says what matters.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// What a server has said to a request.
#[derive(Debug)]
pub enum ExchangeResponse {
    /// The stream is ours: 101, or a success to CONNECT.
    Upgraded(Response<()>, Upgraded),
    /// Something else; of its body the first 16 KiB, as far as they came within a second.
    Response(Response<Bytes>),
}

/// Sends a request without a body. It has to name its host. How long the answer may take is for the caller to say.
///
/// Cancel safe in that a dropped call closes the connection.
///
/// # Errors
/// The stream failed or ended, or the answer is not HTTP/1.x or longer than 16 KiB, or comes behind too many of 1xx.
pub async fn exchange(stream: Stream, mut request: Request<()>) -> Result<ExchangeResponse, ExchangeError> {
    let is_connect = request.method() == Method::CONNECT;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_SIZE)
        .max_headers(MAX_HEADERS)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await?;
    let (interim, too_many) = (AtomicUsize::new(0), Arc::new(Notify::new()));
    let full = Arc::clone(&too_many);
    on_informational(&mut request, move |_| {
        if interim.fetch_add(1, Ordering::Relaxed) == MAX_INFORMATIONAL_RESPONSES {
            full.notify_one();
        }
    });
    let exchange = async {
        let response = sender.send_request(request.map(|()| Empty::new())).await?;
        let status = response.status();
        let switched =
            if is_connect { status.is_success() } else { status == StatusCode::SWITCHING_PROTOCOLS };
        if switched {
            take_upgraded(response).await
        } else {
            Ok(ExchangeResponse::Response(collect_body_prefix(response).await))
        }
    };
    let connection = async {
        // It ends before the exchange when a server closes behind its answer. Its error is the exchange's as well.
        drop(connection.with_upgrades().await);
        pending::<Infallible>().await
    };
    tokio::select! {
        // The request has to be under way before the connection finds that the server has spoken first: only then it says
        // so to the request.
        biased;
        answer = exchange => answer,
        never = connection => match never {},
        () = too_many.notified() => Err(ExchangeError(Cause::TooManyInformational)),
    }
}

/// There was no answer, or none in HTTP/1.x.
#[derive(Debug)]
pub struct ExchangeError(Cause);

#[derive(Debug)]
enum Cause {
    Http(hyper::Error),
    TooManyInformational,
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match &self.0 {
            Cause::Http(error) => error,
            Cause::TooManyInformational => {
                return f.write_str("too many interim answers (1xx) before the answer");
            }
        };
        if error.is_incomplete_message() {
            return f.write_str("the server closed the connection without an answer");
        }
        if error.is_parse_too_large() {
            return f.write_str("the head of the answer is too large");
        }
        if error.is_parse() {
            f.write_str("the answer is not HTTP/1.1: ")?;
        }
        ErrorChain(error).fmt(f)
    }
}

impl Error for ExchangeError {}

impl From<hyper::Error> for ExchangeError {
    fn from(error: hyper::Error) -> Self {
        Self(Cause::Http(error))
    }
}

async fn take_upgraded(mut response: Response<Incoming>) -> Result<ExchangeResponse, ExchangeError> {
    let upgraded = hyper::upgrade::on(&mut response).await?;
    let parts =
        upgraded.downcast::<TokioIo<Stream>>().expect("hyper gives back the stream that it was given");
    let upgraded = Upgraded { stream: parts.io.into_inner(), leftover: parts.read_buf };
    Ok(ExchangeResponse::Upgraded(response.map(drop), upgraded))
}

async fn collect_body_prefix(response: Response<Incoming>) -> Response<Bytes> {
    let (head, mut body) = response.into_parts();
    let mut bytes = BytesMut::new();
    let whole = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { break };
            bytes.extend_from_slice(&data[..data.len().min(MAX_BODY_SIZE - bytes.len())]);
            if bytes.len() == MAX_BODY_SIZE {
                break;
            }
        }
    };
    // What has come by then is what there is.
    let _ = timeout(BODY_TIMEOUT, whole).await;
    Response::from_parts(head, bytes.freeze())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;

    /// What comes of it when the server says this, and then leaves the connection open.
    async fn answered(answer: &[u8]) -> Result<ExchangeResponse, ExchangeError> {
        let (client, mut server) = tokio::io::duplex(1024 * 1024);
        let request = Request::get("/").header("host", "h").header("upgrade", "x").body(()).unwrap();
        let exchange = tokio::spawn(exchange(Stream::boxed(client), request));
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(server.read_u8().await.unwrap());
        }
        server.write_all(answer).await.unwrap();
        exchange.await.unwrap()
    }

    fn is_parse(answered: Result<ExchangeResponse, ExchangeError>) -> bool {
        matches!(answered.unwrap_err().0, Cause::Http(error) if error.is_parse())
    }

    #[tokio::test]
    async fn the_bytes_behind_a_switch_belong_to_the_new_protocol() {
        let answer =
            b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\nHTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nhello";
        let Ok(ExchangeResponse::Upgraded(response, mut upgraded)) = answered(answer).await else {
            panic!("a switch")
        };
        assert_eq!(response.headers()["upgrade"], "x");
        let mut bytes = upgraded.leftover.to_vec();
        while bytes.len() < 5 {
            bytes.push(upgraded.stream.read_u8().await.unwrap());
        }
        assert_eq!(bytes, b"hello");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_keeps_its_head_and_the_beginning_of_its_body() {
        let head = b"HTTP/1.1 401 Unauthorized\r\nX-Reason: because\r\nContent-Length: 100000\r\n\r\n";
        for (sent, kept, waits) in [(0, 0, true), (5, 5, true), (100_000, MAX_BODY_SIZE, false)] {
            let begin = Instant::now();
            let answer = answered(&[&head[..], &vec![b'x'; sent]].concat()).await;
            let Ok(ExchangeResponse::Response(response)) = answer else { panic!("{answer:?}") };
            assert_eq!(
                (response.status().as_u16(), &response.headers()["x-reason"]),
                (401, &"because".parse().unwrap())
            );
            assert_eq!(response.body().len(), kept);
            assert_eq!(begin.elapsed() >= BODY_TIMEOUT, waits, "{sent}");
        }
    }

    #[tokio::test]
    async fn a_head_without_an_end_is_given_up() {
        let endless = [b"HTTP/1.1 101 Switching\r\nX: ", &vec![b'x'; MAX_HEAD_SIZE][..]].concat();
        assert!(is_parse(answered(&endless).await));
        let many = format!("HTTP/1.1 101 Switching\r\n{}\r\n", "x: 1\r\n".repeat(MAX_HEADERS + 1));
        assert!(is_parse(answered(many.as_bytes()).await));
    }

    #[tokio::test]
    async fn a_server_that_only_announces_its_answer_is_given_up() {
        for (interim, is_answer) in
            [(MAX_INFORMATIONAL_RESPONSES, true), (MAX_INFORMATIONAL_RESPONSES + 1, false)]
        {
            let head = "HTTP/1.1 100 Continue\r\n\r\n".repeat(interim) + "HTTP/1.1 101 Switching\r\n\r\n";
            match answered(head.as_bytes()).await {
                Ok(ExchangeResponse::Upgraded(..)) => assert!(is_answer),
                answered => assert!(!is_answer && !is_parse(answered), "{interim}"),
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_speaks_first_is_blamed_for_it() {
        let (client, mut server) = tokio::io::duplex(1024);
        server.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
        let request = Request::get("/").header("host", "h").body(()).unwrap();
        let error = exchange(Stream::boxed(client), request).await.unwrap_err();
        assert!(error.to_string().ends_with("received unexpected message from connection"), "{error}");
    }

    #[tokio::test]
    async fn what_is_not_http_is_told_so() {
        for answer in [&b"\x15\x03\x01\x00\x02\x02\x46"[..], b"hello\r\n\r\n", b"HTTP/2 200\r\n\r\n"] {
            assert!(is_parse(answered(answer).await), "{answer:?}");
        }
    }
}
