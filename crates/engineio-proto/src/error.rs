//! Why a request is refused, and why a session ends.

use std::fmt;

/// Why a request to the engine is refused, with the code that clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Code 0: the `transport` parameter names none that this server has.
    UnknownTransport,
    /// Code 1: no session has this `sid` (any more).
    UnknownSid,
    /// Code 2: a session begins with GET.
    BadHandshakeMethod,
    /// Code 3: the request does not fit the session, or is malformed.
    BadRequest,
    /// Code 4: the program said no.
    Forbidden,
    /// Code 5: the `EIO` parameter is not `4`.
    UnsupportedProtocolVersion,
}

impl RequestError {
    /// The number that clients compare.
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

    /// The text that clients see.
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

    /// The JSON body for a polling request, byte for byte that of the Node server; `message` stands in for the
    /// standard one.
    #[must_use]
    pub fn body(self, message: Option<&str>) -> String {
        let message = escape_json(message.unwrap_or(self.message()));
        format!(r#"{{"code":{},"message":"{message}"}}"#, self.code())
    }
}

/// Escapes what JSON does not allow in a string.
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

/// Why a session ended. A normal end is one of these too: it is an event, not an error.
///
/// Exhaustive on purpose: the floors above translate every reason, and a new one must not become another in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The heartbeat stopped: a server got no pong in time, a client no ping.
    PingTimeout,
    /// The transport failed, or the other end broke a rule of the protocol.
    TransportError,
    /// The other end went away.
    TransportClose,
    /// A client sent what is no Engine.IO packet. A server that does the same is a
    /// [`TransportError`](Self::TransportError) to its client, as in JavaScript.
    ParseError,
    /// The program on this side closed the session.
    ForcedClose,
    /// The server is shutting down.
    ServerShuttingDown,
}

impl CloseReason {
    /// The words that the JavaScript packages use for it; `server shutting down` is Socket.IO's.
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
