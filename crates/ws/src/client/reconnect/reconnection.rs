//! How to connect again: how often and how soon, after what not at all, and what is new each time.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use net::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::Backoff;

use crate::client::Connector;
use crate::client::reconnect::attempt::{ConnectFuture, Hooks};
use crate::client::reconnect::event::ConnectionFailure;
use crate::socket::WebSocket;

/// How a [`ReconnectingWebSocket`](crate::ReconnectingWebSocket) connects again.
///
/// ```no_run
/// # async fn token() -> std::io::Result<String> { Ok(String::new()) }
/// # async fn run() {
/// use std::time::Duration;
///
/// use tidewire_ws::{Connector, Reconnection, SendError, WebSocket};
///
/// let reconnection = Reconnection::new()
///     .attempts(10)
///     .delay_max(Duration::from_secs(60))
///     // A token is good for a minute: each attempt gets a new one.
///     .before_connect(async |connect: Connector| {
///         let token = token().await?;
///         Ok::<_, std::io::Error>(connect.header("authorization", format!("Bearer {token}")))
///     })
///     // The server forgets us with the connection: each new one begins with this.
///     .on_connect(async |mut socket: WebSocket| {
///         socket.send(r#"{"subscribe": ["BTC", "ETH"]}"#).await?;
///         Ok::<_, SendError>(socket)
///     });
/// let mut socket = Connector::new("wss://example.com/feed").reconnect_with(reconnection);
/// # socket.recv().await;
/// # }
/// ```
///
/// **Delays.** The first attempt comes at once. After it has failed, or a connection has ended, the next one waits
/// [`delay`](Self::delay), the one after it twice as long, and so on up to [`delay_max`](Self::delay_max); each is longer or
/// shorter by a random part, at the maximum only shorter. They begin again after a connection that has lasted for
/// `delay_max`, and not before: a server that accepts and hangs up is treated like one that refuses. A server that refuses
/// with a `Retry-After` in seconds is left alone for as long (five minutes at most), and the delay comes on top of that,
/// because others were told the same.
///
/// The functions of the program are called for each attempt anew. One that needs something of the program's clones it
/// on each call: `move |connect| { let tokens = tokens.clone(); async move { … } }`.
#[derive(Clone)]
#[must_use = "it does nothing before `Connect::reconnect_with`"]
pub struct Reconnection {
    attempts: Option<u32>,
    delay: Duration,
    delay_max: Duration,
    randomization_factor: f64,
    should_reconnect: Arc<dyn Fn(&ConnectionFailure) -> bool + Send + Sync>,
    hooks: Hooks,
}

impl Reconnection {
    /// For ever, after a second at first and five at most, unless the server says that the request is wrong.
    pub fn new() -> Self {
        Self {
            attempts: None,
            delay: Duration::from_secs(1),
            delay_max: Duration::from_secs(5),
            randomization_factor: 0.5,
            should_reconnect: Arc::new(ConnectionFailure::is_transient),
            hooks: Hooks::default(),
        }
    }

    /// How many attempts are made after one that has failed, or after a connection, before it is given up; with 0 it is
    /// given up at the first loss. Default: `None`, without an end. A connection that has lasted begins the count again.
    #[doc(alias = "reconnection_attempts")]
    #[doc(alias = "reconnectionAttempts")]
    pub fn attempts(mut self, attempts: impl Into<Option<u32>>) -> Self {
        self.attempts = attempts.into();
        self
    }

    /// The delay before the first of these attempts; it doubles with each. Default: 1 second. At least 1 millisecond.
    #[doc(alias = "reconnection_delay")]
    #[doc(alias = "reconnectionDelay")]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The longest delay, and how long a connection has to last for the delays to begin again. Default: 5 seconds. At least
    /// 1 millisecond.
    ///
    /// Where many clients use the same server, make it a minute: it is they who keep it from coming back.
    #[doc(alias = "reconnection_delay_max")]
    #[doc(alias = "reconnectionDelayMax")]
    pub fn delay_max(mut self, delay_max: Duration) -> Self {
        self.delay_max = delay_max;
        self
    }

