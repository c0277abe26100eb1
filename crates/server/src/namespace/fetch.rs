//! The sockets of all servers of a cluster.

use std::fmt;
use std::sync::{Arc, OnceLock};

use adapter::{Missing, RemoteSocketState, Replies, Reply, Request, Room};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::{ArgumentsError, RawJson};
use tokio::sync::mpsc;

use super::{AckFailure, Broadcast, Namespace};
use crate::cluster_metrics::count_missing;
use crate::connection::Handshake;
use crate::rooms::Rooms;
use crate::socket::{AckError, DataError, EmitError, Socket, parse_handshake, read_data};

/// A socket of any server of the cluster, see [`Broadcast::fetch_sockets`]. Cheap to clone.
///
/// For a socket of another server, this is a copy of its state at the time of the request: its rooms and its data do not
/// change any more. What a program does with the socket is sent to that server.
#[derive(Clone)]
pub struct FetchedSocket(Kind);

#[derive(Clone)]
enum Kind {
    Local(Socket),
    Remote(Arc<Remote>),
}

struct Remote {
    namespace: Namespace,
    state: RemoteSocketState,
    /// Parsed when the program asks for it.
    handshake: OnceLock<(Handshake, RawJson<'static>)>,
}

/// Some servers of the cluster have not replied.
#[derive(Debug, Clone)]
pub struct FetchSocketsError {
    /// The sockets of the servers that have replied, and of this server.
    pub sockets: Vec<FetchedSocket>,
    /// The servers that have not replied. Never empty.
    pub missing: Vec<Missing>,
}

impl fmt::Display for FetchSocketsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the sockets of {} other servers are missing", self.missing.len())?;
        self.missing.first().map_or(Ok(()), |missing| write!(f, ": {missing}"))
    }
}

impl std::error::Error for FetchSocketsError {}

impl Broadcast {
    /// Returns the selected sockets of all servers of the cluster, in no particular order. Cancel safe: if the future is
    /// dropped, the replies of the other servers are ignored.
    ///
    /// The other servers must reply within [`Limits::cluster_timeout`](crate::Limits::cluster_timeout), unless
    /// [`timeout`](Self::timeout) sets another time. [`sockets`](Self::sockets) returns the sockets of this server
    /// without waiting.
    ///
    /// # Errors
    /// Returns an error if a server has not replied. The error contains the sockets of all other servers.
    pub async fn fetch_sockets(&self) -> Result<Vec<FetchedSocket>, FetchSocketsError> {
        self.begin_fetch().collect().await
    }

    /// Asks the other servers now. The result collects their replies.
    pub(super) fn begin_fetch(&self) -> PendingFetch {
        let (sender, replies) = mpsc::unbounded_channel();
        let namespace = self.namespace.clone();
        if self.selects_nobody() {
            return PendingFetch { namespace, sockets: Vec::new(), replies };
        }
        let timeout = self.timeout.unwrap_or(namespace.limits().cluster_timeout);
        let to_channel = Replies::new(move |reply| {
            count_missing(&reply);
            let _ = sender.send(reply);
        });
        let request = Request { timeout, now: net::now(), replies: to_channel };
        namespace.adapter().fetch_sockets(&self.options, request);
        let mut sockets = Vec::new();
        for socket in self.sockets() {
            sockets.push(socket.into());
        }
        PendingFetch { namespace, sockets, replies }
    }
}

/// The sockets of this server, and the replies of the others that are still missing.
pub(super) struct PendingFetch {
    namespace: Namespace,
    sockets: Vec<FetchedSocket>,
    replies: mpsc::UnboundedReceiver<Reply>,
}

impl PendingFetch {
    pub(super) async fn collect(mut self) -> Result<Vec<FetchedSocket>, FetchSocketsError> {
        let mut missing = Vec::new();
        while let Some(reply) = self.replies.recv().await {
            match reply {
                Reply::Sockets(states) => {
                    for state in states {
                        self.sockets.push(FetchedSocket::remote(&self.namespace, state));
                    }
                }
                Reply::Missing(server) => missing.push(server),
                _ => {}
            }
        }
        let sockets = self.sockets;
        if missing.is_empty() { Ok(sockets) } else { Err(FetchSocketsError { sockets, missing }) }
    }
}

impl Namespace {
    /// Returns the sockets of the namespace on all servers of the cluster. See [`Broadcast::fetch_sockets`].
    ///
    /// # Errors
    /// Returns an error if a server has not replied. The error contains the sockets of all other servers.
    pub async fn fetch_sockets(&self) -> Result<Vec<FetchedSocket>, FetchSocketsError> {
        self.broadcast().fetch_sockets().await
    }
}

impl From<Socket> for FetchedSocket {
    fn from(socket: Socket) -> Self {
        Self(Kind::Local(socket))
    }
}

