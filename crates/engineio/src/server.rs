//! An Engine.IO server for programs: a handler is an async function that receives and sends messages.
//!
//! ```no_run
//! use tidewire_engineio::server::{SendError, Socket};
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     tidewire_engineio::server::listen("127.0.0.1:3000", async |mut socket: Socket| {
//!         while let Some(message) = socket.recv().await {
//!             socket.send(message).await?;
//!         }
//!         Ok::<_, SendError>(())
//!     })
//!     .await
//! }
//! ```
//!
//! A client is `engine.io-client`, from Node or a browser, or any other client of the protocol. It connects over
//! long-polling or WebSocket, and the handler does not see the difference. [`Server`] adds settings, a graceful
//! shutdown, and mounting in other HTTP servers.
//!
//! Each session has one task, which polls its handler. When the handler waits, the task writes everything that the
//! handler has sent, in one write or one response.

mod builder;
mod connection;
mod error;
mod handler;
mod kept_request;
mod message;
mod shared;
mod socket;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use net::{ClientAddress, ClosePace, HttpService, Listener, ListenerSettings};
use tokio::net::ToSocketAddrs;

use crate::engine::Engine;
use crate::handler::Application;
use crate::service::{EngineLayer, EngineService};
use crate::session::Session;

pub use builder::ServerBuilder;
pub use error::{CloseCause, SendError, TrySendError};
pub use handler::{Handler, HandlerOutput};
pub use message::Message;
pub use socket::{Sender, Socket};

use connection::Connection;
use handler::BoxHandler;
use kept_request::{release_read_buffer, request_memory};
use shared::Shared;

/// Listens on one of `addresses` and runs `handler` for every session, at the path `/engine.io/`. Runs until the future
/// is dropped.
///
/// # Errors
/// Returns an error if none of the addresses can be bound.
pub async fn listen<H, M>(addresses: impl ToSocketAddrs, handler: H) -> io::Result<()>
where
    H: Handler<M>,
{
    Server::new(handler).listen(addresses).await
}

/// An Engine.IO server. Cheap to clone; all clones are the same server.
///
/// It has its own HTTP listener ([`listen`](Self::listen)), or it is mounted in another HTTP server
/// ([`layer`](Self::layer), [`service`](Self::service)).
///
/// ```no_run
/// use tidewire_engineio::Cors;
/// use tidewire_engineio::server::{SendError, Server, Socket};
///
/// # async fn run() -> std::io::Result<()> {
/// let server = Server::builder().cors(Cors::any()).build(async |mut socket: Socket, request: http::Request<()>| {
///     socket.send(format!("you have requested {}", request.uri())).await?;
///     while let Some(message) = socket.recv().await {
///         socket.send(message).await?;
///     }
///     Ok::<_, SendError>(())
/// });
/// let listener = server.bind("127.0.0.1:3000").await?;
/// let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
/// server.serve(listener, stop).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Server(Engine<ServerApplication>);

/// The application that the engine of a server runs. It appears only in the types of [`Server::layer`] and
/// [`Server::service`].
pub struct ServerApplication {
    handler: BoxHandler,
    keeps_request: bool,
    listener: ListenerSettings,
    authenticates: bool,
}

impl Server {
    /// Returns a builder for a server with settings.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    /// Creates a server with default settings, which runs `handler` for every session. It does not listen yet.
    #[must_use]
    pub fn new<H, M>(handler: H) -> Self
    where
        H: Handler<M>,
    {
        Self::builder().build(handler)
    }

    /// Listens on one of `addresses` and serves until the process ends. Requests for other paths get status 404.
    ///
    /// Not cancel safe: if the future is dropped, the server stops accepting connections, but existing sessions stay
    /// open. Use [`serve`](Self::serve) for a clean shutdown.
    ///
    /// # Errors
    /// Returns an error if none of the addresses can be bound.
    pub async fn listen(&self, addresses: impl ToSocketAddrs) -> io::Result<()> {
        let listener = self.bind(addresses).await?;
        self.serve(listener, std::future::pending()).await;
        Ok(())
    }

    /// Binds one of `addresses` and returns a listener for [`serve`](Self::serve). It has the server's
    /// [`HttpLimits`](crate::HttpLimits), and TLS and the PROXY protocol if the server has them enabled.
    ///
    /// # Errors
    /// Returns an error if none of the addresses can be bound.
    pub async fn bind(&self, addresses: impl ToSocketAddrs) -> io::Result<Listener> {
        self.0.bind(addresses, &self.0.application().listener).await
    }

    /// Serves on `listener` until `stop` is ready. Then closes all sessions, with the reason `server shutting down`, and
    /// waits until they are closed and their handlers have returned, at most for
    /// [`HttpLimits::shutdown_timeout`](crate::HttpLimits::shutdown_timeout).
    ///
    /// Not cancel safe, like [`listen`](Self::listen).
    pub async fn serve(&self, listener: Listener, stop: impl Future<Output = ()>) {
        self.serve_with(listener, self.service(), stop).await;
    }

    /// Does the same as [`serve`](Self::serve) with another service, which contains [`service`](Self::service) or
    /// [`layer`](Self::layer): an axum router, or tower layers around this server. The layers see every request, can
    /// respond themselves, and can change the headers of the responses. This is Node's `engine.use`, and more.
    ///
    /// A layer must pass on the extensions of each request: they contain the connection that an upgrade takes over, and
    /// the [`PeerAddress`](crate::PeerAddress).
    pub async fn serve_with<S: HttpService>(
        &self,
        listener: Listener,
        service: S,
        stop: impl Future<Output = ()>,
    ) {
        let shutdown_timeout = self.0.application().listener.http.shutdown_timeout;
        self.0.serve(listener, service, stop, shutdown_timeout).await;
    }

    /// Returns a tower service that handles Engine.IO requests and responds with 404 to all others.
    #[must_use]
    pub fn service(&self) -> EngineService<ServerApplication> {
        self.0.service()
    }

    /// Returns a tower layer that handles Engine.IO requests and passes all others to the inner service, for instance an
    /// axum router: `Router::new().route(..).layer(server.layer())`.
    #[must_use]
    pub fn layer(&self) -> EngineLayer<ServerApplication> {
        self.0.layer()
    }

    /// Returns the number of open sessions.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.0.session_count()
    }

    /// Returns whether the server is closing or closed, and refuses new sessions.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    /// Closes all sessions with the reason `server shutting down`, refuses new ones with status 503, and waits until the
    /// sessions are closed and their handlers have returned. The sessions are closed in batches
    /// ([`close_pace`](ServerBuilder::close_pace)). After [`HttpLimits::shutdown_timeout`](crate::HttpLimits::shutdown_timeout),
    /// sessions that are left are ended, and handlers that have not returned go on. Cancel safe.
    pub async fn close(&self) {
        self.close_with(self.0.options().close_pace, self.0.application().listener.http.shutdown_timeout)
            .await;
    }

    /// Does the same as [`close`](Self::close) at another pace and with another timeout. Cancel safe.
    pub async fn close_with(&self, pace: ClosePace, timeout: Duration) {
        self.0.close_with(pace, timeout).await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("sessions", &self.session_count()).finish_non_exhaustive()
    }
}

impl Application for ServerApplication {
    type Handler = Connection;

    fn authenticates(&self) -> bool {
        self.authenticates
    }

    fn request_memory(&self, request: &http::request::Parts) -> usize {
        if self.keeps_request { request_memory(request) } else { 0 }
    }

    fn on_open(&self, _: &Engine<Self>, session: Session, mut request: http::request::Parts) -> Connection {
        if self.keeps_request {
            release_read_buffer(&mut request);
        }
        let address = request.extensions.get::<ClientAddress>().map(|client| client.ip());
        let shared = Arc::new(Shared::new(session, address));
        let socket = Socket::new(Arc::clone(&shared));
        Connection::new(shared, || (self.handler)(socket, Request::from_parts(request, ())))
    }
}

impl fmt::Debug for ServerApplication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerApplication").finish_non_exhaustive()
    }
}
