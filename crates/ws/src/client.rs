//! The client: connects to a URL.

mod error;
mod reconnect;

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use net::{DialError, Dialer, ExchangeResponse, PeerTimeout, Proxy, Stream, Target, exchange};
use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{ClientHandshake, DeflateOptions, WebSocketUri};

pub use self::error::ConnectError;
pub use self::reconnect::{ConnectionFailure, ReconnectEvent, ReconnectingWebSocket, Reconnection};

use crate::connection::Driver;
use crate::limits::Limits;
use crate::socket::WebSocket;

/// The default of [`Connector::timeout`]. Socket.IO's clients wait as long.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Connects to a WebSocket server with the default settings of [`Connector`].
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut socket = tidewire_ws::connect("wss://example.com/chat").await?;
/// socket.send("hello").await?;
/// while let Some(message) = socket.recv().await {
///     println!("{message:?}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Returns a [`ConnectError`] if the URL is invalid, the server cannot be reached or rejects the handshake, or the
/// timeout expires.
pub async fn connect(url: impl Into<String>) -> Result<WebSocket, ConnectError> {
    Connector::new(url).connect().await
}

/// Connects to a WebSocket server, with settings.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use tidewire_ws::{Connector, Proxy};
///
/// let mut socket = Connector::new("wss://example.com/chat")
///     .header("authorization", "Bearer secret")
///     .protocol("chat.v2")
///     .timeout(Duration::from_secs(5))
///     .proxy(Proxy::from_environment())
///     .connect()
///     .await?;
/// assert_eq!(socket.protocol(), Some("chat.v2"));
/// # Ok(())
/// # }
/// ```
///
/// It can be reused: each call of [`connect`](Self::connect) makes a new connection.
#[derive(Debug, Clone)]
#[must_use = "a `Connector` does nothing until you call `connect` or `reconnect`"]
pub struct Connector {
    url: String,
    headers: HeaderMap,
    /// The name of the first header that was not valid.
    invalid_header: Option<String>,
    protocols: Vec<String>,
    compression: Option<DeflateOptions>,
    limits: Limits,
    timeout: Duration,
    dialer: Dialer,
}

