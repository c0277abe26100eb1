//! The settings of an engine.

mod setters;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use engineio_proto::Packet;
use engineio_proto::server::Settings;
use http::HeaderMap;
use http::request::Parts;
use net::{AddressLimits, ClosePace, MemoryBudget, TrustedProxies};
use ws_proto::{AllowedOrigins, DeflateOptions};

use crate::compression::HttpCompression;
use crate::cookie::Cookie;
use crate::cors::Cors;
use crate::hooks::{ConnectionErrorHook, HeadersHook, SessionRefusedHook};
use crate::static_files::StaticFiles;

/// The settings of an [`Engine`](crate::Engine). If the Node packages have a setting too, its default is the same here.
/// The exception is [`per_message_deflate`](Self::per_message_deflate), whose options have defaults of their own.
#[derive(Debug, Clone)]
pub struct Options {
    /// The path of the engine's URLs. The engine handles every request whose path begins with it, after
    /// [`add_trailing_slash`](Self::add_trailing_slash) is applied. Default `/engine.io`.
    pub path: String,
    /// Whether the path must end with a slash. Default true: the engine handles `/engine.io/` and `/engine.io/x`, but
    /// not `/engine.io`. If false, it handles all three, and `/engine.iox`, too.
    pub add_trailing_slash: bool,
    /// The heartbeat, the transports and the longest message.
    pub protocol: Settings,
    /// Whether clients of revision 3 of the protocol (`EIO=3`) may open sessions, and clients of both revisions may poll
    /// with JSONP (the parameter `j`). Default false: `EIO=3` gets code 5, and `j` is ignored. In Node: `allowEIO3`.
    ///
    /// Clients of Socket.IO 1 and 2 use revision 3. An application that speaks Socket.IO to them must speak revision 4 of
    /// the Socket.IO protocol as well, which this crate knows nothing about.
    ///
    /// With JSONP, pages of every origin can read the responses: [`cors`](Self::cors) does not protect a script. The same
    /// is true for WebSocket. [`allow_origins`](Self::allow_origins) protects both. Browsers send no `Origin` for a
    /// script, and send `Sec-Fetch-Site` only to `https` and to `localhost`. So with a list of origins, JSONP works only
    /// for pages of the server's own origin, over TLS; a GET that does not say which page sends it gets code 4.
    pub allow_eio3: bool,
    /// Files that the engine serves under its path, with the [CORS headers](Self::cors). Everyone gets them: neither
    /// [`allow_origins`](Self::allow_origins) nor [`allow_request`](Self::allow_request) applies. Default none.
    pub static_files: StaticFiles,
    /// The CORS headers. Default none: only pages of the same origin can read the responses.
    pub cors: Option<Cors>,
    /// The origins whose pages may send requests. Every request of a session is checked, whatever its transport, so a
    /// page of another origin can neither open a session nor use one whose id it knows. It gets code 4, `Forbidden`;
    /// the session is not harmed. [`AllowedOrigins`] says which requests without `Origin` are allowed. Default: all
    /// origins.
    ///
    /// This is not part of [`cors`](Self::cors), because CORS only tells browsers which pages may read responses.
    /// Programs that restrict origins usually set both from one list.
    pub allow_origins: Option<AllowedOrigins>,
    /// How responses to polling requests are compressed, for clients that accept gzip or deflate. `None` switches it
    /// off. Default: responses of 1,024 bytes and more.
    pub http_compression: Option<HttpCompression>,
    /// Compresses WebSocket messages (permessage-deflate, RFC 7692), for clients that offer it. Default: off.
    ///
    /// A message to many clients is compressed once for each of them.
    pub per_message_deflate: Option<DeflateOptions>,
    /// A message that the server sends right after the open packet of each session, in the same payload on long-polling.
    /// Default: none.
    pub initial_packet: Option<InitialPacket>,
    /// Decides whether the first request of a session is allowed. Default: every request is allowed.
    pub allow_request: Option<AllowRequest>,
    /// How long a check that waits ([`AllowRequest::new_async`]) may take. Protects against handshakes that pile up
    /// while the service that the check asks does not respond: the request gets status 503, and opens no session.
    /// Default 20 s, after which JavaScript clients give up.
    pub allow_request_timeout: Duration,
    /// The most checks that wait ([`AllowRequest::new_async`]) at the same time. Each keeps a copy of the head of its
    /// request, and perhaps a query to the service that it asks. Protects against floods of handshakes: at the limit, a
    /// new session is rejected with status 503, and no check starts. Default 1,000.
    pub max_pending_allow_requests: usize,
    /// The cookie with the session id that the response to a polling handshake sets. Default none.
    pub cookie: Option<Cookie>,
    /// Adds headers to the first response of each session, before [`on_headers`](Self::on_headers). Default none.
    pub on_initial_headers: Option<HeadersHook>,
    /// Adds headers to every response of a session: to GET and POST with status 200, and to WebSocket handshakes. It
    /// may replace the headers of [`cors`](Self::cors) and [`cookie`](Self::cookie), as in Node. Refusals and
    /// preflight requests have no such headers. Default none.
    ///
    /// With this hook or [`on_initial_headers`](Self::on_initial_headers), a waiting poll keeps a copy of the head of its
    /// request.
    pub on_headers: Option<HeadersHook>,
    /// Is called for every request that is refused with one of Node's codes. Default none. Like the hooks above, it makes
    /// a waiting poll keep a copy of the head of its request.
    ///
    /// A peer can cause any number of calls: a hook that writes a log must limit its lines.
    pub on_connection_error: Option<ConnectionErrorHook>,
    /// Is called for every client that gets no session because of a limit, or because the engine is closing: with status
    /// 429, 431 or 503. Default none. A peer can cause any number of calls, as above.
    pub on_session_refused: Option<SessionRefusedHook>,
    /// The most bytes that may be queued for one client. Protects against clients that stop reading: at the limit, the
    /// connection is closed. While the connection has sent everything that it was given before its task ran the last time,
    /// four times as many fit. Default 16 MiB.
    pub max_write_buffer_size: usize,
    /// How long the body of a POST may take to arrive. Protects against bodies that arrive very slowly: at the limit, the
    /// response is 408, and the session ends. Default 30 s.
    pub http_request_body_timeout: Duration,
    /// How long a closing polling session waits for the client's last poll, which gets the remaining packets. Default
    /// 30 s.
    pub close_timeout: Duration,
    /// How fast a server that shuts down closes its sessions. Default: batches of 100 sessions, every 50 ms, or larger ones
    /// if there are too many sessions for the time.
    pub close_pace: ClosePace,
    /// The most sessions at the same time. Protects against endless handshakes: at the limit, a new session is rejected
    /// with status 503. Default 1,000,000.
    pub max_sessions: usize,
    /// A half-open session is closed when this many polling sessions have started after it. A polling session is
    /// half-open until its client polls after the handshake, or begins to upgrade. A real client does so at once.
    /// Protects against clients that send endless handshakes and never poll: their sessions would fill the memory, or use
    /// up [`max_sessions`](Self::max_sessions). Default 50,000.
    pub max_half_open_sessions: usize,
    /// A half-open session is closed when the request heads of the polling sessions that have started after it, and its
    /// own, take more bytes than this. Protects against the same clients, if they send large heads: a session keeps the
    /// head of the request that opened it, and over HTTP/2 a head of 16 KiB takes 17 bytes to send. Default 64 MiB.
    pub max_half_open_bytes: usize,
    /// The most bytes of the head of a request that opens a session: its path, query and headers. Sessions keep them.
    /// A longer one is rejected with status 431. Nothing is cut, because a check of the application must not miss a
    /// header. Protects against large heads where the HTTP server has no such limit. Default 16 KiB, the limit of Node.
    pub max_handshake_size: usize,
    /// The proxies in front of the server, which report the addresses of their clients. Default: none.
    pub trusted_proxies: TrustedProxies,
    /// Limits on the sessions of one client address. The requests of a [`Listener`](net::Listener) have an address. In
    /// another HTTP server, a program inserts a [`ClientAddress`](net::ClientAddress) or a
    /// [`PeerAddress`](net::PeerAddress) into the extensions of the requests; otherwise there are no such limits.
    pub address_limits: AddressLimits,
    /// The budget for the memory of all sessions that share it: unfinished messages and POST bodies, messages that wait
    /// for a handler or for a client, and the heads of the requests that opened the sessions. Protects against many
    /// clients that each stay below their own limits. When it is exceeded, the sessions that hold the most end as
    /// `transport error`: a WebSocket with close code 1013, a POST with status 503. While the heads of requests take half
    /// of it, a new session is rejected with status 503. Default: [`MemoryBudget::process`].
    pub memory_budget: MemoryBudget,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: "/engine.io".into(),
            add_trailing_slash: true,
            initial_packet: None,
            protocol: Settings::default(),
            allow_eio3: false,
            static_files: StaticFiles::default(),
            cors: None,
            allow_origins: None,
            #[cfg(feature = "compression")]
            http_compression: Some(HttpCompression::default()),
            #[cfg(not(feature = "compression"))]
            http_compression: None,
            per_message_deflate: None,
            allow_request: None,
            allow_request_timeout: Duration::from_secs(20),
            max_pending_allow_requests: 1_000,
            cookie: None,
            on_initial_headers: None,
            on_headers: None,
            on_connection_error: None,
            on_session_refused: None,
            max_write_buffer_size: 16 * 1024 * 1024,
            http_request_body_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(30),
            close_pace: ClosePace::default(),
            max_sessions: 1_000_000,
            max_half_open_sessions: 50_000,
            max_half_open_bytes: 64 * 1024 * 1024,
            max_handshake_size: 16 * 1024,
            trusted_proxies: TrustedProxies::default(),
            address_limits: AddressLimits::default(),
            memory_budget: MemoryBudget::process().clone(),
        }
    }
}

