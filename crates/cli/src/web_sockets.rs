//! What the WebSocket routes of the binary share: allowed origins, the memory budget, and the end of the server.

use std::sync::Arc;

use tidewire::server::MemoryBudget;
use tidewire::ws::{AllowedOrigins, CloseCode, CloseFrame, Upgrade, UpgradeRejection};
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
}

/// A connection takes part in the shutdown of the server for as long as it holds this.
pub(crate) struct Shutdown {
    shutdown: watch::Receiver<bool>,
    _connection: TaskTrackerToken,
}

impl WebSockets {
    pub(crate) fn new(
        shutdown: watch::Receiver<bool>,
        connections: TaskTracker,
        memory_budget: MemoryBudget,
        origins: Option<AllowedOrigins>,
    ) -> Self {
        Self { shutdown, connections, memory_budget, origins: origins.map(Arc::new) }
    }

    /// Checks the origin of a handshake, and applies the memory budget to its connection.
    pub(crate) fn check(&self, upgrade: Upgrade) -> Result<Upgrade, UpgradeRejection> {
        let upgrade = match &self.origins {
            Some(origins) => upgrade.allow_origins(origins)?,
            None => upgrade,
        };
        Ok(upgrade.memory_budget(&self.memory_budget))
    }

    /// Returns what a connection holds from its handshake until its closing handshake is done. The server waits for it
    /// before the process ends.
    pub(crate) fn shutdown(&self) -> Shutdown {
        Shutdown { shutdown: self.shutdown.clone(), _connection: self.connections.token() }
    }
}

impl Shutdown {
    /// Waits until the server stops, and returns how to close the connection then. Cancel safe.
    pub(crate) async fn begun(&mut self) -> CloseFrame {
        let _ = self.shutdown.wait_for(|stopping| *stopping).await;
        CloseFrame::new(CloseCode::GOING_AWAY, "server shutting down")
    }
}
