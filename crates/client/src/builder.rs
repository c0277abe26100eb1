//! The settings of a client and of its sockets.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use engineio_client::Connector;
use engineio_proto::Transport;
use handlers::{
    ErrorMap, EventHandler, Handler, HandlerError, IntoHandlerResult, IntoReply, MaybeSend, ObservedEvent,
    StateMap,
};
use http::HeaderValue;
use serde::Serialize;
use socketio_proto::Parser;
use socketio_proto::client::DisconnectReason;
use ws_proto::WebSocketUri;

use crate::auth::AuthSource;
use crate::client::{Client, ClientSettings, ConnectionHooks, OnError};
use crate::engine::Engine;
use crate::error::ConnectError;
use crate::handler::{OnConnect, OnConnectError, OnDisconnect, OnEvent};
use crate::limits::Limits;
use crate::reconnection::ReconnectionSettings;
use crate::socket::{Socket, SocketSettings, lifecycle};

/// Stands for no timeout where the engine needs one.
const NO_TIMEOUT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Configures a client and its first socket. The options have the names and the defaults of the JavaScript client;
/// where they differ, the method says so.
///
/// ```no_run
/// use std::time::Duration;
///
/// use tidewire_client::{Client, Data, DisconnectReason};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let socket = Client::builder("http://localhost:3000")
///     .reconnection_attempts(5)
///     .reconnection_delay(Duration::from_secs(1))
///     .on("notification", async |Data(text): Data<String>| println!("{text}"))
///     .on_disconnect(async |reason: DisconnectReason| println!("disconnected: {reason}"))
///     .connect();
/// socket.emit("join-room", "general");
/// let answer: String = socket.timeout(Duration::from_secs(5)).emit_with_ack("ask", 42).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "the client does not exist until you call `connect`"]
pub struct Builder {
    engine: Engine,
    namespace: String,
    reconnection: ReconnectionSettings,
    transport_count: u32,
    try_all_transports: bool,
    auto_connect: bool,
    limits: Limits,
    states: StateMap,
    parser: Option<Arc<dyn Parser>>,
    errors: ErrorMap,
    on_error: Option<OnError>,
    hooks: ConnectionHooks,
    socket: SocketSettings,
}

/// Configures the socket of another namespace of a client, see [`Client::namespace`].
#[must_use = "the socket does not exist until you call `connect`"]
pub struct SocketBuilder {
    client: Client,
    namespace: String,
    socket: SocketSettings,
}

impl Builder {
    pub(crate) fn new(url: &str) -> Self {
        // An invalid URL is reported when the client connects.
        let namespace = WebSocketUri::parse(url).map(|uri| uri.resource_name().path().to_owned());
        let connector = Connector::new(url).path("/socket.io");
        Self {
            engine: Engine::Connector(Box::new(connector)),
            namespace: namespace.unwrap_or_else(|_| "/".to_owned()),
            reconnection: ReconnectionSettings::default(),
            transport_count: 2,
            try_all_transports: false,
            auto_connect: true,
            limits: Limits::default(),
            states: StateMap::default(),
            parser: None,
            errors: ErrorMap::default(),
            on_error: None,
            hooks: ConnectionHooks::default(),
            socket: SocketSettings::default(),
        }
    }

    /// Replaces the engine by a simulated one.
    #[cfg(test)]
    pub(crate) fn simulated(mut self, network: crate::engine::simulation::Network) -> Self {
        self.engine = Engine::Simulated(network);
        self
    }

    /// Sets whether the client reconnects. Default: `true`. With `false`, the first failure is final: awaited
    /// acknowledgements fail, and [`Socket::connect`] tries again.
    pub fn reconnection(mut self, reconnection: bool) -> Self {
        self.reconnection.reconnection = reconnection;
        self
    }

    /// Sets how many attempts follow a failed attempt or the end of a connection. Default: `None`, no limit. With 0, the
    /// first failure is final. In JavaScript, 0 means no limit.
    ///
    /// After the last attempt, [`on_reconnect_failed`](Self::on_reconnect_failed) is called, awaited acknowledgements
    /// fail, and [`Socket::connect`] tries again. A connection that lasted for
    /// [`reconnection_delay_max`](Self::reconnection_delay_max) restarts the count; a shorter one counts as a failed
    /// attempt. In JavaScript, every connection restarts it.
    ///
    /// Nothing else ends the attempts: no status of an HTTP response, and no other error of a server or a proxy.
    pub fn reconnection_attempts(mut self, attempts: impl Into<Option<u32>>) -> Self {
        self.reconnection.reconnection_attempts = attempts.into();
        self
    }

