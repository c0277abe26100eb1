//! Limits of the memory and the work that a client can cause.

use std::time::Duration;

/// Limits of one connection. Each one names the attack that it protects against.
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
    /// The time in which an `on_disconnect` handler must finish. Protects against a handler that never finishes and
    /// keeps the memory of a closed connection. A client cannot cause this. Default 30 s.
    pub on_disconnect_timeout: Duration,
    /// The default timeout of [`Socket::emit_with_ack`](crate::Socket::emit_with_ack).
    /// [`Socket::timeout`](crate::Socket::timeout) sets another one. Default 10 s.
    pub ack_timeout: Duration,
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
            on_disconnect_timeout: Duration::from_secs(30),
            ack_timeout: Duration::from_secs(10),
        }
    }
}
