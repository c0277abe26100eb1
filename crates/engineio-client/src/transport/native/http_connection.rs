//! An HTTP/1.1 connection that is kept alive between requests.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::ext::on_informational;
use hyper_util::rt::TokioIo;
use net::{PeerTimeout, Stream};

use super::error::TransportError;
use super::target;
use crate::connector::Options;

/// The size of hyper's read buffer in bytes, which also limits the head of a response. Protects against a server whose
/// head does not end.
const MAX_BUFFER_SIZE: usize = 64 * 1024;

/// The maximum number of header fields of a response.
const MAX_HEADERS: usize = 100;

/// The maximum number of interim responses (1xx) before the final one. Protects against a server that sends nothing
/// else.
const MAX_INFORMATIONAL_RESPONSES: usize = 16;

/// How many bytes of the body of a refusal are kept, and how long to wait for them. They are for an error message.
const MAX_REFUSAL_SIZE: usize = 1024;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection without a request in flight.
pub(super) struct HttpConnection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once the connection is closed. Only dropping hyper's future returns a request that it has not sent.
    connection: Option<http1::Connection<TokioIo<Stream>, Full<Bytes>>>,
}

/// A response, and the connection if it can be used again.
pub(super) struct Exchanged {
    pub(super) head: Parts,
    pub(super) body: Vec<u8>,
    pub(super) connection: Option<Box<HttpConnection>>,
}

/// Why there is no response.
enum ExchangeFailure {
    /// The connection was closed before the request was written, so the request can be sent again.
    NotSent(Box<Request<Full<Bytes>>>),
    Failed(TransportError),
}

/// Sends a request, on the kept connection if it is still open, and on a new one otherwise.
///
/// A request is never sent twice: the server may have handled it, even if the connection broke before the response.
/// `received` is the number of bytes of the body that have arrived.
pub(super) async fn exchange(
    kept: Option<Box<HttpConnection>>,
    options: Arc<Options>,
    mut request: Request<Full<Bytes>>,
    received: Arc<AtomicUsize>,
) -> Result<Exchanged, TransportError> {
    let limit = options.limits.max_response_size;
    if let Some(connection) = kept {
        match connection.send(request, limit, &received).await {
            Ok(exchanged) => return Ok(exchanged),
            Err(ExchangeFailure::Failed(error)) => return Err(error),
            Err(ExchangeFailure::NotSent(unsent)) => request = *unsent,
        }
    }
    // Boxed, because dialing is large and short, and a poll is small and long.
    let connection = Box::pin(HttpConnection::open(&options)).await?;
    match connection.send(request, limit, &received).await {
        Ok(exchanged) => Ok(exchanged),
        Err(ExchangeFailure::Failed(error)) => Err(error),
        Err(ExchangeFailure::NotSent(_)) => Err(TransportError::ConnectionClosed(None)),
    }
}

impl HttpConnection {
    async fn open(options: &Options) -> Result<Box<Self>, TransportError> {
        Self::over(options.platform.dialer.dial(target(options)).await?).await
    }

