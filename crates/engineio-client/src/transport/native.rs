//! The transports on the sockets of an operating system: HTTP/1.1 and WebSocket, over TCP or TLS, directly or through a
//! proxy.

mod cookie_jar;
mod error;
mod http_connection;
mod polling;
mod websocket;

use std::sync::Arc;
use std::time::SystemTime;

use engineio_proto::Transport;
use http::header::{COOKIE, HOST, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use net::{Dialer, Proxy, Target};
use ws_proto::WebSocketUri;

use crate::connector::{Connector, Options};
use cookie_jar::CookieJar;

pub use error::TransportError;
pub(crate) use net::{DeadlineTimer as Timer, now};
pub(crate) use polling::Polling;
pub(crate) use websocket::{OpeningWebSocket, WebSocket};

/// Settings that only native clients have.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlatformSettings {
    dialer: Dialer,
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
    cookies: CookieJar,
}

impl Client {
    pub(crate) fn new(options: Arc<Options>) -> Self {
        Self { options, cookies: CookieJar::default() }
    }

    /// Returns the headers of the program for a request, with the cookies of the server. There is a `Cookie` header for
    /// the program's cookies and for the server's together, as RFC 6265 §5.4 requires.
    fn headers(&self) -> HeaderMap {
        let mut headers = self.options.extra_headers.clone();
        if let Some(kept) = self.cookies.header(now()) {
            let own = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
            let all: Vec<_> = own.chain([kept.as_bytes()]).collect();
            if let Ok(cookies) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
                headers.insert(COOKIE, cookies);
            }
        }
        headers
    }

    /// Keeps the cookies of a response.
    fn store_cookies(&mut self, headers: &HeaderMap) {
        if self.options.with_credentials {
            for cookie in headers.get_all(SET_COOKIE) {
                self.cookies.store(cookie, now(), SystemTime::now());
            }
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
