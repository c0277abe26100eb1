//! The opening handshake of a server (RFC 6455 §4.2), based on the types of the `http` crate. The handshake of a
//! client is in `client`, and the handshake over HTTP/2 is in `http2`.

use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::{Engine as _, alphabet};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, Version};
use sha1_smol::Sha1;

#[cfg(feature = "client")]
mod client;
mod error;
mod extensions;
mod http2;
mod origin;
mod origins;

#[cfg(feature = "client")]
pub use client::{
    ClientHandshake, ClientHandshakeError, HandshakeResponseError, Negotiated, UriError, WebSocketUri,
};
pub use error::HandshakeError;
#[cfg(feature = "deflate")]
pub(crate) use extensions::ExtensionListItem;
pub(crate) use extensions::parse_extension_list;
pub use http2::{is_connect_request, verify_connect_request};
pub use origins::{AllowedOrigins, InvalidOrigin};

use crate::deflate::{self, DeflateAgreement, DeflateOptions, DeflateParams};
use crate::limits::MAX_OFFERED_PROTOCOLS;
use origins::RequestOrigin;

/// Returns whether a request is a WebSocket upgrade request, that is, whether its `Upgrade` header lists `websocket`.
///
/// Nothing else is checked. Pass the request to [`verify_upgrade_request`] and not to an ordinary HTTP handler: if
/// the handshake is invalid, the client then gets a response with the reason.
pub fn is_upgrade_request(headers: &HeaderMap) -> bool {
    lists_token(headers, &UPGRADE, "websocket")
}

/// Checks a request against every requirement of RFC 6455 §4.2.1.
///
/// The request must be a `GET` in HTTP/1.1. Earlier versions have no upgrade, and HTTP/2 has a different handshake,
/// see [`verify_connect_request`]. The request must not have a body: a proxy and this server might disagree about its
/// length and read part of it as frames. The path is not checked; the program decides which resources exist.
pub fn verify_upgrade_request(
    method: &Method,
    target: &Uri,
    version: Version,
    headers: &HeaderMap,
) -> Result<VerifiedRequest, HandshakeError> {
    if method != Method::GET {
        return Err(HandshakeError::MethodNotGet);
    }
    verify_target(target)?;
    if version != Version::HTTP_11 {
        return Err(HandshakeError::HttpVersion);
    }
    verify_host(headers)?;
    verify_no_body(headers)?;
    if !is_upgrade_request(headers) {
        return Err(HandshakeError::UpgradeMissing);
    }
    if !lists_token(headers, &CONNECTION, "upgrade") {
        return Err(HandshakeError::ConnectionWithoutUpgrade);
    }
    verify_version(headers)?;
    let opening = HandshakeKind::Http1 { accept_key: accept_key(verified_key(headers)?) };
    let (protocols, deflate) = (offered_protocols(headers)?, deflate::parse_offers(headers)?);
    Ok(VerifiedRequest {
        kind: opening,
        protocols,
        deflate,
        origin: RequestOrigin::from_headers(headers, headers.get(HOST).cloned()),
    })
}

/// Returns the value of `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (§4.2.2): the SHA-1 hash of the key as sent
/// plus a fixed GUID, in base64. It always has 28 characters.
pub fn accept_key(key: &str) -> String {
    const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID.as_bytes());
    STANDARD.encode(hash.digest().bytes())
}

/// A valid opening handshake, which a server may accept with status 101, or 200 over HTTP/2.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedRequest {
    kind: HandshakeKind,
    protocols: Vec<String>,
    deflate: Vec<DeflateParams>,
    origin: RequestOrigin,
}

/// The kind of request that opens the WebSocket.
#[derive(Clone, PartialEq, Eq, Debug)]
enum HandshakeKind {
    /// An upgrade, which uses the whole connection.
    Http1 { accept_key: String },
    /// An extended CONNECT (RFC 8441), which uses one stream.
    Http2,
}

