//! The messages that the servers of a cluster send each other.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use socketio_proto::{Arguments, EncodedEvent, SocketId};

use crate::options::BroadcastOptions;
use crate::recovery::PrivateId;
use crate::remote_socket::RemoteSocketState;
use crate::request::MissingReason;
use crate::room::Room;

/// The name of a server in a cluster. It must be unique, so it contains random bytes. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Creates the id of this server from random bytes: 16 hexadecimal digits, as in Node's adapters.
    #[must_use]
    pub fn from_random(random: [u8; 8]) -> Self {
        Self(format!("{:016x}", u64::from_be_bytes(random)).into())
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of another server, which may have any form.
impl From<&str> for NodeId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({})", self.0)
    }
}

/// The id of a request. The server that sends the request chooses it, and the replies repeat it. In Node's formats it is
/// text: 16 hexadecimal digits, or six characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId {
    len: u8,
    /// Zeros follow the text.
    text: [u8; Self::MAX_LEN],
}

impl RequestId {
    /// The maximum length of an id in bytes, that of a UUID.
    pub const MAX_LEN: usize = 36;

    /// Reads the id of a request of another server. `None` if it is longer than [`MAX_LEN`](Self::MAX_LEN).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = Self { len: u8::try_from(text.len()).ok()?, text: [0; Self::MAX_LEN] };
        id.text.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(id)
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).expect("it was copied from a text")
    }
}

/// The id of a request of this server: 16 hexadecimal digits, as in Node's adapters.
impl From<u64> for RequestId {
    fn from(number: u64) -> Self {
        Self::parse(&format!("{number:016x}")).expect("16 digits fit")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.as_str())
    }
}

