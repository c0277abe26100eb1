//! A WebSocket server for programs that have no HTTP server, with settings and a graceful shutdown.

mod connections;
#[cfg(feature = "axum")]
mod extract;
mod handler;
mod refusals;
mod upgrade;

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use net::metrics::{self, Series};
use net::{
    AddressLimitError, AddressLimiter, AddressLimits, ClosePace, HttpLimits, Listener, ListenerSettings,
    MemoryBudget, TrustedProxies, print_if_unlogged,
};
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::time::{Instant, timeout_at};
use tower::service_fn;
use ws_proto::{AllowedOrigins, CloseCode, CloseFrame, DeflateOptions, HandshakeError};

#[cfg(feature = "axum")]
pub use extract::UpgradeRejection;
pub use handler::{Handler, HandlerOutput};
pub use upgrade::{Upgrade, upgrade};

use crate::limits::Limits;
use connections::Connections;
use refusals::{RefusalLogs, log_refusal, peer_address};
use upgrade::verify_upgrade;

/// The default of [`ServerBuilder::max_connections`].
const MAX_CONNECTIONS: usize = 1_000_000;

/// Binds `addresses` and runs `handler` for every WebSocket that connects, on any path. If a request is not a valid
/// WebSocket handshake, the response says why.
///
/// Use [`Server`] to configure limits, subprotocols, compression, allowed origins, TLS and a graceful shutdown.
///
/// Runs until the future is dropped. Connections that were accepted before continue in their own tasks.
///
/// # Errors
/// The operating system could not bind any of the addresses, for example because they are in use.
pub async fn listen<H, M>(addresses: impl ToSocketAddrs, handler: H) -> io::Result<()>
where
    H: Handler<M>,
{
    serve(TcpListener::bind(addresses).await?, handler).await;
    Ok(())
}

/// Does the same as [`listen`], on a listener that is already bound.
pub async fn serve<H, M>(listener: TcpListener, handler: H)
where
    H: Handler<M>,
{
    Server::builder().build_with_listener(listener).serve(handler).await;
}

/// A WebSocket server on its own port.
///
/// ```no_run
/// use tidewire_ws::{AllowedOrigins, DeflateOptions, SendError, Server, WebSocket};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder()
///     .allow_origins(AllowedOrigins::new(["https://example.com"])?)
///     .protocols(["chat.v2", "chat.v1"])
///     .compress(DeflateOptions::default())
///     .bind("0.0.0.0:9001")
///     .await?;
/// let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
/// server
///     .serve_until(
///         async |mut socket: WebSocket, request: http::Request<()>| {
///             socket.send(format!("you have requested {}", request.uri().path())).await?;
///             while let Some(message) = socket.recv().await {
///                 socket.send(message).await?;
///             }
///             Ok::<_, SendError>(())
///         },
///         stop,
///     )
///     .await;
/// # Ok(())
/// # }
/// ```
///
/// [`listen`](crate::listen) runs a server with default settings in one line. In a program that has an HTTP server, use
/// [`upgrade()`] there.
#[derive(Debug)]
#[must_use = "a `Server` accepts no connections until you call `serve` or `serve_until`"]
pub struct Server {
    listener: Listener,
    http: HttpLimits,
    settings: Arc<Settings>,
}

