//! What a client's machine tells its driver.

use std::fmt;

use engineio_proto::CloseReason;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::arguments::{Arguments, RawJson};
use crate::packet::Event;

/// Something that has happened to a socket.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum Output<'m, W> {
    /// The namespace is to be joined, and what to authenticate with must be found out first: call
    /// [`Socket::authenticate`](super::Socket::authenticate).
    AuthNeeded,
    /// The server has let the socket in.
    Connected {
        /// Whether the server has sent everything that was missed since the connection before. If not, the socket is a
        /// new one to it.
        recovered: bool,
    },
    /// The server has not let the socket in. It is not tried again by itself.
    ConnectError(ConnectError),
    /// An event has come.
    Event {
        /// Its name and arguments.
        event: Event<'m>,
        /// What the acknowledgement is sent with, if the server wants one.
        ack: Option<AckId>,
        /// Whether the last argument was taken for the offset of the event. It is still among the arguments;
        /// [`Arguments::without_last_string`] is what the server's program has sent, if its server stamps every event that
        /// it can recover. Node's server does so, and gives offsets of any form, so a text that it sends last in a *volatile*
        /// event cannot be told from an offset.
        has_offset: bool,
    },
    /// An acknowledgement has come that was waited for.
    Ack {
        /// Who waits for it.
        waiter: W,
        /// What the server answers.
        arguments: Arguments<'m>,
    },
    /// There will be no acknowledgement.
    AckFailed {
        /// Who waits for it.
        waiter: W,
        /// Why.
        error: AckError,
    },
    /// The socket is no longer connected.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
    },
}

impl<W> Output<'_, W> {
    /// The output in memory of its own.
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

/// What an event of the server is acknowledged with: its id, and the connection that it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckId {
    pub(super) id: u64,
    pub(super) connect_epoch: u64,
}

impl AckId {
    /// The id for [`encode::ack`](crate::encode::ack).
    #[must_use]
    pub fn id(self) -> u64 {
        self.id
    }
}

/// Why there is no acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The server did not answer in time. If the event still waited in the send buffer, it has been taken out.
    #[error("operation has timed out")]
    Timeout,
    /// The event was sent, and then the connection ended; or the program, or the reconnection, has given up.
    #[error("socket has been disconnected")]
    Disconnected,
    /// The event had to leave the send buffer for a newer one.
    #[error("the event was dropped from the full send buffer")]
    Dropped,
}

/// Why the server has not let a socket in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server refuses the socket, in its own words.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
        /// Details for programs, if there are any.
        data: Option<RawJson<'static>>,
    },
    /// The server gives the socket no id, which means that it speaks an older protocol.
    #[error("the server is a Socket.IO server in v2.x, which a client of v3 or newer cannot talk to")]
    UnsupportedServerVersion,
    /// The id that the server gives the socket is too long.
    #[error("the server gives the socket an id of more than {max} bytes")]
    IdTooLong {
        /// [`Limits::max_id_len`](super::Limits::max_id_len).
        max: usize,
    },
}

impl ConnectError {
    /// Reads a refusal: an object with `message` and perhaps `data`, or just the message.
    pub(super) fn from_payload(refusal: &RawJson<'_>) -> Self {
        #[derive(Deserialize)]
        struct Refusal {
            message: String,
            data: Option<Box<RawValue>>,
        }
        let (message, data) = match refusal.deserialize::<Refusal>() {
            Ok(Refusal { message, data }) => (message, data.map(RawJson::from_raw)),
            Err(_) => match refusal.deserialize::<String>() {
                Ok(message) => (message, None),
                // No server writes this; nothing of it is lost.
                Err(_) => (String::new(), Some(refusal.clone().into_owned())),
            },
        };
        Self::Refused { message, data }
    }
}

/// The server's answer to CONNECT.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ConnectPayload {
    pub(super) sid: Option<String>,
    pub(super) pid: Option<String>,
}

/// Why a socket is no longer connected, in the words of the JavaScript client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DisconnectReason {
    /// The server has disconnected the socket. It is not joined again by itself.
    IoServerDisconnect,
    /// The program has disconnected the socket. It is not joined again by itself.
    IoClientDisconnect,
    /// The server's ping did not come in time.
    PingTimeout,
    /// The connection was closed.
    TransportClose,
    /// The connection failed.
    TransportError,
    /// The server sent what is no packet.
    ParseError,
    /// The client closed the connection.
    ForcedClose,
}

impl DisconnectReason {
    /// The reason in the words of the JavaScript client.
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
            // A client's session has no shutdown. If a driver gives that reason, it has closed the session itself.
            CloseReason::ForcedClose | CloseReason::ServerShuttingDown => Self::ForcedClose,
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