impl VerifiedRequest {
    /// Returns the value of `Sec-WebSocket-Accept`, or `None` over HTTP/2, which has no such header.
    pub fn accept_key(&self) -> Option<&str> {
        match &self.kind {
            HandshakeKind::Http1 { accept_key } => Some(accept_key),
            HandshakeKind::Http2 => None,
        }
    }

    /// Returns the subprotocols that the client offers, the preferred one first. No two are equal.
    pub fn protocols(&self) -> &[String] {
        &self.protocols
    }

    /// Checks the origin of the request against `origins`.
    ///
    /// # Errors
    ///
    /// Returns [`HandshakeError::OriginNotAllowed`] if `origins` do not allow the origin.
    pub fn verify_origin(&self, origins: &AllowedOrigins) -> Result<(), HandshakeError> {
        if origins.allows_origin(&self.origin) { Ok(()) } else { Err(HandshakeError::OriginNotAllowed) }
    }

    /// Negotiates permessage-deflate (RFC 7692): selects the first of the client's offers that `options` can satisfy.
    /// Returns `None` if there is none; messages are then not compressed.
    ///
    /// The agreement takes effect when it is passed to [`response`](Self::response).
    pub fn deflate(&self, options: &DeflateOptions) -> Option<DeflateAgreement> {
        options.negotiate(&self.deflate)
    }

    /// Creates the response (§4.2.2), with its headers in the order in which Node's `ws` sends them. Over HTTP/2 (RFC
    /// 8441 §5) it contains only the headers with the negotiated subprotocol and extension.
    ///
    /// A subprotocol that the client did not offer is left out, since the client would have to fail the connection
    /// (§4.1).
    pub fn response(
        &self,
        selected_protocol: Option<&str>,
        deflate: Option<&DeflateAgreement>,
    ) -> Response<()> {
        let mut response = Response::new(());
        if let HandshakeKind::Http1 { accept_key } = &self.kind {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            // Base64 and tokens are always valid header values.
            if let Ok(accept_key) = HeaderValue::from_str(accept_key) {
                headers.insert(SEC_WEBSOCKET_ACCEPT, accept_key);
            }
        }
        let headers = response.headers_mut();
        let offered = self.protocols.iter().find(|offered| Some(offered.as_str()) == selected_protocol);
        if let Some(Ok(protocol)) = offered.map(|offered| HeaderValue::from_str(offered)) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        if let Some(deflate) = deflate {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, deflate.response_header());
        }
        response
    }
}

/// Accepts a path, or an absolute URI as sent to a proxy.
fn verify_target(target: &Uri) -> Result<(), HandshakeError> {
    let is_http = target.scheme().is_none_or(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme));
    let is_whole = target.scheme().is_some() == target.authority().is_some();
    if is_http && is_whole && target.path().starts_with('/') {
        Ok(())
    } else {
        Err(HandshakeError::InvalidTarget)
    }
}

fn verify_host(headers: &HeaderMap) -> Result<(), HandshakeError> {
    match single_header(headers, &HOST) {
        SingleHeader::Value(b"") | SingleHeader::Missing => Err(HandshakeError::HostMissing),
        SingleHeader::Value(host) if is_authority(host) => Ok(()),
        SingleHeader::Value(_) => Err(HandshakeError::InvalidHost),
        SingleHeader::Repeated => Err(HandshakeError::HostRepeated),
    }
}

fn verify_no_body(headers: &HeaderMap) -> Result<(), HandshakeError> {
    let no_length = headers.get_all(CONTENT_LENGTH).iter().all(|length| trim(length.as_bytes()) == b"0");
    if no_length && !headers.contains_key(TRANSFER_ENCODING) {
        Ok(())
    } else {
        Err(HandshakeError::BodyNotAllowed)
    }
}

fn verify_version(headers: &HeaderMap) -> Result<(), HandshakeError> {
    match single_header(headers, &SEC_WEBSOCKET_VERSION) {
        SingleHeader::Value(b"13") => Ok(()),
        SingleHeader::Value(_) | SingleHeader::Missing => Err(HandshakeError::UnsupportedVersion),
        SingleHeader::Repeated => Err(HandshakeError::VersionRepeated),
    }
}

