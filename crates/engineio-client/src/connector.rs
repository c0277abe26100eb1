//! The settings of a client.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engineio_proto::Transport;
use engineio_proto::client::Settings;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use ws_proto::{ClientHandshake, ClientHandshakeError, UriError, WebSocketUri};

use crate::driver::Driver;
use crate::session::Session;
use crate::transport::PlatformSettings;

/// Connects to an Engine.IO server, with settings. Their names are those of the JavaScript client.
///
/// It can be reused: each call of [`connect`](Self::connect) opens another session. Clones share their settings, what
/// [`remember_upgrade`](Self::remember_upgrade) remembers, and the [cookies](Self::with_credentials) of the server.
#[derive(Clone)]
#[must_use = "a `Connector` does nothing until you call `connect`"]
pub struct Connector(pub(crate) Arc<Options>);

impl fmt::Debug for Connector {
    /// Omits the query and the headers, because they contain tokens and cookies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("path", &self.0.path)
            .field("transports", &self.0.transports)
            .field("upgrade", &self.0.upgrade)
            .field("timeout", &self.0.timeout)
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) uri: Result<WebSocketUri, UriError>,
    pub(crate) path: String,
    add_trailing_slash: bool,
    /// The parameters of the program, encoded.
    query: String,
    pub(crate) extra_headers: HeaderMap,
    /// The name of the first header that was not valid.
    invalid_header: Option<String>,
    pub(crate) transports: Vec<Transport>,
    pub(crate) upgrade: bool,
    remember_upgrade: bool,
    /// Whether the last session of this connector has used WebSocket.
    prior_websocket_success: Arc<AtomicBool>,
    pub(crate) try_all_transports: bool,
    pub(crate) timeout: Duration,
    pub(crate) probe_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) with_credentials: bool,
    timestamp_requests: Option<bool>,
    timestamp_param: String,
    pub(crate) protocols: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) platform: PlatformSettings,
}

/// What one server may cost a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest message that is received over WebSocket, in bytes. A longer one ends the session; the server gets
    /// the close code 1009. Protects against a server that sends more than fits into memory. Default 16 MiB.
    pub max_message_size: usize,
    /// The longest body of a response to a poll, in bytes. A longer one ends the session. A body contains everything
    /// that the server has queued since the last poll, binary data as base64. Protects against a server whose response
    /// does not end. Default 32 MiB: a Tidewire server queues at most 16 MiB for a client.
    pub max_response_size: usize,
    /// The most bytes that may be queued for the server. At the limit, the session ends. Protects against a server that
    /// does not read. Default 16 MiB.
    pub max_write_buffer_size: usize,
    /// The longest session id, in bytes. If the id is longer, the session does not open. Protects against URLs that
    /// proxies refuse. Default 1,024.
    pub max_id_len: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_size: 16 * 1024 * 1024,
            max_response_size: 32 * 1024 * 1024,
            max_write_buffer_size: 16 * 1024 * 1024,
            max_id_len: 1_024,
        }
    }
}