    /// Which part of a delay is up to chance, above 0 and at most 1. Default: 0.5. Anything else leaves nothing to chance.
    #[doc(alias = "randomizationFactor")]
    pub fn randomization_factor(mut self, randomization_factor: f64) -> Self {
        self.randomization_factor = randomization_factor;
        self
    }

    /// Whether to go on, after what was lost. Default: [`ConnectionFailure::is_transient`], which goes on unless the server has said
    /// that the request is wrong (HTTP 4xx, with exceptions) or there cannot be such a request.
    ///
    /// ```
    /// use tidewire_ws::{CloseCause, CloseCode, ConnectionFailure, Reconnection};
    ///
    /// let reconnection = Reconnection::new().should_reconnect(|lost| match lost {
    ///     // This server closes so when the account is not paid for.
    ///     ConnectionFailure::Disconnected(CloseCause::ClosingHandshake(Some(frame))) => frame.code.as_u16() != 4402,
    ///     // And a balancer before it answers 404 while it starts.
    ///     lost => lost.is_transient() || lost.status().is_some_and(|status| status == 404),
    /// });
    /// ```
    ///
    /// It is not asked when there are no [`attempts`](Self::attempts) left, nor after
    /// [`close`](crate::ReconnectingWebSocket::close).
    pub fn should_reconnect(
        mut self,
        hook: impl Fn(&ConnectionFailure) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.should_reconnect = Arc::new(hook);
        self
    }

    /// What each attempt begins with: the request is renewed, for instance with another token, or goes to another server
    /// ([`Connector::url`]). The function is given what the program began with, not what the last attempt has made of it.
    ///
    /// If it fails the attempt has failed, with [`ConnectError::Hook`](crate::ConnectError::Hook). Its time counts as
    /// part of that which [`Connector::timeout`] allows, as it was set in the beginning.
    pub fn before_connect<F, Fut, E>(mut self, hook: F) -> Self
    where
        F: Fn(Connector) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Connector, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        self.hooks.before_connect = Some(Arc::new(move |connect| {
            let renewed = hook(connect);
            Box::pin(async move { renewed.await.map_err(Into::into) })
        }));
        self
    }

    /// What each connection begins with, before the program gets or sends anything on it: to subscribe again, or to log
    /// in and wait for the answer. The messages that the function receives are its own.
    ///
    /// If it fails the attempt has failed, with [`ConnectError::Hook`](crate::ConnectError::Hook). Its time counts as
    /// part of that which [`Connector::timeout`] allows.
    pub fn on_connect<F, Fut, E>(mut self, hook: F) -> Self
    where
        F: Fn(WebSocket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<WebSocket, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        self.hooks.on_connect = Some(Arc::new(move |socket| {
            let greeted = hook(socket);
            Box::pin(async move { greeted.await.map_err(Into::into) })
        }));
        self
    }

    /// Connects over streams that the program makes, one for each attempt, as [`Connector::connect_over`] does over one:
    /// through a tunnel, to a Unix socket.
    pub fn connect_over<F, Fut, S>(mut self, stream: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.hooks.connect_over = Some(Arc::new(move |()| {
            let stream = stream();
            Box::pin(async move { Ok(Stream::boxed(stream.await?)) })
        }));
        self
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.delay, self.delay_max, self.randomization_factor)
    }

    pub(super) fn start_attempt(&self, connect: &Connector) -> ConnectFuture {
        self.hooks.start_attempt(connect)
    }

    /// Whether there is another attempt after this many, and after this.
    pub(super) fn allows_attempt(&self, attempts: u32, lost: &ConnectionFailure) -> bool {
        self.attempts.is_none_or(|most| attempts < most) && (self.should_reconnect)(lost)
    }
}

impl Default for Reconnection {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Reconnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnection")
            .field("attempts", &self.attempts)
            .field("delay", &self.delay)
            .field("delay_max", &self.delay_max)
            .field("randomization_factor", &self.randomization_factor)
            .field("hooks", &self.hooks)
            .finish_non_exhaustive()
    }
}