/// Decodes a key. The unused bits after the sixteen bytes may be set: they are set in the RFC's own example (§4.1,
/// 7), and RFC 4648 §3.5 leaves the choice to the decoder.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Returns the key if it is the base64 of sixteen bytes.
fn verified_key(headers: &HeaderMap) -> Result<&str, HandshakeError> {
    let key = match single_header(headers, &SEC_WEBSOCKET_KEY) {
        SingleHeader::Value(key) => std::str::from_utf8(key).map_err(|_| HandshakeError::InvalidKey)?,
        SingleHeader::Missing => return Err(HandshakeError::KeyMissing),
        SingleHeader::Repeated => return Err(HandshakeError::KeyRepeated),
    };
    // 24 characters decode to 18 bytes. A longer key does not fit and is rejected as well.
    let mut nonce = [0; 18];
    match KEY_BASE64.decode_slice(key, &mut nonce) {
        Ok(16) => Ok(key),
        _ => Err(HandshakeError::InvalidKey),
    }
}

/// Returns the elements of all `Sec-WebSocket-Protocol` headers (§4.1: tokens, "all unique"; §11.3.4: several headers
/// are one list). A blank header offers nothing: some proxies blank a header instead of removing it.
fn offered_protocols(headers: &HeaderMap) -> Result<Vec<String>, HandshakeError> {
    let mut protocols: Vec<String> = Vec::new();
    for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        if trim(value.as_bytes()).is_empty() {
            continue;
        }
        for element in elements(value) {
            let protocol = token(element).ok_or(HandshakeError::InvalidProtocol)?;
            if protocols.len() == MAX_OFFERED_PROTOCOLS {
                return Err(HandshakeError::TooManyProtocols);
            }
            if protocols.iter().any(|earlier| earlier == protocol) {
                return Err(HandshakeError::ProtocolRepeated);
            }
            protocols.push(protocol.to_owned());
        }
    }
    Ok(protocols)
}

enum SingleHeader<'h> {
    Missing,
    Value(&'h [u8]),
    Repeated,
}

/// Returns the value of a header that may occur only once.
fn single_header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> SingleHeader<'h> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => SingleHeader::Missing,
        (Some(value), None) => SingleHeader::Value(trim(value.as_bytes())),
        (Some(_), Some(_)) => SingleHeader::Repeated,
    }
}

/// Returns whether a header, which may occur several times, lists `token`. Ignores case.
fn lists_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut values = headers.get_all(name).iter();
    values.any(|value| elements(value).any(|element| element.eq_ignore_ascii_case(token.as_bytes())))
}

/// Returns the elements of a comma-separated list, including empty ones.
fn elements(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|&byte| byte == b',').map(trim)
}

/// Returns whether `host` is `uri-host [ ":" port ]` (RFC 9110 §7.2): a name, an IPv4 address or an address in
/// brackets. The value of a `Host` header has this form, or is empty.
#[must_use]
pub fn is_authority(host: &[u8]) -> bool {
    let is_in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(byte);
    let is_in_address = |byte: &u8| is_in_name(byte) || *byte == b':';
    let end = host.iter().position(|&byte| byte == b']');
    let (name_is_valid, port) = match (host, end) {
        ([b'[', ..], Some(end)) => (end > 1 && host[1..end].iter().all(is_in_address), &host[end + 1..]),
        _ => {
            let (name, port) =
                host.split_at(host.iter().position(|&byte| byte == b':').unwrap_or(host.len()));
            (!name.is_empty() && name.iter().all(is_in_name), port)
        }
    };
    name_is_valid
        && match port {
            [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
            rest => rest.is_empty(),
        }
}

/// Removes the optional whitespace around a value (RFC 9110 §5.6.3).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Returns `element` if it is a token (RFC 9110 §5.6.2).
fn token(element: &[u8]) -> Option<&str> {
    if element.is_empty() || !element.iter().all(is_token_byte) {
        return None;
    }
    std::str::from_utf8(element).ok()
}

fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

#[cfg(test)]
mod tests;