/// Why a session cannot be started with these settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not valid.
    #[error(transparent)]
    Url(#[from] UriError),
    /// The path is not valid in a URL. It must begin with a slash.
    #[error("{0:?} is not a valid path")]
    InvalidPath(String),
    /// A name or a value that was passed to [`Connector::extra_header`] is not valid. Contains the name.
    #[error("{0:?} is not a valid header name, or its value is not a valid header value")]
    InvalidHeader(String),
    /// A header or a subprotocol cannot be used in a request.
    #[error(transparent)]
    Request(#[from] ClientHandshakeError),
    /// The list of transports is empty.
    #[error("no transport is enabled")]
    NoTransport,
}

impl Connector {
    /// Creates a connector for a URL: `http://host:port`, or `https://host:port` with TLS. `ws` and `wss` mean the same.
    /// The default port is 80, or 443 with TLS. The parameters of its query are sent with each request. Its path is
    /// ignored: it is the namespace in Socket.IO. [`path`](Self::path) sets the path of the requests.
    pub fn new(url: &str) -> Self {
        let uri = WebSocketUri::parse(url);
        let query = uri.as_ref().ok().and_then(|uri| uri.resource_name().query()).unwrap_or_default();
        Self(Arc::new(Options {
            query: query.to_owned(),
            uri,
            path: "/engine.io".to_owned(),
            add_trailing_slash: true,
            extra_headers: HeaderMap::new(),
            invalid_header: None,
            transports: vec![Transport::Polling, Transport::WebSocket],
            upgrade: true,
            remember_upgrade: false,
            prior_websocket_success: Arc::default(),
            try_all_transports: false,
            timeout: Duration::from_secs(20),
            probe_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(10),
            request_timeout: None,
            with_credentials: true,
            timestamp_requests: None,
            timestamp_param: "t".to_owned(),
            protocols: Vec::new(),
            limits: Limits::default(),
            platform: PlatformSettings::default(),
        }))
    }

    fn set(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(Arc::make_mut(&mut self.0));
        self
    }

    /// Sets the path of the requests. Default: `/engine.io`. Socket.IO uses `/socket.io`.
    pub fn path(self, path: impl Into<String>) -> Self {
        self.set(|options| options.path = path.into())
    }

    /// Sets whether the path of the requests ends with a slash. Default: `true`.
    pub fn add_trailing_slash(self, add: bool) -> Self {
        self.set(|options| options.add_trailing_slash = add)
    }

    /// Adds a parameter to the query of each request.
    pub fn query(self, name: &str, value: &str) -> Self {
        self.set(|options| {
            let query = std::mem::take(&mut options.query);
            options.query = form_urlencoded::Serializer::new(query).append_pair(name, value).finish();
        })
    }

    /// Adds a header to each request. A header that is added twice is sent twice. The headers of a WebSocket handshake
    /// and those that describe a body cannot be set. `Host` replaces the host of the URL.
    pub fn extra_header<N, V>(self, name: N, value: V) -> Self
    where
        N: AsRef<str>,
        V: TryInto<HeaderValue>,
    {
        self.set(|options| match (HeaderName::try_from(name.as_ref()), value.try_into()) {
            (Ok(name), Ok(value)) => {
                options.extra_headers.append(name, value);
            }
            _ => {
                options.invalid_header.get_or_insert_with(|| name.as_ref().to_owned());
            }
        })
    }

    /// Sets the transports, in order: the session opens on the first one, and may upgrade to the others. Only a session
    /// on polling upgrades. Default: polling, then WebSocket.
    pub fn transports(self, transports: impl Into<Vec<Transport>>) -> Self {
        self.set(|options| options.transports = transports.into())
    }

    /// Sets whether a session on polling upgrades to WebSocket. Default: `true`.
    pub fn upgrade(self, upgrade: bool) -> Self {
        self.set(|options| options.upgrade = upgrade)
    }

    /// Sets whether a session opens on WebSocket at once if the last session of this connector has used WebSocket. It
    /// must be in [`transports`](Self::transports). Default: `false`.
    ///
    /// Unlike in JavaScript, this is remembered for each connector and its clones, not for the whole process.
    pub fn remember_upgrade(self, remember: bool) -> Self {
        self.set(|options| options.remember_upgrade = remember)
    }

    /// Sets whether the next transport is tried if a session does not open on the first one. Default: `false`. Each
    /// transport has the full [`timeout`](Self::timeout). The session does not upgrade to a transport that has failed.
    pub fn try_all_transports(self, try_all: bool) -> Self {
        self.set(|options| options.try_all_transports = try_all)
    }

    /// Sets how long a session may take to open, from resolving the host name to the open packet. Default: 20 seconds.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.timeout = timeout)
    }

    /// Sets how long an upgrade may take. After that, the session goes on over polling. Default: 10 seconds.
    pub fn upgrade_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.probe_timeout = timeout)
    }

    /// Sets how long the queued messages may take to leave after [`Session::close`]. After that, they are dropped, and
    /// the session ends. Default: 10 seconds.
    pub fn close_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.close_timeout = timeout)
    }

    /// Sets how long an HTTP request of the polling transport may take. A poll waits for messages of the server, so the
    /// time must be longer than the server's `pingInterval`. Default: no limit, as in JavaScript. The heartbeat ends the
    /// session if polls get no response.
    pub fn request_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.request_timeout = Some(timeout))
    }

    /// Sets whether the connector keeps the cookies of the server, and sends them with all later requests on all
    /// transports. Load balancers with sticky sessions need it. Default: `true`. In JavaScript, the default is `false`.
    ///
    /// All sessions of a connector and of its clones share the cookies, as all tabs of a browser do. A session that
    /// reconnects therefore reaches the process that a sticky cookie names. `Max-Age` and `Expires` are honoured.
    /// `Path`, `Domain` and `Secure` are ignored: all requests go to the same place. A clone that gets another setting
    /// starts without cookies. Sessions that must not share cookies, such as those of different users, need a
    /// [`new`](Self::new) connector each.
    ///
    /// In a browser, the browser keeps the cookies.
    pub fn with_credentials(self, with_credentials: bool) -> Self {
        self.set(|options| options.with_credentials = with_credentials)
    }

    /// Sets whether requests have a parameter that is different each time, so that caches cannot answer them. Default:
    /// polls have it, WebSockets do not.
    pub fn timestamp_requests(self, timestamp: bool) -> Self {
        self.set(|options| options.timestamp_requests = Some(timestamp))
    }

    /// Sets the name of that parameter. Default: `t`.
    pub fn timestamp_param(self, name: impl Into<String>) -> Self {
        self.set(|options| options.timestamp_param = name.into())
    }

    /// Offers a subprotocol of WebSocket, after those that were offered before.
    pub fn protocol(self, protocol: impl Into<String>) -> Self {
        self.set(|options| options.protocols.push(protocol.into()))
    }

    /// Sets the limits. Start with [`Limits::default`].
    pub fn limits(self, limits: Limits) -> Self {
        self.set(|options| options.limits = limits)
    }

    /// Starts a session. The [`Driver`] does nothing until it is polled, but the time of [`timeout`](Self::timeout)
    /// starts now.
    ///
    /// # Errors
    /// The settings are not valid. What goes wrong later ends the session:
    /// [`EngineHandler::on_close`](crate::EngineHandler::on_close).
    pub fn connect(&self) -> Result<(Session, Driver), ConnectError> {
        self.0.check()?;
        let first = self.0.first_transport();
        let session = Session::new(self.0.limits.max_write_buffer_size, first);
        let driver = Driver::new(Arc::clone(&self.0), session.clone(), first);
        Ok((session, driver))
    }
}