impl Connector {
    /// Creates a connector for a URL: `ws://host/path`, or `wss://host/path` with TLS. `http` and `https` mean the same
    /// as `ws` and `wss`. The default port is 80, or 443 with TLS. If the URL is invalid, [`connect`](Self::connect)
    /// fails.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: HeaderMap::new(),
            invalid_header: None,
            protocols: Vec::new(),
            compression: None,
            limits: Limits::default(),
            timeout: TIMEOUT,
            dialer: Dialer::new(),
        }
    }

    /// Replaces the URL, and keeps all other settings.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// Adds a header to the handshake request. A header that is added twice is sent twice. The handshake's own headers
    /// cannot be set, except `Host`, which replaces the host of the URL. The client sends no `Origin` unless you add
    /// one here.
    ///
    /// If the name or the value is not valid, [`connect`](Self::connect) fails.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: AsRef<str>,
        V: TryInto<HeaderValue>,
    {
        match (HeaderName::try_from(name.as_ref()), value.try_into()) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            _ => {
                self.invalid_header.get_or_insert_with(|| name.as_ref().to_owned());
            }
        }
        self
    }

    /// Offers a subprotocol, after those that were offered before: the first is the preferred one.
    /// [`WebSocket::protocol`] returns the subprotocol that the server selected. The server may select none; the
    /// program decides whether to continue without one.
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocols.push(protocol.into());
        self
    }

    /// Offers compression of messages (permessage-deflate, RFC 7692). Default: off. Needs the feature `compression`.
    /// [`Upgrade::compress`](crate::Upgrade::compress) describes its cost and its security risk.
    #[cfg(feature = "compression")]
    pub fn compress(mut self, options: DeflateOptions) -> Self {
        self.compression = Some(options);
        self
    }

    /// Sets the limits of the connection.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how long connecting may take in all, from resolving the host name to the response of the server. Default:
    /// 20 seconds. After that, [`connect`](Self::connect) fails with [`ConnectError::TimedOut`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects through an HTTP proxy. Default: no proxy. Proxy settings in the environment are used only if you pass
    /// [`Proxy::from_environment`].
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.dialer.proxy(proxy);
        self
    }

    /// Sets the trusted root certificates and the client certificate for `wss`. Default: the root certificates of the
    /// operating system, and no client certificate.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: net::ClientTls) -> Self {
        self.dialer.tls(tls);
        self
    }

    /// Connects to the server.
    ///
    /// Tries the addresses of the host as RFC 8305 describes: it starts the next attempt 250 ms after the previous one,
    /// and alternates between IPv6 and IPv4.
    ///
    /// Cancel safe: dropping the call closes what it has opened.
    ///
    /// # Errors
    /// The [`ConnectError`] names the step that failed. A redirect (3xx) is an error like any other rejection; its
    /// response contains the `Location`.
    pub async fn connect(&self) -> Result<WebSocket, ConnectError> {
        Ok(self.connect_with_response().await?.0)
    }

    /// Does the same as [`connect`](Self::connect), and also returns the response of the server, for example to read
    /// its cookies or its version.
    ///
    /// # Errors
    /// The same as for [`connect`](Self::connect).
    pub async fn connect_with_response(&self) -> Result<(WebSocket, Response<()>), ConnectError> {
        let uri = WebSocketUri::parse(&self.url)?;
        let (offer, request) = self.request(&uri)?;
        let target = Target { host: uri.host(), port: uri.port(), secure: uri.is_secure() };
        self.with_timeout(async {
            let stream = self.dialer.dial(target).await?;
            self.handshake(stream, &offer, request).await
        })
        .await
    }

    /// Performs the handshake on a stream that already leads to the server, for example a tunnel, a Unix socket or a
    /// stream in memory. For a `wss` URL, it performs the TLS handshake first.
    ///
    /// The stream needs no buffering: each read and each write covers as many messages as possible. Set `TCP_NODELAY`
    /// on a TCP stream.
    ///
    /// # Errors
    /// The same as for [`connect`](Self::connect).
    pub async fn connect_over<S>(&self, stream: S) -> Result<WebSocket, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Ok(self.connect_over_with_response(Stream::boxed(stream)).await?.0)
    }

    pub(crate) async fn connect_over_with_response(
        &self,
        stream: Stream,
    ) -> Result<(WebSocket, Response<()>), ConnectError> {
        let uri = WebSocketUri::parse(&self.url)?;
        let (offer, request) = self.request(&uri)?;
        self.with_timeout(async {
            let stream = if uri.is_secure() {
                self.dialer.connect_tls(stream, uri.host()).await.map_err(DialError::from)?
            } else {
                stream
            };
            self.handshake(stream, &offer, request).await
        })
        .await
    }

    /// Returns a WebSocket that connects, and reconnects whenever the connection is lost, with the settings of the
    /// default [`Reconnection`]. It starts to connect at the first call of a method that waits, such as `recv` or
    /// `send`.
    ///
    /// ```no_run
    /// # async fn run() {
    /// use tidewire_ws::Connector;
    ///
    /// let mut socket = Connector::new("wss://example.com/feed").reconnect();
    /// while let Some(message) = socket.recv().await {
    ///     println!("{message:?}");
    /// }
    /// # }
    /// ```
    pub fn reconnect(self) -> ReconnectingWebSocket {
        self.reconnect_with(Reconnection::default())
    }

    /// Does the same as [`reconnect`](Self::reconnect), with your own [`Reconnection`].
    pub fn reconnect_with(self, reconnection: Reconnection) -> ReconnectingWebSocket {
        ReconnectingWebSocket::new(self, reconnection)
    }

    /// Returns the maximum size of a received message.
    pub(crate) fn max_message_size(&self) -> usize {
        self.limits.max_message_size
    }

    fn request(&self, uri: &WebSocketUri) -> Result<(ClientHandshake, Request<()>), ConnectError> {
        if let Some(name) = &self.invalid_header {
            return Err(ConnectError::InvalidHeader(name.clone()));
        }
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| ConnectError::NoRandomness(error.into()))?;
        let offer = self
            .protocols
            .iter()
            .try_fold(ClientHandshake::new(nonce), |offer, protocol| offer.protocol(protocol))?;
        let offer = match self.compression {
            Some(options) => offer.deflate(options),
            None => offer,
        };
        let request = offer.request(uri, &self.headers)?;
        Ok((offer, request))
    }

    pub(crate) async fn with_timeout<T>(
        &self,
        future: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        // Boxed, because this future is large and short-lived: otherwise the program's task would keep its memory.
        PeerTimeout::limit(self.timeout, Box::pin(future)).await.unwrap_or(Err(ConnectError::TimedOut))
    }

    async fn handshake(
        &self,
        stream: Stream,
        handshake: &ClientHandshake,
        request: Request<()>,
    ) -> Result<(WebSocket, Response<()>), ConnectError> {
        match exchange(stream, request).await.map_err(ConnectError::NoResponse)? {
            ExchangeResponse::Response(response) => Err(ConnectError::Rejected(Box::new(response))),
            ExchangeResponse::Upgraded(response, upgraded) => {
                let agreed = handshake.verify_response(response.status(), response.headers())?;
                Ok((Driver::spawn_client(upgraded, &self.limits, &agreed), response))
            }
        }
    }
}