impl Server {
    /// Returns a builder for a server with settings.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            settings: Settings {
                limits: Limits::default(),
                budget: MemoryBudget::process().clone(),
                compression: None,
                origins: None,
                protocols: Vec::new(),
                allow_request: None,
                max_connections: MAX_CONNECTIONS,
                close_pace: ClosePace::default(),
                trusted_proxies: TrustedProxies::default(),
                address_limiter: AddressLimiter::new(AddressLimits::default()),
                refusal_logs: RefusalLogs::new(),
            },
            listener: ListenerSettings::default(),
        }
    }

    /// Creates a server with default settings on the first of `addresses` that can be bound.
    ///
    /// # Errors
    /// The operating system could not bind any of the addresses, for example because they are in use.
    pub async fn bind(addresses: impl ToSocketAddrs) -> io::Result<Self> {
        Self::builder().bind(addresses).await
    }

    /// Returns the address that the server listens on. If it was bound to port 0, this contains the actual port.
    ///
    /// # Errors
    /// The operating system could not return the address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Runs `handler` for every WebSocket that connects, on any path. If a request is not a valid WebSocket handshake,
    /// the response says why.
    ///
    /// Not cancel safe: if the future is dropped, the server stops accepting, and connections that were accepted before
    /// continue in their own tasks. See [`serve_until`](Self::serve_until) for a graceful shutdown.
    pub async fn serve<H, M>(self, handler: H)
    where
        H: Handler<M>,
    {
        self.serve_until(handler, pending()).await;
    }

    /// Does the same as [`serve`](Self::serve) until `stop` is ready, and then shuts down gracefully.
    ///
    /// During the shutdown, the server accepts no new connections, and closes the open connections in batches
    /// ([`close_pace`](ServerBuilder::close_pace)) with code 1001 (going away). A handler then gets `None` from
    /// [`recv`](crate::WebSocket::recv) and an error from [`send`](crate::WebSocket::send), and may run to its end. The
    /// future completes when all connections and their handlers have ended, or [`HttpLimits::shutdown_timeout`] after
    /// `stop`. Connections that have not ended by then continue in their own tasks.
    pub async fn serve_until<H, M>(self, handler: H, stop: impl Future<Output = ()>)
    where
        H: Handler<M>,
    {
        let Self { listener, http, settings } = self;
        let (pace, timeout) = (settings.close_pace, http.shutdown_timeout);
        let connections = Arc::new(Connections::new(settings.max_connections));
        let service = {
            let connections = Arc::clone(&connections);
            service_fn(move |request| {
                ready(Ok::<_, Infallible>(settings.respond(request, &handler, &connections)))
            })
        };
        let mut until = Instant::now();
        let stop = async {
            stop.await;
            connections.begin_shutdown(CloseFrame::new(CloseCode::GOING_AWAY, "server shutting down"));
            until = Instant::now() + timeout;
        };
        listener.serve_and_drain(service, stop, connections.close_open_in_batches(pace, timeout)).await;
        let _ = timeout_at(until, connections.closed()).await;
    }
}

/// Configures a [`Server`].
#[must_use]
pub struct ServerBuilder {
    settings: Settings,
    listener: ListenerSettings,
}

impl ServerBuilder {
    /// Sets the limits of each connection.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Sets the budget for the memory of all connections that share it. When it is exceeded, the connections that hold
    /// the most end with code 1013. Default: [`MemoryBudget::process`].
    pub fn memory_budget(mut self, budget: &MemoryBudget) -> Self {
        self.settings.budget = budget.clone();
        self
    }

    /// Compresses messages if the client offers it, see [`Upgrade::compress`](crate::Upgrade::compress). Default: off.
    /// Needs the feature `compression`. The Socket.IO server calls this setting `per_message_deflate`, as Node does.
    #[cfg(feature = "compression")]
    pub fn compress(mut self, options: DeflateOptions) -> Self {
        self.settings.compression = Some(options);
        self
    }

    /// Rejects pages of other origins with status 403, see [`AllowedOrigins`]. Default: all origins are allowed.
    pub fn allow_origins(mut self, origins: AllowedOrigins) -> Self {
        self.settings.origins = Some(origins);
        self
    }

    /// Sets the subprotocols that the server supports, the preferred one first. The server selects the first one that
    /// the client also offers; [`WebSocket::protocol`](crate::WebSocket::protocol) returns it. A client that offers
    /// none of them is accepted without a subprotocol.
    pub fn protocols<P: Into<String>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.settings.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Sets a function that accepts or rejects each handshake, for example by its path, its headers or the address of
    /// its client (the extensions contain [`ClientAddress`](crate::ClientAddress)). If it returns an error, the response
    /// is a 403 with the error as its body. The function must not block. Default: every valid handshake is accepted.
    pub fn allow_request(
        mut self,
        check: impl Fn(&Parts) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.settings.allow_request = Some(Box::new(check));
        self
    }

