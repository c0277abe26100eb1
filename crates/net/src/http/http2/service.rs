//! The service that hyper calls. It hides differences between HTTP/1.1 and HTTP/2 from the program, and splits response
//! bodies into pieces.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{COOKIE, HOST, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use pin_project_lite::pin_project;
use tokio::sync::watch;
use tower::Service;
use ws_proto::is_authority;

use super::MAX_DATA_FRAME_SIZE;
use super::executor::ResponseProgress;
use super::stream::StreamDropSignal;
use crate::http::unread_response::UnreadResponse;

/// The service of one HTTP/2 connection.
pub(super) struct Http2Service<S> {
    service: TowerToHyperService<S>,
    max_headers: usize,
}

impl<S> Http2Service<S> {
    pub(super) fn new(service: S, max_headers: usize) -> Self {
        Self { service: TowerToHyperService::new(service), max_headers }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Http2Service<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    B: Body,
{
    type Response = Response<DataFrameBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<TowerToHyperServiceFuture<S, Request<Incoming>>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        join_cookies(request.headers_mut());
        if request.headers().len() > self.max_headers {
            return ResponseFuture::Refused { status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE };
        }
        if !is_valid_host(request.uri(), request.headers()) {
            tracing::debug!("refusing an HTTP/2 request: `host` or `:authority` is invalid");
            return ResponseFuture::Refused { status: StatusCode::BAD_REQUEST };
        }
        let mut released = None;
        if request.method() == Method::CONNECT {
            let (sender, receiver) = watch::channel(false);
            request.extensions_mut().insert(StreamDropSignal(sender));
            released = Some(receiver);
        }
        // Programs expect a `Host` header, for instance to compare it with `Origin`.
        if let Some(authority) = request.uri().authority()
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            request.headers_mut().insert(HOST, host);
        }
        ResponseFuture::Called {
            future: hyper::service::Service::call(&self.service, request),
            stream_dropped: released,
        }
    }
}

/// A client may divide its cookies into several fields, so that they are compressed better. A program expects one field
/// (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let cookies: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Returns whether the request names one host at most. A `Host` header that differs from `:authority` makes a request
/// malformed (RFC 9113 §8.3.1): a proxy may have chosen this server by the other one.
fn is_valid_host(target: &Uri, headers: &HeaderMap) -> bool {
    let authority = target.authority().map(|authority| authority.as_str().as_bytes());
    let port = match target.scheme_str() {
        Some("https") => &b":443"[..],
        _ => b":80",
    };
    // RFC 3986 §6.2.3: an empty port is the default port.
    let without_port = |host| <[u8]>::strip_suffix(host, port).or(host.strip_suffix(b":")).unwrap_or(host);
    let mut hosts = headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    match (authority, hosts.next(), hosts.next()) {
        (_, _, Some(_)) => false,
        (Some(authority), None, None) => is_authority(authority),
        (None, Some(host), None) => host.is_empty() || is_authority(host),
        (Some(authority), Some(host), None) => {
            is_authority(authority) && without_port(host).eq_ignore_ascii_case(without_port(authority))
        }
        (None, None, None) => true,
    }
}

pin_project! {
    /// The future of a response.
    #[project = Projected]
    pub(super) enum ResponseFuture<F> {
        Called {
            #[pin]
            future: F,
            // `Some` for a CONNECT.
            stream_dropped: Option<watch::Receiver<bool>>,
        },
        // The service does not see the request.
        Refused { status: StatusCode },
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<DataFrameBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (response, stream_dropped) = match self.project() {
            Projected::Called { future, stream_dropped } => (ready!(future.poll(cx)), stream_dropped),
            Projected::Refused { status } => {
                let progress = ResponseProgress::current();
                progress.set_response_ready();
                let mut response = Response::new(DataFrameBody::empty(progress));
                *response.status_mut() = *status;
                return Poll::Ready(Ok(response));
            }
        };
        let progress = ResponseProgress::current();
        progress.set_response_ready();
        let mut response = match response {
            Ok(response) => response,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if let Some(released) = stream_dropped.take()
            && response.status().is_success()
        {
            progress.set_websocket_accepted(released);
        }
        if let Some(unread) = response.extensions_mut().remove::<UnreadResponse>() {
            progress.set_response(unread);
        }
        Poll::Ready(Ok(response.map(|body| DataFrameBody::new(body, progress))))
    }
}

pin_project! {
    /// A response body that is split into pieces. hyper queues a whole chunk on a stream as soon as the stream has one
    /// byte of capacity, and queued bytes cannot be taken back.
    ///
    /// The pieces are copies. A slice would keep all bytes of the body in memory, and the last pieces may be queued as
    /// long as the connection exists: their request has ended for hyper.
    pub(super) struct DataFrameBody<B: Body> {
        #[pin]
        body: Option<B>,
        remaining: Option<B::Data>,
        // `remaining` is more than one piece, or was.
        is_split: bool,
        progress: Arc<ResponseProgress>,
    }
}

impl<B: Body> DataFrameBody<B> {
    fn new(body: B, progress: Arc<ResponseProgress>) -> Self {
        Self { body: Some(body), remaining: None, is_split: false, progress }
    }

    fn empty(progress: Arc<ResponseProgress>) -> Self {
        Self { body: None, remaining: None, is_split: false, progress }
    }
}

impl<B: Body> Body for DataFrameBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        if this.remaining.is_none() {
            let Some(body) = this.body.as_pin_mut() else { return Poll::Ready(None) };
            let Poll::Ready(frame) = body.poll_frame(cx) else {
                this.progress.set_waiting_for_body();
                return Poll::Pending;
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        *this.is_split = data.remaining() > MAX_DATA_FRAME_SIZE;
                        *this.remaining = Some(data);
                    }
                    // Trailers.
                    Err(other) => {
                        let map = |mut data: B::Data| data.copy_to_bytes(data.remaining());
                        return Poll::Ready(Some(Ok(other.map_data(map))));
                    }
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let Some(data) = this.remaining else { return Poll::Ready(None) };
        this.progress.set_chunk_offered();
        let length = data.remaining().min(MAX_DATA_FRAME_SIZE);
        let piece = if *this.is_split {
            let mut piece = BytesMut::with_capacity(length);
            piece.put(data.take(length));
            piece.freeze()
        } else {
            data.copy_to_bytes(length)
        };
        if !data.has_remaining() {
            *this.remaining = None;
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining.is_none() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // hyper reads the hint before the first piece. After that, a hint that is too small only costs performance.
        if self.remaining.is_some() {
            return SizeHint::default();
        }
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
