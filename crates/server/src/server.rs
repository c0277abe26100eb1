//! The server: its namespaces, its settings, and how it is reached.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use adapter::{Adapter, InMemory, SocketId};
use engineio::{
    AllowRequest, Application, Cors, Engine, EngineLayer, EngineService, Options, Session, Transport,
};
use handlers::{HandlerError, States};
use net::{HttpLimits, Listener, LogLimit};
use socketio_proto::Excerpt;
use tokio::net::ToSocketAddrs;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::handshake::Handshake;
use crate::limits::Limits;
use crate::namespace::Namespace;
use crate::socket::Socket;

/// A Socket.IO server. Cheap to clone; all clones are the same server.
///
/// It *is* its namespace `/` and has all methods of [`Namespace`]: `io.on(..)`, `io.to(room).emit(..)`. It serves by
/// itself ([`listen`](Self::listen)), or inside a program that has an HTTP server already ([`layer`](Self::layer),
/// [`service`](Self::service)).
#[derive(Clone)]
pub struct Server(Engine<SocketIo>);

/// What a server's engine runs. It appears in the types of [`Server::layer`] and [`Server::service`] only.
pub struct SocketIo {
    root: Namespace,
    namespaces: RwLock<HashMap<Box<str>, Namespace>>,
    common: Arc<Common>,
    adapter: AdapterOf,
    http: HttpLimits,
    #[cfg(feature = "tls")]
    tls: Option<net::ServerTls>,
}

/// What the server and all its namespaces share.
pub(crate) struct Common {
    pub(crate) limits: Limits,
    states: States,
    on_error: Option<OnError>,
    /// Log lines of what went wrong, where the program has no hook.
    failures: LogLimit,
}

type OnError = Box<dyn Fn(&HandlerError, &Socket, Option<&str>) + Send + Sync>;
type AdapterOf = Box<dyn Fn(&str) -> Arc<dyn Adapter> + Send + Sync>;

impl Common {
    pub(crate) fn report(&self, error: &HandlerError, socket: &Socket, event: Option<&str>) {
        if let Some(hook) = &self.on_error
            // The hook is the program's: if it panics, the connection that it was called for goes on.
            && catch_unwind(AssertUnwindSafe(|| hook(error, socket, event))).is_ok()
        {
            return;
        }
        self.failures.pass(|suppressed| {
            let (event, error) = (event.map(Excerpt), Excerpt(error));
            let event = event.as_ref().map(tracing::field::display);
            if self.on_error.is_some() {
                tracing::error!(socket = %socket.id(), event, %error, suppressed, "the error hook panicked");
            } else {
                tracing::warn!(socket = %socket.id(), event, %error, suppressed, "a handler failed");
            }
        });
    }
}

/// The settings of a server. Names and defaults are those of the Node package where it has them.
pub struct Builder {
    options: Options,
    limits: Limits,
    /// Takes precedence over the field of `limits`, in whatever order the two are set.
    connect_timeout: Option<Duration>,
    http: HttpLimits,
    #[cfg(feature = "tls")]
    tls: Option<net::ServerTls>,
    states: States,
    on_error: Option<OnError>,
    adapter: AdapterOf,
}

