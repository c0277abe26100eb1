//! The opening handshake of a client (RFC 6455 §4.1), based on the types of the `http` crate.

mod uri;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};

use super::{
    SingleHeader, accept_key, is_authority, is_token_byte, lists_token, parse_extension_list, single_header,
};
use crate::deflate::{DeflateAgreement, DeflateOptions};
use crate::limits::MAX_OFFERED_PROTOCOLS;

pub use uri::{UriError, WebSocketUri};

/// An opening handshake of a client: creates the request, and then checks the response against it.
///
/// ```
/// use http::HeaderMap;
/// use tidewire_ws_proto::{ClientHandshake, WebSocketUri};
///
/// let uri = WebSocketUri::parse("wss://example.com/chat").expect("a URI");
/// let handshake = ClientHandshake::new([7; 16]).protocol("chat.v2").expect("a token");
/// let request = handshake.request(&uri, &HeaderMap::new()).expect("no reserved header");
/// assert_eq!(request.uri(), "/chat");
/// assert_eq!(request.headers()["host"], "example.com");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientHandshake {
    key: String,
    protocols: Vec<String>,
    deflate: Option<DeflateOptions>,
}

impl ClientHandshake {
    /// Creates a handshake that offers no subprotocol and no extension. The nonce must be new and unpredictable for
    /// each connection (§4.1, 7).
    pub fn new(nonce: [u8; 16]) -> Self {
        Self { key: STANDARD.encode(nonce), protocols: Vec::new(), deflate: None }
    }

    /// Also offers permessage-deflate (RFC 7692).
    #[must_use]
    pub fn deflate(mut self, options: DeflateOptions) -> Self {
        self.deflate = Some(options);
        self
    }

    /// Also offers a subprotocol, after those already offered. The first one is preferred (§4.1, 10).
    ///
    /// # Errors
    ///
    /// `protocol` is not a token, is already offered, or exceeds [`MAX_OFFERED_PROTOCOLS`].
    pub fn protocol(mut self, protocol: &str) -> Result<Self, ClientHandshakeError> {
        if protocol.is_empty() || !protocol.bytes().all(|byte| is_token_byte(&byte)) {
            return Err(ClientHandshakeError::InvalidProtocol(protocol.to_owned()));
        }
        if self.protocols.iter().any(|earlier| earlier == protocol) {
            return Err(ClientHandshakeError::ProtocolRepeated(protocol.to_owned()));
        }
        if self.protocols.len() == MAX_OFFERED_PROTOCOLS {
            return Err(ClientHandshakeError::TooManyProtocols);
        }
        self.protocols.push(protocol.to_owned());
        Ok(self)
    }

    /// Creates the request. `headers` is appended to the headers of the handshake. It must not contain a header of
    /// the handshake, except `Host`, which replaces the host of the URI. No `Origin` is added, since only browsers
    /// must send one (§4.1, 8); to send one, put it into `headers`.
    ///
    /// # Errors
    ///
    /// `headers` contains a header of the handshake, a header that announces a body, or an invalid `Host`.
    pub fn request(
        &self,
        uri: &WebSocketUri,
        headers: &HeaderMap,
    ) -> Result<Request<()>, ClientHandshakeError> {
        if let Some(reserved) = headers.keys().find(|name| is_reserved(name)) {
            return Err(ClientHandshakeError::ReservedHeader(reserved.clone()));
        }
        let mut request = Request::new(());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = uri.resource_name().clone();
        *request.version_mut() = Version::HTTP_11;
        let fields = request.headers_mut();
        fields.insert(HOST, host(uri, headers)?);
        fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        // Base64, and tokens separated by commas, are always valid header values.
        if let Ok(key) = HeaderValue::from_str(&self.key) {
            fields.insert(SEC_WEBSOCKET_KEY, key);
        }
        if !self.protocols.is_empty()
            && let Ok(protocols) = HeaderValue::try_from(self.protocols.join(", "))
        {
            fields.insert(SEC_WEBSOCKET_PROTOCOL, protocols);
        }
        if let Some(deflate) = &self.deflate {
            fields.insert(SEC_WEBSOCKET_EXTENSIONS, deflate.offer_header());
        }
        for (name, value) in headers.iter().filter(|(name, _)| *name != HOST) {
            fields.append(name, value.clone());
        }
        Ok(request)
    }

    /// Checks the response against every requirement of §4.1. After an error, the connection must be dropped.
    ///
    /// A server may select none of the offered subprotocols. The program decides whether it continues in that case.
    pub fn verify_response(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Negotiated, HandshakeResponseError> {
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(HandshakeResponseError::Status(status));
        }
        // Unlike in a request, `Upgrade` must not list other protocols: the server has switched to exactly one.
        match single_header(headers, &UPGRADE) {
            SingleHeader::Value(upgrade) if upgrade.eq_ignore_ascii_case(b"websocket") => {}
            _ => return Err(HandshakeResponseError::UpgradeMissing),
        }
        if !lists_token(headers, &CONNECTION, "upgrade") {
            return Err(HandshakeResponseError::ConnectionWithoutUpgrade);
        }
        match single_header(headers, &SEC_WEBSOCKET_ACCEPT) {
            SingleHeader::Value(accept) if accept == accept_key(&self.key).as_bytes() => {}
            SingleHeader::Missing => return Err(HandshakeResponseError::AcceptMissing),
            SingleHeader::Value(_) | SingleHeader::Repeated => {
                return Err(HandshakeResponseError::InvalidAccept);
            }
        }
        Ok(Negotiated {
            protocol: self.selected_protocol(headers)?,
            deflate: self.accepted_extension(headers)?,
        })
    }