impl Options {
    fn check(&self) -> Result<(), ConnectError> {
        let uri = self.uri.as_ref().map_err(Clone::clone)?;
        if let Some(name) = &self.invalid_header {
            return Err(ConnectError::InvalidHeader(name.clone()));
        }
        if self.transports.is_empty() {
            return Err(ConnectError::NoTransport);
        }
        let is_path = self.path.starts_with('/')
            && !self.path.contains(['?', '#'])
            && self.path.parse::<http::uri::PathAndQuery>().is_ok();
        if !is_path {
            return Err(ConnectError::InvalidPath(self.path.clone()));
        }
        let mut handshake = ClientHandshake::new([0; 16]);
        for protocol in &self.protocols {
            handshake = handshake.protocol(protocol)?;
        }
        handshake.request(uri, &self.extra_headers)?;
        Ok(())
    }

    /// Returns the transport that a new session opens on.
    fn first_transport(&self) -> Transport {
        let remembers = self.remember_upgrade
            && self.prior_websocket_success.load(Ordering::Relaxed)
            && self.transports.contains(&Transport::WebSocket);
        if remembers { Transport::WebSocket } else { self.transports[0] }
    }

    /// Records whether a session has used WebSocket.
    pub(crate) fn set_prior_websocket_success(&self, success: bool) {
        self.prior_websocket_success.store(success, Ordering::Relaxed);
    }

    pub(crate) fn session_settings(&self) -> Settings {
        Settings {
            transports: self.transports.clone(),
            upgrade: self.upgrade,
            connect_timeout: self.timeout,
            probe_timeout: self.probe_timeout,
            max_id_len: self.limits.max_id_len,
        }
    }