/// What a server sends to the others, in one namespace.
///
/// The first thirteen variants are the messages of Node's `ClusterAdapter`, types 1 to 13. A driver encodes them in the
/// format of its message bus.
///
/// In Node's formats, the flags of a broadcast have `volatile` and `compress`. `compress` belongs to the
/// [message](EncodedEvent::message) of the event
/// ([`allows_compression`](engineio_proto::SharedMessage::allows_compression)).
/// [`DeliveryPolicy::KeepLatest`](crate::DeliveryPolicy::KeepLatest) is no flag of Node: a driver sends its key as the
/// flag `keepLatest`. Node ignores it and queues the event, and a receiver without the flag queues it too. The same is true
/// of [`BroadcastOptions::private`], the flag `private`: in Node, such an event reaches all members of the room.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Message {
    /// A server has joined, and asks the others to send a [`Heartbeat`](Self::Heartbeat).
    InitialHeartbeat,
    /// A server is alive.
    Heartbeat,
    /// An event for the sockets that the options select.
    Broadcast {
        /// The event. A receiver decodes it from its [JSON](EncodedEvent::json) and its attachments.
        event: EncodedEvent,
        /// The receivers.
        options: BroadcastOptions,
        /// Set if the sender collects the acknowledgements.
        ack: Option<AckRequest>,
        /// Set if the bus must return the event to its sender (`LocalDelivery::InLogOrder`), which
        /// then knows which of its events this is. Other servers ignore it. Node has no such number.
        sequence: Option<u64>,
    },
    /// The sockets that the options select join rooms.
    SocketsJoin {
        /// The sockets.
        options: BroadcastOptions,
        /// The rooms.
        rooms: Vec<Box<str>>,
    },
    /// The sockets that the options select leave rooms.
    SocketsLeave {
        /// The sockets.
        options: BroadcastOptions,
        /// The rooms.
        rooms: Vec<Box<str>>,
    },
    /// The sockets that the options select are disconnected.
    DisconnectSockets {
        /// The sockets.
        options: BroadcastOptions,
        /// Whether to close their connections too.
        close_connection: bool,
    },
    /// Asks for the sockets that the options select.
    FetchSockets {
        /// The id of the request.
        request: RequestId,
        /// The sockets.
        options: BroadcastOptions,
    },
    /// The reply to [`FetchSockets`](Self::FetchSockets).
    FetchSocketsResponse {
        /// The id of the request.
        request: RequestId,
        /// The selected sockets of the sender.
        sockets: Vec<RemoteSocketState>,
    },
    /// An event for the programs on the other servers.
    ServerSideEmit {
        /// The event.
        event: EncodedEvent,
        /// Set if the sender waits for a response.
        request: Option<RequestId>,
    },
    /// The response to [`ServerSideEmit`](Self::ServerSideEmit).
    ServerSideEmitResponse {
        /// The id of the request.
        request: RequestId,
        /// One argument.
        arguments: Arguments<'static>,
    },
    /// The number of clients that have received a broadcast whose acknowledgements the receiver collects.
    BroadcastClientCount {
        /// The id of the request.
        request: RequestId,
        /// The number of clients.
        count: usize,
    },
    /// The acknowledgement of one of these clients.
    BroadcastAck {
        /// The id of the request.
        request: RequestId,
        /// One argument.
        arguments: Arguments<'static>,
    },
    /// A server leaves the cluster.
    Close,
    /// One of the clients of a broadcast will not acknowledge it. Node has no such message and ignores it; then the
    /// receiver waits until its timeout.
    BroadcastMissing {
        /// The id of the request.
        request: RequestId,
        /// The id of the socket.
        socket: Box<str>,
        /// The reason.
        reason: MissingReason,
    },
    /// Asks for the rooms in which the receiver has sockets. Only Node's adapter for Redis sends it (`allRooms`). This
    /// library replies to it, and does not send it.
    AllRooms {
        /// The id of the request.
        request: RequestId,
    },
    /// The reply to [`AllRooms`](Self::AllRooms).
    AllRoomsResponse {
        /// The id of the request.
        request: RequestId,
        /// The rooms, including the own rooms of the sockets.
        rooms: Vec<Box<str>>,
    },
    /// Asks for the ids of the sockets that the options select. Only old versions of Node's adapter for Redis send it. This
    /// library replies to it, and does not send it.
    SocketIds {
        /// The id of the request.
        request: RequestId,
        /// The sockets.
        options: BroadcastOptions,
    },
    /// The reply to [`SocketIds`](Self::SocketIds).
    SocketIdsResponse {
        /// The id of the request.
        request: RequestId,
        /// The ids.
        ids: Vec<Box<str>>,
    },
    /// Asks for the session of a client that has come back to another server. The server that has it replies with a copy, and
    /// keeps the session. Node has no such message: its adapters keep sessions in the database.
    ClaimSession {
        /// The id of the request.
        request: RequestId,
        /// The private id of the session.
        pid: PrivateId,
    },
    /// The reply to [`ClaimSession`](Self::ClaimSession). It must not overtake the events that were logged before.
    ClaimSessionResponse {
        /// The id of the request.
        request: RequestId,
        /// What the sender has.
        reply: ClaimReply,
    },
    /// Takes a session of which the sender has got a copy. The receiver keeps it and gives it to nobody else until the sender
    /// has [acknowledged](Self::SessionTaken) that it has the session.
    TakeSession {
        /// The id of the request that the copy was the reply to.
        request: RequestId,
        /// The private id of the session.
        pid: PrivateId,
        /// The [generation](MovedSession::generation) of the copy.
        generation: u64,
    },
    /// The reply to [`TakeSession`](Self::TakeSession). The sender repeats it until the receiver acknowledges it.
    TakeSessionResponse {
        /// The id of the request.
        request: RequestId,
        /// The private id of the session.
        pid: PrivateId,
        /// Whether the session belongs to the receiver now. Otherwise it is not the one of the copy any more: its client or
        /// another server was faster, or it has expired.
        is_taken: bool,
    },
    /// Acknowledges a [`TakeSessionResponse`](Self::TakeSessionResponse).
    SessionTaken {
        /// The id of the request.
        request: RequestId,
        /// The private id of the session.
        pid: PrivateId,
        /// Whether the sender has the session now. Then the receiver removes it. Otherwise the response came too late, and the
        /// session stays with the receiver.
        is_taken: bool,
    },
}

