//! Serving and shutdown: the server's own listener, and the layer and service for other HTTP servers.

use std::future::Future;
use std::io;
use std::time::Duration;

use engineio::{ClosePace, EngineLayer, EngineService};
use net::{HttpService, Listener};
use tokio::net::ToSocketAddrs;

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
    /// [`HttpLimits`](net::HttpLimits), and TLS and the PROXY protocol if the server has them enabled.
    ///
    /// # Errors
    /// Returns an error if none of the addresses can be bound.
    pub async fn bind(&self, addresses: impl ToSocketAddrs) -> io::Result<Listener> {
        self.0.bind(addresses, &self.application().listener).await
    }

    /// Serves on `listener` until `stop` is ready. Then accepts no more connections, closes those that are open as
    /// [`close`](Self::close) does, and waits until they are closed, for at most
    /// [`HttpLimits::shutdown_timeout`](net::HttpLimits::shutdown_timeout).
    pub async fn serve(&self, listener: Listener, stop: impl Future<Output = ()>) {
        self.serve_with(listener, self.service(), stop).await;
    }

    /// Does the same as [`serve`](Self::serve) with another service, which contains [`service`](Self::service) or
    /// [`layer`](Self::layer): an axum router, or tower layers around this server. The layers see every request: polls
    /// and posts, CORS preflights, and WebSocket handshakes. They can respond themselves, and change the headers of the
    /// responses. This is Node's `engine.use`, and more.
    ///
    /// ```no_run
    /// # async fn run() -> std::io::Result<()> {
    /// use http::{HeaderValue, Response};
    /// use tidewire_server::Server;
    /// use tower::ServiceBuilder;
    ///
    /// let io = Server::new();
    /// let service = ServiceBuilder::new()
    ///     .map_response(|mut response: Response<_>| {
    ///         response.headers_mut().insert("x-served-by", HeaderValue::from_static("node-1"));
    ///         response
    ///     })
    ///     .service(io.service());
    /// let listener = io.bind("0.0.0.0:3000").await?;
    /// io.serve_with(listener, service, std::future::pending()).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A layer must pass on the extensions of each request: they contain the connection that an upgrade takes over, and
    /// the [`PeerAddress`](net::PeerAddress). When a layer drops a response that it waits for, the client counts as
    /// gone.
    pub async fn serve_with<S: HttpService>(
        &self,
        listener: Listener,
        service: S,
        stop: impl Future<Output = ()>,
    ) {
        self.0.serve(listener, service, stop, self.shutdown_timeout()).await;
        self.close_adapters().await;
    }

    /// Returns a tower service that handles Socket.IO requests and responds with 404 to all others.
    ///
    /// In a router, the [path](crate::Builder::path) of the server is what is left after the router has stripped the
    /// prefix of the route: `Router::new().nest_service("/api", io.service())` serves `/api/socket.io/`. With the feature
    /// `axum`, it may also be the whole path that the client requests, so that `nest_service("/socket.io", io.service())`
    /// serves `/socket.io/`.
    #[must_use]
    pub fn service(&self) -> EngineService<SocketIoApplication> {
        self.0.service()
    }

    /// Returns a tower layer that handles Socket.IO requests and passes all others to the inner service, for instance
    /// an axum router: `Router::new().route(..).layer(io.layer())`.
    ///
    /// Add it to the outermost router. axum does not call the layers of a router inside `nest` for paths without a route.
    /// To serve `/api/socket.io/`, set the [path](crate::Builder::path) `/api/socket.io`, or use
    /// [`service`](Self::service).
    #[must_use]
    pub fn layer(&self) -> EngineLayer<SocketIoApplication> {
        self.0.layer()
    }

    /// Returns whether the server is closing or closed, and refuses new connections. A health check of a load balancer
    /// should then fail, so that the load balancer sends new clients to other servers.
    ///
    /// ```
    /// use axum::http::StatusCode;
    /// use axum::routing::get;
    /// use tidewire_server::Server;
    ///
    /// let io = Server::new();
    /// let health = {
    ///     let io = io.clone();
    ///     get(async move || if io.is_closing() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK })
    /// };
    /// let app = axum::Router::<()>::new().route("/health", health).layer(io.layer());
    /// # let _ = app;
    /// ```
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    /// Closes all connections and waits until they are closed and their handlers have finished. New connections are
    /// refused at once, with status 503. Clients connect again by themselves, and a load balancer sends them to other
    /// servers. In Node: `io.close()`, which closes all connections at the same moment.
    ///
    /// The connections are closed in batches ([`Builder::close_pace`](crate::Builder::close_pace)), so that the clients do
    /// not all return at the same moment. The disconnect reason of their sockets is `server shutting down`. JavaScript
    /// clients see `transport close`, or `transport error` if they poll between two requests, and reconnect after both.
    ///
    /// If a client waits for the acknowledgement of a handler that runs, its connection closes after the acknowledgement, or
    /// after three quarters of the timeout. Until then, it is served as before. An [`Ack`](crate::Ack) that a handler has given
    /// to a task is not waited for.
    ///
    /// After [`HttpLimits::shutdown_timeout`](net::HttpLimits::shutdown_timeout), connections that are left are ended: those
    /// of clients that read nothing. Handlers that still run are not cancelled, and go on after this method has returned.
    ///
    /// Cancel safe: connections that are not closed yet go on, and new ones are refused. A second call waits for the first
    /// one, at most until its own timeout.
    pub async fn close(&self) {
        self.close_with(self.0.options().close_pace, self.shutdown_timeout()).await;
    }

    /// Does the same as [`close`](Self::close) at another pace and with another timeout. Cancel safe.
    ///
    /// ```
    /// # async fn stop(io: tidewire_server::Server) {
    /// use std::time::Duration;
    /// use tidewire_server::ClosePace;
    ///
    /// // 500 connections a second, for at most a minute.
    /// io.close_with(ClosePace { batch_size: 50, pause: Duration::from_millis(100) }, Duration::from_secs(60)).await;
    /// # }
    /// ```
    pub async fn close_with(&self, pace: ClosePace, timeout: Duration) {
        self.0.close_with(pace, timeout).await;
        self.close_adapters().await;
    }

    /// Leaves the cluster in all namespaces. Waits until the adapters have done so, within the shutdown timeout.
    async fn close_adapters(&self) {
        let closing = self.namespaces().close_adapters();
        let closed = async {
            for adapter in closing {
                adapter.await;
            }
        };
        let timeout = self.shutdown_timeout();
        if tokio::time::timeout(timeout, closed).await.is_err() {
            tracing::warn!(?timeout, "an adapter was not closed in time");
        }
    }
    fn shutdown_timeout(&self) -> Duration {
        self.application().listener.http.shutdown_timeout
    }
}
