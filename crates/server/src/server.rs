//! The server: its namespaces, and the Engine.IO engine that runs its connections.

mod builder;
mod listen;
mod namespaces;
mod shared;

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use adapter::SocketId;
use engineio::{Application, Engine, Session};
use handlers::{HandlerError, StateMap};
use net::{ListenerSettings, LogRateLimit};
use socketio_proto::Parser;

use crate::connection::{Connection, Handshake, KeepExtension};
use crate::handler::ConnectError;
use crate::limits::Limits;
use crate::namespace::{Admits, IntoAllowed, Namespace, NamespaceRequest, ParentNamespace};
use crate::observer::Observers;
use crate::socket::{DeliveryCounts, Socket};
pub use builder::Builder;
pub(crate) use namespaces::{ChildMember, Namespaces};
pub(crate) use shared::ServerShared;

/// A Socket.IO server. Cheap to clone; all clones are the same server.
///
/// A server dereferences to its namespace `/`, so it has all methods of [`Namespace`]: `io.on(..)`,
/// `io.to(room).emit(..)`. It has its own HTTP listener ([`listen`](Self::listen)), or it is mounted in another HTTP
/// server ([`layer`](Self::layer), [`service`](Self::service)).
#[derive(Clone)]
pub struct Server(Engine<SocketIoApplication>);

/// The application that the Engine.IO engine of a server runs. It appears only in the types of [`Server::layer`] and
/// [`Server::service`].
pub struct SocketIoApplication {
    root: Namespace,
    namespaces: Arc<Namespaces>,
    shared: Arc<ServerShared>,
    listener: ListenerSettings,
    keep_extensions: Box<[KeepExtension]>,
}

impl Server {
    /// Returns a builder for a server with custom settings.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Creates a server with default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns the namespace with this name. Creates it if it does not exist. A missing leading slash is added.
    ///
    /// If the name is one of a [pattern](Self::of_pattern), a new namespace is a child of that parent. It stays even if
    /// it has no sockets. A namespace that was created for a client may be removed, see
    /// [`Builder::cleanup_empty_child_namespaces`], so call this method again instead of keeping its result.
    ///
    /// # Panics
    /// Panics if the name contains a comma: the protocol cannot encode such a name.
    #[must_use]
    pub fn of(&self, name: &str) -> Namespace {
        assert!(!name.contains(','), "a namespace name must not contain a comma: {name:?}");
        let name = format!("/{}", name.trim_start_matches('/'));
        self.namespaces().get_or_create(&name)
    }

    /// Lets clients create the namespaces whose names match a pattern. In Node: `of` with a regular expression.
    ///
    /// When a client requests a namespace that does not exist, the parents are asked in the order in which they were
    /// created. The first one that allows the name creates the namespace, its child. If none does, the client receives
    /// the error `Invalid namespace`. [`Limits::max_client_namespaces`](crate::Limits::max_client_namespaces) bounds how
    /// many namespaces clients can cause.
    ///
    /// `matches` gets the name with its leading slash. It must not block. It may be a regular expression of the crate
    /// `regex`: `move |name| regex.is_match(name)`.
    ///
    /// ```
    /// use tidewire_server::{Namespace, Server, Socket};
    ///
    /// let io = Server::new();
    /// let rooms = io.of_pattern(|name| name.strip_prefix("/room-").is_some_and(|id| id.parse::<u32>().is_ok()));
    /// rooms.on_connection(async |namespace: Namespace, socket: Socket| socket.emit("welcome", namespace.name()));
    /// rooms.emit("news", "to the clients in /room-1, in /room-2, and so on");
    /// ```
    #[must_use = "the children need handlers"]
    pub fn of_pattern(&self, matches: impl Fn(&str) -> bool + Send + Sync + 'static) -> ParentNamespace {
        self.add_parent(Admits::Pattern(Box::new(matches)))
    }

    /// Lets clients create the namespaces that an async function allows, for instance after it has asked a database.
    /// Otherwise like [`of_pattern`](Self::of_pattern). In Node: `of` with a function.
    ///
    /// The function returns `bool`, or a `Result<bool, E>` whose error means `false`. While it waits, the other packets
    /// of the connection are handled. If the client leaves, its future is dropped at the point where it waits. The same
    /// happens after [`Limits::namespace_check_timeout`](crate::Limits::namespace_check_timeout), which all parents
    /// share; the client then receives an error.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use tidewire_server::{NamespaceRequest, Server};
    ///
    /// #[derive(Deserialize)]
    /// struct Credentials {
    ///     token: String,
    /// }
    /// # async fn is_member(_organization: &str, _token: &str) -> bool { true }
    ///
    /// let io = Server::new();
    /// let organizations = io.of_predicate(async |request: NamespaceRequest| {
    ///     let Some(organization) = request.name().strip_prefix("/org-") else { return false };
    ///     let Ok(Credentials { token }) = request.auth() else { return false };
    ///     is_member(organization, &token).await
    /// });
    /// # let _ = organizations;
    /// ```
    #[must_use = "the children need handlers"]
    pub fn of_predicate<F>(
        &self,
        predicate: impl Fn(NamespaceRequest) -> F + Send + Sync + 'static,
    ) -> ParentNamespace
    where
        F: Future<Output: IntoAllowed> + Send + 'static,
    {
        self.add_parent(Admits::Predicate(Box::new(move |request| {
            let allowed = predicate(request);
            Box::pin(async move { allowed.await.into_allowed() })
        })))
    }

