//! The setters of [`Options`](crate::Options) that the builders of the Engine.IO and the Socket.IO server share.

/// Defines the setters in the `impl` block of a builder with a field `options: Options`. A macro, so that the methods of
/// both builders are inherent ones, and their documentation is written once.
///
/// The arguments are the default of the path, which the builder sets itself, and for the examples the path of the crate
/// and of its server.
#[doc(hidden)]
#[macro_export]
macro_rules! engine_setters {
    ($path:literal, $crate_path:literal, $server_path:literal) => {
        #[doc = concat!("Sets the URL path. Default `", $path, "`.")]
        /// The server handles all paths that begin with it and a slash, see [`add_trailing_slash`](Self::add_trailing_slash).
        pub fn path(mut self, path: &str) -> Self {
            self.options.path = path.into();
            self
        }

        /// Sets whether the path must end with a slash. Clients have the same option.
        #[doc = concat!("Default true: the server does not handle `", $path, "`.")]
        #[doc = concat!("If false, it handles all paths that begin with it, even `", $path, "x`.")]
        pub fn add_trailing_slash(mut self, add: bool) -> Self {
            self.options.add_trailing_slash = add;
            self
        }

        /// Sets the transports that clients may use. A request for another one is refused. Default: polling and
        /// WebSocket.
        pub fn transports(
            mut self,
            transports: impl IntoIterator<Item = $crate::Transport>,
        ) -> Self {
            self.options.protocol.transports = transports.into_iter().collect();
            self
        }

        /// Sets whether a polling client may upgrade to WebSocket. Default true.
        pub fn allow_upgrades(mut self, allowed: bool) -> Self {
            self.options.protocol.allow_upgrades = allowed;
            self
        }

        /// Sets the time between the last pong and the next ping. Default 25 s.
        pub fn ping_interval(mut self, interval: std::time::Duration) -> Self {
            self.options.protocol.ping_interval = interval;
            self
        }

        /// Sets how long the server waits for a pong. At the limit, the session ends as `ping timeout`. Default 20 s.
        pub fn ping_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.protocol.ping_timeout = timeout;
            self
        }

        /// Sets the timeout of an upgrade from polling to WebSocket. At the limit, the new connection is closed, and the
        /// session stays on polling. Default 10 s.
        pub fn upgrade_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.protocol.upgrade_timeout = timeout;
            self
        }

        /// Sets the maximum size of a message or a POST of a client, in bytes. A larger one ends the session. Default
        /// 1,000,000.
        pub fn max_http_buffer_size(mut self, bytes: usize) -> Self {
            self.options.protocol.max_payload = bytes;
            self
        }

        /// Sets how many bytes may be queued for one client. At the limit, the session is closed. Four times as many fit if
        /// the program sends them at once, and the client has read everything before. Default 16 MiB.
        pub fn max_write_buffer_size(mut self, bytes: usize) -> Self {
            self.options.max_write_buffer_size = bytes;
            self
        }

        /// Sets a message that the server sends right after the open packet of each session, in the same response on
        /// long-polling. A Socket.IO client expects an encoded Socket.IO packet. Default: none.
        pub fn initial_packet(mut self, packet: impl Into<$crate::InitialPacket>) -> Self {
            self.options.initial_packet = Some(packet.into());
            self
        }

        /// Sets the CORS headers for pages of other origins. Default: no CORS headers. CORS never rejects a request on
        /// the server; [`allow_origins`](Self::allow_origins) does.
        pub fn cors(mut self, cors: $crate::Cors) -> Self {
            self.options.cors = Some(cors);
            self
        }

        /// Sets the origins whose pages may connect. Every request of a session is checked, whatever its transport.
        /// Pages of other origins get the error `Forbidden` and harm no session.
        /// [`AllowedOrigins`](crate::AllowedOrigins) says which requests without `Origin` are allowed; by default those of
        /// programs are. Default: all origins.
        ///
        /// ```
        #[doc = concat!("use ", $crate_path, "::{AllowedOrigins, Cors};")]
        #[doc = concat!("use ", $server_path, ";")]
        ///
        /// let origins = AllowedOrigins::new(["https://example.com"])?;
        /// // The first lets browsers show responses to the pages, the second keeps all other pages out.
        /// let builder = Server::builder().cors(Cors::from(origins.clone())).allow_origins(origins);
        #[doc = concat!("# Ok::<_, ", $crate_path, "::InvalidOrigin>(())")]
        /// ```
        pub fn allow_origins(mut self, origins: $crate::AllowedOrigins) -> Self {
            self.options.allow_origins = Some(origins);
            self
        }

        #[cfg(feature = "compression")]
        /// Sets how responses to polling requests are compressed, for clients that accept gzip or deflate. Default:
        /// responses of 1,024 bytes and more, with level 6. `None` switches it off. Needs the feature `compression`.
        ///
        /// ```
        #[doc = concat!("use ", $crate_path, "::HttpCompression;")]
        #[doc = concat!("use ", $server_path, ";")]
        ///
        /// let larger = HttpCompression { threshold: 4_096, ..HttpCompression::default() };
        /// let builder = Server::builder().http_compression(larger);
        /// let off = Server::builder().http_compression(None);
        /// ```
        pub fn http_compression(
            mut self,
            compression: impl Into<Option<$crate::HttpCompression>>,
        ) -> Self {
            self.options.http_compression = compression.into();
            self
        }

        #[cfg(feature = "compression")]
        /// Compresses WebSocket messages (permessage-deflate) for clients that offer it. Default: off. With the default
        /// options, messages of 1,024 bytes and more are compressed, and a session keeps no memory for it. Needs the feature
        /// `compression`.
        ///
        /// A message to many clients is compressed once for each of them. Compression can leak secrets, see
        /// [`HttpCompression`](crate::HttpCompression).
        ///
        /// Node uses level 6 and context takeover by default, [`DeflateOptions`](crate::DeflateOptions) level 1 and none.
        /// The WebSocket servers of `tidewire-ws` call this setting `compress`.
        ///
        /// ```
        #[doc = concat!("use ", $crate_path, "::DeflateOptions;")]
        #[doc = concat!("use ", $server_path, ";")]
        ///
        /// let builder = Server::builder().per_message_deflate(DeflateOptions::default());
        /// ```
        pub fn per_message_deflate(
            mut self,
            options: impl Into<Option<$crate::DeflateOptions>>,
        ) -> Self {
            self.options.per_message_deflate = options.into();
            self
        }

        /// Sets the cookie with the session id, which a load balancer can route by. Only the response that opens a
        /// polling session has it. Default: no cookie. `Cookie::default()` is that of Node's `cookie: true`.
        pub fn cookie(mut self, cookie: $crate::Cookie) -> Self {
            self.options.cookie = Some(cookie);
            self
        }

        /// Sets how long the body of a POST may take to arrive. At the limit, the response is 408, and the session ends
        /// as `transport error`. Default 30 s.
        pub fn http_request_body_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.http_request_body_timeout = timeout;
            self
        }

        /// Sets how long a polling session that the server has closed waits for the client's last poll, which gets the
        /// remaining packets. At the limit, they are dropped. Default 30 s.
        pub fn close_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.close_timeout = timeout;
            self
        }

        /// Sets the maximum number of sessions; each connected client has one. More handshakes are rejected with status
        /// 503. Default 1,000,000.
        pub fn max_sessions(mut self, sessions: usize) -> Self {
            self.options.max_sessions = sessions;
            self
        }

        /// Sets the limit for half-open sessions: a half-open session is closed when this many polling sessions have
        /// started after it. A polling session is half-open until its client polls after the handshake, or begins
        /// to upgrade. Default 50,000.
        pub fn max_half_open_sessions(mut self, sessions: usize) -> Self {
            self.options.max_half_open_sessions = sessions;
            self
        }

        /// Sets the limit for the request heads of half-open sessions: a half-open session is closed when its own head
        /// and the heads of the polling sessions that have started after it take more bytes than this. Default 64 MiB.
        pub fn max_half_open_bytes(mut self, bytes: usize) -> Self {
            self.options.max_half_open_bytes = bytes;
            self
        }

        /// Sets the most bytes of the head of a request that opens a session: its path, query and headers, which the
        /// session keeps. A longer one is rejected with status 431. The server's own listener also has
        /// [`HttpLimits::max_head_size`](crate::HttpLimits::max_head_size). Default 16 KiB.
        pub fn max_handshake_size(mut self, bytes: usize) -> Self {
            self.options.max_handshake_size = bytes;
            self
        }

        /// Sets the proxies in front of the server, and the header in which they report the addresses of their clients.
        /// Default: none. Behind a proxy that is not named, all clients have the address of the proxy, in
        /// [`ClientAddress`](crate::ClientAddress) and for [`address_limits`](Self::address_limits).
        ///
        /// ```
        #[doc = concat!("use ", $crate_path, "::TrustedProxies;")]
        #[doc = concat!("use ", $server_path, ";")]
        ///
        /// let builder = Server::builder().trusted_proxies(TrustedProxies::new(["127.0.0.1", "10.0.0.0/8"])?);
        #[doc = concat!("# Ok::<_, ", $crate_path, "::InvalidNetwork>(())")]
        /// ```
        pub fn trusted_proxies(mut self, proxies: $crate::TrustedProxies) -> Self {
            self.options.trusted_proxies = proxies;
            self
        }

        /// Sets the limits on the sessions of one address: how many, how many without authentication, and how many new
        /// ones in a time. A further session is rejected with status 429. They need the address of the client, see
        /// [`ClientAddress`](crate::ClientAddress). Addresses that are not public are not limited by default.
        ///
        /// A Socket.IO session is authenticated when it has connected to a namespace, a session of raw Engine.IO from
        /// its start.
        pub fn address_limits(mut self, limits: $crate::AddressLimits) -> Self {
            self.options.address_limits = limits;
            self
        }

        /// Sets the budget for the memory of all sessions that share it: unfinished messages and POST bodies, messages
        /// that wait for a handler or for a client, and the request heads that sessions keep. When it is exceeded, the
        /// sessions that hold the most end as `transport error`. Default:
        /// [`MemoryBudget::process`](crate::MemoryBudget::process), which is half of the memory of the machine or
        /// container, for everything in the process.
        ///
        /// ```
        #[doc = concat!("use ", $crate_path, "::MemoryBudget;")]
        #[doc = concat!("use ", $server_path, ";")]
        ///
        /// let budget = MemoryBudget::new(256 * 1024 * 1024);
        /// let builder = Server::builder().memory_budget(&budget);
        /// ```
        pub fn memory_budget(mut self, budget: &$crate::MemoryBudget) -> Self {
            self.options.memory_budget = budget.clone();
            self
        }

        /// Sets a check of the first request of every session. If it returns an error, the request is rejected, and the
        /// client receives the error text. The check must not block.
        pub fn allow_request(
            mut self,
            check: impl Fn(&$crate::http::request::Parts) -> Result<(), String> + Send + Sync + 'static,
        ) -> Self {
            self.options.allow_request = Some($crate::AllowRequest::new(check));
            self
        }

        /// Sets a check like [`allow_request`](Self::allow_request) that may wait, for instance for a database. It gets
        /// a copy of the head of the request. If the client disconnects, the check is dropped where it waits. After
        /// [`allow_request_timeout`](Self::allow_request_timeout) the request is rejected with status 503. The last check
        /// that is set counts, of whichever kind.
        ///
        /// ```
        #[doc = concat!("use ", $server_path, ";")]
        ///
        /// # async fn is_known(token: &http::HeaderValue) -> bool { true }
        /// let builder = Server::builder().allow_request_async(async |request| {
        ///     match request.headers.get("authorization") {
        ///         Some(token) if is_known(token).await => Ok(()),
        ///         _ => Err("who are you?".to_owned()),
        ///     }
        /// });
        /// ```
        pub fn allow_request_async<F>(
            mut self,
            check: impl Fn($crate::http::request::Parts) -> F + Send + Sync + 'static,
        ) -> Self
        where
            F: Future<Output = Result<(), String>> + Send + 'static,
        {
            self.options.allow_request = Some($crate::AllowRequest::new_async(check));
            self
        }

        /// Sets how long a check of [`allow_request_async`](Self::allow_request_async) may take. At the limit, it is
        /// dropped, and the request is rejected with status 503. Default 20 s.
        pub fn allow_request_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.allow_request_timeout = timeout;
            self
        }

        /// Sets how many checks of [`allow_request_async`](Self::allow_request_async) may wait at the same time. At the
        /// limit, a new session is rejected with status 503, and no check starts. Default 1,000.
        pub fn max_pending_allow_requests(mut self, checks: usize) -> Self {
            self.options.max_pending_allow_requests = checks;
            self
        }

        /// Sets how fast a server that shuts down closes its connections. Default: batches of 100, every 50 ms, and larger
        /// ones if these would take more than half of the shutdown timeout.
        pub fn close_pace(mut self, pace: $crate::ClosePace) -> Self {
            self.options.close_pace = pace;
            self
        }

        /// Sets a function that adds headers to the first response of each session. It must not block.
        ///
        /// ```
        #[doc = concat!("use ", $server_path, ";")]
        ///
        /// let builder = Server::builder().on_initial_headers(|headers, _request| {
        ///     headers.insert("x-served-by", http::HeaderValue::from_static("node-1"));
        /// });
        /// ```
        pub fn on_initial_headers(
            mut self,
            hook: impl Fn(&mut $crate::http::HeaderMap, &$crate::http::request::Parts) + Send + Sync + 'static,
        ) -> Self {
            self.options.on_initial_headers = Some($crate::HeadersHook::new(hook));
            self
        }

        /// Sets a function that adds headers to every response of a session: to GET and POST with status 200, and to
        /// WebSocket handshakes. It must not block. Refusals have no such headers.
        pub fn on_headers(
            mut self,
            hook: impl Fn(&mut $crate::http::HeaderMap, &$crate::http::request::Parts) + Send + Sync + 'static,
        ) -> Self {
            self.options.on_headers = Some($crate::HeadersHook::new(hook));
            self
        }

        /// Sets a function that is called for every request that the engine refuses, with the code and the context of
        /// Node's event `connection_error`. It must not block. A peer can cause any number of calls, so a function that
        /// writes a log must limit its lines. The server itself logs each refusal at level `warn`, at most ten at once and
        /// then one per second for each code.
        ///
        /// ```
        #[doc = concat!("use ", $server_path, ";")]
        ///
        /// let builder = Server::builder().on_connection_error(|error, request| {
        ///     eprintln!("refused {:?} with code {}: {error}", request.uri.path(), error.code());
        /// });
        /// ```
        pub fn on_connection_error(
            mut self,
            hook: impl Fn(&$crate::ConnectionError, &$crate::http::request::Parts) + Send + Sync + 'static,
        ) -> Self {
            self.options.on_connection_error = Some($crate::ConnectionErrorHook::new(hook));
            self
        }

        /// Sets a function that is called for every client that gets no session because of a limit, or because the server
        /// is closing: with status 429, 431 or 503. It must not block. A peer can cause any number of calls. The log has a
        /// warning for most of them, at a limited rate.
        ///
        /// ```
        #[doc = concat!("use ", $server_path, ";")]
        ///
        /// let builder = Server::builder().on_session_refused(|refusal, request| {
        ///     eprintln!("{}: {refusal}", refusal.status());
        /// });
        /// ```
        pub fn on_session_refused(
            mut self,
            hook: impl Fn($crate::SessionRefusal, &$crate::http::request::Parts) + Send + Sync + 'static,
        ) -> Self {
            self.options.on_session_refused = Some($crate::SessionRefusedHook::new(hook));
            self
        }
    };
}