    /// The server may accept only what was offered (§4.1). §9.1 requires the client to fail the connection otherwise.
    fn accepted_extension(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<DeflateAgreement>, HandshakeResponseError> {
        match &self.deflate {
            Some(offered) => {
                offered.accept_response(headers).map_err(|_| HandshakeResponseError::ExtensionNotOffered)
            }
            None => {
                let mut names_any = false;
                let mut values = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
                let are_lists =
                    values.all(|value| parse_extension_list(value.as_bytes(), |_| names_any = true));
                if are_lists && !names_any {
                    Ok(None)
                } else {
                    Err(HandshakeResponseError::ExtensionNotOffered)
                }
            }
        }
    }

    fn selected_protocol(&self, headers: &HeaderMap) -> Result<Option<String>, HandshakeResponseError> {
        let selected = match single_header(headers, &SEC_WEBSOCKET_PROTOCOL) {
            SingleHeader::Missing => return Ok(None),
            SingleHeader::Value(selected) => selected,
            SingleHeader::Repeated => return Err(HandshakeResponseError::ProtocolRepeated),
        };
        let offered = self.protocols.iter().find(|offered| offered.as_bytes() == selected);
        let not_offered =
            || HandshakeResponseError::ProtocolNotOffered(String::from_utf8_lossy(selected).into_owned());
        offered.cloned().map(Some).ok_or_else(not_offered)
    }
}

/// The subprotocol and extension that client and server have negotiated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Negotiated {
    protocol: Option<String>,
    deflate: Option<DeflateAgreement>,
}

impl Negotiated {
    /// Returns the subprotocol that the server has selected, if any.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Returns the negotiated permessage-deflate parameters, or `None` if messages are not compressed.
    pub fn deflate(&self) -> Option<&DeflateAgreement> {
        self.deflate.as_ref()
    }
}

/// The request cannot be created, because the program passed something that must not be in an opening handshake.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ClientHandshakeError {
    /// A header that the handshake sets itself, or that would announce a body.
    ReservedHeader(HeaderName),
    /// `Host` is repeated, or is not a host with an optional port.
    InvalidHost,
    /// A subprotocol is not a token (§4.1, 10).
    InvalidProtocol(String),
    /// A subprotocol is offered twice (§4.1, 10).
    ProtocolRepeated(String),
    /// More than [`MAX_OFFERED_PROTOCOLS`] (64) subprotocols are offered.
    TooManyProtocols,
}

impl fmt::Display for ClientHandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedHeader(name) => {
                write!(
                    f,
                    "the header {name} is set by the handshake or announces a body, and must not be passed"
                )
            }
            Self::InvalidHost => f.write_str("the Host header is not one host with an optional port"),
            Self::InvalidProtocol(protocol) => write!(f, "the subprotocol {protocol:?} is not a token"),
            Self::ProtocolRepeated(protocol) => write!(f, "the subprotocol {protocol:?} is offered twice"),
            Self::TooManyProtocols => write!(f, "more than {MAX_OFFERED_PROTOCOLS} subprotocols are offered"),
        }
    }
}

impl std::error::Error for ClientHandshakeError {}

/// The server's response does not open a WebSocket (§4.1).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HandshakeResponseError {
    /// The status is not 101. The response is an ordinary HTTP response, and its status has its usual meaning.
    Status(StatusCode),
    /// `Upgrade` is not `websocket`.
    UpgradeMissing,
    /// `Connection` does not list `upgrade`.
    ConnectionWithoutUpgrade,
    /// `Sec-WebSocket-Accept` is missing.
    AcceptMissing,
    /// `Sec-WebSocket-Accept` does not match the key of the request. The server does not support WebSocket, or the
    /// response belongs to another request.
    InvalidAccept,
    /// The response accepts an extension that was not offered, or parameters that were not offered.
    ExtensionNotOffered,
    /// The response selects a subprotocol that was not offered.
    ProtocolNotOffered(String),
    /// `Sec-WebSocket-Protocol` is repeated.
    ProtocolRepeated,
}

impl fmt::Display for HandshakeResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the server responded with {status} instead of 101"),
            Self::UpgradeMissing => f.write_str("the Upgrade header of the response is not \"websocket\""),
            Self::ConnectionWithoutUpgrade => {
                f.write_str("the Connection header of the response does not contain \"upgrade\"")
            }
            Self::AcceptMissing => f.write_str("the response has no Sec-WebSocket-Accept header"),
            Self::InvalidAccept => f.write_str(
                "the Sec-WebSocket-Accept header of the response does not match the key of the request",
            ),
            Self::ExtensionNotOffered => {
                f.write_str("the response accepts an extension or parameters that were not offered")
            }
            Self::ProtocolNotOffered(protocol) => {
                write!(f, "the response selects the subprotocol {protocol:?}, which was not offered")
            }
            Self::ProtocolRepeated => {
                f.write_str("the Sec-WebSocket-Protocol header of the response is repeated")
            }
        }
    }
}

impl std::error::Error for HandshakeResponseError {}

/// Returns the program's `Host`, or the host of the URI.
fn host(uri: &WebSocketUri, headers: &HeaderMap) -> Result<HeaderValue, ClientHandshakeError> {
    match single_header(headers, &HOST) {
        SingleHeader::Missing => Ok(uri.host_header().clone()),
        SingleHeader::Value(host) if is_authority(host) => Ok(headers[HOST].clone()),
        SingleHeader::Value(_) | SingleHeader::Repeated => Err(ClientHandshakeError::InvalidHost),
    }
}

/// Returns whether a header is part of the handshake or announces a body. An upgrade request has no body.
fn is_reserved(name: &HeaderName) -> bool {
    [CONNECTION, UPGRADE, CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER].contains(name)
        || name.as_str().starts_with("sec-websocket-")
}

#[cfg(test)]
mod tests;