    /// Sets the hook that is called for each new namespace, whether the program or a client has caused it, before a
    /// client can use it. A second hook replaces the first. It must not block. In Node: the event `new_namespace`.
    pub fn on_new_namespace(&self, hook: impl Fn(&Namespace) + Send + Sync + 'static) {
        self.namespaces().set_on_new_namespace(Arc::new(hook));
    }

    /// Returns the number of open connections.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.0.session_count()
    }

    /// Returns the number of bytes that are queued for all connections and not yet written, see
    /// [`Socket::buffered_amount`]. The time that this takes grows with the number of connections: a program that reports
    /// its figures calls it once in a while.
    #[must_use]
    pub fn buffered_amount(&self) -> usize {
        self.0.buffered_amount()
    }

    /// Returns how often an event was not simply queued, in all namespaces, because the connection of its receiver was
    /// behind.
    #[must_use]
    pub fn delivery_counts(&self) -> DeliveryCounts {
        self.application().shared.deliveries.counts()
    }

    /// Returns the path of the server's URLs, without a slash at its end: `/socket.io` by default.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path()
    }

    fn application(&self) -> &SocketIoApplication {
        self.0.application()
    }

    pub(crate) fn namespaces(&self) -> &Arc<Namespaces> {
        &self.application().namespaces
    }

    fn add_parent(&self, admits: Admits) -> ParentNamespace {
        let namespaces = self.namespaces();
        ParentNamespace::new(Arc::clone(namespaces), namespaces.add_parent(admits))
    }

    /// Creates a random id. `None` if the operating system has no random bytes; then no client can connect.
    pub(crate) fn new_socket_id(&self) -> Option<SocketId> {
        let mut random = [0; 15];
        match getrandom::fill(&mut random) {
            Ok(()) => Some(SocketId::from_random(random)),
            Err(error) => {
                tracing::error!(%error, "cannot get random bytes for a socket id");
                None
            }
        }
    }

    pub(crate) fn observers(&self) -> &Observers {
        &self.application().shared.observers
    }

    /// Limits the log lines about handlers that keep their thread.
    pub(crate) fn blocked_log(&self) -> &LogRateLimit {
        &self.application().shared.blocked_log
    }

    pub(crate) fn parser(&self) -> Option<&Arc<dyn Parser>> {
        self.application().shared.parser.as_ref()
    }

    /// Returns the maximum size of a message of a client, in bytes.
    pub(crate) fn max_payload(&self) -> usize {
        self.0.options().protocol.max_payload
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.application().shared.limits
    }

    pub(crate) fn states(&self) -> &StateMap {
        &self.application().shared.states
    }

    pub(crate) fn report_refused(
        &self,
        namespace: &str,
        handshake: &Handshake,
        socket: Option<&Socket>,
        error: &ConnectError,
    ) {
        self.application().shared.report_refused(namespace, handshake, socket, error);
    }

    pub(crate) fn report_error(&self, error: &HandlerError, socket: &Socket, event: Option<&str>) {
        self.application().shared.report_error(error, socket, event);
    }

    pub(crate) fn report_middleware_error(&self, error: &HandlerError, socket: &Socket) {
        self.application().shared.report_middleware_error(error, socket);
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

/// A server dereferences to its namespace `/`. In Node, too, the server forwards these methods to that namespace.
impl Deref for Server {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.application().root
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("connections", &self.connection_count()).finish_non_exhaustive()
    }
}

impl Application for SocketIoApplication {
    type Handler = Connection;

    /// A client is authenticated when a middleware has let it into a namespace.
    fn authenticates(&self) -> bool {
        true
    }

    fn on_open(&self, engine: &Engine<Self>, session: Session, request: http::request::Parts) -> Connection {
        let handshake = Handshake::new(&request, SystemTime::now(), &self.keep_extensions);
        Connection::new(Server(engine.clone()), session, handshake, net::now())
    }
}

impl fmt::Debug for SocketIoApplication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketIoApplication").finish_non_exhaustive()
    }
}
