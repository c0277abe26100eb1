//! The opening handshake over HTTP/2: the extended CONNECT of RFC 8441.

use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::origins::RequestOrigin;
use super::{
    HandshakeError, HandshakeKind, SingleHeader, VerifiedRequest, is_authority, offered_protocols,
    single_header, verify_no_body, verify_target,
};
use crate::deflate;

/// Whether a request of HTTP/2 asks for WebSocket: whether its `:protocol` is `websocket`.
///
/// What [`is_upgrade_request`](super::is_upgrade_request) is for HTTP/1.1: one that asks for it badly is for
/// [`verify_connect_request`] to refuse.
pub fn is_connect_request(method: &Method, protocol: Option<&str>) -> bool {
    method == Method::CONNECT && protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// Holds a request of HTTP/2 against RFC 8441 §4 and §5, and what those leave of RFC 6455 §4.2.1. `protocol` is the
/// value of the pseudo-header `:protocol`, which `http` has no place for.
///
/// There is no `Upgrade`, no `Connection` and no `Host`; a `Sec-WebSocket-Key` means nothing (§5) and is not looked at.
/// [`VerifiedRequest::response`] answers with 200 in place of 101.
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
    // §4: `:scheme` and `:path` have to be there, and `:authority`, in place of `Host`, with them.
    verify_target(target)?;
    let authority = target.authority().ok_or(HandshakeError::InvalidTarget)?;
    if !is_authority(authority.as_str().as_bytes()) {
        return Err(HandshakeError::InvalidTarget);
    }
    // Somebody's gateway, or a library, may add it all the same.
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
