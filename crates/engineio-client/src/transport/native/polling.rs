//! HTTP long-polling: a GET that waits for packets of the server, and a POST that carries packets to it, each on a
//! connection of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use engineio_proto::{Packet, Payload, Transport};
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use net::PeerTimeout;
use ws_proto::Time;

use super::Client;
use super::error::TransportError;
use super::http_connection::{Exchanged, HttpConnection, exchange};

/// How long an unused connection is kept. Node's server closes its connections after 5 seconds. A request that is sent
/// at that moment would be lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// How long the last POST may take, which tells the server that the session is over.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The polling transport of one session.
#[derive(Default)]
pub(crate) struct Polling {
    get: Requests,
    post: Requests,
    /// The length of the body that is being sent.
    post_len: usize,
    close_deadline: Option<Time>,
}

type Exchange = dyn Future<Output = Result<Exchanged, TransportError>> + Send;

/// The requests of one kind: at most one at a time, on one connection.
#[derive(Default)]
struct Requests {
    in_flight: Option<Pin<Box<Exchange>>>,
    /// The bytes of the body that have arrived.
    received: Arc<AtomicUsize>,
    /// The connection, between two requests, and when it is closed.
    kept: Option<(Box<HttpConnection>, Time)>,
}

impl Polling {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Starts a GET. Poll it with [`poll_get`](Self::poll_get).
    pub(crate) fn start_get(&mut self, client: &Client, session_id: Option<&str>) {
        let request = request(client, session_id, Method::GET, Bytes::new());
        self.get.start(client, request);
    }

    /// Starts a POST. Poll it with [`poll_post`](Self::poll_post).
    pub(crate) fn start_post(&mut self, client: &Client, session_id: Option<&str>, body: Vec<u8>) {
        self.post_len = body.len();
        let mut request = request(client, session_id, Method::POST, body.into());
        let content_type = HeaderValue::from_static("text/plain;charset=UTF-8");
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        self.post.start(client, request);
    }

    /// Returns the packets of the response to the GET.
    pub(crate) fn poll_get(
        &mut self,
        client: &mut Client,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Payload, TransportError>> {
        let limit = client.options.limits.max_response_size;
        Poll::Ready(
            ready!(self.get.poll(client, now, cx)).and_then(|body| {
                Payload::from_bytes(body, limit).ok_or(TransportError::ResponseTooLarge(limit))
            }),
        )
    }

    /// Returns `Ready` when the response to the POST has arrived.
    pub(crate) fn poll_post(
        &mut self,
        client: &mut Client,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        let finished = ready!(self.post.poll(client, now, cx));
        self.post_len = 0;
        Poll::Ready(finished.map(drop))
    }

    /// Closes the connections that the server has closed, or that were not used for some time.
    pub(crate) fn poll_kept_connections(&mut self, now: Time, cx: &mut Context<'_>) {
        self.get.poll_kept(now, cx);
        self.post.poll_kept(now, cx);
    }

    /// Returns the number of bytes that the server has not confirmed yet.
    pub(crate) fn unsent(&self) -> usize {
        self.post_len
    }

    /// Returns the bytes that the transport holds for the server: unfinished responses, and what is being sent.
    pub(crate) fn memory(&self) -> usize {
        let received = [&self.get, &self.post].map(|requests| requests.received.load(Ordering::Relaxed));
        self.post_len + received.iter().sum::<usize>()
    }

    /// Starts to close: sends a last POST. Drive it with [`poll_close`](Self::poll_close).
    pub(crate) fn close(
        &mut self,
        client: &Client,
        session_id: Option<&str>,
        packet: &Packet<'_>,
        now: Time,
    ) {
        let mut body = Vec::new();
        packet.encode_into(&mut body);
        if self.post.in_flight.is_some() {
            self.post = Requests::default();
        }
        self.start_post(client, session_id, body);
        self.close_deadline = Some(now + CLOSE_TIMEOUT);
    }

    /// Drives the close. The GET stays until the POST has arrived: a server that sees the end of a GET first reports an
    /// error.
    pub(crate) fn poll_close(&mut self, client: &mut Client, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        let _ = self.get.poll(client, now, cx);
        self.get.poll_kept(now, cx);
        if self.close_deadline.is_some_and(|deadline| deadline <= now) {
            return Poll::Ready(());
        }
        self.post.poll(client, now, cx).map(drop)
    }

    /// Returns when to poll even if nothing happens.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let kept = [&self.get, &self.post].map(|requests| requests.kept.as_ref().map(|(_, until)| *until));
        kept.into_iter().flatten().chain(self.close_deadline).min()
    }
}

impl Requests {
    fn start(&mut self, client: &Client, request: Request<Full<Bytes>>) {
        let kept = self.kept.take().map(|(connection, _)| connection);
        let options = Arc::clone(&client.options);
        let limit = options.request_timeout;
        let exchange = exchange(kept, options, request, Arc::clone(&self.received));
        self.in_flight = Some(match limit {
            None => Box::pin(exchange),
            Some(limit) => Box::pin(async move {
                let exchanged = PeerTimeout::limit(limit, exchange).await;
                exchanged.unwrap_or(Err(TransportError::RequestTimedOut(limit)))
            }),
        });
    }

    fn poll_kept(&mut self, now: Time, cx: &mut Context<'_>) {
        if let Some((connection, until)) = &mut self.kept
            && (*until <= now || connection.poll_closed(cx).is_ready())
        {
            self.kept = None;
        }
    }

    /// Returns the body of the response, once the request has finished.
    fn poll(
        &mut self,
        client: &mut Client,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Vec<u8>, TransportError>> {
        let Some(in_flight) = &mut self.in_flight else { return Poll::Pending };
        let exchanged = ready!(in_flight.as_mut().poll(cx));
        self.in_flight = None;
        self.received.store(0, Ordering::Relaxed);
        Poll::Ready(exchanged.and_then(|Exchanged { head, body, connection }| {
            client.store_cookies(&head.headers);
            self.kept = connection.map(|connection| (connection, now + IDLE_TIMEOUT));
            if head.status == StatusCode::OK {
                Ok(body)
            } else {
                let body = String::from_utf8_lossy(&body).into_owned();
                Err(TransportError::Status { status: head.status, body })
            }
        }))
    }
}

fn request(client: &Client, session_id: Option<&str>, method: Method, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = client
        .request_target(Transport::Polling, session_id)
        .parse()
        .expect("`Connector::connect` has checked the path, and the query is encoded");
    *request.headers_mut() = client.headers();
    let headers = request.headers_mut();
    headers.insert(HOST, client.host());
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    request
}
