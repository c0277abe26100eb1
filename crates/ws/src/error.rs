//! Errors, and how a connection ended.

use std::fmt;
use std::io;

use net::StreamEnd;
use ws_proto::{CloseFrame, ProtocolError};

use crate::message::Message;

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCause {
    /// Both endpoints completed the closing handshake. This is how connections should end. Contains the peer's Close
    /// frame, or `None` if that frame had no payload. Either endpoint may have sent its Close frame first.
    ClosingHandshake(Option<CloseFrame>),
    /// The peer ended the stream without a Close frame. Browsers report this as code 1006.
    Eof,
    /// The peer violated the protocol or exceeded a limit. A Close frame with the matching code was sent to it.
    Protocol(ProtocolError),
    /// This endpoint sent a Close frame, and the peer did not complete the closing handshake within
    /// [`Limits::close_timeout`](crate::Limits::close_timeout).
    CloseTimeout,
    /// The peer gave no sign of life for [`Limits::idle_timeout`](crate::Limits::idle_timeout): it sent nothing, or it
    /// accepted none of the bytes that were queued for it.
    IdleTimeout,
    /// The [`MemoryBudget`](crate::MemoryBudget) was exceeded, and this connection was among those that held the most:
    /// unfinished messages, or messages that the peer did not read. A Close frame with code 1013 (try again later) was
    /// sent to a peer that reads.
    MemoryBudget,
    /// Reading from or writing to the stream failed.
    Io(io::ErrorKind),
}

impl CloseCause {
    /// Returns `true` if the connection ended with a closing handshake.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::ClosingHandshake(_))
    }
}

impl From<StreamEnd> for CloseCause {
    fn from(ended: StreamEnd) -> Self {
        match ended {
            StreamEnd::Closed(frame) => Self::ClosingHandshake(frame),
            StreamEnd::Eof => Self::Eof,
            StreamEnd::Protocol(error) => Self::Protocol(error),
            StreamEnd::Io(error) => Self::Io(error.kind()),
        }
    }
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClosingHandshake(None) => f.write_str("closed by a closing handshake without a code"),
            Self::ClosingHandshake(Some(frame)) => write!(f, "closed by a closing handshake: {frame}"),
            Self::Eof => f.write_str("the stream ended without a Close frame"),
            Self::Protocol(error) => write!(f, "the peer violated the protocol: {error}"),
            Self::CloseTimeout => f.write_str("the peer did not complete the closing handshake in time"),
            Self::IdleTimeout => f.write_str("the peer sent nothing, or accepted no bytes, for too long"),
            Self::MemoryBudget => {
                f.write_str("the memory budget was exceeded, and this connection held the most")
            }
            Self::Io(kind) => write!(f, "the stream failed: {kind}"),
        }
    }
}

/// The connection is closing or has ended. Contains the message that was not sent.
///
/// After [`recv`](crate::WebSocket::recv) has returned `None`,
/// [`WebSocket::close_cause`](crate::WebSocket::close_cause) returns how the connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendError(pub Message);

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the WebSocket is closed")
    }
}

impl std::error::Error for SendError {}

/// Why [`WebSocket::try_send`](crate::WebSocket::try_send) did not queue a message. Each variant contains that message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError {
    /// The message would exceed [`Limits::max_write_buffer_size`](crate::Limits::max_write_buffer_size), because the
    /// peer reads too slowly. Or another sender has begun a message that it sends piece by piece.
    Full(Message),
    /// The connection is closing or has ended.
    Closed(Message),
    /// There is no connection at the moment, but the client may reconnect. Only a
    /// [`ReconnectingWebSocket`](crate::ReconnectingWebSocket) returns this error.
    Disconnected(Message),
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the write buffer is full, or another message is being sent piece by piece",
            Self::Closed(_) => "the WebSocket is closed",
            Self::Disconnected(_) => "the WebSocket is not connected at the moment",
        })
    }
}

impl std::error::Error for TrySendError {}

/// The error of the [`Sink`](futures_sink::Sink) of messages: the connection is closing or has ended. Contains the
/// message if it was passed to the sink and not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkError(pub Option<Message>);

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the WebSocket is closed")
    }
}

impl std::error::Error for SinkError {}

/// Why [`Sender::ping`](crate::Sender::ping) received no Pong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PingError {
    /// No Pong came within [`Limits::idle_timeout`](crate::Limits::idle_timeout). Either no task called `recv`, or the
    /// peer does not respond to Pings, or the Ping was still queued.
    TimedOut,
    /// The connection is closing or has ended.
    Closed,
    /// The operating system returned no random bytes for the Ping's payload.
    NoRandomness,
}

impl fmt::Display for PingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "the peer did not respond to the Ping in time",
            Self::Closed => "the WebSocket is closed",
            Self::NoRandomness => "the operating system returned no random bytes",
        })
    }
}

impl std::error::Error for PingError {}

/// The connection closed before the end of a message that is sent or received piece by piece.
///
/// [`WebSocket::close_cause`](crate::WebSocket::close_cause) returns how the connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncompleteMessage;

impl fmt::Display for IncompleteMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the WebSocket was closed in the middle of a message")
    }
}

impl std::error::Error for IncompleteMessage {}
