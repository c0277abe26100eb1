//! Limits of the memory and the work that a client can cause.

use std::time::Duration;

/// Limits of one connection, or of the server where the text says so. Each one names the attack that it protects
/// against.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The time in which a client must connect to its first namespace. Protects against clients that open connections
    /// and never connect to a namespace. Default 45 s.
    pub connect_timeout: Duration,
    /// The time between a packet and its first attachment, and between two attachments. When it expires, the connection
    /// is closed. Protects against clients that announce attachments and never send all of them: the server buffers the
    /// attachments of a packet until the packet is complete. If too many events are queued, the server stops reading
    /// from the connection and pauses this timer. Default 45 s.
    pub attachment_timeout: Duration,
    /// The number of queued events at which the server stops reading from the connection. Protects against clients that
    /// send faster than the handlers finish. Default 256.
    pub max_queued_events: usize,
    /// Like [`max_queued_events`](Self::max_queued_events), but counts the bytes of the queued events. Default 1 MiB.
    pub max_queued_bytes: usize,
    /// The maximum number of queued events while the server waits for an acknowledgement on the same connection. During
    /// this time the server continues to read, because otherwise the acknowledgement could not arrive. If the limit is
    /// exceeded, the connection is closed. Default 16,384.
    pub max_queued_events_hard: usize,
    /// Like [`max_queued_events_hard`](Self::max_queued_events_hard), but counts the bytes of the queued events.
    /// Default 16 MiB.
    pub max_queued_bytes_hard: usize,
    /// The number of running [concurrent](crate::Registration::concurrent) handlers of one socket at which later events
    /// begin to wait. While this many run, the next concurrent handler still starts, but all later events wait until
    /// one of these handlers has finished. Protects against clients that start an unlimited number of long jobs.
    /// Default 64.
    pub max_concurrent_handlers: usize,
    /// The maximum number of rooms of one socket, not counting the room of its own id. At the limit,
    /// [`join`](crate::Socket::join) fails. Protects against clients that join more and more rooms, if the program lets
    /// clients choose them. Default 10,000.
    pub max_rooms: usize,
    /// The maximum length of a room name, in bytes. [`join`](crate::Socket::join) fails for a longer name. Protects
    /// against names of several megabytes, because a name is kept as long as its room has a member. Default 1,024.
    pub max_room_name_len: usize,
    /// The maximum number of sockets of one connection, one per namespace. A socket whose handlers still run counts, and
    /// so does a namespace from which the program has disconnected the client. At the limit, a request to connect is
    /// refused. Protects against clients that connect to more and more namespaces, if the program lets clients choose
    /// their names ([`of_pattern`](crate::Server::of_pattern)). Default 1,000.
    pub max_sockets: usize,
    /// The maximum number of namespaces of the whole server that exist because clients requested them. At the limit, a
    /// request for another one is refused. Protects against clients that invent names: each namespace has an adapter.
    /// Default 10,000.
    pub max_client_namespaces: usize,
    /// The maximum length of the name of such a namespace, in bytes. Protects against names of several megabytes, because
    /// a name is kept as long as the namespace. Default 1,024.
    pub max_namespace_name_len: usize,
    /// The time in which the [predicates](crate::Server::of_predicate) must decide whether a namespace may be created.
    /// After that, the request is refused. Protects against requests that pile up while a service that a predicate asks
    /// does not respond. Default 10 s.
    pub namespace_check_timeout: Duration,
    /// The maximum number of requests of the whole server that wait for such a predicate. At the limit, further ones are
    /// refused. Protects against clients that request more and more namespaces while predicates wait. Default 10,000.
    pub max_pending_namespace_checks: usize,
    /// The maximum number of sessions that one connection may want to recover at the same time, in all its namespaces, while
    /// other servers are asked for them. At the limit, the client connects as a new one, with
    /// [`ClaimError::TooManyClaims`](crate::ClaimError::TooManyClaims). Protects the other servers of a cluster against one
    /// client that asks for sessions without end. Default 100.
    pub max_pending_claims: usize,
    /// The time in which an `on_disconnect` handler must finish. Protects against a handler that never finishes and
    /// keeps the memory of a closed connection. A client cannot cause this. Default 30 s.
    pub on_disconnect_timeout: Duration,
    /// The default timeout of [`Socket::emit_with_ack`](crate::Socket::emit_with_ack).
    /// [`Socket::timeout`](crate::Socket::timeout) sets another one. The same for the acknowledgements of broadcasts,
    /// [`Broadcast::emit_with_ack`](crate::Broadcast::emit_with_ack). Default 10 s.
    pub ack_timeout: Duration,
    /// The maximum number of acknowledgements that one socket owes. At the limit, a broadcast with an acknowledgement is
    /// not sent to the socket, and the socket counts as one that did not acknowledge. Protects against clients that never
    /// acknowledge, if the program broadcasts often: each pending acknowledgement is kept until its timeout. Default
    /// 1,024.
    pub max_pending_broadcast_acks: usize,
    /// The maximum size of the acknowledgements of one broadcast that the program has not taken yet, in bytes. An
    /// acknowledgement beyond the limit is dropped, and its client counts as one that did not acknowledge. Protects
    /// against clients that send large acknowledgements. Default 16 MiB.
    pub max_broadcast_ack_bytes: usize,
    /// The time in which the other servers of a cluster must reply when the program asks them for their sockets
    /// ([`Broadcast::fetch_sockets`](crate::Broadcast::fetch_sockets)) or for an acknowledgement
    /// ([`Namespace::server_side_emit_with_ack`](crate::Namespace::server_side_emit_with_ack)). Clients cannot cause
    /// this. Default 5 s.
    pub cluster_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let machine = socketio_proto::server::Limits::default();
        let adapter = adapter::Limits::default();
        Self {
            connect_timeout: machine.connect_timeout,
            attachment_timeout: machine.attachment_timeout,
            max_queued_events: 256,
            max_queued_bytes: 1024 * 1024,
            max_queued_events_hard: 16 * 1024,
            max_queued_bytes_hard: 16 * 1024 * 1024,
            max_concurrent_handlers: 64,
            max_rooms: adapter.max_rooms,
            max_room_name_len: adapter.max_room_name_len,
            max_sockets: 1_000,
            max_client_namespaces: 10_000,
            max_namespace_name_len: 1_024,
            namespace_check_timeout: Duration::from_secs(10),
            max_pending_namespace_checks: 10_000,
            max_pending_claims: 100,
            on_disconnect_timeout: Duration::from_secs(30),
            ack_timeout: Duration::from_secs(10),
            max_pending_broadcast_acks: 1_024,
            max_broadcast_ack_bytes: 16 * 1024 * 1024,
            cluster_timeout: Duration::from_secs(5),
        }
    }
}

/// The bytes of the events in an [`EventStream`](crate::EventStream) at which later events begin to wait. Protects
/// against clients that send faster than the program takes the events from the stream.
pub(crate) const MAX_STREAM_BYTES: usize = 64 * 1024;
