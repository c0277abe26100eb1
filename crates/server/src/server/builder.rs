//! The settings of a server.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use adapter::{Adapter, InMemoryAdapter};
use engineio::{AllowRequest, Cors, Engine, Options, Transport};
use handlers::{HandlerError, StateMap};
use net::{HttpLimits, LogRateLimit};

use super::shared::{OnError, ServerShared};
use super::{AdapterFactory, Server, SocketIoHandler};
use crate::limits::Limits;
use crate::namespace::Namespace;
use crate::socket::Socket;

/// The settings of a server. Names and defaults are those of the Node package where it has them.
pub struct Builder {
    options: Options,
    limits: Limits,
    /// Takes precedence over the field of `limits`, in whatever order the two are set.
    connect_timeout: Option<Duration>,
    http: HttpLimits,
    #[cfg(feature = "tls")]
    tls: Option<net::ServerTls>,
    states: StateMap,
    on_error: Option<OnError>,
    adapter: AdapterFactory,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            options: Options { path: "/socket.io/".into(), ..Options::default() },
            limits: Limits::default(),
            connect_timeout: None,
            http: HttpLimits::default(),
            #[cfg(feature = "tls")]
            tls: None,
            states: StateMap::default(),
            on_error: None,
            adapter: Box::new(|_| Arc::new(InMemoryAdapter::new())),
        }
    }

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
        self.options.protocol.ping_interval = interval;
        self
    }

    /// How long the pong may take. Default 20 s.
    #[must_use]
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.options.protocol.ping_timeout = timeout;
        self
    }

    /// How long the move from polling to WebSocket may take. Default 10 s.
    #[must_use]
    pub fn upgrade_timeout(mut self, timeout: Duration) -> Self {
        self.options.protocol.upgrade_timeout = timeout;
        self
    }

    /// The longest message of a client, in bytes. Default 1,000,000.
    #[must_use]
    pub fn max_http_buffer_size(mut self, bytes: usize) -> Self {
        self.options.protocol.max_payload = bytes;
        self
    }

    /// Bytes that may wait to be sent to one client before it is disconnected. Default 16 MiB.
    #[must_use]
    pub fn max_write_buffer_size(mut self, bytes: usize) -> Self {
        self.options.max_write_buffer_size = bytes;
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
    pub fn max_half_open_sessions(mut self, sessions: usize) -> Self {
        self.options.max_half_open_sessions = sessions;
        self
    }

    /// The transports that clients may use. Default: polling and WebSocket.
    #[must_use]
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.options.protocol.transports = transports.into_iter().collect();
        self
    }

    /// Whether a polling client may move to WebSocket. Default true.
    #[must_use]
    pub fn allow_upgrades(mut self, allowed: bool) -> Self {
        self.options.protocol.allow_upgrades = allowed;
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

    /// Makes the adapter of each namespace, which is named. Default: [`InMemoryAdapter`], for one process.
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
        let common =
            Arc::new(ServerShared { limits, states, on_error, error_log_limit: LogRateLimit::new() });
        let root = Namespace::new("/", Arc::clone(&common), adapter("/"));
        let namespaces = RwLock::new(HashMap::from([("/".into(), root.clone())]));
        let application = SocketIoHandler {
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