    /// Sets the time before the first attempt to reconnect. Each further delay is twice as long, up to
    /// [`reconnection_delay_max`](Self::reconnection_delay_max). Default: 1 second. Minimum: 1 millisecond.
    pub fn reconnection_delay(mut self, delay: Duration) -> Self {
        self.reconnection.reconnection_delay = delay;
        self
    }

    /// Sets the longest delay between attempts to reconnect. Default: 5 seconds. Minimum: 1 millisecond.
    pub fn reconnection_delay_max(mut self, delay: Duration) -> Self {
        self.reconnection.reconnection_delay_max = delay;
        self
    }

    /// Sets the random part of each delay, as a fraction of the delay: above 0 and at most 1. Default: 0.5. Any other
    /// value turns randomization off.
    pub fn randomization_factor(mut self, factor: f64) -> Self {
        self.reconnection.randomization_factor = factor;
        self
    }

    /// Sets how long one attempt to open a connection may take. Default: 20 seconds. `None`: no limit. In JavaScript,
    /// `false` is no limit. With [`try_all_transports`](Self::try_all_transports), each transport has this time.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.reconnection.timeout = timeout.into();
        self
    }

    /// Sets whether [`connect`](Self::connect) connects the socket at once. Default: `true`. With `false`, it connects
    /// when the program calls [`Socket::connect`].
    pub fn auto_connect(mut self, auto_connect: bool) -> Self {
        self.auto_connect = auto_connect;
        self
    }

    /// Sets the path of the requests. Default: `/socket.io`. A slash is added at its end, see
    /// [`add_trailing_slash`](Self::add_trailing_slash).
    pub fn path(self, path: impl Into<String>) -> Self {
        self.connector(|connector| connector.path(path))
    }

    /// Sets whether the path of the requests ends with a slash. Default: `true`.
    pub fn add_trailing_slash(self, add: bool) -> Self {
        self.connector(|connector| connector.add_trailing_slash(add))
    }

    /// Adds a parameter to the query of each request, besides those of the URL.
    pub fn query(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.connector(|connector| connector.query(name.as_ref(), value.as_ref()))
    }

    /// Adds a header to each request of all transports. If the name or the value is not valid, the client cannot
    /// connect.
    pub fn extra_header<V>(self, name: impl AsRef<str>, value: V) -> Self
    where
        V: TryInto<HeaderValue>,
    {
        self.connector(|connector| connector.extra_header(name, value))
    }

    /// Adds headers to each request, see [`extra_header`](Self::extra_header).
    pub fn extra_headers<N, V>(self, headers: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: TryInto<HeaderValue>,
    {
        headers.into_iter().fold(self, |builder, (name, value)| builder.extra_header(name, value))
    }

    /// Sets the transports, in order. Default: long-polling, then WebSocket.
    pub fn transports(mut self, transports: impl Into<Vec<Transport>>) -> Self {
        let transports = transports.into();
        self.transport_count = u32::try_from(transports.len()).unwrap_or(u32::MAX);
        self.connector(|connector| connector.transports(transports))
    }

    /// Sets whether a connection that has opened with long-polling upgrades to WebSocket. Default: `true`.
    pub fn upgrade(self, upgrade: bool) -> Self {
        self.connector(|connector| connector.upgrade(upgrade))
    }

    /// Sets whether the client opens a connection on WebSocket at once if its last one has used WebSocket. Default:
    /// `false`. This is remembered for each client, in JavaScript for the whole process.
    pub fn remember_upgrade(self, remember: bool) -> Self {
        self.connector(|connector| connector.remember_upgrade(remember))
    }

    /// Sets whether the client tries the next transport if a connection does not open on the first one. Default:
    /// `false`.
    pub fn try_all_transports(mut self, try_all: bool) -> Self {
        self.try_all_transports = try_all;
        self.connector(|connector| connector.try_all_transports(try_all))
    }

    /// Sets how long an HTTP request of long-polling may take. Default: no limit.
    pub fn request_timeout(self, timeout: Duration) -> Self {
        self.connector(|connector| connector.request_timeout(timeout))
    }

    /// Sets whether the client keeps the cookies of the server, and sends them on all transports and when it reconnects.
    /// Load balancers with sticky sessions need it: with their cookie, the client reaches the same process again, which
    /// can recover its session. Default: `true`. In JavaScript, the default is `false`, and cookies are forgotten at the
    /// end of a connection, except in browsers.
    pub fn with_credentials(self, with_credentials: bool) -> Self {
        self.connector(|connector| connector.with_credentials(with_credentials))
    }

    /// Sets whether requests have a parameter that is different each time. Default: those of long-polling.
    pub fn timestamp_requests(self, timestamp: bool) -> Self {
        self.connector(|connector| connector.timestamp_requests(timestamp))
    }

    /// Sets the name of that parameter. Default: `t`.
    pub fn timestamp_param(self, name: impl Into<String>) -> Self {
        self.connector(|connector| connector.timestamp_param(name))
    }

    /// Offers a subprotocol of WebSocket, after those that were offered before.
    pub fn protocol(self, protocol: impl Into<String>) -> Self {
        self.connector(|connector| connector.protocol(protocol))
    }

    /// Connects through an HTTP proxy, with CONNECT. Default: no proxy. Proxy settings in the environment are used only if
    /// you pass [`Proxy::from_environment`](engineio_client::Proxy::from_environment). Not available in browsers.
    #[cfg(not(target_family = "wasm"))]
    pub fn proxy(self, proxy: engineio_client::Proxy) -> Self {
        self.connector(|connector| connector.proxy(proxy))
    }

    /// Calls `dial` for each stream to the server, instead of connecting over TCP: for a Unix socket, a tunnel, or a
    /// server in the same process. A connection needs several streams, one for each concurrent HTTP request and one for
    /// the WebSocket. With an `https` URL, the TLS handshake takes place on each stream. A [`proxy`](Self::proxy) is not
    /// used. Not available in browsers.
    ///
    /// ```no_run
    /// # #[cfg(unix)] {
    /// use tidewire_client::Client;
    /// use tokio::net::UnixStream;
    ///
    /// // The URL sets the `Host` header and the namespace.
    /// let builder =
    ///     Client::builder("http://localhost/chat").dial_with(|| UnixStream::connect("/run/server.sock"));
    /// # drop(builder);
    /// # }
    /// ```
    #[cfg(not(target_family = "wasm"))]
    pub fn dial_with<F, Fut, S>(self, dial: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::io::Result<S>> + Send + 'static,
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        self.connector(|connector| connector.dial_with(dial))
    }

    /// Sets the options of permessage-deflate, which the WebSocket transport offers, or `None` to offer nothing. Default:
    /// as in JavaScript, it is offered, and messages of at least 1,024 bytes are compressed if the server accepts.
    /// [`Connector::per_message_deflate`] has the details. Needs the feature `compression`. Not available in browsers,
    /// which always offer it.
    #[cfg(all(feature = "compression", not(target_family = "wasm")))]
    pub fn per_message_deflate(self, options: impl Into<Option<engineio_client::DeflateOptions>>) -> Self {
        self.connector(|connector| connector.per_message_deflate(options))
    }

    /// Sets the budget for what the servers of all clients that share it make this process hold. If it is exceeded, the
    /// connections that hold the most end, and reconnect. Default:
    /// [`MemoryBudget::process`](engineio_client::MemoryBudget::process), which the servers of the process use too.
    /// Received events that wait for their handlers do not count: they have limits of their own, see
    /// [`Limits::max_queued_bytes_hard`]. Not available in browsers.
    #[cfg(not(target_family = "wasm"))]
    pub fn memory_budget(self, budget: &engineio_client::MemoryBudget) -> Self {
        self.connector(|connector| connector.memory_budget(budget))
    }

    /// Sets the trusted root certificates and the client certificate for `https` and `wss`. Default: the root
    /// certificates of the operating system, and no client certificate. Not available in browsers.
    #[cfg(all(feature = "tls", not(target_family = "wasm")))]
    pub fn tls(self, tls: engineio_client::ClientTls) -> Self {
        self.connector(|connector| connector.tls(tls))
    }

    /// Sets the parser, which converts packets to messages and back. Default: the JSON of the Socket.IO protocol, with
    /// binary values as attachments.
    ///
    /// The server must use the same parser, because the protocol does not negotiate it. If it uses another one, the
    /// connection is lost with [`ParseError`](crate::DisconnectReason::ParseError), or the attempt ends at its
    /// [`timeout`](Self::timeout), and the client tries again. A parser of your own implements
    /// [`Parser`](crate::parser::Parser); the same type works in a server. If it panics, the client is closed.
    ///
    /// `MessagePackParser`, for servers that use the npm package `socket.io-msgpack-parser`, needs the feature `msgpack`.
    ///
    /// ```no_run
    /// use tidewire_client::{Client, MessagePackParser};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// // With the feature `msgpack`.
    /// let socket = Client::builder("http://localhost:3000").parser(MessagePackParser).connect();
    /// # }
    /// ```
    pub fn parser(mut self, parser: impl Parser) -> Self {
        self.parser = Some(Arc::new(parser));
        self
    }

    /// Sets the limits of what a server, or a lost connection, can cost. The limits of the transports are set with
    /// [`transport_limits`](Self::transport_limits).
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the limits of the transports, for instance the size of a message.
    pub fn transport_limits(self, limits: engineio_client::Limits) -> Self {
        self.connector(|connector| connector.limits(limits))
    }

    /// Adds a value that handlers read with the extractor [`State`](crate::State). There is one value per type; a
    /// second value of the same type replaces the first.
    pub fn state<S: Send + Sync + 'static>(mut self, state: S) -> Self {
        self.states.insert(state);
        self
    }

    /// Sets what the server learns of errors of the type `E`, which handlers return with `?`. Without it, the
    /// acknowledgement says only that the handler failed, because the text of an error can name tables and files.
    ///
    /// The function returns a [`HandlerError`] with a message, and maybe a code and data, or `None` if the server shall
    /// learn nothing of this error. It is called if the error of a handler, or one of its causes, is an `E`. Several
    /// functions may be added, for several types. If more than one maps an error, the first one decides. Errors of
    /// [`HandlerError::new`] are sent as they are.
    pub fn map_errors<E, R>(mut self, map: impl Fn(&E) -> R + Send + Sync + 'static) -> Self
    where
        E: Error + 'static,
        R: Into<Option<HandlerError>>,
    {
        self.errors.insert(map);
        self
    }

    /// Sets the error hook. It is called when a handler fails or cannot be called, when `emit` cannot send an event, when
    /// an event that nobody awaits is given up after its [`retries`](Self::retries), and when the server sends an
    /// invalid packet. The last argument is the name of the event, if the error belongs to one. Default: a log line at
    /// level `warn`, or a line on standard error if the program has no `tracing` subscriber.
    pub fn on_error(
        mut self,
        hook: impl Fn(&HandlerError, &Socket, Option<&str>) + Send + Sync + 'static,
    ) -> Self {
        self.on_error = Some(Box::new(hook));
        self
    }

    /// Sets a function that is called when a connection to the server has opened, before its sockets connect to their
    /// namespaces. In JavaScript: the event `open` of the manager. It must not block.
    pub fn on_open(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.hooks.open = Some(Box::new(hook));
        self
    }

    /// Sets a function that is called when a connection that has opened is lost or closed. In JavaScript: the event
    /// `close` of the manager. It must not block.
    pub fn on_close(mut self, hook: impl Fn(DisconnectReason) + Send + Sync + 'static) -> Self {
        self.hooks.close = Some(Box::new(hook));
        self
    }

    /// Sets a function that is called for each ping of the server. In JavaScript: the event `ping` of the manager. It must
    /// not block.
    pub fn on_ping(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.hooks.ping = Some(Box::new(hook));
        self
    }

    /// Sets a function that is called when a connection has upgraded to another transport. In JavaScript: the event
    /// `upgrade` of `io.engine`. It must not block.
    pub fn on_upgrade(mut self, hook: impl Fn(Transport) + Send + Sync + 'static) -> Self {
        self.hooks.upgrade = Some(Box::new(hook));
        self
    }

    /// Sets a function that is called before each attempt to reconnect, with its number, counted from 1. In JavaScript:
    /// the event `reconnect_attempt` of the manager. It must not block.
    pub fn on_reconnect_attempt(mut self, hook: impl Fn(u32) + Send + Sync + 'static) -> Self {
        self.hooks.attempt = Some(Box::new(hook));
        self
    }

    /// Sets a function that is called when an attempt to reconnect has succeeded, with its number. In JavaScript: the
    /// event `reconnect` of the manager. It must not block.
    pub fn on_reconnect(mut self, hook: impl Fn(u32) + Send + Sync + 'static) -> Self {
        self.hooks.reconnect = Some(Box::new(hook));
        self
    }

    /// Sets a function that is called when an attempt to reconnect has failed. After the last attempt,
    /// [`on_reconnect_failed`](Self::on_reconnect_failed) is called first, as in JavaScript. There it is the event
    /// `reconnect_error` of the manager. It must not block.
    pub fn on_reconnect_error(mut self, hook: impl Fn(&ConnectError) + Send + Sync + 'static) -> Self {
        self.hooks.error = Some(Box::new(hook));
        self
    }

    /// Sets a function that is called after the [last attempt](Self::reconnection_attempts) has failed. In JavaScript:
    /// the event `reconnect_failed` of the manager. It must not block.
    pub fn on_reconnect_failed(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.hooks.failed = Some(Box::new(hook));
        self
    }

    /// Creates the client and its first socket, and starts to connect. It does not wait: use
    /// [`Socket::connected`] for that. [`Socket::client`] returns the client.
    ///
    /// # Panics
    /// Panics outside a Tokio runtime, except in a browser. Panics if a handler takes a [`State`](crate::State) for which
    /// the builder has no value.
    #[track_caller]
    #[must_use = "the client closes when its last handle is dropped"]
    pub fn connect(self) -> Socket {
        let Self {
            engine,
            namespace,
            reconnection,
            auto_connect,
            limits,
            states,
            parser,
            errors,
            on_error,
            hooks,
            socket,
            ..
        } = self.with_timeouts();
        socket.check_state(&states, &namespace);
        let client = Client::spawn(ClientSettings {
            engine,
            reconnection,
            limits,
            states,
            parser,
            errors,
            on_error,
            hooks,
        });
        let socket = client.get_or_insert(&namespace, socket);
        if auto_connect {
            socket.connect();
        }
        socket
    }

    /// The client itself limits the time of an attempt, and the engine limits the time of each transport if there are
    /// several.
    fn with_timeouts(mut self) -> Self {
        let each = self.reconnection.timeout;
        if self.try_all_transports {
            self.reconnection.timeout = each.map(|each| each.saturating_mul(self.transport_count));
            self.connector(|connector| connector.timeout(each.unwrap_or(NO_TIMEOUT)))
        } else {
            self.connector(|connector| connector.timeout(NO_TIMEOUT))
        }
    }

    fn connector(mut self, change: impl FnOnce(Connector) -> Connector) -> Self {
        self.engine = match self.engine {
            Engine::Connector(connector) => Engine::Connector(Box::new(change(*connector))),
            #[cfg(test)]
            simulated @ Engine::Simulated(_) => simulated,
        };
        self
    }
}

