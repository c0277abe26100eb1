//! The transports on the sockets of an operating system: HTTP/1.1 and WebSocket, over TCP or TLS, directly or through a
//! proxy.

mod cookie_jar;
mod cookies;
mod error;
mod http_connection;
mod memory;
mod polling;
mod websocket;

use std::future::Future;
use std::io;
use std::sync::Arc;

use engineio_proto::Transport;
use http::header::{COOKIE, HOST, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use net::{Dialer, MemoryBudget, Proxy, Target};
use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{DeflateOptions, WebSocketUri};

use crate::connector::{Connector, Options};
use cookies::Cookies;

pub use error::TransportError;
pub(crate) use memory::Memory;
pub(crate) use net::{DeadlineTimer as Timer, now};
pub(crate) use polling::Polling;
pub(crate) use websocket::{OpeningWebSocket, WebSocket};

/// Settings that only native clients have.
#[derive(Debug, Clone)]
pub(crate) struct PlatformSettings {
    dialer: Dialer,
    per_message_deflate: Option<DeflateOptions>,
    /// `None` for the budget of the process.
    memory_budget: Option<MemoryBudget>,
    /// Those of all sessions with these settings.
    cookies: Cookies,
}

#[cfg_attr(not(feature = "compression"), allow(clippy::derivable_impls, reason = "not with `compression`"))]
impl Default for PlatformSettings {
    fn default() -> Self {
        Self {
            dialer: Dialer::default(),
            #[cfg(feature = "compression")]
            per_message_deflate: Some(DeflateOptions::default()),
            #[cfg(not(feature = "compression"))]
            per_message_deflate: None,
            memory_budget: None,
            cookies: Cookies::default(),
        }
    }
}

impl Connector {
    /// Connects through an HTTP proxy, with CONNECT. Default: no proxy. Proxy settings in the environment are used only
    /// if you pass [`Proxy::from_environment`].
    ///
    /// Only native clients have this setting: a browser uses its own proxy.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        Arc::make_mut(&mut self.0).platform.dialer.proxy(proxy);
        self
    }

    /// Calls `dial` for each stream to the server, instead of connecting over TCP: for a Unix socket, a tunnel, or a
    /// server in the same process. A session needs several streams, one for each concurrent HTTP request and one for the
    /// WebSocket. With an `https` URL, the TLS handshake takes place on each stream. A [`proxy`](Self::proxy) is not used.
    ///
    /// ```no_run
    /// # #[cfg(unix)] {
    /// use tidewire_engineio_client::Connector;
    /// use tokio::net::UnixStream;
    ///
    /// // The URL sets the `Host` header.
    /// let connector =
    ///     Connector::new("http://localhost").dial_with(|| UnixStream::connect("/run/server.sock"));
    /// # let _ = connector;
    /// # }
    /// ```
    ///
    /// Only native clients have this setting.
    pub fn dial_with<F, Fut, S>(mut self, dial: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Arc::make_mut(&mut self.0).platform.dialer.dial_with(dial);
        self
    }

    /// Sets the options of permessage-deflate, which the WebSocket transport offers, or `None` to offer nothing. A server
    /// that accepts the offer may compress its messages, and messages of at least
    /// [`threshold`](DeflateOptions::threshold) bytes are sent compressed. Default: as in JavaScript, it is offered, and
    /// the threshold is 1,024 bytes. Unlike there, each message is compressed by itself, so that a session keeps no
    /// memory for it; a server that cannot do so declines the offer.
    ///
    /// A received message may have [`Limits::max_message_size`](crate::Limits::max_message_size) bytes after it was
    /// decompressed. If an attacker can place text beside a secret in the same message, its length reveals the secret:
    /// then turn compression off.
    ///
    /// Needs the feature `compression`. Only native clients have this setting: a browser always offers it.
    #[cfg(feature = "compression")]
    pub fn per_message_deflate(mut self, options: impl Into<Option<DeflateOptions>>) -> Self {
        Arc::make_mut(&mut self.0).platform.per_message_deflate = options.into();
        self
    }

    /// Sets the budget for what the servers of all sessions that share it make this process hold: unfinished messages and
    /// responses, and what waits for the network. If it is exceeded, the sessions that hold the most end. Default:
    /// [`MemoryBudget::process`], which the servers of the process use too.
    ///
    /// Only native clients have this setting.
    pub fn memory_budget(mut self, budget: &MemoryBudget) -> Self {
        Arc::make_mut(&mut self.0).platform.memory_budget = Some(budget.clone());
        self
    }

    /// Sets the trusted root certificates and the client certificate for `https`. Default: the root certificates of the
    /// operating system, and no client certificate.
    ///
    /// Only native clients have this setting.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: net::ClientTls) -> Self {
        Arc::make_mut(&mut self.0).platform.dialer.tls(tls);
        self
    }
}

/// What the transports of one session share.
pub(crate) struct Client {
    options: Arc<Options>,
}

impl Client {
    pub(crate) fn new(options: Arc<Options>) -> Self {
        Self { options }
    }

    /// Returns the headers of the program for a request, with the cookies of the server. There is a `Cookie` header for
    /// the program's cookies and for the server's together, as RFC 6265 §5.4 requires.
    fn headers(&self) -> HeaderMap {
        let mut headers = self.options.extra_headers.clone();
        if self.options.with_credentials
            && let Some(kept) = self.options.platform.cookies.header(now())
        {
            let own = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
            let all: Vec<_> = own.chain([kept.as_bytes()]).collect();
            if let Ok(cookies) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
                headers.insert(COOKIE, cookies);
            }
        }
        headers
    }

    /// Keeps the cookies of a response.
    fn store_cookies(&self, headers: &HeaderMap) {
        if self.options.with_credentials {
            self.options.platform.cookies.store(headers.get_all(SET_COOKIE), now());
        }
    }

    fn uri(&self) -> &WebSocketUri {
        self.options.uri.as_ref().expect("`Connector::connect` has checked the URL")
    }

    /// Returns the path and the query of a request.
    fn request_target(&self, transport: Transport, session_id: Option<&str>) -> String {
        self.options.request_target(transport, session_id, timestamp)
    }

    /// Returns the `Host` header: the program's, or the host of the URL.
    fn host(&self) -> HeaderValue {
        self.options.extra_headers.get(HOST).unwrap_or_else(|| self.uri().host_header()).clone()
    }
}

/// Returns the host and port to connect to.
fn target(options: &Options) -> Target<'_> {
    let uri = options.uri.as_ref().expect("`Connector::connect` has checked the URL");
    Target { host: uri.host(), port: uri.port(), secure: uri.is_secure() }
}

/// Returns a value that differs in each request. The JavaScript client uses the time and a random number.
fn timestamp() -> String {
    let mut random = [0; 5];
    // Even if there is no randomness, the time differs.
    let _ = getrandom::fill(&mut random);
    let time = now().as_micros() & 0xff_ffff;
    random.iter().fold(format!("{time:x}"), |text, byte| text + &format!("{byte:02x}"))
}
