//! Rejects HTTP/1.1 requests that are ambiguous and that hyper would accept.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::service::Service as HyperService;
use pin_project_lite::pin_project;
use ws_proto::is_authority;

use crate::http::eager_service::{EagerFuture, EagerService};
use crate::http::header_names::spell_as_rfc_6455;
use crate::http::http1_state::Http1State;
use crate::http::listener::HttpService;
use crate::http::request_filter::Continuation;
use crate::http::unread_response::UnreadResponse;

/// Refuses requests that the program must not see. The connection ends with the response, because a proxy may disagree
/// with this server about where such a request ends. Also tells the filter below hyper what follows each head.
#[derive(Debug)]
pub(crate) struct Http1Service<S> {
    pub(crate) service: EagerService<S>,
    pub(crate) state: Arc<Http1State>,
}

impl<S: HttpService> HyperService<Request<Incoming>> for Http1Service<S> {
    type Response = Response<Either<S::ResponseBody, Empty<<S::ResponseBody as Body>::Data>>>;
    type Error = S::Error;
    type Future = Http1Future<S>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let method = request.method();
        let body = match request.body().size_hint().exact() {
            Some(length) => Continuation::Body(length),
            None => Continuation::Unknown,
        };
        let may_switch = method == Method::CONNECT || request.headers().contains_key(UPGRADE);
        let after_response =
            may_switch.then(|| AfterResponse { is_connect: method == Method::CONNECT, body });
        self.state.parsed.set(if may_switch { Continuation::AfterResponse } else { body });
        match verify(request.version(), request.headers()) {
            Ok(()) => {
                let (future, state) = (self.service.call(request), Arc::clone(&self.state));
                Http1Future::Called { future, state, after_response }
            }
            Err(refusal) => {
                tracing::debug!(%refusal, "refusing an HTTP/1 request");
                Http1Future::Refused { refusal }
            }
        }
    }
}

pin_project! {
    #[project = Projected]
    pub(crate) enum Http1Future<S: HttpService> {
        Called {
            #[pin]
            future: EagerFuture<S, Request<Incoming>>,
            state: Arc<Http1State>,
            after_response: Option<AfterResponse>,
        },
        Refused { refusal: Refusal },
    }
}

impl<S: HttpService> Future for Http1Future<S> {
    type Output = Result<<Http1Service<S> as HyperService<Request<Incoming>>>::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Called { future, state, after_response } => {
                let mut response = ready!(future.poll(cx))?;
                if let Some(unread) = response.extensions_mut().remove::<UnreadResponse>() {
                    state.set_response(unread);
                }
                if has_websocket_headers(&response) {
                    spell_as_rfc_6455(&mut response);
                }
                if let Some(after_response) = after_response.take() {
                    after_response.handle(response.status(), state);
                }
                Poll::Ready(Ok(response.map(Either::Left)))
            }
            Projected::Refused { refusal } => {
                Poll::Ready(Ok(refusal.response().map(|()| Either::Right(Empty::new()))))
            }
        }
    }
}

/// Returns whether the response to a WebSocket handshake has headers whose names begin with `Sec-WebSocket`.
fn has_websocket_headers<B>(response: &Response<B>) -> bool {
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED => true,
        StatusCode::BAD_REQUEST => response.headers().contains_key(SEC_WEBSOCKET_VERSION),
        _ => false,
    }
}

/// A request after which the connection may belong to another protocol.
pub(crate) struct AfterResponse {
    is_connect: bool,
    body: Continuation,
}

