//! The settings of a server.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use engineio_proto::Transport;
use http::HeaderMap;
use http::request::Parts;
use net::{AddressLimits, HttpLimits, MemoryBudget, TrustedProxies};
use ws_proto::{AllowedOrigins, DeflateOptions};

use super::handler::{Handler, boxed};
use super::{Server, ServerApplication};
use crate::compression::HttpCompression;
use crate::connection_error::ConnectionError;
use crate::cookie::Cookie;
use crate::cors::Cors;
use crate::engine::Engine;
use crate::hooks::{ConnectionErrorHook, HeadersHook};
use crate::options::{AllowRequest, InitialPacket, Options};

/// Configures a [`Server`]. Settings that Node's `engine.io` has too use its names and defaults, except
/// [`per_message_deflate`](Self::per_message_deflate). The fields of [`Options`] describe each setting in full.
#[must_use]
pub struct ServerBuilder {
    options: Options,
    http: HttpLimits,
    /// Takes precedence over the field of `http`, no matter which of the two is set first.
    backlog: Option<u32>,
    proxy_protocol: bool,
    #[cfg(feature = "tls")]
    tls: Option<net::ServerTls>,
}

impl ServerBuilder {
    pub(super) fn new() -> Self {
        Self {
            options: Options::default(),
            http: HttpLimits::default(),
            backlog: None,
            proxy_protocol: false,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Creates the server, which runs `handler` for every session. It does not listen yet.
    #[must_use]
    pub fn build<H, M>(mut self, handler: H) -> Server
    where
        H: Handler<M>,
    {
        self.http.backlog = self.backlog.unwrap_or(self.http.backlog);
        let application = ServerApplication {
            handler: boxed(handler),
            http: self.http,
            proxy_protocol: self.proxy_protocol,
            #[cfg(feature = "tls")]
            tls: self.tls,
        };
        Server(Engine::new(self.options, application))
    }

    /// Sets the limits of the server's own HTTP listener, and the time that a graceful shutdown may take.
    pub fn http_limits(mut self, limits: HttpLimits) -> Self {
        self.http = limits;
        self
    }

    /// Sets how many connections may wait until the server accepts them. A further client must connect again, see
    /// [`HttpLimits::backlog`]. Takes precedence over that field.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = Some(connections);
        self
    }

    /// Serves only TLS on the server's own listener. Default: no TLS. It has no effect in another HTTP server.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: net::ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets whether each connection begins with a header of the PROXY protocol, version 1 or 2, in which a proxy reports
    /// the address of its client. Connections that do not come from [`trusted_proxies`](Self::trusted_proxies) are then
    /// closed; without trusted proxies, that is every connection. Default false. Has no effect in another HTTP server.
    pub fn proxy_protocol(mut self, expected: bool) -> Self {
        self.proxy_protocol = expected;
        self
    }

    /// Replaces all settings of the engine, those that were set before too.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Sets the URL path. Default `/engine.io`. The server handles all paths that begin with it and a slash.
    pub fn path(mut self, path: &str) -> Self {
        self.options.path = path.into();
        self
    }

    /// Sets whether the path must end with a slash. Default true.
    pub fn add_trailing_slash(mut self, add: bool) -> Self {
        self.options.add_trailing_slash = add;
        self
    }

    /// Sets the transports that clients may use. Default: polling and WebSocket.
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.options.protocol.transports = transports.into_iter().collect();
        self
    }

    /// Sets whether clients of revision 3 of the protocol (`engine.io-client` 3 and older) may connect, also with JSONP.
    /// Default false. [`Options::allow_eio3`] names the risks of JSONP.
    pub fn allow_eio3(mut self, allowed: bool) -> Self {
        self.options.allow_eio3 = allowed;
        self
    }

    /// Sets whether a polling client may upgrade to WebSocket. Default true.
    pub fn allow_upgrades(mut self, allowed: bool) -> Self {
        self.options.protocol.allow_upgrades = allowed;
        self
    }