    /// Sets the maximum number of open connections. Further ones are rejected with status 503. Default: 1,000,000.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.max_connections = connections;
        self
    }

    /// Sets how fast a server that shuts down closes its connections, see [`ClosePace`]. Default: 100 connections, then a pause
    /// of 50 ms.
    pub fn close_pace(mut self, pace: ClosePace) -> Self {
        self.settings.close_pace = pace;
        self
    }

    /// Sets the proxies in front of the server, and the header in which they report the addresses of their clients. The
    /// extensions of each request then contain the address of the client as [`ClientAddress`](crate::ClientAddress).
    /// Default: none. Behind a proxy that is not named, all clients have the address of the proxy.
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.settings.trusted_proxies = proxies;
        self
    }

    /// Sets whether each connection begins with a header of the PROXY protocol, version 1 or 2, in which a proxy reports
    /// the address of its client. Connections that do not come from [`trusted_proxies`](Self::trusted_proxies) are then
    /// closed; without trusted proxies, that is every connection. Default false.
    #[cfg(feature = "proxy-protocol")]
    pub fn proxy_protocol(mut self, expected: bool) -> Self {
        self.listener.proxy_protocol = expected;
        self
    }

    /// Sets the limits on the WebSockets of one address. Further ones are rejected with status 429. Addresses that are
    /// not public are not limited by default, see [`AddressLimits`].
    pub fn address_limits(mut self, limits: AddressLimits) -> Self {
        self.settings.address_limiter = AddressLimiter::new(limits);
        self
    }

    /// Sets the limits of the HTTP server, which apply before the upgrade, and the time that a graceful shutdown may
    /// take.
    pub fn http_limits(mut self, limits: HttpLimits) -> Self {
        self.listener.http = limits;
        self
    }

    /// Sets how many connections may wait until the server accepts them, see [`HttpLimits::backlog`]. Takes precedence
    /// over that field, no matter which method is called first.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.listener.backlog = Some(connections);
        self
    }

    /// Sets the number of worker threads of the server's own listener. Each worker has a single-threaded Tokio runtime. A
    /// connection stays on one worker, with its handlers and the tasks that they spawn. A new connection goes to the
    /// worker with the fewest tasks. Default 0: no workers; connections run on the runtime of the program.
    ///
    /// Use as many workers as there are cores, if the server must answer evenly under full load. On Tokio's
    /// multi-thread runtime a few connections then wait much longer than the others, see
    /// `docs/deployment.md` in the repository. Do not use workers if handlers
    /// block their thread: all connections of the worker wait for such a handler, and no other thread takes them over.
    /// `tokio::task::block_in_place` panics on a worker; use `spawn_blocking`.
    ///
    /// ```
    /// use std::thread::available_parallelism;
    /// use tidewire_ws::Server;
    ///
    /// let cores = available_parallelism().map_or(1, |cores| cores.get());
    /// let builder = Server::builder().workers(cores);
    /// # drop(builder);
    /// ```
    pub fn workers(mut self, count: usize) -> Self {
        self.listener.workers = count;
        self
    }

    /// Serves TLS only (`wss`). Default: no TLS.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: net::ServerTls) -> Self {
        self.listener.tls = Some(tls);
        self
    }

    /// Creates the server on the first of `addresses` that can be bound.
    ///
    /// # Errors
    /// The operating system could not bind any of the addresses, for example because they are in use.
    pub async fn bind(self, addresses: impl ToSocketAddrs) -> io::Result<Server> {
        Ok(self.build_with_listener(TcpListener::bind(addresses).await?))
    }

    /// Creates the server on a listener that is already bound. The backlog of the server replaces that of the listener.
    pub fn build_with_listener(self, listener: TcpListener) -> Server {
        let Self { settings, listener: listener_settings } = self;
        let limits = settings.address_limiter.limits();
        let listener = listener_settings.listener(listener, limits, &settings.trusted_proxies);
        Server { listener, http: listener_settings.http, settings: Arc::new(settings) }
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("settings", &self.settings)
            .field("listener", &self.listener)
            .finish()
    }
}

struct Settings {
    limits: Limits,
    budget: MemoryBudget,
    compression: Option<DeflateOptions>,
    origins: Option<AllowedOrigins>,
    protocols: Vec<String>,
    allow_request: Option<Box<AllowRequest>>,
    max_connections: usize,
    close_pace: ClosePace,
    trusted_proxies: TrustedProxies,
    address_limiter: AddressLimiter,
    refusal_logs: RefusalLogs,
}

