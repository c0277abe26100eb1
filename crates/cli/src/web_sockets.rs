//! What the WebSocket routes of the binary share: allowed origins, the limits per address, the memory budget, and the end of
//! the server.

use std::sync::Arc;

use axum::http::header::{CONNECTION, HeaderValue};
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use tidewire::server::{AddressLimits, MemoryBudget, TrustedProxies};
use tidewire::ws::{
    self, AddressLimitError, AddressLimiter, AddressPermit, AllowedOrigins, ClientNetwork, CloseCode,
    CloseFrame, HandshakeError, Upgrade,
};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The state of a route that accepts WebSockets.
#[derive(Clone)]
pub(crate) struct WebSockets {
    shutdown: watch::Receiver<bool>,
    connections: TaskTracker,
    memory_budget: MemoryBudget,
    /// `None` allows all origins.
    origins: Option<Arc<AllowedOrigins>>,
    proxies: Arc<TrustedProxies>,
    /// Counts the WebSockets of all routes together.
    addresses: Arc<AddressLimiter>,
}

/// A connection holds this from its handshake until its closing handshake is done. It takes part in the shutdown of the
/// server, and counts for its address.
pub(crate) struct Admission {
    shutdown: watch::Receiver<bool>,
    address: Option<AddressPermit>,
    _connection: TaskTrackerToken,
}

impl WebSockets {
    pub(crate) fn new(
        shutdown: watch::Receiver<bool>,
        connections: TaskTracker,
        memory_budget: MemoryBudget,
        origins: Option<AllowedOrigins>,
        proxies: TrustedProxies,
        limits: AddressLimits,
    ) -> Self {
        Self {
            shutdown,
            connections,
            memory_budget,
            origins: origins.map(Arc::new),
            proxies: Arc::new(proxies),
            addresses: Arc::new(AddressLimiter::new(limits)),
        }
    }

    /// Checks the origin and the address of a handshake, and applies the memory budget to its connection.
    pub(crate) fn admit<B>(&self, mut request: Request<B>) -> Result<(Upgrade, Admission), Refusal> {
        let mut upgrade = ws::upgrade(&mut request)?.memory_budget(&self.memory_budget);
        if let Some(origins) = &self.origins {
            upgrade = upgrade.allow_origins(origins)?;
        }
        let mut request = request.into_parts().0;
        self.proxies.insert_client_address(&mut request);
        let address = self.addresses.admit_websocket(&request)?;
        let (shutdown, connection) = (self.shutdown.clone(), self.connections.token());
        Ok((upgrade, Admission { shutdown, address, _connection: connection }))
    }
}

impl Admission {
    /// Returns what the address of the connection counts as. `None` if the limits per address do not hold for it.
    pub(crate) fn network(&self) -> Option<ClientNetwork> {
        self.address.as_ref().map(AddressPermit::network)
    }

    /// Waits until the server stops, and returns how to close the connection then. Cancel safe.
    pub(crate) async fn shutdown_begun(&mut self) -> CloseFrame {
        let _ = self.shutdown.wait_for(|stopping| *stopping).await;
        CloseFrame::new(CloseCode::GOING_AWAY, "server shutting down")
    }
}

/// Why a handshake gets no WebSocket.
pub(crate) enum Refusal {
    Handshake(HandshakeError),
    Address(AddressLimitError),
}

impl From<HandshakeError> for Refusal {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<AddressLimitError> for Refusal {
    fn from(error: AddressLimitError) -> Self {
        Self::Address(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> axum::response::Response {
        let response: Response<String> = match self {
            Self::Handshake(error) => error.response(),
            Self::Address(error) => {
                let mut response = error.response();
                // The client may believe that it speaks WebSocket already.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                response
            }
        };
        response.into_response()
    }
}
