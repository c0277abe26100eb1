//! What a client did wrong.

use super::DisconnectReason;
use crate::error::DecodeError;

/// Why a connection must be closed: the client broke the protocol, or kept the server waiting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// An event came for a namespace that the client has not joined, or not yet.
    #[error("an event for a namespace that is not joined")]
    EventNotConnected,
    /// An acknowledgement came for a namespace that the client has not joined, or not yet.
    #[error("an acknowledgement for a namespace that is not joined")]
    AckNotConnected,
    /// The client leaves a namespace that it has not asked for.
    #[error("a disconnect from a namespace that is not joined")]
    DisconnectNotConnected,
    /// The client asks for a namespace that it has joined, or has asked for.
    #[error("a second connect to a namespace")]
    DuplicateConnect,
    /// The client asks for a namespace while the last handlers of too many sockets before still run.
    #[error("more than {max} sockets of one namespace are leaving")]
    TooManyDisconnecting {
        /// [`Limits::max_disconnecting_sockets`](super::Limits::max_disconnecting_sockets).
        max: usize,
    },
    /// The client refuses a connection, which only servers do.
    #[error("a packet that only servers send")]
    UnexpectedConnectError,
    /// The client announced an attachment and kept it back.
    #[error("an attachment did not come in time")]
    AttachmentTimeout,
    /// The client joined no namespace.
    #[error("no namespace joined in time")]
    ConnectTimeout,
    /// The client sent what is no packet.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Violation {
    /// For which reason the sockets of the connection are disconnected.
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
