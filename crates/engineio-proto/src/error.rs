//! Why a request is rejected, and why a session ends.

use std::fmt;

/// Why the engine rejects a request, with the error code of the Node server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Code 0: the `transport` parameter is not the name of a transport that this server has.
    UnknownTransport,
    /// Code 1: no session has this `sid`, or the session is already over.
    UnknownSid,
    /// Code 2: the first request of a session must be a GET.
    BadHandshakeMethod,
    /// Code 3: the request does not fit the session, or is malformed.
    BadRequest,
    /// Code 4: the application rejected the session.
    Forbidden,
    /// Code 5: the `EIO` parameter is not `4`.
    UnsupportedProtocolVersion,
}

impl RequestError {
    /// Returns the error code in the response.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::UnknownTransport => 0,
            Self::UnknownSid => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::UnsupportedProtocolVersion => 5,
        }
    }

    /// Returns the error message in the response.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSid => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedProtocolVersion => "Unsupported protocol version",
        }
    }

    /// Returns the JSON body of the response to a polling request, byte for byte as the Node server sends it. A given
    /// `message` replaces the standard one.
    #[must_use]
    pub fn body(self, message: Option<&str>) -> String {
        let message = escape_json(message.unwrap_or(self.message()));
        format!(r#"{{"code":{},"message":"{message}"}}"#, self.code())
    }
}

/// Escapes the characters that a JSON string must not contain.
fn escape_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => escaped.extend(['\\', character]),
            '\0'..='\u{1f}' => escaped.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => escaped.push(character),
        }
    }
    escaped
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for RequestError {}

/// Why a session ended. This is not an error type: a normal end has a reason, too.
///
/// The enum is exhaustive on purpose. The crates above map every reason to a reason of their own. A new reason must
/// cause a compile error there, and not be mapped to a wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The heartbeat stopped: the server received no pong in time, or the client received no ping in time.
    PingTimeout,
    /// The transport failed, or the peer violated the protocol.
    TransportError,
    /// The peer disconnected.
    TransportClose,
    /// A client sent data that is not an Engine.IO packet. If a server does so, its client reports a
    /// [`TransportError`](Self::TransportError), as in JavaScript.
    ParseError,
    /// The application on this side closed the session.
    ForcedClose,
    /// The server is shutting down.
    ServerShuttingDown,
}

impl CloseReason {
    /// Returns the reason as the JavaScript packages spell it. Only Socket.IO uses `server shutting down`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PingTimeout => "ping timeout",
            Self::TransportError => "transport error",
            Self::TransportClose => "transport close",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced close",
            Self::ServerShuttingDown => "server shutting down",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_body_that_clients_know() {
        assert_eq!(RequestError::UnknownSid.body(None), r#"{"code":1,"message":"Session ID unknown"}"#);
    }

    #[test]
    fn a_message_of_the_program_is_escaped() {
        assert_eq!(
            RequestError::Forbidden.body(Some("a \"b\"\n")),
            r#"{"code":4,"message":"a \"b\"\u000a"}"#
        );
    }
}
