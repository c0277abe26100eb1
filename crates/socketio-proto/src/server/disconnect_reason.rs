//! The reasons why a server's socket is disconnected.

use std::fmt;

use engineio_proto::CloseReason;

/// The reason why a socket is disconnected. The names and texts are the reasons of the Node server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The program disconnected the socket.
    ServerNamespaceDisconnect,
    /// The client disconnected from the namespace.
    ClientNamespaceDisconnect,
    /// The client closed the connection.
    TransportClose,
    /// The connection failed, the client violated the rules of the transport, or the client read too slowly.
    TransportError,
    /// The client did not respond to a ping in time.
    PingTimeout,
    /// The client sent an invalid Engine.IO packet.
    ParseError,
    /// The client sent an invalid Socket.IO packet, or the task of the connection was cancelled.
    ForcedClose,
    /// The client violated the protocol or exceeded a limit of the driver. For example, it connected to a namespace
    /// twice, or it sent a packet to a namespace that it was not connected to.
    ForcedServerClose,
    /// The server is shutting down.
    ServerShuttingDown,
}

impl DisconnectReason {
    /// Returns the text that the Node server uses for this reason.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced close",
            Self::ForcedServerClose => "forced server close",
            Self::ServerShuttingDown => "server shutting down",
        }
    }

    /// Returns whether the session of the socket may be recovered, as in Node: neither the client nor the program has
    /// disconnected it deliberately, and the client has not violated the rules of Engine.IO.
    #[must_use]
    pub const fn is_recoverable(self) -> bool {
        match self {
            Self::ServerNamespaceDisconnect | Self::ClientNamespaceDisconnect | Self::ParseError => false,
            Self::TransportClose
            | Self::TransportError
            | Self::PingTimeout
            | Self::ForcedClose
            | Self::ForcedServerClose
            | Self::ServerShuttingDown => true,
        }
    }

    /// Returns a small number for the reason, so that a driver can store it in an atomic byte.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::ServerNamespaceDisconnect => 0,
            Self::ClientNamespaceDisconnect => 1,
            Self::TransportClose => 2,
            Self::TransportError => 3,
            Self::PingTimeout => 4,
            Self::ParseError => 5,
            Self::ForcedClose => 6,
            Self::ForcedServerClose => 7,
            Self::ServerShuttingDown => 8,
        }
    }

    /// Returns the reason for a [`code`](Self::code), or `None` if no reason has this code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::ServerNamespaceDisconnect),
            1 => Some(Self::ClientNamespaceDisconnect),
            2 => Some(Self::TransportClose),
            3 => Some(Self::TransportError),
            4 => Some(Self::PingTimeout),
            5 => Some(Self::ParseError),
            6 => Some(Self::ForcedClose),
            7 => Some(Self::ForcedServerClose),
            8 => Some(Self::ServerShuttingDown),
            _ => None,
        }
    }
}

impl From<CloseReason> for DisconnectReason {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::PingTimeout => Self::PingTimeout,
            CloseReason::TransportError => Self::TransportError,
            CloseReason::TransportClose => Self::TransportClose,
            CloseReason::ParseError => Self::ParseError,
            CloseReason::ForcedClose => Self::ForcedClose,
            CloseReason::ServerShuttingDown => Self::ServerShuttingDown,
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::iter::successors;

    use super::*;

    /// Returns the reason after `reason`, so that the test visits all of them. The match makes sure that a new variant
    /// is added here.
    fn following(reason: DisconnectReason) -> Option<DisconnectReason> {
        use DisconnectReason as Reason;
        match reason {
            Reason::ServerNamespaceDisconnect => Some(Reason::ClientNamespaceDisconnect),
            Reason::ClientNamespaceDisconnect => Some(Reason::TransportClose),
            Reason::TransportClose => Some(Reason::TransportError),
            Reason::TransportError => Some(Reason::PingTimeout),
            Reason::PingTimeout => Some(Reason::ParseError),
            Reason::ParseError => Some(Reason::ForcedClose),
            Reason::ForcedClose => Some(Reason::ForcedServerClose),
            Reason::ForcedServerClose => Some(Reason::ServerShuttingDown),
            Reason::ServerShuttingDown => None,
        }
    }

    #[test]
    fn every_reason_has_a_code_that_maps_back() {
        let first = DisconnectReason::ServerNamespaceDisconnect;
        let reasons: Vec<_> = successors(Some(first), |reason| following(*reason)).collect();
        for reason in &reasons {
            assert_eq!(DisconnectReason::from_code(reason.code()), Some(*reason));
        }
        let known = (0..=u8::MAX).filter_map(DisconnectReason::from_code).count();
        assert_eq!(known, reasons.len(), "every code must have a reason");
    }

    #[test]
    fn the_end_of_a_session_has_the_same_name_for_its_sockets() {
        for reason in [
            CloseReason::PingTimeout,
            CloseReason::TransportError,
            CloseReason::TransportClose,
            CloseReason::ParseError,
            CloseReason::ForcedClose,
            CloseReason::ServerShuttingDown,
        ] {
            assert_eq!(DisconnectReason::from(reason).as_str(), reason.as_str());
        }
    }
}
