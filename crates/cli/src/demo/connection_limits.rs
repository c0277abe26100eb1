//! How fast one connection may go in the namespaces of the pages, and which connections count as one visitor.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::http::Request;
use tidewire::server::{AddressLimits, Builder, ClientAddress, ClientNetwork, Socket};

use super::chat::RateLimits;
use super::rate_limit::RateLimit;

/// The limits of one connection, as an extension of the request that opens it. Its sockets share them: a client that leaves
/// a namespace and connects to it again has another socket, but no fresh limits.
#[derive(Clone)]
pub(super) struct ConnectionLimits(Arc<Limits>);

/// The limits of a connection in each namespace.
pub(super) struct Limits {
    pub(super) chat: RateLimits,
    pub(super) game: RateLimit,
    pub(super) playground: RateLimit,
    pub(super) tracking: RateLimit,
    /// The visitor of the page `/tracking/`: the id of the first socket, because a recovered socket has its former id.
    pub(super) visitor: OnceLock<String>,
}

impl ConnectionLimits {
    fn new(now: Instant) -> Self {
        Self(Arc::new(Limits {
            chat: RateLimits::new(now),
            game: super::game::rate_limit(now),
            playground: RateLimit::new(100, Duration::from_millis(50), now),
            tracking: RateLimit::new(15, Duration::from_millis(200), now),
            visitor: OnceLock::new(),
        }))
    }
}

impl Deref for ConnectionLimits {
    type Target = Limits;

    fn deref(&self) -> &Limits {
        &self.0
    }
}

/// The server keeps the limits that [`add_to`] adds to a request, and the address of its client.
pub(super) fn configure(builder: Builder, address_limits: &AddressLimits) -> Builder {
    builder
        .keep_request_extension::<ConnectionLimits>()
        .keep_request_extension::<ClientAddress>()
        .state(address_limits.clone())
}

/// Returns what the address of a visitor counts as. `None` if the limits per address do not hold for it.
pub(super) fn network_of(socket: &Socket, limits: &AddressLimits) -> Option<ClientNetwork> {
    limits.network_of(*socket.handshake().extension::<ClientAddress>()?)
}

/// Adds fresh limits to a request, which may open a connection.
pub(crate) fn add_to<B>(mut request: Request<B>) -> Request<B> {
    request.extensions_mut().insert(ConnectionLimits::new(Instant::now()));
    request
}