    async fn over(stream: Stream) -> Result<Box<Self>, TransportError> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER_SIZE)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(http_error)?;
        Ok(Box::new(Self { sender, connection: Some(connection) }))
    }

    /// Returns `Ready` when the server has closed the connection.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        poll_connection(&mut self.connection, cx)
    }

    /// Sends a request and reads the response.
    async fn send(
        mut self: Box<Self>,
        request: Request<Full<Bytes>>,
        limit: usize,
        received: &AtomicUsize,
    ) -> Result<Exchanged, ExchangeFailure> {
        let (head, body) = self.drive(request, limit, received).await?;
        // hyper notices here that the connection must be closed, if the response says so.
        let is_kept = head.status == StatusCode::OK
            && poll_fn(|cx| Poll::Ready(self.poll_closed(cx).is_pending())).await
            && !self.sender.is_closed();
        Ok(Exchanged { head, body, connection: is_kept.then_some(self) })
    }

    /// Drives the connection until the response is complete.
    async fn drive(
        &mut self,
        mut request: Request<Full<Bytes>>,
        limit: usize,
        received: &AtomicUsize,
    ) -> Result<(Parts, Vec<u8>), ExchangeFailure> {
        let interim = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&interim);
        on_informational(&mut request, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let Self { sender, connection } = self;
        let mut exchange = pin!(async {
            if sender.ready().await.is_err() {
                return Err(ExchangeFailure::NotSent(Box::new(request)));
            }
            match sender.try_send_request(request).await {
                Ok(response) => collect(response, limit, received).await.map_err(ExchangeFailure::Failed),
                Err(mut error) => Err(match error.take_message() {
                    Some(request) => ExchangeFailure::NotSent(Box::new(request)),
                    None => ExchangeFailure::Failed(http_error(error.into_error())),
                }),
            }
        });
        poll_fn(|cx| {
            // The second poll sees what the connection has read.
            for _ in 0..2 {
                if let Poll::Ready(exchanged) = exchange.as_mut().poll(cx) {
                    return Poll::Ready(exchanged);
                }
                let _ = poll_connection(connection, cx);
                if interim.load(Ordering::Relaxed) > MAX_INFORMATIONAL_RESPONSES {
                    let error = "too many interim responses (1xx) before the final response";
                    return Poll::Ready(Err(ExchangeFailure::Failed(TransportError::Http(error.into()))));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Reads and writes. Returns `Ready` when the connection is closed.
fn poll_connection<C: Future + Unpin>(connection: &mut Option<C>, cx: &mut Context<'_>) -> Poll<()> {
    if connection.as_mut().is_some_and(|connection| Pin::new(connection).poll(cx).is_pending()) {
        return Poll::Pending;
    }
    *connection = None;
    Poll::Ready(())
}

/// Reads the body of a response. Of a refusal, only the beginning.
async fn collect(
    response: Response<Incoming>,
    limit: usize,
    received: &AtomicUsize,
) -> Result<(Parts, Vec<u8>), TransportError> {
    let (head, mut body) = response.into_parts();
    if head.status != StatusCode::OK {
        let mut kept = Vec::new();
        let all = async {
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(data) = frame.into_data() else { break };
                kept.extend_from_slice(&data[..data.len().min(MAX_REFUSAL_SIZE - kept.len())]);
                if kept.len() == MAX_REFUSAL_SIZE {
                    break;
                }
            }
        };
        // After the timeout, keep what has arrived.
        let _ = PeerTimeout::limit(REFUSAL_TIMEOUT, all).await;
        return Ok((head, kept));
    }
    if body.size_hint().lower() > limit as u64 {
        return Err(TransportError::ResponseTooLarge(limit));
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(http_error)?.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            return Err(TransportError::ResponseTooLarge(limit));
        }
        bytes.extend_from_slice(&data);
        received.store(bytes.len(), Ordering::Relaxed);
    }
    Ok((head, bytes))
}

fn http_error(error: hyper::Error) -> TransportError {
    if error.is_incomplete_message() {
        return TransportError::ConnectionClosed(None);
    }
    TransportError::Http(Box::new(error))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_on_a_connection_that_the_server_has_closed_is_not_sent() {
        let (client, mut server) = tokio::io::duplex(1024);
        let connection = HttpConnection::over(Stream::boxed(client)).await.expect("no I/O yet");
        let received = AtomicUsize::new(0);
        let send = |connection: Box<HttpConnection>| {
            let sent = connection.send(Request::new(Full::default()), 1024, &received);
            async { tokio::time::timeout(Duration::from_secs(60), sent).await.expect("a result") }
        };
        let respond = async {
            let _ = server.read(&mut [0; 1024]).await.expect("a request");
            server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("room");
        };
        let (Ok(Exchanged { connection: Some(kept), .. }), ()) = tokio::join!(send(connection), respond)
        else {
            panic!("the server has responded, and keeps the connection")
        };
        // The client sends its next request before it notices.
        drop(server);
        assert!(matches!(send(kept).await, Err(ExchangeFailure::NotSent(_))));
    }
}
