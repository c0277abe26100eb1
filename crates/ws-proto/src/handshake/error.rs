//! The reasons for which an opening handshake is rejected, and the HTTP response for each.

use std::fmt;

use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, Response, StatusCode};

/// The request is not a valid opening handshake (RFC 6455 §4.2.1).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The method is not `GET`.
    MethodNotGet,
    /// The target is neither a path nor an `http` or `https` URI.
    InvalidTarget,
    /// The version is not HTTP/1.1.
    HttpVersion,
    /// `Host` is missing or empty.
    HostMissing,
    /// `Host` is repeated.
    HostRepeated,
    /// `Host` is not a host with an optional port.
    InvalidHost,
    /// The request has a `Content-Length` above zero or a `Transfer-Encoding`.
    BodyNotAllowed,
    /// `Upgrade` does not list `websocket`.
    UpgradeMissing,
    /// `Connection` does not list `upgrade`.
    ConnectionWithoutUpgrade,
    /// `Sec-WebSocket-Key` is missing.
    KeyMissing,
    /// `Sec-WebSocket-Key` is repeated.
    KeyRepeated,
    /// `Sec-WebSocket-Key` is not the base64 of sixteen bytes.
    InvalidKey,
    /// `Sec-WebSocket-Version` is missing or not 13.
    UnsupportedVersion,
    /// `Sec-WebSocket-Version` is repeated.
    VersionRepeated,
    /// `Sec-WebSocket-Protocol` is not a list of tokens.
    InvalidProtocol,
    /// `Sec-WebSocket-Protocol` contains a subprotocol twice.
    ProtocolRepeated,
    /// `Sec-WebSocket-Protocol` contains more than [`MAX_OFFERED_PROTOCOLS`](crate::MAX_OFFERED_PROTOCOLS)
    /// subprotocols.
    TooManyProtocols,
    /// `Sec-WebSocket-Extensions` is not a list of extensions (§9.1).
    InvalidExtensions,
    /// `Origin` is not allowed, see [`AllowedOrigins`](crate::AllowedOrigins) (§10.2).
    OriginNotAllowed,
    /// An HTTP/2 request is not a CONNECT with a `:protocol` (RFC 8441 §4).
    NotExtendedConnect,
    /// The `:protocol` of an extended CONNECT is not `websocket`.
    UnsupportedConnectProtocol,
    /// An HTTP/2 request has an `Upgrade` or `Connection` header (RFC 8441 §5).
    UpgradeInHttp2,
    /// `Sec-WebSocket-Version` of an HTTP/2 request is missing or not 13. The status is 400, because a response with
    /// status 426 requires an `Upgrade` header, which HTTP/2 forbids.
    UnsupportedVersionInHttp2,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MethodNotGet => "a WebSocket handshake has to be a GET request",
            Self::InvalidTarget => "the target of a WebSocket handshake has to be a path",
            Self::HttpVersion => "a WebSocket handshake has to use HTTP/1.1",
            Self::HostMissing => "the Host header is missing",
            Self::HostRepeated => "the Host header is repeated",
            Self::InvalidHost => "the Host header is not a host with an optional port",
            Self::BodyNotAllowed => "a WebSocket handshake must not have a body",
            Self::UpgradeMissing => "the Upgrade header does not contain \"websocket\"",
            Self::ConnectionWithoutUpgrade => "the Connection header does not contain \"upgrade\"",
            Self::KeyMissing => "the Sec-WebSocket-Key header is missing",
            Self::KeyRepeated => "the Sec-WebSocket-Key header is repeated",
            Self::InvalidKey => "the Sec-WebSocket-Key header is not 16 bytes in base64",
            Self::UnsupportedVersion => "the Sec-WebSocket-Version header has to be 13",
            Self::VersionRepeated => "the Sec-WebSocket-Version header is repeated",
            Self::InvalidProtocol => "the Sec-WebSocket-Protocol header is not a list of tokens",
            Self::ProtocolRepeated => "the Sec-WebSocket-Protocol header offers a protocol twice",
            Self::TooManyProtocols => "the Sec-WebSocket-Protocol header offers too many protocols",
            Self::InvalidExtensions => "the Sec-WebSocket-Extensions header is not a list of extensions",
            Self::OriginNotAllowed => "pages of this origin may not connect",
            Self::NotExtendedConnect => {
                "over HTTP/2 a WebSocket handshake has to be an extended CONNECT request (RFC 8441)"
            }
            Self::UnsupportedConnectProtocol => {
                "the :protocol of an extended CONNECT request has to be websocket"
            }
            Self::UpgradeInHttp2 => "over HTTP/2 there must be neither an Upgrade nor a Connection header",
            Self::UnsupportedVersionInHttp2 => "the Sec-WebSocket-Version header has to be 13",
        })
    }
}

impl std::error::Error for HandshakeError {}

impl HandshakeError {
    /// Returns the status of the response: 405 for a wrong method, 426 for a missing upgrade or a wrong version, 403
    /// for an origin that is not allowed, 501 for another `:protocol` (RFC 9220 §3), and 400 otherwise.
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

    /// Creates the response, with the reason as plain text. It also closes the connection: a proxy that treats the
    /// connection as upgraded could otherwise send frames, which the server would read as requests. HTTP/2 forbids
    /// the `Connection` header, and hyper omits it there.
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
            // RFC 9110 §15.5.22 requires the name of the protocol; §7.8 requires `Upgrade` to be listed in
            // `Connection`.
            headers.insert(CONNECTION, HeaderValue::from_static("close, Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        match self {
            HandshakeError::MethodNotGet => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            // RFC 6455 §4.4: the supported versions.
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
