//! Sends one HTTP/1.1 request and reads its response. After that the stream may belong to another protocol.

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

use crate::http::upgrade::Upgraded;
use crate::io::{PeerTimeout, Stream};
use ws_proto::ErrorChain;

/// The maximum size of a response head in bytes. Protects against a server whose head does not end.
const MAX_HEAD_SIZE: usize = 16 * 1024;

/// The maximum number of header fields of a response.
const MAX_HEADERS: usize = 100;

/// The maximum number of interim responses (1xx) before the final one. Protects against a server that sends nothing
/// else. Go's client accepts five.
const MAX_INFORMATIONAL_RESPONSES: usize = 16;

/// The number of body bytes that are kept if the server does not upgrade. They are for an error message, which does not
/// need a whole HTML page.
const MAX_BODY_SIZE: usize = 16 * 1024;

/// How long to wait for the body if the server does not upgrade. The head already has the important part.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// The response of a server to a request.
#[derive(Debug)]
pub enum ExchangeResponse {
    /// The server switched protocols (101), or accepted a CONNECT (2xx). The stream now belongs to the caller.
    Upgraded(Response<()>, Upgraded),
    /// Any other response. Its body holds at most the first 16 KiB, and only the bytes that arrive within one second.
    Response(Response<Bytes>),
}

/// Sends a request without a body and returns the response. The request must have a `Host` header. There is no timeout:
/// the caller sets one.
///
/// Cancel safe: dropping the future closes the connection.
///
/// # Errors
/// The stream failed or ended, the response is not HTTP/1.x, its head is longer than 16 KiB or has more than 100 header
/// fields, or more than 16 interim responses (1xx) came before it.
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
        // This future ends before the exchange if the server closes the connection after its response. The exchange
        // returns the same error.
        drop(connection.with_upgrades().await);
        pending::<Infallible>().await
    };
    tokio::select! {
        // Poll the exchange first. If the server sent bytes before the request, the connection reports that error to
        // the request only if the request is already queued.
        biased;
        result = exchange => result,
        never = connection => match never {},
        () = too_many.notified() => Err(ExchangeError(Cause::TooManyInformational)),
    }
}

/// The server sent no response, or the response is not HTTP/1.x.
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
                return f.write_str("too many interim responses (1xx) before the final response");
            }
        };
        if error.is_incomplete_message() {
            return f.write_str("the server closed the connection without a response");
        }
        if error.is_parse_too_large() {
            return f.write_str("the response head is too large");
        }
        if error.is_parse() {
            f.write_str("the response is not HTTP/1.1: ")?;
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
    let parts = upgraded.downcast::<TokioIo<Stream>>().expect("hyper returns the stream it was given");
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
    // After the timeout, keep what has arrived.
    let _ = PeerTimeout::limit(BODY_TIMEOUT, whole).await;
    Response::from_parts(head, bytes.freeze())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;

    /// Returns the result of an exchange with a server that sends these bytes and keeps the connection open.
    async fn exchange_with(reply: &[u8]) -> Result<ExchangeResponse, ExchangeError> {
        let (client, mut server) = tokio::io::duplex(1024 * 1024);
        let request = Request::get("/").header("host", "h").header("upgrade", "x").body(()).unwrap();
        let exchange = tokio::spawn(exchange(Stream::boxed(client), request));
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(server.read_u8().await.unwrap());
        }
        server.write_all(reply).await.unwrap();
        exchange.await.unwrap()
    }

    fn is_parse_error(result: Result<ExchangeResponse, ExchangeError>) -> bool {
        matches!(result.unwrap_err().0, Cause::Http(error) if error.is_parse())
    }

    #[tokio::test]
    async fn the_bytes_after_a_switch_belong_to_the_new_protocol() {
        let reply =
            b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\nHTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nhello";
        let Ok(ExchangeResponse::Upgraded(response, mut upgraded)) = exchange_with(reply).await else {
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
    async fn a_refusal_keeps_its_head_and_the_start_of_its_body() {
        let head = b"HTTP/1.1 401 Unauthorized\r\nX-Reason: because\r\nContent-Length: 100000\r\n\r\n";
        for (sent, kept, waits) in [(0, 0, true), (5, 5, true), (100_000, MAX_BODY_SIZE, false)] {
            let begin = Instant::now();
            let reply = exchange_with(&[&head[..], &vec![b'x'; sent]].concat()).await;
            let Ok(ExchangeResponse::Response(response)) = reply else { panic!("{reply:?}") };
            assert_eq!(
                (response.status().as_u16(), &response.headers()["x-reason"]),
                (401, &"because".parse().unwrap())
            );
            assert_eq!(response.body().len(), kept);
            assert_eq!(begin.elapsed() >= BODY_TIMEOUT, waits, "{sent}");
        }
    }

    #[tokio::test]
    async fn an_endless_head_is_an_error() {
        let endless = [b"HTTP/1.1 101 Switching\r\nX: ", &vec![b'x'; MAX_HEAD_SIZE][..]].concat();
        assert!(is_parse_error(exchange_with(&endless).await));
        let many = format!("HTTP/1.1 101 Switching\r\n{}\r\n", "x: 1\r\n".repeat(MAX_HEADERS + 1));
        assert!(is_parse_error(exchange_with(many.as_bytes()).await));
    }

    #[tokio::test]
    async fn too_many_interim_responses_are_an_error() {
        for (interim, succeeds) in
            [(MAX_INFORMATIONAL_RESPONSES, true), (MAX_INFORMATIONAL_RESPONSES + 1, false)]
        {
            let head = "HTTP/1.1 100 Continue\r\n\r\n".repeat(interim) + "HTTP/1.1 101 Switching\r\n\r\n";
            match exchange_with(head.as_bytes()).await {
                Ok(ExchangeResponse::Upgraded(..)) => assert!(succeeds),
                result => assert!(!succeeds && !is_parse_error(result), "{interim}"),
            }
        }
    }

    #[tokio::test]
    async fn bytes_before_the_request_are_an_error() {
        let (client, mut server) = tokio::io::duplex(1024);
        server.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
        let request = Request::get("/").header("host", "h").body(()).unwrap();
        let error = exchange(Stream::boxed(client), request).await.unwrap_err();
        assert!(error.to_string().ends_with("received unexpected message from connection"), "{error}");
    }

    #[tokio::test]
    async fn a_response_that_is_not_http_is_an_error() {
        for reply in [&b"\x15\x03\x01\x00\x02\x02\x46"[..], b"hello\r\n\r\n", b"HTTP/2 200\r\n\r\n"] {
            assert!(is_parse_error(exchange_with(reply).await), "{reply:?}");
        }
    }
}
