//! The protocol violations of a client.

use std::error::Error;
use std::fmt;

use super::DisconnectReason;
use crate::error::DecodeError;

/// The reason why a connection must be closed: the client violated the protocol or missed a deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The client sent an event to a namespace that it is not connected to, for example before its request was
    /// accepted.
    EventNotConnected,
    /// The client sent an acknowledgement to a namespace that it is not connected to, for example before its
    /// request was accepted.
    AckNotConnected,
    /// The client disconnected from a namespace that it has not requested.
    DisconnectNotConnected,
    /// The client requested a namespace that it has already requested or is connected to.
    DuplicateConnect,
    /// The client requested a namespace again while the handlers of too many of its former sockets in this namespace
    /// were still running.
    TooManyDisconnecting {
        /// The maximum number of such sockets,
        /// [`Limits::max_disconnecting_sockets`](super::Limits::max_disconnecting_sockets).
        max: usize,
    },
    /// The client sent CONNECT_ERROR, which only servers may send.
    UnexpectedConnectError,
    /// An announced attachment did not arrive within [`Limits::attachment_timeout`](super::Limits::attachment_timeout).
    AttachmentTimeout,
    /// The client connected to no namespace within [`Limits::connect_timeout`](super::Limits::connect_timeout).
    ConnectTimeout,
    /// The client sent a message that is not a valid packet.
    Decode(DecodeError),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EventNotConnected => {
                f.write_str("the client sent an event to a namespace that it is not connected to")
            }
            Self::AckNotConnected => {
                f.write_str("the client sent an acknowledgement to a namespace that it is not connected to")
            }
            Self::DisconnectNotConnected => {
                f.write_str("the client disconnected from a namespace that it is not connected to")
            }
            Self::DuplicateConnect => f.write_str("the client connected to a namespace twice"),
            Self::TooManyDisconnecting { max } => {
                write!(
                    f,
                    "the client has more than {max} sockets of one namespace that are still disconnecting"
                )
            }
            Self::UnexpectedConnectError => {
                f.write_str("the client sent CONNECT_ERROR, which only servers may send")
            }
            Self::AttachmentTimeout => f.write_str("the client did not send an announced attachment in time"),
            Self::ConnectTimeout => f.write_str("the client did not connect to a namespace in time"),
            Self::Decode(error) => error.fmt(f),
        }
    }
}

impl Error for Violation {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Decode(error) => error.source(),
            _ => None,
        }
    }
}

impl From<DecodeError> for Violation {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
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