impl Options {
    /// Returns the prefix of the paths that the engine handles.
    pub(crate) fn path_prefix(&self) -> String {
        let slash = if self.add_trailing_slash { "/" } else { "" };
        let path = self.path.trim_matches('/');
        if path.is_empty() { "/".into() } else { format!("/{path}{slash}") }
    }

    /// Returns whether a hook needs the head of a request when its response is ready.
    pub(crate) fn keeps_request_heads(&self) -> bool {
        self.on_initial_headers.is_some() || self.on_headers.is_some() || self.on_connection_error.is_some()
    }

    /// Calls the hooks for a response of a session. `is_initial` says whether it is the first one.
    pub(crate) fn call_on_headers(&self, headers: &mut HeaderMap, request: &Parts, is_initial: bool) {
        let initial = self.on_initial_headers.as_ref().filter(|_| is_initial);
        for hook in initial.into_iter().chain(&self.on_headers) {
            hook.call(headers, request);
        }
    }
}

/// The message that follows the open packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitialPacket {
    /// A text message. On long-polling it must not contain the character U+001E, which separates packets.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
}

impl InitialPacket {
    pub(crate) fn as_packet(&self) -> Packet<'_> {
        match self {
            Self::Text(text) => Packet::Message(text),
            Self::Binary(data) => Packet::Binary(data.into()),
        }
    }
}

