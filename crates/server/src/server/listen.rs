//! How a server is reached: by its own listener, or inside another HTTP server; and its clean stop.

use std::future::Future;
use std::io;

use engineio::{EngineLayer, EngineService};
use net::Listener;
use tokio::net::ToSocketAddrs;
use tokio::time::Instant;

use super::{Server, SocketIoHandler};

impl Server {
    /// Listens and serves until the process ends. The server's own HTTP server answers 404 to everything that is not
    /// Socket.IO. Not cancel safe: dropped, it stops accepting and leaves the connections to themselves; see
    /// [`serve`](Self::serve) for a clean stop.
    ///
    /// # Errors
    /// None of the addresses can be bound.
    pub async fn listen(&self, addresses: impl ToSocketAddrs) -> io::Result<()> {
        let listener = self.bind(addresses).await?;
        self.serve(listener, std::future::pending()).await;
        Ok(())
    }

    /// Binds one of `addresses`, with the server's [`HttpLimits`](net::HttpLimits) and with TLS if it has that, for
    /// [`serve`](Self::serve).
    ///
    /// # Errors
    /// None of the addresses can be bound.
    pub async fn bind(&self, addresses: impl ToSocketAddrs) -> io::Result<Listener> {
        let listener = Listener::bind(addresses, self.inner().http.clone()).await?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.inner().tls {
            return Ok(listener.tls(tls.clone()));
        }
        Ok(listener)
    }

    /// Serves on `listener` until `stop` is ready, then closes all connections and waits until they are gone, at most
    /// [`HttpLimits::shutdown_timeout`](net::HttpLimits::shutdown_timeout) from that moment.
    pub async fn serve(&self, listener: Listener, stop: impl Future<Output = ()>) {
        let stop_timeout = self.inner().http.shutdown_timeout;
        let mut until = Instant::now();
        let stop = async {
            stop.await;
            self.0.close();
            until = Instant::now() + stop_timeout;
        };
        listener.serve(self.service(), stop).await;
        self.0.closed(until.saturating_duration_since(Instant::now())).await;
    }

    /// A tower service that answers Socket.IO requests, and everything else with 404.
    #[must_use]
    pub fn service(&self) -> EngineService<SocketIoHandler> {
        self.0.service()
    }

    /// A tower layer that answers Socket.IO requests and leaves all others to the service behind it, for instance an
    /// axum router: `Router::new().route(..).layer(io.layer())`.
    #[must_use]
    pub fn layer(&self) -> EngineLayer<SocketIoHandler> {
        self.0.layer()
    }

    /// Closes all connections and waits until they are gone, at most
    /// [`HttpLimits::shutdown_timeout`](net::HttpLimits::shutdown_timeout). Sockets get the reason `server shutting down`; clients try
    /// to reconnect. Cancel safe.
    pub async fn close(&self) {
        self.0.close();
        self.0.closed(self.inner().http.shutdown_timeout).await;
    }
}
