//! What a client may make the server keep or do.

use std::time::Duration;

/// Limits of one connection. Each names the attack that it protects against.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time for a connection to join its first namespace. Protects against connections that never do. Default 45 s.
    pub connect_timeout: Duration,
    /// Time between a packet and its first attachment, and between its attachments. Then the connection is closed.
    /// Protects against clients that announce attachments and keep them back: what has come is held until the last one
    /// is there. The time stands still while waiting events keep the connection from being read. Default 45 s.
    pub attachment_timeout: Duration,
    /// Events of a connection that wait for a handler before the connection is read no further. Protects
    /// against clients that send faster than handlers finish. Default 256.
    pub max_queued_events: usize,
    /// The same in bytes. Default 1 MiB.
    pub max_queued_bytes: usize,
    /// Events that may wait while a handler awaits an acknowledgement of the same connection: reading must go on then,
    /// or the acknowledgement would never arrive. Beyond it the connection is closed. Default 16,384.
    pub max_queued_events_hard: usize,
    /// The same in bytes. Default 16 MiB.
    pub max_queued_bytes_hard: usize,
    /// Handlers of one socket that are registered as concurrent and run at the same time; the events behind the next
    /// one wait. Protects against clients that start long jobs without an end. Default 64.
    pub max_concurrent_handlers: usize,
    /// Rooms that one socket may be in, beside the one of its own id. Protects against clients that join one
    /// room after the other, where the program lets them choose. At the limit [`join`](crate::Socket::join) is refused.
    /// Default 10,000.
    pub max_rooms: usize,
    /// The longest name of a room that a socket may join, in bytes. Protects against names of megabytes: a name is
    /// kept as long as its room has a member. A longer one is refused. Default 1,024.
    pub max_room_name_len: usize,
    /// Time for an `on_disconnect` handler. Protects against a handler that never ends, which would keep the memory
    /// of a connection that is gone. No client can cause this. Default 30 s.
    pub on_disconnect_timeout: Duration,
    /// How long an acknowledgement is awaited where the program says nothing else. Default 10 s.
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