impl From<&str> for InitialPacket {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for InitialPacket {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for InitialPacket {
    fn from(data: Vec<u8>) -> Self {
        Self::Binary(data)
    }
}

/// Decides whether a session may start. If it returns an error, the response contains its text, or `Forbidden` if the
/// text is empty.
#[derive(Clone)]
pub struct AllowRequest(Check);

#[derive(Clone)]
enum Check {
    Sync(Arc<dyn Fn(&Parts) -> Decision + Send + Sync>),
    Async(AsyncCheck),
}

type Decision = Result<(), String>;
/// A check that waits. It starts when this function is called.
pub(crate) type AsyncCheck = Arc<dyn Fn(Parts) -> PendingDecision + Send + Sync>;
pub(crate) type PendingDecision = Pin<Box<dyn Future<Output = Decision> + Send>>;

impl AllowRequest {
    /// Wraps the application's check. It runs on the connection's task, so it must not block.
    pub fn new(check: impl Fn(&Parts) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Check::Sync(Arc::new(check)))
    }

    /// Wraps a check that waits, for instance for a database. It gets a copy of the head of the request.
    ///
    /// Each check costs an allocation and the copy. If the client disconnects, its future is dropped at the point where
    /// it waits. At [`Options::allow_request_timeout`] it is dropped as well. Over HTTP/1.1 only the timeout drops it if
    /// the client has sent further bytes after its request, because the HTTP server does not read them yet.
    ///
    /// No check starts while the engine is closing, while it has [`Options::max_sessions`], or while
    /// [`Options::max_pending_allow_requests`] checks wait. The response is then 503.
    pub fn new_async<F>(check: impl Fn(Parts) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self(Check::Async(Arc::new(move |request| Box::pin(check(request)))))
    }

    /// Returns the decision, or the check that waits for it and has not started.
    pub(crate) fn check(&self, request: &Parts) -> Result<Decision, AsyncCheck> {
        match &self.0 {
            Check::Sync(check) => Ok(check(request)),
            Check::Async(check) => Err(Arc::clone(check)),
        }
    }
}

impl fmt::Debug for AllowRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AllowRequest(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_has_one_slash_at_its_start_and_a_slash_at_its_end_unless_that_is_switched_off() {
        for (path, with_slash, without) in [
            ("/engine.io", "/engine.io/", "/engine.io"),
            ("/engine.io/", "/engine.io/", "/engine.io"),
            ("a/b", "/a/b/", "/a/b"),
            ("/", "/", "/"),
            ("", "/", "/"),
        ] {
            let options = Options { path: path.into(), ..Options::default() };
            assert_eq!(options.path_prefix(), with_slash, "{path}");
            let options = Options { add_trailing_slash: false, ..options };
            assert_eq!(options.path_prefix(), without, "{path}");
        }
    }
}
