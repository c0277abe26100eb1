//! The settings of the engine: transports, heartbeat, CORS, compression, hooks.

use std::future::Future;
use std::time::Duration;

use engineio::{
    AddressLimits, AllowRequest, AllowedOrigins, ConnectionError, ConnectionErrorHook, Cookie, Cors,
    DeflateOptions, HeadersHook, HttpCompression, InitialPacket, MemoryBudget, Transport, TrustedProxies,
};
use http::HeaderMap;
use http::request::Parts;

use super::Builder;

impl Builder {
    /// Sets the URL path for Socket.IO requests. Default `/socket.io`. The server handles all paths that begin with it
    /// and a slash.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.options.path = path.into();
        self
    }

    /// Sets whether the path must end with a slash. Default true: the server does not handle `/socket.io`. If false, it
    /// handles all paths that begin with `/socket.io`; even `/socket.iox`. Clients have the same option.
    #[must_use]
    pub fn add_trailing_slash(mut self, add: bool) -> Self {
        self.options.add_trailing_slash = add;
        self
    }

    /// Sets a message that the server sends right after the open packet of each connection, in the same response on
    /// long-polling. A Socket.IO client expects an encoded Socket.IO packet. Default: none.
    #[must_use]
    pub fn initial_packet(mut self, packet: impl Into<InitialPacket>) -> Self {
        self.options.initial_packet = Some(packet.into());
        self
    }

    /// Sets the CORS headers for pages of other origins. Default: no CORS headers. CORS never rejects a request on the
    /// server.
    #[must_use]
    pub fn cors(mut self, cors: Cors) -> Self {
        self.options.cors = Some(cors);
        self
    }

    /// Sets the origins whose pages may connect. Every request of a connection is checked, whatever its transport.
    /// Pages of other origins get the error `Forbidden` and harm no connection. [`AllowedOrigins`] says which requests
    /// without `Origin` are allowed; by default those of programs are. Default: all origins.
    ///
    /// ```
    /// use tidewire_server::{AllowedOrigins, Cors, Server};
    ///
    /// let origins = AllowedOrigins::new(["https://example.com"])?;
    /// // The first lets browsers show responses to the pages, the second keeps all other pages out.
    /// let io = Server::builder().cors(Cors::from(origins.clone())).allow_origins(origins).build();
    /// # Ok::<_, tidewire_server::InvalidOrigin>(())
    /// ```
    #[must_use]
    pub fn allow_origins(mut self, origins: AllowedOrigins) -> Self {
        self.options.allow_origins = Some(origins);
        self
    }

    /// Sets how responses to polling requests are compressed, for clients that accept gzip or deflate. Default:
    /// responses of 1,024 bytes and more, with level 6. `None` switches it off.
    ///
    /// ```
    /// use tidewire_server::{HttpCompression, Server};
    ///
    /// let larger = HttpCompression { threshold: 4_096, ..HttpCompression::default() };
    /// let io = Server::builder().http_compression(larger).build();
    /// let off = Server::builder().http_compression(None).build();
    /// ```
    #[must_use]
    pub fn http_compression(mut self, compression: impl Into<Option<HttpCompression>>) -> Self {
        self.options.http_compression = compression.into();
        self
    }

    /// Compresses WebSocket messages (permessage-deflate) for clients that offer it. Default: off. With the default
    /// options, messages of 1,024 bytes and more are compressed, and a connection keeps no memory for it.
    ///
    /// A broadcast is compressed once for each receiver. Compression can leak secrets, see [`HttpCompression`].
    ///
    /// Node uses level 6 and context takeover by default, [`DeflateOptions`] level 1 and none. The WebSocket servers of
    /// `tidewire-ws` call this setting `compress`.
    ///
    /// ```
    /// use tidewire_server::{DeflateOptions, Server};
    ///
    /// let io = Server::builder().per_message_deflate(DeflateOptions::default()).build();
    /// ```
    #[must_use]
    pub fn per_message_deflate(mut self, options: impl Into<Option<DeflateOptions>>) -> Self {
        self.options.per_message_deflate = options.into();
        self
    }

    /// Sets the time between the last pong and the next ping. Default 25 s.
    #[must_use]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.options.protocol.ping_interval = interval;
        self
    }

    /// Sets how long the server waits for a pong before it closes the connection. Default 20 s.
    #[must_use]
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.options.protocol.ping_timeout = timeout;
        self
    }

    /// Sets the timeout of an upgrade from polling to WebSocket. Default 10 s.
    #[must_use]
    pub fn upgrade_timeout(mut self, timeout: Duration) -> Self {
        self.options.protocol.upgrade_timeout = timeout;
        self
    }

    /// Sets the maximum size of a message from a client, in bytes. Default 1,000,000.
    #[must_use]
    pub fn max_http_buffer_size(mut self, bytes: usize) -> Self {
        self.options.protocol.max_payload = bytes;
        self
    }

    /// Sets how many bytes may be buffered for one client before it is disconnected. Default 16 MiB.
    #[must_use]
    pub fn max_write_buffer_size(mut self, bytes: usize) -> Self {
        self.options.max_write_buffer_size = bytes;
        self
    }

    /// Sets how long the body of a POST may take to arrive. At the limit, the response is 408, and the connection ends
    /// as `transport error`. Default 30 s.
    #[must_use]
    pub fn http_request_body_timeout(mut self, timeout: Duration) -> Self {
        self.options.http_request_body_timeout = timeout;
        self
    }

    /// Sets how long a polling connection that the server has closed waits for the client's last poll, which gets the
    /// remaining packets. At the limit, they are dropped. Default 30 s.
    #[must_use]
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.options.close_timeout = timeout;
        self
    }

    /// Sets the maximum number of sessions; each connected client has one. More handshakes are rejected with status
    /// 503. Default 1,000,000.
    #[must_use]
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.options.max_sessions = sessions;
        self
    }

    /// Sets the limit for half-open sessions: a half-open session is closed when this many polling sessions have
    /// started after it. A polling session is half-open until its client sends the first request after the handshake.
    /// Default 50,000.
    #[must_use]
    pub fn max_half_open_sessions(mut self, sessions: usize) -> Self {
        self.options.max_half_open_sessions = sessions;
        self
    }

    /// Sets the limit for the request heads of half-open sessions: a half-open session is closed when its own head and
    /// the heads of the polling sessions that have started after it take more bytes than this. Default 64 MiB.
    #[must_use]
    pub fn max_half_open_bytes(mut self, bytes: usize) -> Self {
        self.options.max_half_open_bytes = bytes;
        self
    }

    /// Sets the most bytes of the head of a request that opens a session: its path, query and headers, which
    /// [`Socket::handshake`](crate::Socket::handshake) keeps. A longer one is rejected with status 431. The server's own
    /// listener also has [`HttpLimits::max_head_size`](crate::HttpLimits::max_head_size). Default 16 KiB.
    #[must_use]
    pub fn max_handshake_size(mut self, bytes: usize) -> Self {
        self.options.max_handshake_size = bytes;
        self
    }

    /// Sets the proxies in front of the server, and the header in which they report the addresses of their clients.
    /// Default: none. Behind a proxy that is not named, all clients have the address of the proxy, in
    /// [`Handshake::address`](crate::Handshake::address) and for [`address_limits`](Self::address_limits).
    ///
    /// ```
    /// use tidewire_server::{Server, TrustedProxies};
    ///
    /// let io = Server::builder().trusted_proxies(TrustedProxies::new(["127.0.0.1", "10.0.0.0/8"])?).build();
    /// # Ok::<_, tidewire_server::InvalidNetwork>(())
    /// ```
    #[must_use]
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.options.trusted_proxies = proxies;
        self
    }

    /// Sets the limits on the sessions of one address: how many, how many without a namespace, and how many new ones in
    /// a time. A further session is rejected with status 429. They need the address of the client, see
    /// [`Handshake::address`](crate::Handshake::address). Addresses that are not public are not limited by default.
    #[must_use]
    pub fn address_limits(mut self, limits: AddressLimits) -> Self {
        self.options.address_limits = limits;
        self
    }

    /// Sets the budget for the memory of all connections that share it: unfinished messages and POST bodies, messages
    /// that wait for a handler or for a client, and the request heads that sessions keep. When it is exceeded, the
    /// connections that hold the most end as `transport error`. Default: [`MemoryBudget::process`], which is half of the
    /// memory of the machine or container, for everything in the process.
    ///
    /// ```
    /// use tidewire_server::{MemoryBudget, Server};
    ///
    /// let budget = MemoryBudget::new(256 * 1024 * 1024);
    /// let io = Server::builder().memory_budget(&budget).build();
    /// ```
    #[must_use]
    pub fn memory_budget(mut self, budget: &MemoryBudget) -> Self {
        self.options.memory_budget = budget.clone();
        self
    }

    /// Sets the transports that clients may use. Default: polling and WebSocket.
    #[must_use]
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.options.protocol.transports = transports.into_iter().collect();
        self
    }

    /// Sets whether a polling client may upgrade to WebSocket. Default true.
    #[must_use]
    pub fn allow_upgrades(mut self, allowed: bool) -> Self {
        self.options.protocol.allow_upgrades = allowed;
        self
    }

    /// Sets a check of the first request of every connection. If it returns an error, the request is rejected, and the
    /// client receives the error text. The check must not block.
    #[must_use]
    pub fn allow_request(
        mut self,
        check: impl Fn(&Parts) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.options.allow_request = Some(AllowRequest::new(check));
        self
    }

    /// Sets the cookie with the session id, which a load balancer can route by. Only the response that opens a polling
    /// session has it. Default: no cookie. `Cookie::default()` is that of Node's `cookie: true`.
    #[must_use]
    pub fn cookie(mut self, cookie: Cookie) -> Self {
        self.options.cookie = Some(cookie);
        self
    }

    /// Sets a function that adds headers to the first response of each connection. It must not block.
    ///
    /// ```
    /// # use tidewire_server::Server;
    /// let io = Server::builder().on_initial_headers(|headers, _request| {
    ///     headers.insert("x-served-by", http::HeaderValue::from_static("node-1"));
    /// });
    /// ```
    #[must_use]
    pub fn on_initial_headers(
        mut self,
        hook: impl Fn(&mut HeaderMap, &Parts) + Send + Sync + 'static,
    ) -> Self {
        self.options.on_initial_headers = Some(HeadersHook::new(hook));
        self
    }

    /// Sets a function that adds headers to every response of a connection: to GET and POST with status 200, and to
    /// WebSocket handshakes. It must not block. Refusals have no such headers.
    #[must_use]
    pub fn on_headers(mut self, hook: impl Fn(&mut HeaderMap, &Parts) + Send + Sync + 'static) -> Self {
        self.options.on_headers = Some(HeadersHook::new(hook));
        self
    }

    /// Sets a function that is called for every request that the engine refuses, with the code and the context of Node's
    /// event `connection_error`. It must not block. A peer can cause any number of calls, so a function that writes a
    /// log must limit its lines.
    ///
    /// ```
    /// # use tidewire_server::Server;
    /// let io = Server::builder().on_connection_error(|error, request| {
    ///     eprintln!("refused {:?} with code {}: {error}", request.uri.path(), error.code());
    /// });
    /// ```
    #[must_use]
    pub fn on_connection_error(
        mut self,
        hook: impl Fn(&ConnectionError, &Parts) + Send + Sync + 'static,
    ) -> Self {
        self.options.on_connection_error = Some(ConnectionErrorHook::new(hook));
        self
    }

    /// Sets a check like [`allow_request`](Self::allow_request) that may wait, for instance for a database. It gets a
    /// copy of the head of the request. If the client disconnects, the check is dropped where it waits. After 20 s the
    /// request is rejected with status 503. The last check that is set counts, of whichever kind.
    ///
    /// ```
    /// # use tidewire_server::Server;
    /// # async fn is_known(token: &http::HeaderValue) -> bool { true }
    /// let io = Server::builder().allow_request_async(async |request| {
    ///     match request.headers.get("authorization") {
    ///         Some(token) if is_known(token).await => Ok(()),
    ///         _ => Err("who are you?".to_owned()),
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn allow_request_async<F>(mut self, check: impl Fn(Parts) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.options.allow_request = Some(AllowRequest::new_async(check));
        self
    }

    /// Sets how long a check of [`allow_request_async`](Self::allow_request_async) may take. Default 20 s.
    #[must_use]
    pub fn allow_request_timeout(mut self, timeout: Duration) -> Self {
        self.options.allow_request_timeout = timeout;
        self
    }

    /// Sets how many checks of [`allow_request_async`](Self::allow_request_async) may wait at the same time. At the
    /// limit, a new connection is rejected with status 503, and no check starts. Default 1,000.
    #[must_use]
    pub fn max_pending_allow_requests(mut self, checks: usize) -> Self {
        self.options.max_pending_allow_requests = checks;
        self
    }
}