impl Builder {
    /// The path that clients connect to. Default `/socket.io`.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.options.path = format!("/{}/", path.trim_matches('/'));
        self
    }

    /// Headers for pages of other origins. Default none.
    #[must_use]
    pub fn cors(mut self, cors: Cors) -> Self {
        self.options.cors = Some(cors);
        self
    }

    /// How long after the last pong the server pings. Default 25 s.
    #[must_use]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.options.settings.ping_interval = interval;
        self
    }

    /// How long the pong may take. Default 20 s.
    #[must_use]
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.options.settings.ping_timeout = timeout;
        self
    }

    /// How long the move from polling to WebSocket may take. Default 10 s.
    #[must_use]
    pub fn upgrade_timeout(mut self, timeout: Duration) -> Self {
        self.options.settings.upgrade_timeout = timeout;
        self
    }

    /// The longest message of a client, in bytes. Default 1,000,000.
    #[must_use]
    pub fn max_http_buffer_size(mut self, bytes: usize) -> Self {
        self.options.settings.max_payload = bytes;
        self
    }

    /// Bytes that may wait to be sent to one client before it is disconnected. Default 16 MiB.
    #[must_use]
    pub fn max_buffered(mut self, bytes: usize) -> Self {
        self.options.max_buffered = bytes;
        self
    }

    /// Sessions at the same time, which is one for each client; more are refused with 503. Default 1,000,000.
    #[must_use]
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.options.max_sessions = sessions;
        self
    }

    /// Polling sessions that may begin after one of which nothing has been heard since its handshake; then that one is
    /// closed. Default 50,000.
    #[must_use]
    pub fn max_silent_sessions(mut self, sessions: usize) -> Self {
        self.options.max_silent_sessions = sessions;
        self
    }

    /// The transports that clients may use. Default: polling and WebSocket.
    #[must_use]
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.options.settings.transports = transports.into_iter().collect();
        self
    }

    /// Whether a polling client may move to WebSocket. Default true.
    #[must_use]
    pub fn allow_upgrades(mut self, allowed: bool) -> Self {
        self.options.settings.allow_upgrades = allowed;
        self
    }

    /// Decides about the first request of every connection; the error is what the client is told. It must not block.
    #[must_use]
    pub fn allow_request(
        mut self,
        check: impl Fn(&http::request::Parts) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.options.allow_request = Some(AllowRequest::new(check));
        self
    }

    /// Time for a connection to join its first namespace. Default 45 s, or what [`limits`](Self::limits) says; this method
    /// takes precedence, whichever is called first.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// What a client may make the server keep or do.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What a peer may ask of the server's own HTTP listener.
    #[must_use]
    pub fn http_limits(mut self, limits: HttpLimits) -> Self {
        self.http = limits;
        self
    }

    /// Speaks TLS on the server's own HTTP listener: `https` and `wss`, and nothing in the clear. Default: no.
    ///
    /// It does not concern a server that serves inside another one ([`Server::layer`], [`Server::service`]).
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use tidewire_server::{Server, ServerTls};
    ///
    /// let io = Server::builder().tls(ServerTls::from_pem_files("chain.pem", "key.pem")?).build();
    /// io.listen("0.0.0.0:443").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: net::ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// A value that handlers get through [`State`](crate::State), one of each type.
    #[must_use]
    pub fn state<S: Send + Sync + 'static>(mut self, state: S) -> Self {
        self.states.insert(state);
        self
    }

    /// Called when a handler fails or cannot be called, with the name of the event if it was one; also when a client
    /// sends what is no packet. Default: a log line at level `warn`.
    #[must_use]
    pub fn on_error(
        mut self,
        hook: impl Fn(&HandlerError, &Socket, Option<&str>) + Send + Sync + 'static,
    ) -> Self {
        self.on_error = Some(Box::new(hook));
        self
    }

    /// Makes the adapter of each namespace, which is named. Default: [`InMemory`], for one process.
    #[must_use]
    pub fn adapter(mut self, adapter: impl Fn(&str) -> Arc<dyn Adapter> + Send + Sync + 'static) -> Self {
        self.adapter = Box::new(adapter);
        self
    }

    /// The server, which does not listen yet.
    #[must_use]
    pub fn build(self) -> Server {
        #[cfg(feature = "tls")]
        let tls = self.tls;
        let Self { options, mut limits, connect_timeout, http, states, on_error, adapter, .. } = self;
        limits.connect_timeout = connect_timeout.unwrap_or(limits.connect_timeout);
        let common = Arc::new(Common { limits, states, on_error, failures: LogLimit::new() });
        let root = Namespace::new("/", Arc::clone(&common), adapter("/"));
        let namespaces = RwLock::new(HashMap::from([("/".into(), root.clone())]));
        let application = SocketIo {
            root,
            namespaces,
            common,
            adapter,
            http,
            #[cfg(feature = "tls")]
            tls,
        };
        Server(Engine::new(options, application))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("options", &self.options)
            .field("limits", &self.limits)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A server with settings.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            options: Options { path: "/socket.io/".into(), ..Options::default() },
            limits: Limits::default(),
            connect_timeout: None,
            http: HttpLimits::default(),
            #[cfg(feature = "tls")]
            tls: None,
            states: States::default(),
            on_error: None,
            adapter: Box::new(|_| Arc::new(InMemory::new())),
        }
    }

    /// A server with default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// The namespace of this name, which exists from now on. A leading slash is added where there is none.
    ///
    /// # Panics
    /// If the name contains a comma: the protocol has no way to write it.
    #[must_use]
    pub fn of(&self, name: &str) -> Namespace {
        assert!(!name.contains(','), "the name of a namespace contains no comma: {name:?}");
        let name = format!("/{}", name.trim_start_matches('/'));
        let inner = self.inner();
        if let Some(namespace) = self.find(&name) {
            return namespace;
        }
        // The program's adapter is made outside the lock: making it may call us.
        let namespace = Namespace::new(&name, Arc::clone(&inner.common), (inner.adapter)(&name));
        let mut namespaces = inner.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = namespaces.get(name.as_str()) {
            // Ours is dropped behind the lock, and with it the adapter.
            return earlier.clone();
        }
        namespaces.insert(name.into_boxed_str(), namespace.clone());
        namespace
    }

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

    /// Binds one of `addresses`, with the server's [`HttpLimits`] and with TLS if it has that, for
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
    /// [`HttpLimits::stop_timeout`] from that moment.
    pub async fn serve(&self, listener: Listener, stop: impl Future<Output = ()>) {
        let stop_timeout = self.inner().http.stop_timeout;
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
    pub fn service(&self) -> EngineService<SocketIo> {
        self.0.service()
    }

    /// A tower layer that answers Socket.IO requests and leaves all others to the service behind it, for instance an
    /// axum router: `Router::new().route(..).layer(io.layer())`.
    #[must_use]
    pub fn layer(&self) -> EngineLayer<SocketIo> {
        self.0.layer()
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.sessions()
    }

    /// Closes all connections and waits until they are gone, at most [`HttpLimits::stop_timeout`]. Sockets get the
    /// reason `server shutting down`; clients try to reconnect. Cancel safe.
    pub async fn close(&self) {
        self.0.close();
        self.0.closed(self.inner().http.stop_timeout).await;
    }

    fn inner(&self) -> &SocketIo {
        self.0.application()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Namespace> {
        let inner = self.inner();
        if name == "/" {
            return Some(inner.root.clone());
        }
        inner.namespaces.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// A fresh id; `None` where the operating system has no random bytes, and nobody can be let in.
    pub(crate) fn new_socket_id(&self) -> Option<SocketId> {
        let mut random = [0; 15];
        match getrandom::fill(&mut random) {
            Ok(()) => Some(SocketId::from_random(random)),
            Err(error) => {
                tracing::error!(%error, "no random bytes for a socket id");
                None
            }
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner().common.limits
    }

    pub(crate) fn states(&self) -> &States {
        &self.inner().common.states
    }

    pub(crate) fn report(&self, error: &HandlerError, socket: &Socket, event: Option<&str>) {
        self.inner().common.report(error, socket, event);
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

/// The server is its namespace `/`, as in Node, where all its methods are forwarded.
impl Deref for Server {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.inner().root
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("connections", &self.connections()).finish_non_exhaustive()
    }
}

impl Application for SocketIo {
    type Handler = Connection;

    fn on_open(&self, engine: &Engine<Self>, session: Session, request: http::request::Parts) -> Connection {
        let handshake = Handshake::new(&request, SystemTime::now());
        Connection::new(Server(engine.clone()), session, handshake, net::now())
    }
}

impl fmt::Debug for SocketIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketIo").finish_non_exhaustive()
    }
}