impl AfterResponse {
    fn handle(self, status: StatusCode, state: &Http1State) {
        let switches = status == StatusCode::SWITCHING_PROTOCOLS || self.is_connect;
        // The end of a body is no certain place if its client expected another protocol.
        let is_next = !switches && self.body == Continuation::Body(0);
        state.parsed.set(if is_next { self.body } else { Continuation::Unknown });
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    HostMissing,
    HostRepeated,
    InvalidHost,
    UnknownTransferCoding,
    ChunkedRepeated,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostMissing => "the request has no Host header",
            Self::HostRepeated => "the request has more than one Host header",
            Self::InvalidHost => "the Host header is not a host with an optional port",
            Self::UnknownTransferCoding => "chunked is not the only transfer coding",
            Self::ChunkedRepeated => "chunked is applied more than once",
        })
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    fn response(self) -> Response<()> {
        let (status, reason) = match self {
            Self::HostMissing => (StatusCode::BAD_REQUEST, "Bad Request: no Host header"),
            Self::HostRepeated => (StatusCode::BAD_REQUEST, "Bad Request: more than one Host header"),
            Self::InvalidHost => (StatusCode::BAD_REQUEST, "Bad Request: invalid Host header"),
            Self::UnknownTransferCoding => (StatusCode::NOT_IMPLEMENTED, "Not Implemented: transfer coding"),
            Self::ChunkedRepeated => (StatusCode::BAD_REQUEST, "Bad Request: chunked more than once"),
        };
        let mut response = Response::new(());
        *response.status_mut() = status;
        // The response has no body: the type of its bytes belongs to the program.
        response.extensions_mut().insert(ReasonPhrase::from_static(reason.as_bytes()));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

fn verify(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    verify_host(version, headers)?;
    verify_transfer_codings(headers)
}

/// RFC 9112 §3.2: an HTTP/1.1 request has exactly one `Host` header, with a valid value. The value is empty if the target
/// has no authority. Old proxies and health checks speak HTTP/1.0, which does not require the header; two values are
/// ambiguous there as well.
fn verify_host(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => Err(Refusal::HostMissing),
        (_, Some(_)) => Err(Refusal::HostRepeated),
        (Some(host), None) if !host.is_empty() && !is_authority(host.as_bytes()) => Err(Refusal::InvalidHost),
        (None | Some(_), None) => Ok(()),
    }
}

/// RFC 9112 §6.1: a server that does not know a coding should respond with 501, and nobody may apply `chunked` twice.
/// hyper checks only that the last coding is `chunked`, and would pass on the compressed bytes as the body.
fn verify_transfer_codings(headers: &HeaderMap) -> Result<(), Refusal> {
    let values = headers.get_all(TRANSFER_ENCODING).iter();
    let codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut chunked = 0;
    for coding in codings.map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty()) {
        if !coding.eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::UnknownTransferCoding);
        }
        chunked += 1;
    }
    if chunked > 1 { Err(Refusal::ChunkedRepeated) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields.iter().map(field) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn a_request_has_exactly_one_valid_host_unless_it_is_http_1_0() {
        for (version, hosts, expected) in [
            (Version::HTTP_11, &["h"][..], Ok(())),
            // RFC 9112 §3.2: the value is empty if the target has no authority.
            (Version::HTTP_11, &[""], Ok(())),
            (Version::HTTP_11, &[], Err(Refusal::HostMissing)),
            (Version::HTTP_11, &["h", "h"], Err(Refusal::HostRepeated)),
            (Version::HTTP_11, &["my_service.:3000"], Ok(())),
            (Version::HTTP_11, &["[::1]:80"], Ok(())),
            (Version::HTTP_11, &["a b"], Err(Refusal::InvalidHost)),
            (Version::HTTP_11, &["a, b"], Err(Refusal::InvalidHost)),
            (Version::HTTP_11, &["http://a"], Err(Refusal::InvalidHost)),
            (Version::HTTP_11, &["a/b"], Err(Refusal::InvalidHost)),
            (Version::HTTP_11, &["me@a"], Err(Refusal::InvalidHost)),
            (Version::HTTP_11, &["a:x"], Err(Refusal::InvalidHost)),
            (Version::HTTP_10, &["a b"], Err(Refusal::InvalidHost)),
            (Version::HTTP_10, &[], Ok(())),
            (Version::HTTP_10, &["h"], Ok(())),
            (Version::HTTP_10, &["h", "i"], Err(Refusal::HostRepeated)),
        ] {
            let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert_eq!(verify(version, &headers(&fields)), expected, "{version:?} {hosts:?}");
        }
    }

    #[test]
    fn chunked_is_the_only_transfer_coding_and_is_applied_once() {
        for (values, expected) in [
            (&[][..], Ok(())),
            (&["chunked"], Ok(())),
            (&["Chunked"], Ok(())),
            (&[" , chunked ,"], Ok(())),
            (&["gzip, chunked"], Err(Refusal::UnknownTransferCoding)),
            (&["gzip", "chunked"], Err(Refusal::UnknownTransferCoding)),
            (&["identity, chunked"], Err(Refusal::UnknownTransferCoding)),
            (&["chunked;a=b, chunked"], Err(Refusal::UnknownTransferCoding)),
            (&["chunked, chunked"], Err(Refusal::ChunkedRepeated)),
            (&["chunked", "chunked"], Err(Refusal::ChunkedRepeated)),
        ] {
            let mut fields = vec![("host", "h")];
            fields.extend(values.iter().map(|value| ("transfer-encoding", *value)));
            assert_eq!(verify(Version::HTTP_11, &headers(&fields)), expected, "{values:?}");
        }
    }
}
