//! The settings of reconnecting: attempts, delays, final errors and hooks.

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

/// The settings of a [`ReconnectingWebSocket`](crate::ReconnectingWebSocket).
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
///     // A token is valid for a minute, so each attempt requests a new one.
///     .before_connect(async |connect: Connector| {
///         let token = token().await?;
///         Ok::<_, std::io::Error>(connect.header("authorization", format!("Bearer {token}")))
///     })
///     // The server forgets the subscription with the connection, so each connection subscribes again.
///     .on_connect(async |mut socket: WebSocket| {
///         socket.send(r#"{"subscribe": ["BTC", "ETH"]}"#).await?;
///         Ok::<_, SendError>(socket)
///     });
/// let mut socket = Connector::new("wss://example.com/feed").reconnect_with(reconnection);
/// # socket.recv().await;
/// # }
/// ```
///
/// **Delays.** The first attempt starts at once. After a failed attempt or the end of a connection, the client waits
/// for [`delay`](Self::delay). Each further delay is twice as long, up to [`delay_max`](Self::delay_max). A random part
/// makes each delay longer or shorter; a delay at the maximum can only become shorter.
///
/// The delays restart after a connection that lasted for `delay_max`. A shorter connection counts as a failed attempt,
/// so a server that accepts and then disconnects gets no more attempts than one that refuses. If the server rejects the
/// handshake with a `Retry-After` in seconds, the client waits for that time (at most five minutes) plus the delay,
/// because other clients received the same `Retry-After`.
///
/// **Hooks** are called for each attempt. If a hook uses values of the program, it clones them on each call: `move
/// |connect| { let tokens = tokens.clone(); async move { … } }`.
#[derive(Clone)]
#[must_use = "a `Reconnection` does nothing until you pass it to `Connector::reconnect_with`"]
pub struct Reconnection {
    attempts: Option<u32>,
    delay: Duration,
    delay_max: Duration,
    randomization_factor: f64,
    should_reconnect: Arc<dyn Fn(&ConnectionFailure) -> bool + Send + Sync>,
    hooks: Hooks,
}

impl Reconnection {
    /// Creates the default settings: an unlimited number of attempts, with delays that grow from 1 second to 5 seconds.
    /// The client stops if the server responds with a client error (HTTP 4xx, with exceptions) or the request cannot be
    /// made.
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

    /// Sets how many attempts follow a failed attempt or the end of a connection. With 0, the first failure is final.
    /// Default: `None`, no limit. A connection that lasted for [`delay_max`](Self::delay_max) restarts the count.
    #[doc(alias = "reconnection_attempts")]
    #[doc(alias = "reconnectionAttempts")]
    pub fn attempts(mut self, attempts: impl Into<Option<u32>>) -> Self {
        self.attempts = attempts.into();
        self
    }

    /// Sets the first delay: the time that the client waits after a failed attempt or the end of a connection before it
    /// tries again. Each further delay is twice as long, up to [`delay_max`](Self::delay_max). Default: 1 second.
    /// Minimum: 1 millisecond.
    #[doc(alias = "reconnection_delay")]
    #[doc(alias = "reconnectionDelay")]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets the longest delay. A connection that lasts at least as long restarts the delays. Default: 5 seconds.
    /// Minimum: 1 millisecond.
    ///
    /// If many clients use the same server, set the longest delay to a minute. Otherwise their attempts can overload
    /// the server when it restarts.
    #[doc(alias = "reconnection_delay_max")]
    #[doc(alias = "reconnectionDelayMax")]
    pub fn delay_max(mut self, delay_max: Duration) -> Self {
        self.delay_max = delay_max;
        self
    }

    /// Sets the random part of each delay, as a fraction of the delay: above 0 and at most 1. Default: 0.5. A value
    /// outside this range turns randomization off.
    #[doc(alias = "randomizationFactor")]
    pub fn randomization_factor(mut self, randomization_factor: f64) -> Self {
        self.randomization_factor = randomization_factor;
        self
    }

    /// Sets the function that decides whether to try again after a failure. Default:
    /// [`ConnectionFailure::is_transient`]: the client stops only if the server responds with a client error (HTTP 4xx,
    /// with exceptions) or the request cannot be made.
    ///
    /// ```
    /// use tidewire_ws::{CloseCause, CloseCode, ConnectionFailure, Reconnection};
    ///
    /// let reconnection = Reconnection::new().should_reconnect(|lost| match lost {
    ///     // This server closes with code 4402 if the account is not paid for.
    ///     ConnectionFailure::Disconnected(CloseCause::ClosingHandshake(Some(frame))) => frame.code.as_u16() != 4402,
    ///     // A load balancer in front of it responds with 404 while the server starts.
    ///     lost => lost.is_transient() || lost.status().is_some_and(|status| status == 404),
    /// });
    /// ```
    ///
    /// The function is not called if there are no [`attempts`](Self::attempts) left, nor after
    /// [`close`](crate::ReconnectingWebSocket::close).
    pub fn should_reconnect(
        mut self,
        hook: impl Fn(&ConnectionFailure) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.should_reconnect = Arc::new(hook);
        self
    }

    /// Sets a hook that runs before each attempt and may change the [`Connector`], for example to set a new token or to
    /// use another server ([`Connector::url`]). The hook always receives the original `Connector`, not the result of an
    /// earlier call.
    ///
    /// If the hook fails, the attempt fails with [`ConnectError::Hook`](crate::ConnectError::Hook). The time of the
    /// hook counts towards the [`Connector::timeout`] of the original `Connector`.
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

    /// Sets a hook that runs on each new connection before the program can use it, for example to subscribe again, or
    /// to log in and wait for the response. The program does not get the messages that the hook receives.
    ///
    /// If the hook fails, the attempt fails with [`ConnectError::Hook`](crate::ConnectError::Hook). The time of the
    /// hook counts towards [`Connector::timeout`].
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

    /// Sets a function that opens a stream for each attempt, for example through a tunnel or to a Unix socket. The
    /// client then connects as [`Connector::connect_over`] does.
    pub fn connect_over<F, Fut, S>(mut self, hook: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.hooks.connect_over = Some(Arc::new(move |()| {
            let stream = hook();
            Box::pin(async move { Ok(Stream::boxed(stream.await?)) })
        }));
        self
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.delay, self.delay_max, self.randomization_factor)
    }

    pub(super) fn start_attempt(&self, connector: &Connector) -> ConnectFuture {
        self.hooks.start_attempt(connector)
    }

    /// Returns whether another attempt may follow after this number of attempts and this failure.
    pub(super) fn allows_attempt(&self, attempts: u32, failure: &ConnectionFailure) -> bool {
        self.attempts.is_none_or(|most| attempts < most) && (self.should_reconnect)(failure)
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
