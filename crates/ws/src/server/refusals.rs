//! Log lines about handshakes that are refused.

use std::fmt::Display;
use std::net::SocketAddr;

use net::{LogRateLimit, PeerAddress, print_if_unlogged};
use ws_proto::{Excerpt, HandshakeError};

/// Limits the log lines about refused handshakes, each reason separately.
#[derive(Debug)]
pub(super) struct RefusalLogs {
    pub(super) handshake: LogRateLimit,
    pub(super) origin: LogRateLimit,
    pub(super) forbidden: LogRateLimit,
    pub(super) too_many_connections: LogRateLimit,
    /// The limits per address have a log line of their own. This one is for standard error.
    pub(super) address: LogRateLimit,
}

/// The limits of the handshakes that programs check with [`upgrade`](super::upgrade()).
pub(super) static UPGRADES: RefusalLogs = RefusalLogs::new();

impl RefusalLogs {
    pub(super) const fn new() -> Self {
        Self {
            handshake: LogRateLimit::new(),
            origin: LogRateLimit::new(),
            forbidden: LogRateLimit::new(),
            too_many_connections: LogRateLimit::new(),
            address: LogRateLimit::new(),
        }
    }

    pub(super) fn of(&self, error: &HandshakeError) -> &LogRateLimit {
        match error {
            HandshakeError::OriginNotAllowed => &self.origin,
            _ => &self.handshake,
        }
    }
}

/// Logs that a handshake is refused.
pub(super) fn log_refusal(limit: &LogRateLimit, peer: Option<SocketAddr>, reason: &dyn Display) {
    limit.try_log(|suppressed| {
        let (peer, error) = (peer.map(tracing::field::display), Excerpt(reason));
        tracing::warn!(peer, %error, suppressed, "refused a WebSocket handshake");
        print_if_unlogged(format_args!("refused a WebSocket handshake: {error}"), suppressed);
    });
}

pub(super) fn peer_address(extensions: &http::Extensions) -> Option<SocketAddr> {
    PeerAddress::of(extensions).map(|PeerAddress(peer)| peer)
}