impl SocketBuilder {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), socket: SocketSettings::default() }
    }

    /// Creates the socket and connects it. If the client has a socket of this namespace already, this returns that one,
    /// and the settings are ignored.
    ///
    /// # Panics
    /// Panics if a handler takes a [`State`](crate::State) for which the builder of the client has no value.
    #[track_caller]
    #[must_use]
    pub fn connect(self) -> Socket {
        let socket = self.create();
        socket.connect();
        socket
    }

    /// Creates the socket like [`connect`](Self::connect), but does not connect it.
    ///
    /// # Panics
    /// Panics if a handler takes a [`State`](crate::State) for which the builder of the client has no value.
    #[track_caller]
    #[must_use]
    pub fn create(self) -> Socket {
        self.socket.check_state(self.client.states(), &self.namespace);
        self.client.get_or_insert(&self.namespace, self.socket)
    }
}

/// The settings of one socket, which both builders have.
macro_rules! socket_settings {
    () => {
        /// Sets the credentials, which the socket sends with each request to connect. They must serialize as an object.
        pub fn auth(mut self, auth: impl Serialize) -> Self {
            self.socket.auth = AuthSource::from_value(&auth);
            self
        }

        /// Sets an async function that supplies the credentials. It is called for each connection, so it can renew a
        /// token. If it fails, `on_connect_error` gets the error, and the function is called again after a delay.
        pub fn auth_with<F, Fut, T, E>(mut self, auth: F) -> Self
        where
            F: Fn() -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<T, E>> + MaybeSend + 'static,
            T: Serialize,
            E: Into<Box<dyn Error + Send + Sync>>,
        {
            self.socket.auth = AuthSource::from_function(auth);
            self
        }

        /// Sends each event until the server has acknowledged it: at least once, in order, one at a time. Default: off.
        ///
        /// An event is sent again when its acknowledgement does not arrive within [`ack_timeout`](Self::ack_timeout), and
        /// when the connection breaks before it has arrived, at most `retries` times. After that, the event is given up:
        /// its [`AckFuture`](crate::AckFuture) fails, or the error hook is called. With `u32::MAX` it is never given up.
        ///
        /// The server must acknowledge every event, and may receive an event more than once. Volatile events are sent at
        /// once and not again. Set a timeout too: without one, an event that the server never acknowledges blocks all
        /// later ones. While events wait, those that the program does not await survive
        /// [`Socket::disconnect`], and the queue is limited by [`Limits::max_send_buffer_events`].
        pub fn retries(mut self, retries: u32) -> Self {
            self.socket.retries = Some(retries);
            self
        }

        /// Sets the default timeout of acknowledgements. Default: none.
        pub fn ack_timeout(mut self, timeout: Duration) -> Self {
            self.socket.ack_timeout = Some(timeout);
            self
        }

        /// Registers a handler for an event, see [`Socket::on`]. It gets every event from the first one on.
        pub fn on<M, H>(mut self, event: impl Into<String>, handler: H) -> Self
        where
            H: Handler<OnEvent, M>,
            H::Output: IntoReply,
        {
            let event = event.into();
            self.socket.handlers.events.insert(Some(&event), EventHandler::new(handler));
            self.socket.add_handler::<OnEvent, M, H>(format!("the handler of `{event}`"));
            self
        }

        /// Registers a handler for all events that have no handler of their own, see [`Socket::on_fallback`].
        pub fn on_fallback<M, H>(mut self, handler: H) -> Self
        where
            H: Handler<OnEvent, M>,
            H::Output: IntoReply,
        {
            self.socket.handlers.events.insert(None, EventHandler::new(handler));
            self.socket.add_handler::<OnEvent, M, H>("`on_fallback`");
            self
        }

        /// Registers the handler for each connect, see [`Socket::on_connect`].
        pub fn on_connect<M, H>(mut self, handler: H) -> Self
        where
            H: Handler<OnConnect, M>,
            H::Output: IntoHandlerResult,
        {
            self.socket.handlers.connect = Some(lifecycle(handler));
            self.socket.add_handler::<OnConnect, M, H>("`on_connect`");
            self
        }

        /// Registers the handler for failures to connect, see [`Socket::on_connect_error`].
        pub fn on_connect_error<M, H>(mut self, handler: H) -> Self
        where
            H: Handler<OnConnectError, M>,
            H::Output: IntoHandlerResult,
        {
            self.socket.handlers.connect_error = Some(lifecycle(handler));
            self.socket.add_handler::<OnConnectError, M, H>("`on_connect_error`");
            self
        }

        /// Registers the handler for each disconnect, see [`Socket::on_disconnect`].
        pub fn on_disconnect<M, H>(mut self, handler: H) -> Self
        where
            H: Handler<OnDisconnect, M>,
            H::Output: IntoHandlerResult,
        {
            self.socket.handlers.disconnect = Some(lifecycle(handler));
            self.socket.add_handler::<OnDisconnect, M, H>("`on_disconnect`");
            self
        }

        /// Adds a catch-all listener of received events, see [`Socket::on_any`].
        pub fn on_any(
            mut self,
            listener: impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static,
        ) -> Self {
            self.socket.handlers.listeners.push(Arc::new(listener));
            self
        }

        /// Adds a catch-all listener of emitted events, see [`Socket::on_any_outgoing`].
        pub fn on_any_outgoing(
            mut self,
            listener: impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static,
        ) -> Self {
            self.socket.handlers.outgoing_listeners.push(Arc::new(listener));
            self
        }
    };
}

impl Builder {
    socket_settings!();
}

impl SocketBuilder {
    socket_settings!();
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("engine", &self.engine)
            .field("namespace", &self.namespace)
            .field("reconnection", &self.reconnection)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SocketBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketBuilder").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
