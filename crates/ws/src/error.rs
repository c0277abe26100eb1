//! Why a message was not taken.

use crate::message::Message;

/// The connection is closing or has ended; the message comes back.
///
/// [`WebSocket::closed`](crate::WebSocket::closed) knows how it ended, after [`recv`](crate::WebSocket::recv) has
/// returned `None`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the WebSocket is closed")]
pub struct SendError(pub Message);

/// Why [`WebSocket::try_send`](crate::WebSocket::try_send) did not take a message; the message comes back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError {
    /// [`Limits::max_buffered`](crate::Limits::max_buffered) would be exceeded: the peer reads too slowly. Or another
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
/// [`WebSocket::closed`](crate::WebSocket::closed) knows how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the WebSocket was closed in the middle of a message")]
pub struct Interrupted;
