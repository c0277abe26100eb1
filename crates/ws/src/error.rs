//! Why a call has failed, and how a connection has ended.

use std::fmt;
use std::io;

use net::StreamEnd;
use ws_proto::{CloseFrame, ProtocolError};

use crate::message::Message;

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCause {
    /// By a closing handshake: the frame with which the peer began it or answered ours, if it had a payload. This is
    /// how connections should end.
    ClosingHandshake(Option<CloseFrame>),
    /// The peer ended the stream without a Close frame; browsers call it 1006.
    Eof,
    /// The peer broke the protocol or exceeded a limit. It has been told by a Close frame.
    Protocol(ProtocolError),
    /// We closed, and the peer did not answer in time.
    CloseTimeout,
    /// The peer gave no sign of life for [`Limits::idle_timeout`](crate::Limits::idle_timeout).
    IdleTimeout,
    /// The stream failed.
    Io(io::ErrorKind),
}

impl CloseCause {
    /// Whether both ends agreed to close.
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
            Self::ClosingHandshake(None) => f.write_str("closed by handshake, without a code"),
            Self::ClosingHandshake(Some(frame)) => write!(f, "closed by handshake: {frame}"),
            Self::Eof => f.write_str("the stream ended without a Close frame"),
            Self::Protocol(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::CloseTimeout => f.write_str("the peer did not answer our Close in time"),
            Self::IdleTimeout => f.write_str("the peer gave no sign of life for too long"),
            Self::Io(kind) => write!(f, "the stream failed: {kind}"),
        }
    }
}

/// The connection is closing or has ended; the message comes back.
///
/// [`WebSocket::close_cause`](crate::WebSocket::close_cause) knows how it ended, after [`recv`](crate::WebSocket::recv) has
/// returned `None`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the WebSocket is closed")]
pub struct SendError(pub Message);

/// Why [`WebSocket::try_send`](crate::WebSocket::try_send) did not take a message; the message comes back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError {
    /// [`Limits::max_write_buffer_size`](crate::Limits::max_write_buffer_size) would be exceeded: the peer reads too slowly. Or another
    /// sender is in the middle of a message that it sends piece by piece.
    #[error("too many bytes wait to be written, or another message is being sent piece by piece")]
    Full(Message),
    /// The connection is closing or has ended.
    #[error("the WebSocket is closed")]
    Closed(Message),
    /// There is no connection now, and there may be one later. Only a
    /// [`ReconnectingWebSocket`](crate::ReconnectingWebSocket) says so.
    #[error("the WebSocket is not connected now")]
    Disconnected(Message),
}

/// The connection is closing or has ended: the error of a [`Sink`](futures_sink::Sink) of messages. A message that was given
/// to it and not taken comes back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the WebSocket is closed")]
pub struct SinkError(pub Option<Message>);

/// Why [`Sender::ping`](crate::Sender::ping) has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// None came within [`Limits::idle_timeout`](crate::Limits::idle_timeout): nobody has received, or the peer does not
    /// answer Pings, or has not yet been sent this one.
    #[error("the peer did not answer the Ping in time")]
    TimedOut,
    /// The connection is closing or has ended.
    #[error("the WebSocket is closed")]
    Closed,
    /// The system had no random bytes.
    #[error("the system has no random bytes")]
    NoRandomness,
}

/// The connection is closing or has ended before a message that is sent or received piece by piece has.
///
/// [`WebSocket::close_cause`](crate::WebSocket::close_cause) knows how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the WebSocket was closed in the middle of a message")]
pub struct IncompleteMessage;
