//! The settings of connection state recovery.

use std::time::Duration;

/// The settings of connection state recovery, see
/// [`Builder::connection_state_recovery`](crate::Builder::connection_state_recovery). The first two have the names and
/// defaults of Node. The others are limits of one namespace; each one names what it protects against.
///
/// ```
/// use std::time::Duration;
/// use tidewire_server::{ConnectionStateRecovery, Server};
///
/// let io = Server::builder()
///     .connection_state_recovery(ConnectionStateRecovery {
///         max_disconnection_duration: Duration::from_secs(30),
///         ..ConnectionStateRecovery::default()
///     })
///     .build();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionStateRecovery {
    /// How long the session of a client is kept after its connection was lost. Default 2 min.
    pub max_disconnection_duration: Duration,
    /// Whether a client that recovers its session passes without the middlewares of the namespace. If `false`, they run
    /// before the client gets anything that it has missed. Default true.
    pub skip_middlewares: bool,
    /// The maximum size of the log of events of one namespace, in bytes, with the server's own memory for each event. At
    /// the limit, the oldest events are dropped: a client that has missed one of them is not recovered. Protects against
    /// programs that send much within
    /// [`max_disconnection_duration`](Self::max_disconnection_duration). Default 16 MiB.
    pub max_log_bytes: usize,
    /// The maximum number of sessions of one namespace that are kept. At the limit, the oldest one is dropped. Protects
    /// against clients that connect and disappear again and again. Default 100,000.
    pub max_sessions: usize,
    /// The maximum size of the sessions of one namespace that are kept, in bytes: with the names of their rooms and the
    /// [data](crate::Socket::data) of their sockets. At the limit, the oldest one is dropped. Protects against the same
    /// clients, if each joins many rooms or has much data. Default 64 MiB.
    pub max_session_bytes: usize,
    /// The maximum number of rooms that a socket has left and that are still remembered, because an event that was sent
    /// before may not have arrived. At the limit, the oldest one is forgotten: if the client has missed events from before
    /// it left that room, it is not recovered. Protects against clients that join and leave rooms again and again.
    /// Default 64.
    pub max_left_rooms: usize,
    /// The maximum number of events that one client gets again. A client that has missed more is not recovered. Protects
    /// a client against a flood: it stores these events until it has the response to its CONNECT. Default 10,000.
    pub max_missed_events: usize,
    /// The maximum size of the events that one client gets again, in bytes. A client that has missed more is not recovered.
    /// If [`max_write_buffer_size`](crate::Builder::max_write_buffer_size) is less, that is the limit. Default 8 MiB.
    pub max_missed_bytes: usize,
}

impl Default for ConnectionStateRecovery {
    fn default() -> Self {
        Self {
            max_disconnection_duration: Duration::from_secs(120),
            skip_middlewares: true,
            max_log_bytes: 16 * 1024 * 1024,
            max_sessions: 100_000,
            max_session_bytes: 64 * 1024 * 1024,
            max_left_rooms: 64,
            max_missed_events: 10_000,
            max_missed_bytes: 8 * 1024 * 1024,
        }
    }
}