    /// Sets the time between the last pong and the next ping. Default 25 s.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.options.protocol.ping_interval = interval;
        self
    }

    /// Sets how long the server waits for a pong before it closes the session. Default 20 s.
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.options.protocol.ping_timeout = timeout;
        self
    }

    /// Sets the timeout of an upgrade. Then the WebSocket is closed, and the session stays on long-polling. Default 10 s.
    pub fn upgrade_timeout(mut self, timeout: Duration) -> Self {
        self.options.protocol.upgrade_timeout = timeout;
        self
    }

    /// Sets the maximum size of a message or a POST of a client, in bytes. A longer one ends the session as `transport
    /// error`, with close code 1009 or status 413. Default 1,000,000.
    pub fn max_http_buffer_size(mut self, bytes: usize) -> Self {
        self.options.protocol.max_payload = bytes;
        self
    }

    /// Sets how many bytes may be queued for one client. At the limit, [`send`](super::Sender::send) waits, and
    /// [`try_send`](super::Sender::try_send) returns an error. Default 16 MiB.
    pub fn max_write_buffer_size(mut self, bytes: usize) -> Self {
        self.options.max_write_buffer_size = bytes;
        self
    }

    /// Sets a message that follows the open packet of each session, in the same response on long-polling. Default:
    /// none.
    pub fn initial_packet(mut self, packet: impl Into<InitialPacket>) -> Self {
        self.options.initial_packet = Some(packet.into());
        self
    }

    /// Sets the CORS headers for pages of other origins. Default: none.
    pub fn cors(mut self, cors: Cors) -> Self {
        self.options.cors = Some(cors);
        self
    }

    /// Sets the origins whose pages may connect. Default: all.
    pub fn allow_origins(mut self, origins: AllowedOrigins) -> Self {
        self.options.allow_origins = Some(origins);
        self
    }

    /// Sets how responses to polls are compressed. Default: from 1,024 bytes on, with gzip or deflate. `None` switches
    /// it off.
    pub fn http_compression(mut self, compression: impl Into<Option<HttpCompression>>) -> Self {
        self.options.http_compression = compression.into();
        self
    }

    /// Compresses WebSocket messages (permessage-deflate) for clients that offer it. Default: off.
    pub fn per_message_deflate(mut self, options: impl Into<Option<DeflateOptions>>) -> Self {
        self.options.per_message_deflate = options.into();
        self
    }

    /// Sets the cookie with the session id, which a load balancer can route by. Default: no cookie.
    pub fn cookie(mut self, cookie: Cookie) -> Self {
        self.options.cookie = Some(cookie);
        self
    }

    /// Sets how long the body of a POST may take to arrive. At the limit, the response is 408, and the session ends as
    /// `transport error`. Default 30 s.
    pub fn http_request_body_timeout(mut self, timeout: Duration) -> Self {
        self.options.http_request_body_timeout = timeout;
        self
    }

    /// Sets how long a polling session that is closing waits for the client's last poll, which gets the remaining
    /// messages. At the limit, they are dropped. Default 30 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.options.close_timeout = timeout;
        self
    }

    /// Sets the maximum number of sessions. More handshakes are rejected with status 503. Default 1,000,000.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.options.max_sessions = sessions;
        self
    }

    /// Sets the limit for half-open sessions: polling sessions whose client has sent nothing after the handshake. Such a
    /// session ends as `forced close` when this many polling sessions have started after it. Default 50,000.
    pub fn max_half_open_sessions(mut self, sessions: usize) -> Self {
        self.options.max_half_open_sessions = sessions;
        self
    }

    /// Sets the limit for the request heads of half-open sessions, in bytes. A half-open session ends as `forced close`
    /// when its own head and the heads of the polling sessions that have started after it take more. Default 64 MiB.
    pub fn max_half_open_bytes(mut self, bytes: usize) -> Self {
        self.options.max_half_open_bytes = bytes;
        self
    }

    /// Sets the most bytes of the head of a request that opens a session. A longer one is rejected with status 431.
    /// Default 16 KiB.
    pub fn max_handshake_size(mut self, bytes: usize) -> Self {
        self.options.max_handshake_size = bytes;
        self
    }

    /// Sets the proxies in front of the server, and the header in which they report the addresses of their clients.
    /// Default: none.
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.options.trusted_proxies = proxies;
        self
    }

    /// Sets the limits on the sessions of one address. A further session is rejected with status 429. A session counts
    /// as authenticated from its start. Addresses that are not public are not limited by default.
    pub fn address_limits(mut self, limits: AddressLimits) -> Self {
        self.options.address_limits = limits;
        self
    }

    /// Sets the budget for the memory of all sessions that share it. When it is exceeded, the sessions that hold the most
    /// end as `transport error`, with close code 1013 or status 503. Default: [`MemoryBudget::process`], which is half of
    /// the memory of the machine or container, for everything in the process.
    pub fn memory_budget(mut self, budget: &MemoryBudget) -> Self {
        self.options.memory_budget = budget.clone();
        self
    }

    /// Sets a check of the first request of every session. If it returns an error, the request is rejected, and the
    /// client receives the text of the error. The check must not block.
    pub fn allow_request(
        mut self,
        check: impl Fn(&Parts) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.options.allow_request = Some(AllowRequest::new(check));
        self
    }

    /// Sets a check like [`allow_request`](Self::allow_request) that may wait, for instance for a database. The last
    /// check that is set counts, of whichever kind.
    pub fn allow_request_async<F>(mut self, check: impl Fn(Parts) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.options.allow_request = Some(AllowRequest::new_async(check));
        self
    }

    /// Sets how long a check of [`allow_request_async`](Self::allow_request_async) may take. Then the response is 503.
    /// Default 20 s.
    pub fn allow_request_timeout(mut self, timeout: Duration) -> Self {
        self.options.allow_request_timeout = timeout;
        self
    }

    /// Sets how many checks of [`allow_request_async`](Self::allow_request_async) may wait at the same time. At the
    /// limit, a new session is rejected with status 503, and no check starts. Default 1,000.
    pub fn max_pending_allow_requests(mut self, checks: usize) -> Self {
        self.options.max_pending_allow_requests = checks;
        self
    }

    /// Sets a function that adds headers to the first response of each session. It must not block.
    pub fn on_initial_headers(
        mut self,
        hook: impl Fn(&mut HeaderMap, &Parts) + Send + Sync + 'static,
    ) -> Self {
        self.options.on_initial_headers = Some(HeadersHook::new(hook));
        self
    }

    /// Sets a function that adds headers to every response of a session. It must not block.
    pub fn on_headers(mut self, hook: impl Fn(&mut HeaderMap, &Parts) + Send + Sync + 'static) -> Self {
        self.options.on_headers = Some(HeadersHook::new(hook));
        self
    }

    /// Sets a function that is called for every request that the engine refuses. It must not block.
    pub fn on_connection_error(
        mut self,
        hook: impl Fn(&ConnectionError, &Parts) + Send + Sync + 'static,
    ) -> Self {
        self.options.on_connection_error = Some(ConnectionErrorHook::new(hook));
        self
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("options", &self.options)
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}
