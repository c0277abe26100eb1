//! Serving and shutdown: the server's own listener, and the layer and service for other HTTP servers.

use std::future::Future;
use std::io;

use engineio::{EngineLayer, EngineService};
use net::Listener;
use tokio::net::ToSocketAddrs;
use tokio::time::Instant;

use super::{Server, SocketIoApplication};

impl Server {
    /// Listens on one of `addresses` and serves until the process ends. The server's own HTTP server responds with 404
    /// to every request that is not for Socket.IO.
    ///
    /// Not cancel safe: if the future is dropped, the server stops accepting connections, but existing connections stay
    /// open. Use [`serve`](Self::serve) for a clean shutdown.
    ///
    /// # Errors
    /// Returns an error if none of the addresses can be bound.
    pub async fn listen(&self, addresses: impl ToSocketAddrs) -> io::Result<()> {
        let listener = self.bind(addresses).await?;
        self.serve(listener, std::future::pending()).await;
        Ok(())
    }

    /// Binds one of `addresses` and returns a listener for [`serve`](Self::serve). The listener uses the server's
    /// [`HttpLimits`](net::HttpLimits), and TLS if the server has it enabled.
    ///
    /// # Errors
    /// Returns an error if none of the addresses can be bound.
    pub async fn bind(&self, addresses: impl ToSocketAddrs) -> io::Result<Listener> {
        let listener = Listener::bind(addresses, self.application().http.clone()).await?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.application().tls {
            return Ok(listener.tls(tls.clone()));
        }
        Ok(listener)
    }

    /// Serves on `listener` until `stop` is ready. Then closes all connections and waits until they are closed, for at
    /// most [`HttpLimits::shutdown_timeout`](net::HttpLimits::shutdown_timeout).
    pub async fn serve(&self, listener: Listener, stop: impl Future<Output = ()>) {
        let stop_timeout = self.application().http.shutdown_timeout;
        let mut until = Instant::now();
        let stop = async {
            stop.await;
            self.0.close();
            until = Instant::now() + stop_timeout;
        };
        listener.serve(self.service(), stop).await;
        self.0.closed(until.saturating_duration_since(Instant::now())).await;
    }

    /// Returns a tower service that handles Socket.IO requests and responds with 404 to all others.
    #[must_use]
    pub fn service(&self) -> EngineService<SocketIoApplication> {
        self.0.service()
    }

    /// Returns a tower layer that handles Socket.IO requests and passes all others to the inner service, for instance
    /// an axum router: `Router::new().route(..).layer(io.layer())`.
    #[must_use]
    pub fn layer(&self) -> EngineLayer<SocketIoApplication> {
        self.0.layer()
    }

    /// Closes all connections and waits until they are closed, for at most
    /// [`HttpLimits::shutdown_timeout`](net::HttpLimits::shutdown_timeout). The disconnect reason of the sockets is
    /// `server shutting down`. Clients try to reconnect. Cancel safe.
    pub async fn close(&self) {
        self.0.close();
        self.0.closed(self.application().http.shutdown_timeout).await;
    }
}
