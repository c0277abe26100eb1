//! The protocol violations of a client.

use super::DisconnectReason;
use crate::error::DecodeError;

/// The reason why a connection must be closed: the client violated the protocol or missed a deadline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The client sent an event to a namespace that it is not connected to, for example before its request was
    /// accepted.
    #[error("the client sent an event to a namespace that it is not connected to")]
    EventNotConnected,
    /// The client sent an acknowledgement to a namespace that it is not connected to, for example before its
    /// request was accepted.
    #[error("the client sent an acknowledgement to a namespace that it is not connected to")]
    AckNotConnected,
    /// The client disconnected from a namespace that it has not requested.
    #[error("the client disconnected from a namespace that it is not connected to")]
    DisconnectNotConnected,
    /// The client requested a namespace that it has already requested or is connected to.
    #[error("the client connected to a namespace twice")]
    DuplicateConnect,
    /// The client requested a namespace again while the handlers of too many of its former sockets in this namespace
    /// were still running.
    #[error("the client has more than {max} sockets of one namespace that are still disconnecting")]
    TooManyDisconnecting {
        /// The maximum number of such sockets,
        /// [`Limits::max_disconnecting_sockets`](super::Limits::max_disconnecting_sockets).
        max: usize,
    },
    /// The client sent CONNECT_ERROR, which only servers may send.
    #[error("the client sent CONNECT_ERROR, which only servers may send")]
    UnexpectedConnectError,
    /// An announced attachment did not arrive within [`Limits::attachment_timeout`](super::Limits::attachment_timeout).
    #[error("the client did not send an announced attachment in time")]
    AttachmentTimeout,
    /// The client connected to no namespace within [`Limits::connect_timeout`](super::Limits::connect_timeout).
    #[error("the client did not connect to a namespace in time")]
    ConnectTimeout,
    /// The client sent a message that is not a valid packet.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Violation {
    /// Returns the reason for which the sockets of the connection are disconnected.
    #[must_use]
    pub fn disconnect_reason(&self) -> DisconnectReason {
        match self {
            Self::Decode(_) => DisconnectReason::ForcedClose,
            Self::EventNotConnected
            | Self::AckNotConnected
            | Self::DisconnectNotConnected
            | Self::DuplicateConnect
            | Self::TooManyDisconnecting { .. }
            | Self::UnexpectedConnectError
            | Self::AttachmentTimeout
            | Self::ConnectTimeout => DisconnectReason::ForcedServerClose,
        }
    }
}
