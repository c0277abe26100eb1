//! The opening handshake of WebSocket as hyper hands it over, in HTTP/1.1 or HTTP/2.

use http::{Extensions, HeaderMap, Method, Uri, Version};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use ws_proto::{Accepted, HandshakeError, is_connect_request, is_upgrade_request};

use crate::http::http2::Released;

/// Whether a request asks for WebSocket at all: by an upgrade, or over HTTP/2 by an extended CONNECT (RFC 8441).
#[must_use]
pub fn asks_for_websocket(method: &Method, headers: &HeaderMap, extensions: &Extensions) -> bool {
    is_upgrade_request(headers) || is_connect_request(method, protocol(extensions))
}

/// Holds a request against what the RFCs want of a handshake in its version of HTTP.
///
/// # Errors
/// It is none that may be accepted.
pub fn verify(
    method: &Method,
    target: &Uri,
    version: Version,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Accepted, HandshakeError> {
    if version == Version::HTTP_2 {
        ws_proto::verify_connect(method, protocol(extensions), target, version, headers)
    } else {
        ws_proto::verify(method, target, version, headers)
    }
}

fn protocol(extensions: &Extensions) -> Option<&str> {
    extensions.get::<Protocol>().map(Protocol::as_str)
}

/// A request whose stream will be another protocol's once it is answered; [`upgraded`](crate::upgraded) waits for it.
#[derive(Debug)]
pub struct Upgrading {
    pub(crate) upgrade: OnUpgrade,
    pub(crate) is_http2: bool,
    pub(crate) released: Option<Released>,
}

impl Upgrading {
    /// Takes the stream of a request from hyper.
    pub fn of_request<B>(request: &mut http::Request<B>) -> Self {
        let released = request.extensions_mut().remove();
        let is_http2 = request.version() == Version::HTTP_2;
        Self { upgrade: hyper::upgrade::on(request), is_http2, released }
    }
}
