//! Why an opening handshake was refused, and the answer that says so.

use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, Response, StatusCode};

/// The request is no opening handshake that we may accept (RFC 6455 §4.2.1).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The method is not `GET`.
    #[error("a WebSocket handshake has to be a GET request")]
    MethodNotGet,
    /// The target is neither a path nor a URI of `http` or `https`.
    #[error("the target of a WebSocket handshake has to be a path")]
    InvalidTarget,
    /// The version is not HTTP/1.1.
    #[error("a WebSocket handshake has to use HTTP/1.1")]
    HttpVersion,
    /// No `Host`, or an empty one.
    #[error("the Host header is missing")]
    HostMissing,
    /// More than one `Host`.
    #[error("the Host header is repeated")]
    HostRepeated,
    /// `Host` is not a host with an optional port.
    #[error("the Host header is not a host with an optional port")]
    InvalidHost,
    /// A `Content-Length` above zero, or any `Transfer-Encoding`.
    #[error("a WebSocket handshake must not have a body")]
    BodyNotAllowed,
    /// `Upgrade` does not list `websocket`.
    #[error("the Upgrade header does not contain \"websocket\"")]
    UpgradeMissing,
    /// `Connection` does not list `upgrade`.
    #[error("the Connection header does not contain \"upgrade\"")]
    ConnectionWithoutUpgrade,
    /// No `Sec-WebSocket-Key`.
    #[error("the Sec-WebSocket-Key header is missing")]
    KeyMissing,
    /// More than one `Sec-WebSocket-Key`.
    #[error("the Sec-WebSocket-Key header is repeated")]
    KeyRepeated,
    /// `Sec-WebSocket-Key` is not sixteen bytes in base64.
    #[error("the Sec-WebSocket-Key header is not 16 bytes in base64")]
    InvalidKey,
    /// `Sec-WebSocket-Version` is missing or not 13.
    #[error("the Sec-WebSocket-Version header has to be 13")]
    UnsupportedVersion,
    /// More than one `Sec-WebSocket-Version`.
    #[error("the Sec-WebSocket-Version header is repeated")]
    VersionRepeated,
    /// `Sec-WebSocket-Protocol` is not a list of tokens.
    #[error("the Sec-WebSocket-Protocol header is not a list of tokens")]
    InvalidProtocol,
    /// The same subprotocol twice in `Sec-WebSocket-Protocol`.
    #[error("the Sec-WebSocket-Protocol header offers a protocol twice")]
    ProtocolRepeated,
    /// More than [`MAX_OFFERED_PROTOCOLS`](crate::MAX_OFFERED_PROTOCOLS) in `Sec-WebSocket-Protocol`.
    #[error("the Sec-WebSocket-Protocol header offers too many protocols")]
    TooManyProtocols,
    /// `Sec-WebSocket-Extensions` is not a list of extensions (§9.1).
    #[error("the Sec-WebSocket-Extensions header is not a list of extensions")]
    InvalidExtensions,
    /// `Origin` is not one of those that are let in, see [`AllowedOrigins`](crate::AllowedOrigins) (§10.2).
    #[error("pages of this origin may not connect")]
    OriginNotAllowed,
    /// A request of HTTP/2 that is no CONNECT with a `:protocol` (RFC 8441 §4).
    #[error("over HTTP/2 a WebSocket handshake has to be an extended CONNECT request (RFC 8441)")]
    NotExtendedConnect,
    /// The `:protocol` of an extended CONNECT is not `websocket`.
    #[error("the :protocol of an extended CONNECT request has to be websocket")]
    UnsupportedConnectProtocol,
    /// An `Upgrade` or a `Connection` in HTTP/2 (RFC 8441 §5).
    #[error("over HTTP/2 there must be neither an Upgrade nor a Connection header")]
    UpgradeInHttp2,
    /// `Sec-WebSocket-Version` is missing or not 13, over HTTP/2. The answer 426 needs an `Upgrade`, which has no place
    /// there.
    #[error("the Sec-WebSocket-Version header has to be 13")]
    UnsupportedVersionInHttp2,
}

impl HandshakeError {
    /// The status with which the request is answered: 405, 426, 403, 501 for another `:protocol` (RFC 9220 §3), or 400
    /// for all else.
    pub fn status(&self) -> StatusCode {
        match self {
            HandshakeError::MethodNotGet => StatusCode::METHOD_NOT_ALLOWED,
            HandshakeError::UpgradeMissing | HandshakeError::UnsupportedVersion => {
                StatusCode::UPGRADE_REQUIRED
            }
            HandshakeError::OriginNotAllowed => StatusCode::FORBIDDEN,
            HandshakeError::UnsupportedConnectProtocol => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The answer: the reason as plain text, and the end of the connection, lest a proxy that believes in the
    /// upgrade sends us frames as requests. The header `Connection`, which says so, has no place in HTTP/2: hyper leaves
    /// it out there.
    pub fn response(&self) -> Response<String> {
        let body = format!("{self}\n");
        let length = HeaderValue::from(body.len());
        let mut response = Response::new(body);
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CONTENT_LENGTH, length);
        if self.status() == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110 §15.5.22 wants the protocol named; §7.8 wants the header to be hop by hop.
            headers.insert(CONNECTION, HeaderValue::from_static("close, Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        match self {
            HandshakeError::MethodNotGet => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            // RFC 6455 §4.4: the versions that we do speak.
            HandshakeError::UnsupportedVersion
            | HandshakeError::UnsupportedVersionInHttp2
            | HandshakeError::VersionRepeated => {
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            _ => {}
        }
        response
    }
}
