//! The opening handshake on the client's side (RFC 6455 §4.1), over `http`'s types.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};

use super::uri::WebSocketUri;
use super::{SingleHeader, accept_key, is_authority, is_token_byte, lists_token, single_header};
use crate::deflate::{DeflateAgreement, DeflateOptions};
use crate::limits::MAX_OFFERED_PROTOCOLS;

/// What a client asks for in its opening handshake, and against which it holds the answer.
///
/// ```
/// use http::HeaderMap;
/// use tidewire_ws_proto::{ClientHandshake, WebSocketUri};
///
/// let uri = WebSocketUri::parse("wss://example.com/chat").expect("a URI");
/// let offer = ClientHandshake::new([7; 16]).protocol("chat.v2").expect("a token");
/// let request = offer.request(&uri, &HeaderMap::new()).expect("no header of the handshake");
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
    /// An offer of nothing but WebSocket. The nonce has to be new and unpredictable for each connection (§4.1, 7).
    pub fn new(nonce: [u8; 16]) -> Self {
        Self { key: STANDARD.encode(nonce), protocols: Vec::new(), deflate: None }
    }

    /// Offers permessage-deflate (RFC 7692) as well.
    #[must_use]
    pub fn deflate(mut self, options: DeflateOptions) -> Self {
        self.deflate = Some(options);
        self
    }

    /// Offers a subprotocol as well, behind those that are offered already: the first one is preferred (§4.1, 10).
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

    /// The request, with `headers` behind those of the handshake. They may not name any of these, but for `Host`, which
    /// replaces ours. No `Origin` is added: that is for browsers (§4.1, 8), or among `headers`.
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
        // Base64, and tokens with commas between them, are always header values.
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

    /// Holds the answer against every requirement of §4.1. After an error the connection has to be given up.
    ///
    /// A server that selects none of the subprotocols has not broken a rule; whether to go on is for the program to say.
    pub fn verify_response(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Negotiated, HandshakeResponseError> {
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(HandshakeResponseError::Status(status));
        }
        // Unlike a request's, it may not list other protocols: one has been switched to.
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

    /// Nothing may be agreed on but what was offered (§4.1; §9.1 has a client fail the connection over it).
    fn accepted_extension(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<DeflateAgreement>, HandshakeResponseError> {
        match &self.deflate {
            Some(offered) => {
                offered.accept_response(headers).map_err(|_| HandshakeResponseError::ExtensionNotOffered)
            }
            None if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) => {
                Err(HandshakeResponseError::ExtensionNotOffered)
            }
            None => Ok(None),
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

/// What client and server have agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Negotiated {
    protocol: Option<String>,
    deflate: Option<DeflateAgreement>,
}

impl Negotiated {
    /// The subprotocol that the server has selected from those that were offered.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// How messages are compressed, if the server has accepted that.
    pub fn deflate(&self) -> Option<&DeflateAgreement> {
        self.deflate.as_ref()
    }
}

/// The program asks for something that cannot be in an opening handshake.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientHandshakeError {
    /// A header that the handshake sets itself, or that would give the request a body.
    #[error("the header {0} belongs to the handshake and cannot be set")]
    ReservedHeader(HeaderName),
    /// `Host` is repeated, or not a host with an optional port.
    #[error("the Host header is not one host with an optional port")]
    InvalidHost,
    /// A subprotocol that is no token (§4.1, 10).
    #[error("the subprotocol {0:?} is not a token")]
    InvalidProtocol(String),
    /// The same subprotocol twice (§4.1, 10).
    #[error("the subprotocol {0:?} is offered twice")]
    ProtocolRepeated(String),
    /// More than [`MAX_OFFERED_PROTOCOLS`], which is 64.
    #[error("more than {MAX_OFFERED_PROTOCOLS} subprotocols are offered")]
    TooManyProtocols,
}

/// The server's answer does not open a WebSocket (§4.1).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeResponseError {
    /// Another status than 101. It is an answer of HTTP, and means there what it says.
    #[error("the server answered {0} instead of 101")]
    Status(StatusCode),
    /// `Upgrade` is not `websocket`.
    #[error("the Upgrade header of the answer is not \"websocket\"")]
    UpgradeMissing,
    /// `Connection` does not list `upgrade`.
    #[error("the Connection header of the answer does not contain \"upgrade\"")]
    ConnectionWithoutUpgrade,
    /// No `Sec-WebSocket-Accept`.
    #[error("the answer has no Sec-WebSocket-Accept header")]
    AcceptMissing,
    /// `Sec-WebSocket-Accept` is not the one to our key: whoever answered does not know of WebSocket, or answers others.
    #[error("the Sec-WebSocket-Accept header of the answer does not fit the key of the request")]
    InvalidAccept,
    /// An extension that was not offered, or not in this way.
    #[error("the answer names an extension that was not offered, or not in this way")]
    ExtensionNotOffered,
    /// A subprotocol that was not offered.
    #[error("the answer selects the subprotocol {0:?}, which was not offered")]
    ProtocolNotOffered(String),
    /// More than one `Sec-WebSocket-Protocol`.
    #[error("the Sec-WebSocket-Protocol header of the answer is repeated")]
    ProtocolRepeated,
}

/// The program's `Host`, or that of the URI.
fn host(uri: &WebSocketUri, headers: &HeaderMap) -> Result<HeaderValue, ClientHandshakeError> {
    match single_header(headers, &HOST) {
        SingleHeader::Missing => Ok(uri.host_header().clone()),
        SingleHeader::Value(host) if is_authority(host) => Ok(headers[HOST].clone()),
        SingleHeader::Value(_) | SingleHeader::Repeated => Err(ClientHandshakeError::InvalidHost),
    }
}

/// Headers of the handshake, and those that announce a body: a request for an upgrade has none.
fn is_reserved(name: &HeaderName) -> bool {
    [CONNECTION, UPGRADE, CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER].contains(name)
        || name.as_str().starts_with("sec-websocket-")
}

#[cfg(test)]
mod tests;
