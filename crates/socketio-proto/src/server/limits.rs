//! What a client may make a server keep or wait for, with the attack that each number protects against.

use std::time::Duration;

/// Limits of one [`Connection`](super::Connection).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Time for a connection to join its first namespace; then it is closed. Default: 45 s, as in Node.
    ///
    /// Protects against connections that never join anything and cost the client nothing.
    pub connect_timeout: Duration,

    /// Time between a packet and its first attachment, and between its attachments; then the connection is closed.
    /// The time stands still while the driver does not read. Default: 45 s.
    ///
    /// Protects against clients that announce attachments and keep them back: what has come is held until the last one is
    /// there.
    pub attachment_timeout: Duration,

    /// Sockets of one namespace whose last handlers still run when the client asks for it again. One more closes the
    /// connection. Default: 16.
    ///
    /// Protects against clients that join and leave in a loop, faster than handlers finish.
    pub max_disconnecting_sockets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(45),
            attachment_timeout: Duration::from_secs(45),
            max_disconnecting_sockets: 16,
        }
    }
}