    /// Returns the target of a request: the path and the query. `timestamp` makes the value of the `t` parameter.
    pub(crate) fn request_target(
        &self,
        transport: Transport,
        session_id: Option<&str>,
        timestamp: impl FnOnce() -> String,
    ) -> String {
        let path = self.path.strip_suffix('/').unwrap_or(&self.path);
        let slash = if self.add_trailing_slash { "/" } else { "" };
        let mut target = format!("{path}{slash}?{}", self.query);
        let start = target.len() - self.query.len();
        let mut query = form_urlencoded::Serializer::for_suffix(std::mem::take(&mut target), start);
        query.append_pair("EIO", "4").append_pair("transport", transport.name());
        if self.timestamp_requests.unwrap_or(transport == Transport::Polling) {
            query.append_pair(&self.timestamp_param, &timestamp());
        }
        if let Some(id) = session_id {
            query.append_pair("sid", id);
        }
        query.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(connector: &Connector, transport: Transport, id: Option<&str>) -> String {
        connector.0.request_target(transport, id, || "now".to_owned())
    }

    #[test]
    fn tokens_of_the_query_and_the_headers_do_not_appear_in_debug_output() {
        let connector = Connector::new("http://127.0.0.1/?token=secret1")
            .query("key", "secret2")
            .extra_header("authorization", "secret3");
        let shown = format!("{connector:?}");
        assert!(shown.contains("path") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_request_has_the_parameters_of_the_program_and_those_of_the_protocol() {
        let connector = Connector::new("http://host/ignored?token=a%20b").query("name", "ä&=");
        assert_eq!(
            target(&connector, Transport::Polling, None),
            "/engine.io/?token=a%20b&name=%C3%A4%26%3D&EIO=4&transport=polling&t=now"
        );
        let plain = Connector::new("http://host");
        assert_eq!(target(&plain, Transport::WebSocket, None), "/engine.io/?EIO=4&transport=websocket");
        assert_eq!(
            target(&plain, Transport::Polling, Some("a/+ &é")),
            "/engine.io/?EIO=4&transport=polling&t=now&sid=a%2F%2B+%26%C3%A9"
        );
    }

    #[test]
    fn the_path_ends_with_a_slash_unless_the_program_wants_none() {
        for (path, add, expected) in [
            ("/socket.io", true, "/socket.io/?"),
            ("/socket.io/", true, "/socket.io/?"),
            ("/socket.io/", false, "/socket.io?"),
            ("/a/b", false, "/a/b?"),
            ("/", true, "/?"),
        ] {
            let connector = Connector::new("http://host").path(path).add_trailing_slash(add);
            let target = target(&connector, Transport::WebSocket, None);
            assert!(target.starts_with(expected), "{path}: {target}");
        }
    }

    #[test]
    fn the_timestamp_can_be_switched_and_named() {
        let always = Connector::new("http://host").timestamp_requests(true).timestamp_param("time");
        assert_eq!(
            target(&always, Transport::WebSocket, None),
            "/engine.io/?EIO=4&transport=websocket&time=now"
        );
        let never = Connector::new("http://host").timestamp_requests(false);
        assert_eq!(target(&never, Transport::Polling, None), "/engine.io/?EIO=4&transport=polling");
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let valid = || Connector::new("http://host");
        for (connector, error) in [
            (Connector::new("host:80"), "the URL must begin with ws:// or wss://"),
            (Connector::new("ftp://host"), r#"the URL has the scheme "ftp" instead of ws or wss"#),
            (valid().path("engine.io"), r#""engine.io" is not a valid path"#),
            (valid().path("/engine io"), r#""/engine io" is not a valid path"#),
            (valid().path("/a?b"), r#""/a?b" is not a valid path"#),
            (valid().transports([]), "no transport is enabled"),
            (valid().protocol("a b"), r#"the subprotocol "a b" is not a token"#),
            (
                valid().extra_header("no name", "value"),
                r#""no name" is not a valid header name, or its value is not a valid header value"#,
            ),
            (
                valid().extra_header("content-length", "1"),
                "the header content-length is set by the handshake or announces a body, and must not be passed",
            ),
        ] {
            match connector.connect() {
                Err(refused) => assert_eq!(refused.to_string(), error),
                Ok(_) => panic!("{error}"),
            }
        }
        assert!(valid().connect().is_ok());
    }
}
