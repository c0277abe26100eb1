//! The outputs of a client and their error and reason types.

use std::fmt;

use engineio_proto::CloseReason;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::arguments::{Arguments, RawJson};
use crate::packet::Event;

/// Something that happened to a socket.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum Output<'m, W> {
    /// The socket is about to request its namespace and needs credentials. The driver must call
    /// [`Socket::authenticate`](super::Socket::authenticate).
    AuthNeeded,
    /// The server has accepted the connection to the namespace.
    Connected {
        /// Whether the server has replayed everything that the socket missed since its last connection. If `false`, the
        /// server treats it as a new socket.
        recovered: bool,
    },
    /// The server has rejected the connection to the namespace. The socket does not retry automatically.
    ConnectError(ConnectError),
    /// An event was received.
    Event {
        /// Its name and arguments.
        event: Event<'m>,
        /// Identifies the acknowledgement, if the server requests one.
        ack: Option<AckId>,
        /// Whether the client considers the last argument the offset of the event. The arguments still contain it.
        /// [`Arguments::without_last_string`] removes it. If the server adds an offset to every recoverable event, the
        /// remaining arguments are exactly those that the program of the server sent.
        ///
        /// Node's server does this, but not for *volatile* events, and its offsets can have any form. So a string at
        /// the end of a volatile event cannot be distinguished from an offset.
        has_offset: bool,
    },
    /// An acknowledgement was received.
    Ack {
        /// The waiter for the acknowledgement.
        waiter: W,
        /// The arguments of the acknowledgement.
        arguments: Arguments<'m>,
    },
    /// The acknowledgement will not arrive.
    AckFailed {
        /// The waiter for the acknowledgement.
        waiter: W,
        /// The reason.
        error: AckError,
    },
    /// The socket is no longer connected.
    Disconnected {
        /// The reason.
        reason: DisconnectReason,
    },
}

impl<W> Output<'_, W> {
    /// Converts the output so that it owns its data.
    #[must_use]
    pub fn into_owned(self) -> Output<'static, W> {
        match self {
            Self::AuthNeeded => Output::AuthNeeded,
            Self::Connected { recovered } => Output::Connected { recovered },
            Self::ConnectError(error) => Output::ConnectError(error),
            Self::Event { event, ack, has_offset } => {
                Output::Event { event: event.into_owned(), ack, has_offset }
            }
            Self::Ack { waiter, arguments } => Output::Ack { waiter, arguments: arguments.into_owned() },
            Self::AckFailed { waiter, error } => Output::AckFailed { waiter, error },
            Self::Disconnected { reason } => Output::Disconnected { reason },
        }
    }
}

/// Identifies an acknowledgement that the server requests: its id, and the connection on which the event was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckId {
    pub(super) id: u64,
    pub(super) connect_epoch: u64,
}

impl AckId {
    /// Returns the id for [`encode::ack`](crate::encode::ack).
    #[must_use]
    pub fn id(self) -> u64 {
        self.id
    }

    /// Returns a number that is the same for all events that the socket received on one connection to its namespace,
    /// and differs between connections.
    #[must_use]
    pub fn connection(self) -> u64 {
        self.connect_epoch
    }
}

/// The reason why an acknowledgement did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckError {
    /// The acknowledgement did not arrive before the deadline. If the event was still in the send buffer, it was
    /// removed.
    Timeout,
    /// The connection ended after the event was sent, the program disconnected the socket, or the driver stopped
    /// reconnecting.
    Disconnected,
    /// The send buffer was full, and the event was dropped for a newer event.
    Dropped,
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "operation has timed out",
            Self::Disconnected => "socket has been disconnected",
            Self::Dropped => "the event was dropped from the full send buffer",
        })
    }
}

impl std::error::Error for AckError {}

/// The reason why a connection to a namespace failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server has rejected the request with this message.
    Rejected {
        /// The message of the server.
        message: String,
        /// Details for the program, if the server sent any.
        data: Option<RawJson<'static>>,
    },
    /// The server sent no socket id. It uses an older protocol.
    UnsupportedServerVersion,
    /// The server sent a socket id that is too long.
    IdTooLong {
        /// The maximum length in bytes, [`Limits::max_id_len`](super::Limits::max_id_len).
        max: usize,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected { message, .. } => message.fmt(f),
            Self::UnsupportedServerVersion => f.write_str(
                "the server sent no socket id: it is a Socket.IO v2 server, but this client requires v3 or newer",
            ),
            Self::IdTooLong { max } => write!(f, "the server sent a socket id of more than {max} bytes"),
        }
    }
}

impl std::error::Error for ConnectError {}

impl ConnectError {
    /// Reads the payload of CONNECT_ERROR: an object with `message` and optionally `data`, or only the message as a
    /// string.
    pub(super) fn from_payload(payload: &RawJson<'_>) -> Self {
        #[derive(Deserialize)]
        struct Refusal {
            message: String,
            data: Option<Box<RawValue>>,
        }
        let (message, data) = match payload.deserialize::<Refusal>() {
            Ok(Refusal { message, data }) => {
                (message, data.map(|raw| RawJson::new(Box::<str>::from(raw).into_string())))
            }
            Err(_) => match payload.deserialize::<String>() {
                Ok(message) => (message, None),
                // No server sends this, but the payload is kept as data.
                Err(_) => (String::new(), Some(payload.clone().into_owned())),
            },
        };
        Self::Rejected { message, data }
    }
}

/// The payload of the server's CONNECT packet.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ConnectPayload {
    pub(super) sid: Option<String>,
    pub(super) pid: Option<String>,
}

/// The reason why a socket is no longer connected. The names and texts are the reasons of the JavaScript client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DisconnectReason {
    /// The server has disconnected the socket. The socket does not reconnect automatically.
    IoServerDisconnect,
    /// The program has disconnected the socket. The socket does not reconnect automatically.
    IoClientDisconnect,
    /// No ping from the server arrived in time.
    PingTimeout,
    /// The connection was closed.
    TransportClose,
    /// The connection failed.
    TransportError,
    /// The server sent a message that is not a valid packet.
    ParseError,
    /// The client closed the connection.
    ForcedClose,
}

impl DisconnectReason {
    /// Returns the text that the JavaScript client uses for this reason.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IoServerDisconnect => "io server disconnect",
            Self::IoClientDisconnect => "io client disconnect",
            Self::PingTimeout => "ping timeout",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced close",
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
            // A client session never reports a shutdown of the server. A driver that passes this reason has closed the
            // session itself.
            CloseReason::ForcedClose | CloseReason::ServerShuttingDown => Self::ForcedClose,
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
