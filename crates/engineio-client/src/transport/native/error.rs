//! Why a transport has failed.

use std::io;
use std::time::Duration;

use http::StatusCode;
use net::{DialError, ExchangeError};
use ws_proto::{ClientHandshakeError, CloseFrame, ErrorChain, HandshakeResponseError, ProtocolError};

/// Why a transport cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No stream to the server could be opened: the host name does not resolve, all its addresses fail, the proxy
    /// rejects the tunnel, or TLS fails.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The server responded with another status than 200, or than 101 for a WebSocket. A redirect (3xx) is not followed.
    #[error("the server responded with {status}{}", Excerpt(body))]
    Status {
        /// The status.
        status: StatusCode,
        /// The beginning of the body, at most 1 KiB. An Engine.IO server explains the status there.
        body: String,
    },
    /// The server sent no complete HTTP response.
    #[error("no response: {}", ErrorChain(.0.as_ref()))]
    Http(Box<dyn std::error::Error + Send + Sync>),
    /// The body of a response is longer than [`Limits::max_response_size`](crate::Limits::max_response_size).
    #[error("the response is longer than {0} bytes (`max_response_size`)")]
    ResponseTooLarge(usize),
    /// A request took longer than [`Connector::request_timeout`](crate::Connector::request_timeout).
    #[error("the request took longer than {0:?} (`request_timeout`)")]
    RequestTimedOut(Duration),
    /// The server sent no response to the handshake of the WebSocket.
    #[error("no response to the handshake: {0}")]
    NoResponse(ExchangeError),
    /// The server accepted the handshake of the WebSocket with an invalid response (RFC 6455 §4.1).
    #[error(transparent)]
    Handshake(#[from] HandshakeResponseError),
    /// The request of the WebSocket cannot be made, because of its headers.
    #[error(transparent)]
    Request(#[from] ClientHandshakeError),
    /// The operating system returned no random bytes.
    #[error("the operating system returned no random bytes: {}", ErrorChain(.0))]
    NoRandomness(io::Error),
    /// The server violated the rules of WebSocket, or sent a message that is longer than
    /// [`Limits::max_message_size`](crate::Limits::max_message_size).
    #[error(transparent)]
    Protocol(ProtocolError),
    /// Reading or writing failed.
    #[error("the connection failed: {}", ErrorChain(.0))]
    Io(io::Error),
    /// The server closed the WebSocket, with this close frame, or without one.
    #[error("{}", describe_close(.0.as_ref()))]
    ConnectionClosed(Option<CloseFrame>),
    /// An upgrade failed: the server did not answer the probe in time, or sent something else.
    #[error("the server did not answer the probe")]
    NoProbeResponse,
}

fn describe_close(frame: Option<&CloseFrame>) -> String {
    match frame {
        Some(CloseFrame { code, reason }) if reason.is_empty() => {
            format!("the server closed the connection with code {}", u16::from(*code))
        }
        Some(CloseFrame { code, reason }) => {
            format!(
                "the server closed the connection with code {}: {}",
                u16::from(*code),
                reason.escape_debug()
            )
        }
        None => "the server closed the connection".to_owned(),
    }
}

/// A short part of a body, for an error in one line. The peer controls it, so it is escaped.
struct Excerpt<'a>(&'a str);

impl std::fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 200;
        if self.0.is_empty() {
            return Ok(());
        }
        let shown: String = self.0.chars().take(SHOWN).collect();
        let more = if shown.len() < self.0.len() { "…" } else { "" };
        // Quotes stay as they are: the body of a refusal is JSON.
        write!(f, ": {}{more}", shown.replace(char::is_control, " "))
    }
}
