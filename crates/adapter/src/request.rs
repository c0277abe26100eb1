//! Requests that clients and other servers reply to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use socketio_proto::{Arguments, SocketId};
use ws_proto::Time;

use crate::cluster::NodeId;
use crate::remote_socket::RemoteSocketState;

/// What a request needs besides its content.
#[derive(Debug, Clone)]
pub struct Request {
    /// How long to wait for replies.
    pub timeout: Duration,
    /// The time at which the request is sent.
    pub now: Time,
    /// Receives the replies.
    pub replies: Replies,
}

/// Receives the replies to a request: a function of the server.
///
/// The request is complete when its last clone has been dropped. So a holder drops its clone as soon as it can pass no
/// further reply. The function is called under no lock. It must not block.
#[derive(Clone)]
pub struct Replies(Arc<dyn Fn(Reply) + Send + Sync>);

impl Replies {
    /// Creates a receiver that passes each reply to `receive`.
    #[must_use]
    pub fn new(receive: impl Fn(Reply) + Send + Sync + 'static) -> Self {
        Self(Arc::new(receive))
    }

    /// Passes a reply to the server.
    pub fn send(&self, reply: Reply) {
        (self.0)(reply);
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").finish_non_exhaustive()
    }
}

/// A reply to a request.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// A client has acknowledged a broadcast. As in Node, this is the first argument of its acknowledgement only.
    Ack {
        /// The socket, if it belongs to this process. Servers do not tell each other who has answered.
        socket: Option<SocketId>,
        /// The first argument.
        arguments: Arguments<'static>,
    },
    /// The selected sockets of another server.
    Sockets(Vec<RemoteSocketState>),
    /// The response of another server to a server-side event.
    Server {
        /// The server. `None` if the replies on this message bus do not name their sender.
        node: Option<NodeId>,
        /// The first argument of the response.
        arguments: Arguments<'static>,
    },
    /// A reply that will not come.
    Missing(Missing),
}

/// A reply that will not come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// A client has not acknowledged.
    Client {
        /// The id of its socket.
        id: Box<str>,
        /// The reason.
        reason: MissingReason,
    },
    /// Clients of another server have not acknowledged. Only their number is known.
    Clients {
        /// The server. `None` if they are the clients of servers that are not known by name.
        node: Option<NodeId>,
        /// The number of clients.
        count: usize,
        /// The reason.
        reason: MissingReason,
    },
    /// Another server has not replied. For a broadcast, it has not said how many clients have received the event.
    Server {
        /// The server. `None` if only the number of servers is known (`cluster::Membership::Counted`).
        node: Option<NodeId>,
        /// The reason.
        reason: MissingReason,
    },
}

impl Missing {
    /// Returns the reason.
    #[must_use]
    pub fn reason(&self) -> MissingReason {
        match self {
            Self::Client { reason, .. } | Self::Clients { reason, .. } | Self::Server { reason, .. } => {
                *reason
            }
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client { id, reason } => write!(f, "client {id}: {reason}"),
            Self::Clients { node: Some(node), count, reason } => {
                write!(f, "{count} clients of server {node}: {reason}")
            }
            Self::Clients { node: None, count, reason } => {
                write!(f, "{count} clients of other servers: {reason}")
            }
            Self::Server { node: Some(node), reason } => write!(f, "server {node}: {reason}"),
            Self::Server { node: None, reason } => write!(f, "another server: {reason}"),
        }
    }
}

/// The reason why a reply will not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingReason {
    /// The time is over.
    TimedOut,
    /// The client has disconnected, the other server has left the cluster, or this server has lost its link to it.
    Disconnected,
    /// A limit was reached, also one of the message bus, so the request was not sent, or the reply was not sent or not kept.
    Limit,
}

impl fmt::Display for MissingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "it did not reply in time",
            Self::Disconnected => "it has disconnected",
            Self::Limit => "a limit was reached",
        })
    }
}

impl std::error::Error for MissingReason {}

/// Waits for the acknowledgement of one client. If it is dropped, the client counts as disconnected.
pub struct AckWaiter(Option<Waiting>);

struct Waiting {
    socket: SocketId,
    replies: Replies,
}

impl AckWaiter {
    /// Creates the waiter for the acknowledgement of `socket`.
    #[must_use]
    pub fn new(socket: SocketId, replies: Replies) -> Self {
        Self(Some(Waiting { socket, replies }))
    }

    /// Handles the acknowledgement.
    pub fn acknowledge(mut self, arguments: Arguments<'_>) {
        if let Some(Waiting { socket, replies }) = self.0.take() {
            let arguments = arguments.into_owned().into_first();
            replies.send(Reply::Ack { socket: Some(socket), arguments });
        }
    }

    /// Reports that there will be no acknowledgement.
    pub fn fail(mut self, reason: MissingReason) {
        self.report(reason);
    }

    fn report(&mut self, reason: MissingReason) {
        if let Some(Waiting { socket, replies }) = self.0.take() {
            replies.send(Reply::Missing(Missing::Client { id: socket.as_str().into(), reason }));
        }
    }
}

impl Drop for AckWaiter {
    fn drop(&mut self) {
        self.report(MissingReason::Disconnected);
    }
}

impl fmt::Debug for AckWaiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AckWaiter").finish_non_exhaustive()
    }
}