impl FetchedSocket {
    fn remote(namespace: &Namespace, state: RemoteSocketState) -> Self {
        Self(Kind::Remote(Arc::new(Remote {
            namespace: namespace.clone(),
            state,
            handshake: OnceLock::new(),
        })))
    }

    /// Returns the socket itself if it is connected to this server.
    #[must_use]
    pub fn local(&self) -> Option<&Socket> {
        match &self.0 {
            Kind::Local(socket) => Some(socket),
            Kind::Remote(_) => None,
        }
    }

    /// Returns the id. It is text, because the ids of servers in other languages may have any form.
    #[must_use]
    pub fn id(&self) -> &str {
        match &self.0 {
            Kind::Local(socket) => socket.id_str(),
            Kind::Remote(remote) => &remote.state.id,
        }
    }

    /// Returns the namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        match &self.0 {
            Kind::Local(socket) => socket.namespace(),
            Kind::Remote(remote) => &remote.namespace,
        }
    }

    /// Returns the handshake request of the connection.
    #[must_use]
    pub fn handshake(&self) -> &Handshake {
        match &self.0 {
            Kind::Local(socket) => socket.handshake(),
            Kind::Remote(remote) => &remote.handshake().0,
        }
    }

    /// Deserializes the client's auth payload as `T`.
    ///
    /// # Errors
    /// Returns an error if the payload does not fit `T`.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, ArgumentsError> {
        match &self.0 {
            Kind::Local(socket) => socket.auth(),
            Kind::Remote(remote) => remote.handshake().1.deserialize(),
        }
    }

    /// Returns the rooms of the socket, in no particular order.
    #[must_use]
    pub fn rooms(&self) -> Vec<Room> {
        match &self.0 {
            Kind::Local(socket) => socket.rooms(),
            Kind::Remote(remote) => remote.state.rooms.clone(),
        }
    }

    /// Returns the data of the socket, deserialized as `T`. See [`Socket::data`].
    ///
    /// # Errors
    /// Returns an error if the data does not fit `T`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        match &self.0 {
            Kind::Local(socket) => socket.data(),
            Kind::Remote(remote) => read_data(Some(&remote.state.data)),
        }
    }

    /// Selects the socket, for an event with options: `socket.select().volatile().emit(..)`.
    pub fn select(&self) -> Broadcast {
        self.namespace().to(self.id())
    }

    /// Sends an event to the client. See [`Socket::emit`] for the arguments.
    pub fn emit<T: Serialize>(&self, event: impl AsRef<str>, arguments: T) {
        match &self.0 {
            Kind::Local(socket) => socket.emit(event, arguments),
            Kind::Remote(_) => self.select().emit(event, arguments),
        }
    }

    /// Sends an event, and waits for the client's acknowledgement. As in Node, only its first argument is taken. The
    /// timeout is [`Limits::ack_timeout`](crate::Limits::ack_timeout). The event is sent when the future is first
    /// polled. If the future is dropped, the acknowledgement is ignored.
    ///
    /// # Errors
    /// Returns an error if the client has not acknowledged, or if the acknowledgement does not fit `R`.
    pub async fn emit_with_ack<R: DeserializeOwned>(
        &self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> Result<R, AckError> {
        match self.select().emit_with_ack(event, arguments).next().await {
            Some(Ok(response)) => Ok(response),
            Some(Err(AckFailure::NotSent(error))) => Err(AckError::NotSent(error)),
            Some(Err(AckFailure::Invalid { error, .. })) => Err(AckError::Invalid(error)),
            Some(Err(AckFailure::Missing(missing))) => Err(match missing.reason() {
                adapter::MissingReason::TimedOut => AckError::Timeout,
                adapter::MissingReason::Limit => AckError::NotSent(EmitError::Full),
                _ => AckError::Disconnected,
            }),
            // The socket is not connected any more.
            None => Err(AckError::Disconnected),
        }
    }

    /// Makes the socket join a room, or a list of rooms.
    pub fn join(&self, rooms: impl Rooms) {
        self.select().sockets_join(rooms);
    }

    /// Makes the socket leave a room, or a list of rooms.
    pub fn leave(&self, rooms: impl Rooms) {
        self.select().sockets_leave(rooms);
    }

    /// Disconnects the socket from its namespace. If `close_connection` is true, also closes its connection.
    pub fn disconnect(&self, close_connection: bool) {
        self.select().disconnect_sockets(close_connection);
    }
}

impl Remote {
    fn handshake(&self) -> &(Handshake, RawJson<'static>) {
        self.handshake.get_or_init(|| parse_handshake(&self.state.handshake))
    }
}

impl fmt::Debug for FetchedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchedSocket")
            .field("id", &self.id())
            .field("is_local", &self.local().is_some())
            .finish_non_exhaustive()
    }
}
