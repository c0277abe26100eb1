//! The opening handshake over HTTP/2: the extended CONNECT of RFC 8441.

use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::origins::RequestOrigin;
use super::{
    HandshakeError, HandshakeKind, SingleHeader, VerifiedRequest, is_authority, offered_protocols,
    single_header, verify_no_body, verify_target,
};
use crate::deflate;

/// Returns whether an HTTP/2 request is a WebSocket handshake, that is, an extended CONNECT whose `:protocol` is
/// `websocket`.
///
/// This is the HTTP/2 counterpart of [`is_upgrade_request`](super::is_upgrade_request). Nothing else is checked: pass
/// the request to [`verify_connect_request`].
pub fn is_connect_request(method: &Method, protocol: Option<&str>) -> bool {
    method == Method::CONNECT && protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// Checks an HTTP/2 request against RFC 8441 §4 and §5, and against the requirements of RFC 6455 §4.2.1 that still
/// apply. `protocol` is the value of the pseudo-header `:protocol`, which the types of the `http` crate cannot hold.
///
/// The request must not have `Upgrade` or `Connection` headers. It needs no `Host`. A `Sec-WebSocket-Key` has no
/// meaning (§5) and is ignored. [`VerifiedRequest::response`] returns status 200 instead of 101.
pub fn verify_connect_request(
    method: &Method,
    protocol: Option<&str>,
    target: &Uri,
    version: Version,
    headers: &HeaderMap,
) -> Result<VerifiedRequest, HandshakeError> {
    if version != Version::HTTP_2 {
        return Err(HandshakeError::HttpVersion);
    }
    if method != Method::CONNECT || protocol.is_none() {
        return Err(HandshakeError::NotExtendedConnect);
    }
    if !is_connect_request(method, protocol) {
        return Err(HandshakeError::UnsupportedConnectProtocol);
    }
    // §4: `:scheme` and `:path` are required, and so is `:authority`, which replaces `Host`.
    verify_target(target)?;
    let authority = target.authority().ok_or(HandshakeError::InvalidTarget)?;
    if !is_authority(authority.as_str().as_bytes()) {
        return Err(HandshakeError::InvalidTarget);
    }
    // A gateway or a library may add `Host` anyway.
    match single_header(headers, &HOST) {
        SingleHeader::Missing => {}
        SingleHeader::Value(host) if is_authority(host) => {}
        SingleHeader::Value(_) => return Err(HandshakeError::InvalidHost),
        SingleHeader::Repeated => return Err(HandshakeError::HostRepeated),
    }
    verify_no_body(headers)?;
    if headers.contains_key(UPGRADE) || headers.contains_key(CONNECTION) {
        return Err(HandshakeError::UpgradeInHttp2);
    }
    match single_header(headers, &SEC_WEBSOCKET_VERSION) {
        SingleHeader::Value(b"13") => {}
        SingleHeader::Value(_) | SingleHeader::Missing => {
            return Err(HandshakeError::UnsupportedVersionInHttp2);
        }
        SingleHeader::Repeated => return Err(HandshakeError::VersionRepeated),
    }
    let (protocols, deflate) = (offered_protocols(headers)?, deflate::parse_offers(headers)?);
    let origin = RequestOrigin::from_headers(headers, HeaderValue::from_str(authority.as_str()).ok());
    Ok(VerifiedRequest { kind: HandshakeKind::Http2, protocols, deflate, origin })
}
