//! Why the engine refused a request, with what an operator needs to find the cause.

use std::fmt;

use engineio_proto::{RequestError, Transport};
use http::Method;
use net::metrics::Series;

/// Why the engine refused a request. The fields are the `context` of Node's event `connection_error`.
///
/// Texts of the client are as long as its request head allows, and may have any character: escape them in a log, for
/// instance with `{:?}`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionError {
    /// Code 0: the server does not have this transport, or the request names none.
    UnknownTransport {
        /// The parameter `transport` of the request.
        transport: Option<String>,
    },
    /// Code 1: no session has this id, or the session is over. This is common: a client polls again after a restart of
    /// the server, or reached another server than the one that holds its session.
    UnknownSid {
        /// The parameter `sid` of the request.
        sid: String,
    },
    /// Code 2: the first request of a session must be a GET.
    BadHandshakeMethod {
        /// The method of the request.
        method: Method,
    },
    /// Code 3, `TRANSPORT_MISMATCH` in Node: the session uses another transport. After an upgrade it does not poll any
    /// more.
    TransportMismatch {
        /// The transport of the request.
        transport: Transport,
        /// The transport of the session.
        previous_transport: Transport,
    },
    /// Code 3, `PROTOCOL_MISMATCH` in Node: the session has another revision of the protocol.
    ProtocolMismatch {
        /// The revision of the request.
        protocol: u8,
        /// The revision of the session.
        previous_protocol: u8,
    },
    /// Code 3, `TRANSPORT_HANDSHAKE_ERROR` in Node: the request cannot open or upgrade the transport that it names. It
    /// is a plain request for WebSocket, often because a proxy does not forward upgrades, or its WebSocket handshake
    /// violates RFC 6455.
    TransportHandshakeError {
        /// What is wrong.
        error: String,
    },
    /// Code 4: the application refused the session, or does not allow the origin of the page.
    Forbidden {
        /// The message of the application, which the client has got. If it is empty, the client has got `Forbidden`.
        message: String,
    },
    /// Code 5: the server does not speak this revision of the protocol. For revision 3, see
    /// [`Options::allow_eio3`](crate::Options::allow_eio3).
    UnsupportedProtocolVersion {
        /// The revision of the request.
        protocol: u8,
    },
}

impl ConnectionError {
    pub(crate) fn series(&self) -> Series {
        match self {
            Self::UnknownTransport { .. } => Series::EngineUnknownTransport,
            Self::UnknownSid { .. } => Series::EngineUnknownSid,
            Self::BadHandshakeMethod { .. } => Series::EngineBadHandshakeMethod,
            Self::TransportMismatch { .. }
            | Self::ProtocolMismatch { .. }
            | Self::TransportHandshakeError { .. } => Series::EngineBadRequest,
            Self::Forbidden { .. } => Series::EngineForbidden,
            Self::UnsupportedProtocolVersion { .. } => Series::EngineUnsupportedVersion,
        }
    }

    /// Returns the kind of the error, as clients know it.
    #[must_use]
    pub fn kind(&self) -> RequestError {
        match self {
            Self::UnknownTransport { .. } => RequestError::UnknownTransport,
            Self::UnknownSid { .. } => RequestError::UnknownSid,
            Self::BadHandshakeMethod { .. } => RequestError::BadHandshakeMethod,
            Self::TransportMismatch { .. }
            | Self::ProtocolMismatch { .. }
            | Self::TransportHandshakeError { .. } => RequestError::BadRequest,
            Self::Forbidden { .. } => RequestError::Forbidden,
            Self::UnsupportedProtocolVersion { .. } => RequestError::UnsupportedProtocolVersion,
        }
    }

    /// Returns the code in the response, from 0 to 5.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.kind().code()
    }

    /// Returns the standard message of the code. The message of the application is in [`Forbidden`](Self::Forbidden).
    #[must_use]
    pub fn message(&self) -> &'static str {
        self.kind().message()
    }

    /// Returns the application's own message, which replaces the standard one in the response.
    pub(crate) fn own_message(&self) -> Option<&str> {
        match self {
            Self::Forbidden { message } if !message.is_empty() => Some(message),
            _ => None,
        }
    }
}

/// Writes the message and the context. Texts of the client are escaped.
impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        match self {
            Self::UnknownTransport { transport: Some(transport) } => write!(f, ": {transport:?}"),
            Self::UnknownTransport { transport: None } => f.write_str(": the request names none"),
            Self::UnknownSid { sid } => write!(f, ": {sid:?}"),
            Self::BadHandshakeMethod { method } => write!(f, ": {method}"),
            Self::TransportMismatch { transport, previous_transport } => {
                let (transport, previous) = (transport.name(), previous_transport.name());
                write!(f, ": {transport}, but the session uses {previous}")
            }
            Self::ProtocolMismatch { protocol, previous_protocol } => {
                write!(f, ": protocol {protocol}, but the session uses {previous_protocol}")
            }
            Self::TransportHandshakeError { error } => write!(f, ": {error}"),
            Self::Forbidden { message } if message.is_empty() => Ok(()),
            Self::Forbidden { message } => write!(f, ": {message}"),
            // A request without the parameter `EIO` counts as one of revision 3.
            Self::UnsupportedProtocolVersion { protocol } => {
                write!(
                    f,
                    ": {protocol}, a client of Socket.IO 1 or 2 (only `allow_eio3` lets it connect) or a request without `EIO=4`"
                )
            }
        }
    }
}

impl std::error::Error for ConnectionError {}
