//! The client: from a URL to a connection.

mod error;
mod reconnect;

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use net::{DialError, Dialer, ExchangeResponse, Proxy, Stream, Target, exchange};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use ws_proto::{ClientHandshake, DeflateOptions, WebSocketUri};

pub use self::error::ConnectError;
pub use self::reconnect::{ConnectionFailure, ReconnectEvent, ReconnectingWebSocket, Reconnection};

use crate::connection::Driver;
use crate::limits::Limits;
use crate::socket::WebSocket;

/// How long [`Connector::connect`] may take, unless [`Connector::timeout`] says otherwise. As long as Socket.IO's clients wait.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Connects to a WebSocket server, with what [`Connector`] does by default.
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
/// Says who is to blame. See [`ConnectError`].
pub async fn connect(url: impl Into<String>) -> Result<WebSocket, ConnectError> {
    Connector::new(url).connect().await
}

/// A connection to be made: where to, and how.
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
/// It can be kept and used again: each [`connect`](Self::connect) makes a new connection.
#[derive(Debug, Clone)]
#[must_use = "it does nothing before `connect` or `reconnect`"]
pub struct Connector {
    url: String,
    headers: HeaderMap,
    /// The first header that was none.
    invalid_header: Option<String>,
    protocols: Vec<String>,
    compression: Option<DeflateOptions>,
    limits: Limits,
    timeout: Duration,
    dialer: Dialer,
}

impl Connector {
    /// To this URL: `ws://host/path`, or `wss://` with TLS; `http` and `https` mean the same. The port is 80 or 443 unless
    /// it names another. [`connect`](Self::connect) says what is wrong with it, if something is.
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

    /// To another URL. What else was said still holds.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// Sends this header as well, beside others of the same name. Those of the handshake cannot be set; `Host` can, and
    /// replaces that of the URL. No `Origin` is sent unless it is set here.
    ///
    /// What cannot be a header makes [`connect`](Self::connect) fail.
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

    /// Offers a subprotocol, behind those that are offered already: the first is preferred. Which one the server has
    /// selected, [`WebSocket::protocol`] knows. A server may select none; whether to go on then is for the program to say.
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocols.push(protocol.into());
        self
    }

    /// Offers to compress messages (permessage-deflate, RFC 7692). Default: no. What it costs, and what it gives away,
    /// [`Upgrade::compress`](crate::Upgrade::compress) says.
    pub fn compress(mut self, options: DeflateOptions) -> Self {
        self.compression = Some(options);
        self
    }

    /// The limits of the connection, instead of the defaults.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long the whole of it may take, from the name of the host to the server's answer. Default: 20 seconds. Then
    /// [`connect`](Self::connect) fails with [`ConnectError::TimedOut`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Goes through an HTTP proxy. Default: directly, whatever the environment says.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.dialer.proxy(proxy);
        self
    }

    /// Whom to trust, and who we are, for `wss`. Default: whom the system trusts.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: net::ClientTls) -> Self {
        self.dialer.tls(tls);
        self
    }

    /// Connects.
    ///
    /// The addresses of the host are tried as in RFC 8305: the next one 250 ms after the one before, the families in turn.
    ///
    /// Cancel safe: a dropped call leaves nothing behind.
    ///
    /// # Errors
    /// Says who is to blame. A redirection (3xx) is an error like any other refusal, with its `Location`.
    pub async fn connect(&self) -> Result<WebSocket, ConnectError> {
        Ok(self.connect_with_response().await?.0)
    }

    /// [`connect`](Self::connect), with the server's answer beside the connection: for cookies, or a version.
    ///
    /// # Errors
    /// The same.
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

    /// [`connect`](Self::connect) on a stream that leads to the server already: through a tunnel, to a Unix socket, in
    /// memory. For a `wss` URL, TLS is spoken on it first.
    ///
    /// What is read and written are whole turns of work, so it need not be buffered. Small messages are gathered; on a
    /// TCP stream `TCP_NODELAY` should be set.
    ///
    /// # Errors
    /// The same.
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

    /// Connects, and connects again whenever the connection is lost, with what [`Reconnection`] does by default. Nothing
    /// happens before the first call that waits for something.
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

    /// [`reconnect`](Self::reconnect), in the way that is said here.
    pub fn reconnect_with(self, reconnection: Reconnection) -> ReconnectingWebSocket {
        ReconnectingWebSocket::new(self, reconnection)
    }

    /// The most that [`max_message_size`](Limits::max_message_size) lets a peer send at once.
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
        what: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        // Boxed, because it is short and large: the program's task should not hold its memory for ever.
        timeout(self.timeout, Box::pin(what)).await.unwrap_or(Err(ConnectError::TimedOut))
    }

    async fn handshake(
        &self,
        stream: Stream,
        offer: &ClientHandshake,
        request: Request<()>,
    ) -> Result<(WebSocket, Response<()>), ConnectError> {
        match exchange(stream, request).await.map_err(ConnectError::NoResponse)? {
            ExchangeResponse::Response(response) => Err(ConnectError::Rejected(Box::new(response))),
            ExchangeResponse::Upgraded(response, upgraded) => {
                let agreed = offer.verify_response(response.status(), response.headers())?;
                Ok((Driver::spawn_client(upgraded, &self.limits, &agreed), response))
            }
        }
    }
}
