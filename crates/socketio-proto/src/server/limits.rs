//! Limits on what a client can make a server store or wait for. Each limit names the attack that it protects against.

use std::time::Duration;

/// Limits of one [`Connection`](super::Connection).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The time in which a client must connect to its first namespace. After that, the connection is closed. Default:
    /// 45 s, as in Node.
    ///
    /// Protects against clients that open connections and never connect to a namespace, which costs them nothing.
    pub connect_timeout: Duration,

    /// The maximum time from a packet to its first attachment, and from one attachment to the next. After that, the
    /// connection is closed. The timeout does not run while the driver has paused reading. Default: 45 s.
    ///
    /// Protects against clients that announce attachments and never send them. The packet is stored until its last
    /// attachment has arrived.
    pub attachment_timeout: Duration,

    /// The maximum number of disconnected sockets of one namespace whose handlers are still running when the client
    /// requests the namespace again. If there are already this many, the request closes the connection. Default: 16.
    ///
    /// Protects against clients that connect and disconnect in a loop, faster than the handlers finish.
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