impl Message {
    /// Returns the name of the variant in snake case, for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::InitialHeartbeat => "initial_heartbeat",
            Self::Heartbeat => "heartbeat",
            Self::Broadcast { .. } => "broadcast",
            Self::SocketsJoin { .. } => "sockets_join",
            Self::SocketsLeave { .. } => "sockets_leave",
            Self::DisconnectSockets { .. } => "disconnect_sockets",
            Self::FetchSockets { .. } => "fetch_sockets",
            Self::FetchSocketsResponse { .. } => "fetch_sockets_response",
            Self::ServerSideEmit { .. } => "server_side_emit",
            Self::ServerSideEmitResponse { .. } => "server_side_emit_response",
            Self::BroadcastClientCount { .. } => "broadcast_client_count",
            Self::BroadcastAck { .. } => "broadcast_ack",
            Self::Close => "close",
            Self::BroadcastMissing { .. } => "broadcast_missing",
            Self::AllRooms { .. } => "all_rooms",
            Self::AllRoomsResponse { .. } => "all_rooms_response",
            Self::SocketIds { .. } => "socket_ids",
            Self::SocketIdsResponse { .. } => "socket_ids_response",
            Self::ClaimSession { .. } => "claim_session",
            Self::ClaimSessionResponse { .. } => "claim_session_response",
            Self::TakeSession { .. } => "take_session",
            Self::TakeSessionResponse { .. } => "take_session_response",
            Self::SessionTaken { .. } => "session_taken",
        }
    }

    /// Returns the id of the request that waits for replies to this message.
    #[cfg(feature = "cluster")]
    pub(super) fn request(&self) -> Option<RequestId> {
        match self {
            Self::Broadcast { ack, .. } => ack.map(|ack| ack.request),
            Self::FetchSockets { request, .. } => Some(*request),
            Self::ServerSideEmit { request, .. } => *request,
            _ => None,
        }
    }
}

/// What a server replies to [`Message::ClaimSession`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ClaimReply {
    /// It does not have the session.
    Unknown,
    /// It cannot say now: too many claims wait there, its message bus is late, or it has lost its link.
    Unavailable,
    /// It has the session. This is a copy.
    Found(Box<MovedSession>),
}

/// The copy of a session, for a server that may take it. Places in the log are numbers of events before
/// [`head`](Self::head), because each server counts the events of the log from its own start.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MovedSession {
    /// The id of the socket.
    pub id: SocketId,
    /// The private id of the session.
    pub pid: PrivateId,
    /// Changes with each socket that the session gets. The server that has the session chooses the number.
    pub generation: u64,
    /// How long the session is kept from now on. It is no time, because each server has its own clock.
    pub remaining: Duration,
    /// The data of the socket.
    pub data: Option<Arc<Arguments<'static>>>,
    /// The offset of the last event that the server had in its log.
    pub head: Box<str>,
    /// Where the session began.
    pub started: u64,
    /// The last event that its sockets were sent.
    pub sent: u64,
    /// Its offset.
    pub sent_offset: Option<Box<str>>,
    /// Where its last socket was disconnected.
    pub suspended: u64,
    /// The rooms of the socket, and where it joined them.
    pub rooms: Vec<(Room, u64)>,
    /// Rooms that it has left, where it joined them, and where it left them.
    pub left: Vec<(Room, u64, u64)>,
    /// Before this place, rooms may be missing in `left`.
    pub complete_after: u64,
}

/// Asks the receivers of a broadcast to pass on the acknowledgements of their clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckRequest {
    /// The id of the request.
    pub request: RequestId,
    /// How long to wait for the clients.
    pub timeout: Duration,
}

/// The receiver of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// All servers.
    All,
    /// One server. If the bus can only reach all, the others ignore the message, because they do not know its request.
    Node(NodeId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_the_text_that_the_other_server_has_chosen() {
        for text in ["", "a-Z_09", "00112233aabbccdd", &"x".repeat(RequestId::MAX_LEN)] {
            assert_eq!(RequestId::parse(text).map(|id| id.to_string()).as_deref(), Some(text));
        }
        assert_eq!(RequestId::parse(&"x".repeat(RequestId::MAX_LEN + 1)), None);
        assert_eq!(RequestId::parse(&"x".repeat(300)), None);
        assert_eq!(RequestId::from(0xab).as_str(), "00000000000000ab");
        assert_ne!(RequestId::parse("a"), RequestId::parse("a\0"));
    }
}