type AllowRequest = dyn Fn(&Parts) -> Result<(), String> + Send + Sync;

impl Settings {
    /// Returns the response to a request. If the response accepts a handshake, the connection starts after the
    /// response.
    fn respond<B, H, M>(
        &self,
        request: Request<B>,
        handler: &H,
        connections: &Arc<Connections>,
    ) -> Response<String>
    where
        H: Handler<M>,
    {
        let peer = peer_address(request.extensions());
        self.accept(request, handler, connections).unwrap_or_else(|refused| {
            self.log(&refused, peer);
            refused.response()
        })
    }

    fn log(&self, refused: &Rejection, peer: Option<SocketAddr>) {
        let logs = &self.refusal_logs;
        match refused {
            Rejection::Handshake(error) => log_refusal(logs.of(error), peer, error),
            Rejection::Forbidden(words) => log_refusal(&logs.forbidden, peer, words),
            Rejection::TooManyConnections => {
                log_refusal(&logs.too_many_connections, peer, &TOO_MANY_CONNECTIONS);
            }
            Rejection::AddressLimit(error) => logs.address.try_log(|suppressed| {
                print_if_unlogged(format_args!("refused a WebSocket handshake: {error}"), suppressed);
            }),
        }
    }

    fn accept<B, H, M>(
        &self,
        mut request: Request<B>,
        handler: &H,
        connections: &Arc<Connections>,
    ) -> Result<Response<String>, Rejection>
    where
        H: Handler<M>,
    {
        let mut upgrade = verify_upgrade(&mut request)?.limits(self.limits).memory_budget(&self.budget);
        if let Some(origins) = &self.origins {
            upgrade.verify_origin(origins)?;
        }
        let mut request = request.into_parts().0;
        self.trusted_proxies.insert_client_address(&mut request);
        if let Some(check) = &self.allow_request {
            check(&request).map_err(|reason| {
                metrics::count(Series::WebSocketForbidden);
                Rejection::Forbidden(reason)
            })?;
        }
        let address = self.address_limiter.admit_websocket(&request).map_err(Rejection::AddressLimit)?;
        upgrade = upgrade.with_address_of(&request);
        let admitted = connections.try_acquire().ok_or_else(|| {
            metrics::count(Series::WebSocketMaxConnections);
            Rejection::TooManyConnections
        })?;
        upgrade = upgrade.negotiate_compression(self.compression);
        let offered = |protocol: &&String| upgrade.offered_protocols().contains(protocol);
        if let Some(protocol) = self.protocols.iter().find(offered) {
            upgrade = upgrade.select_protocol(protocol);
        }
        let (handler, registration) = (handler.clone(), admitted.registration());
        let handler = move |socket: crate::WebSocket| {
            registration.register(&socket);
            handler.call(socket, Request::from_parts(request, ()))
        };
        Ok(upgrade.accept(handler, (admitted, address)))
    }
}

/// Why a handshake was rejected.
enum Rejection {
    Handshake(HandshakeError),
    Forbidden(String),
    AddressLimit(AddressLimitError),
    TooManyConnections,
}

const TOO_MANY_CONNECTIONS: &str = "too many connections";

impl Rejection {
    fn response(self) -> Response<String> {
        match self {
            Self::Handshake(error) => error.response(),
            Self::Forbidden(words) => rejection_response(StatusCode::FORBIDDEN, words),
            Self::AddressLimit(error) => {
                let mut response = error.response();
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                response
            }
            Self::TooManyConnections => {
                rejection_response(StatusCode::SERVICE_UNAVAILABLE, TOO_MANY_CONNECTIONS.to_owned())
            }
        }
    }
}

impl From<HandshakeError> for Rejection {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

/// Builds a response as [`HandshakeError::response`] does, for the same reasons.
fn rejection_response(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body + "\n");
    *response.status_mut() = status;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("limits", &self.limits)
            .field("memory_budget", &self.budget)
            .field("compression", &self.compression)
            .field("origins", &self.origins)
            .field("protocols", &self.protocols)
            .field("max_connections", &self.max_connections)
            .field("close_pace", &self.close_pace)
            .finish_non_exhaustive()
    }
}
