//! The builder of a server.

mod engine_options;

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use adapter::{Adapter, AdapterFactory, Host, InMemoryAdapter};
use engineio::{ConnectionErrorHook, Engine, Options, SessionRefusedHook};
use handlers::{ErrorMap, HandlerError, StateMap};
use net::{HttpLimits, ListenerSettings, LogRateLimit};
use socketio_proto::Parser;

use super::namespaces::Namespaces;
use super::shared::{OnError, ServerShared};
use super::{Server, SocketIoApplication};
use crate::client_files::ClientFiles;
use crate::cluster_metrics;
use crate::connection::{KeepExtension, keep_extension};
use crate::limits::Limits;
use crate::namespace::Namespace;
use crate::observer::{Observation, ObservedRequest, Observer, Observers};
use crate::recovery::ConnectionStateRecovery;
use crate::socket::{DeliveryCounters, Socket};

/// Configures a server. Options that the Node package also has use its names and defaults. The exception is
/// `per_message_deflate`, with the feature `compression`: its `DeflateOptions` have other defaults than Node.
#[must_use]
pub struct Builder {
    options: Options,
    limits: Limits,
    /// Takes precedence over the field of `limits`, no matter which of the two is set first.
    connect_timeout: Option<Duration>,
    listener: ListenerSettings,
    states: StateMap,
    errors: ErrorMap,
    on_error: Option<OnError>,
    observers: Vec<Box<dyn Observer>>,
    parser: Option<Arc<dyn Parser>>,
    adapter: Box<dyn AdapterFactory>,
    cleanup_empty_child_namespaces: bool,
    recovery: Option<ConnectionStateRecovery>,
    keep_extensions: Vec<KeepExtension>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            options: Options {
                path: "/socket.io".into(),
                static_files: ClientFiles::new().into_static_files(),
                ..Options::default()
            },
            limits: Limits::default(),
            connect_timeout: None,
            listener: ListenerSettings::default(),
            states: StateMap::default(),
            errors: ErrorMap::default(),
            on_error: None,
            observers: Vec::new(),
            parser: None,
            adapter: Box::new(in_memory),
            cleanup_empty_child_namespaces: true,
            recovery: None,
            keep_extensions: Vec::new(),
        }
    }

    /// Sets the time in which a client must connect to its first namespace. Default 45 s. This value takes precedence
    /// over [`Limits::connect_timeout`], no matter which method is called first.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Sets the limits of the memory and the work that a client can cause.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the limits of the server's own HTTP listener.
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
    /// worker with the fewest tasks. A session that upgrades moves to the
    /// worker of its WebSocket. Default 0: no workers; connections run on the runtime of the program.
    ///
    /// Use as many workers as there are cores, if the server must answer evenly under full load. On Tokio's
    /// multi-thread runtime a few connections then wait much longer than the others, see
    /// `docs/deployment.md` in the repository. Do not use workers if handlers
    /// block their thread: all connections of the worker wait for such a handler, and no other thread takes them over.
    /// `tokio::task::block_in_place` panics on a worker; use `spawn_blocking`.
    ///
    /// ```
    /// use std::thread::available_parallelism;
    /// use tidewire_server::Server;
    ///
    /// let cores = available_parallelism().map_or(1, |cores| cores.get());
    /// let builder = Server::builder().workers(cores);
    /// # drop(builder);
    /// ```
    pub fn workers(mut self, count: usize) -> Self {
        self.listener.workers = count;
        self
    }

    /// Sets whether each connection begins with a header of the PROXY protocol, version 1 or 2, in which a proxy reports
    /// the address of its client. Connections that do not come from
    /// [`trusted_proxies`](Self::trusted_proxies) are then closed; without trusted proxies, that is every connection.
    /// Default false.
    ///
    /// This setting has no effect if the server is mounted in another HTTP server.
    #[cfg(feature = "proxy-protocol")]
    pub fn proxy_protocol(mut self, expected: bool) -> Self {
        self.listener.proxy_protocol = expected;
        self
    }

    /// Enables TLS on the server's own HTTP listener. It then accepts `https` and `wss` only. Default: no TLS.
    ///
    /// This setting has no effect if the server is mounted in another HTTP server ([`Server::layer`],
    /// [`Server::service`]).
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
    pub fn tls(mut self, tls: net::ServerTls) -> Self {
        self.listener.tls = Some(tls);
        self
    }

    /// Adds a value that handlers read with the extractor [`State`](crate::State). There is one value per type; a
    /// second value of the same type replaces the first.
    pub fn state<S: Send + Sync + 'static>(mut self, state: S) -> Self {
        self.states.insert(state);
        self
    }

    /// Keeps the extension of type `T` of the request that opens a connection, as long as the connection lives. A tower
    /// layer around the server can thus pass a value to the handlers, for instance the user that it has authenticated:
    /// the extractor [`Extension`](crate::Extension), [`Socket::extension`] and
    /// [`Handshake::extension`](crate::Handshake::extension) return it. Default: no extension is kept, because those of
    /// an HTTP server can hold much memory.
    ///
    /// ```
    /// # async fn run() -> std::io::Result<()> {
    /// use http::Request;
    /// use tidewire_server::{Extension, Server, Socket};
    /// use tower::ServiceBuilder;
    ///
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// let io = Server::builder().keep_request_extension::<User>().build();
    /// io.on_connection(async |socket: Socket, Extension(user): Extension<User>| {
    ///     socket.emit("welcome", &user.0);
    /// });
    /// let service = ServiceBuilder::new()
    ///     .map_request(|mut request: Request<_>| {
    ///         request.extensions_mut().insert(User("Ann".to_owned()));
    ///         request
    ///     })
    ///     .service(io.service());
    /// let listener = io.bind("0.0.0.0:3000").await?;
    /// io.serve_with(listener, service, std::future::pending()).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep_request_extension<T: Clone + Send + Sync + 'static>(mut self) -> Self {
        self.keep_extensions.push(keep_extension::<T>);
        self
    }

    /// Sets what clients learn of errors of the type `E`, which handlers and middlewares return with `?`. Without it, a
    /// client learns only that the handler failed, because the text of an error can name tables and files.
    ///
    /// The function returns a [`HandlerError`] with a message, and maybe a code and data, or `None` if the client shall
    /// learn nothing of this error. It is called if the error of a handler, or one of its causes, is an `E`. Several
    /// functions may be added, for several types. If more than one maps an error, the first one decides. Errors of
    /// [`HandlerError::new`] are sent as they are.
    ///
    /// The mapped error has the original one as its source, so the error hook and the log still name it.
    ///
    /// ```
    /// use tidewire_server::{Data, HandlerError, Server};
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// enum AppError {
    ///     #[error("room {0} is full")]
    ///     RoomFull(String),
    ///     #[error("cannot save")]
    ///     Save(#[from] std::io::Error),
    /// }
    ///
    /// let io = Server::builder()
    ///     .map_errors(|error: &AppError| match error {
    ///         AppError::RoomFull(_) => Some(HandlerError::new("the room is full").code("room_full")),
    ///         AppError::Save(_) => None,
    ///     })
    ///     .build();
    /// // The acknowledgement is `{"error": "the room is full", "code": "room_full"}`.
    /// io.on("join", async |Data(room): Data<String>| Err::<(), _>(AppError::RoomFull(room)));
    /// ```
    pub fn map_errors<E, R>(mut self, map: impl Fn(&E) -> R + Send + Sync + 'static) -> Self
    where
        E: Error + 'static,
        R: Into<Option<HandlerError>>,
    {
        self.errors.insert(map);
        self
    }

    /// Sets the error hook. It is called when a handler fails or cannot be called, and when a client sends an invalid
    /// packet. The last argument is the name of the event, if the error belongs to one. Default: a log line at level
    /// `warn`, or a line on standard error if the program has no `tracing` subscriber.
    pub fn on_error(
        mut self,
        hook: impl Fn(&HandlerError, &Socket, Option<&str>) + Send + Sync + 'static,
    ) -> Self {
        self.on_error = Some(Box::new(hook));
        self
    }

    /// Adds an observer, which is called with everything that happens in the server. Observers are called in the order in
    /// which they were added. Default none. See [`Observer`] for what they may do, and what they cost.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Sets the parser, which converts packets to messages and back. Default: the JSON of the Socket.IO protocol, with
    /// binary attachments.
    ///
    /// All clients must use the same parser, because the protocol does not negotiate it. A client that uses another one
    /// is disconnected for its first invalid packet.
    ///
    /// `MessagePackParser`, for clients that use the npm package `socket.io-msgpack-parser`, needs the feature `msgpack`.
    ///
    /// ```
    /// use tidewire_server::{MessagePackParser, Server};
    ///
    /// // With the feature `msgpack`.
    /// let io = Server::builder().parser(MessagePackParser).build();
    /// ```
    pub fn parser(mut self, parser: impl Parser) -> Self {
        self.parser = Some(Arc::new(parser));
        self
    }

    /// Sets what creates the adapter of each namespace, for instance the adapter of a cluster. Default:
    /// [`InMemoryAdapter`], for one process.
    pub fn adapter(mut self, factory: impl AdapterFactory + 'static) -> Self {
        self.adapter = Box::new(factory);
        self
    }

    /// Sets the files of a JavaScript client, so that pages can load them from this server:
    /// `<script src="/socket.io/socket.io.js">`. In Node: `serveClient`. Default none: their requests get status 404 with a
    /// text that says so.
    ///
    /// ```no_run
    /// use tidewire_server::{ClientFiles, Server};
    ///
    /// let files = ClientFiles::from_dir("node_modules/socket.io-client/dist")?;
    /// let io = Server::builder().client_files(files).build();
    /// # Ok::<_, tidewire_server::ClientFilesError>(())
    /// ```
    pub fn client_files(mut self, files: ClientFiles) -> Self {
        self.options.static_files = files.into_static_files();
        self
    }

    /// Sets whether a namespace that was created for a client ([`Server::of_pattern`], [`Server::of_predicate`]) is
    /// removed, with its adapter, when its last socket has disconnected and the socket's `on_disconnect` handler has
    /// finished. If a client requests the name again, the parent creates a new one. Default true.
    ///
    /// In Node the default is false. Then the namespaces stay. Clients that invent names would use up
    /// [`Limits::max_client_namespaces`], and then no client could create another one until the server is restarted.
    ///
    /// A handler that was registered on a child, and not on its parent, is removed with the child. To register handlers
    /// for each child, use [`Server::on_new_namespace`].
    pub fn cleanup_empty_child_namespaces(mut self, cleanup: bool) -> Self {
        self.cleanup_empty_child_namespaces = cleanup;
        self
    }

    /// Enables connection state recovery: a client that loses its connection and reconnects in time keeps the id of its
    /// socket, its rooms and its [data](Socket::data), and gets the events that it has missed. Or it connects as a new
    /// client, if any of these events is no longer known. [`Socket::recovered`] tells which. Default: disabled.
    ///
    /// ```
    /// use tidewire_server::{ConnectionStateRecovery, Server, Socket};
    ///
    /// let io = Server::builder().connection_state_recovery(ConnectionStateRecovery::default()).build();
    /// io.on_connection(async |socket: Socket| {
    ///     if !socket.recovered() {
    ///         socket.join("news");
    ///     }
    /// });
    /// ```
    pub fn connection_state_recovery(mut self, recovery: ConnectionStateRecovery) -> Self {
        self.recovery = Some(recovery);
        self
    }

    /// Creates the server. It does not listen yet.
    #[must_use]
    pub fn build(self) -> Server {
        let Self {
            mut options,
            mut limits,
            connect_timeout,
            listener,
            states,
            errors,
            on_error,
            observers,
            parser,
            adapter,
            cleanup_empty_child_namespaces,
            recovery,
            keep_extensions,
        } = self;
        limits.connect_timeout = connect_timeout.unwrap_or(limits.connect_timeout);
        let observers = Observers::new(observers);
        if observers.is_active() {
            options.on_connection_error =
                Some(observe_refusals(options.on_connection_error, observers.clone()));
            options.on_session_refused =
                Some(observe_refused_sessions(options.on_session_refused, observers.clone()));
        }
        let common = Arc::new(ServerShared {
            limits,
            deliveries: DeliveryCounters::default(),
            states,
            errors,
            parser,
            observers,
            on_error,
            recovery: recovery.map(|recovery| recovery.settings(&options)),
            internal_error_log: LogRateLimit::new(),
            client_error_log: LogRateLimit::new(),
            refusal_log: LogRateLimit::new(),
            blocked_log: LogRateLimit::new(),
            server: OnceLock::new(),
        });
        let root = Namespace::new("/", Arc::clone(&common), &*adapter);
        root.observe_rooms();
        let namespaces =
            Namespaces::new(root.clone(), Arc::clone(&common), adapter, cleanup_empty_child_namespaces);
        let namespaces = Arc::new(namespaces);
        cluster_metrics::observe(&namespaces);
        let application = SocketIoApplication {
            root,
            namespaces,
            shared: common,
            listener,
            keep_extensions: keep_extensions.into_boxed_slice(),
        };
        let engine = Engine::new(options, application);
        // Set here for the first time.
        let _ = engine.application().shared.server.set(engine.downgrade());
        Server(engine)
    }
}

/// Returns a hook that calls the observers, and then the hook of the program.
fn observe_refusals(hook: Option<ConnectionErrorHook>, observers: Observers) -> ConnectionErrorHook {
    ConnectionErrorHook::new(move |error, request| {
        observers.notify(|| Observation::RequestRefused { error, request: ObservedRequest(request) });
        if let Some(hook) = &hook {
            hook.call(error, request);
        }
    })
}

/// The same for clients that get no session.
fn observe_refused_sessions(hook: Option<SessionRefusedHook>, observers: Observers) -> SessionRefusedHook {
    SessionRefusedHook::new(move |refusal, request| {
        observers.notify(|| Observation::SessionRefused { refusal, request: ObservedRequest(request) });
        if let Some(hook) = &hook {
            hook.call(refusal, request);
        }
    })
}

/// The default factory of adapters.
pub(super) fn in_memory(_namespace: &str, _host: Weak<dyn Host>) -> Arc<dyn Adapter> {
    Arc::new(InMemoryAdapter::new())
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("options", &self.options)
            .field("limits", &self.limits)
            .field("connect_timeout", &self.connect_timeout)
            .field("recovery", &self.recovery)
            .finish_non_exhaustive()
    }
}
