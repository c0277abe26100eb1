//! A client that reconnects by itself.
//!
//! There is no background task: the handle itself is the state machine. Nothing is received or buffered while the
//! program does not poll it.

mod attempt;
mod event;
mod reconnection;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use http::Response;
use tokio::time::{Instant, Sleep, sleep};
use ws_proto::{Backoff, CloseFrame};

pub use event::{ConnectionFailure, ReconnectEvent};
pub use reconnection::Reconnection;

use crate::client::Connector;
use crate::client::reconnect::attempt::ConnectFuture;
use crate::error::{CloseCause, SendError, TrySendError};
use crate::message::Message;
use crate::socket::WebSocket;

/// The maximum number of events other than messages that are buffered while the program is in `send`.
const MAX_PENDING_EVENTS: usize = 32;

/// The maximum number of bytes in the messages that are buffered meanwhile, in addition to one message of the maximum
/// size.
const MAX_PENDING_BYTES: usize = 1024 * 1024;

/// A client's WebSocket that reconnects whenever the connection is lost. Create it with [`Connector::reconnect`].
///
/// [`next_event`](Self::next_event) returns messages and every change of the connection; [`recv`](Self::recv) returns
/// only messages. The first call starts to connect, and a failed first attempt is retried too. [`Reconnection`]
/// configures the number of attempts and their delays, the errors that are final, a hook before each attempt, and a
/// hook on each new connection.
///
/// ```no_run
/// # async fn run() {
/// use tidewire_ws::{Connector, ReconnectEvent};
///
/// let mut socket = Connector::new("wss://example.com/feed").reconnect();
/// while let Some(event) = socket.next_event().await {
///     match event {
///         ReconnectEvent::Message(message) => println!("{message:?}"),
///         ReconnectEvent::Connected { .. } => println!("connected"),
///         ReconnectEvent::Disconnected { cause } => println!("disconnected: {cause}"),
///         ReconnectEvent::Reconnecting { attempt, delay } => println!("attempt {attempt} starts in {delay:?}"),
///         ReconnectEvent::ConnectFailed { error } => println!("not connected: {error}"),
///         ReconnectEvent::ReconnectFailed { .. } => println!("no more attempts"),
///         _ => {}
///     }
/// }
/// # }
/// ```
///
/// **Messages can be lost.** When a connection breaks, messages that are in flight are lost in both directions. On each
/// connection, the client receives a prefix of the messages that the server sent, without a gap. The server also
/// receives a prefix of the messages that the client sent, but the client cannot tell how long this prefix is.
/// [`send`](Self::send) does not send a message again after a connection has queued it. If a message must arrive, have
/// the server acknowledge it, or query the server after reconnecting, and send it again if necessary.
///
/// **It makes progress only while it is polled.** Connecting, waiting and reading happen inside `next_event`, `recv`,
/// `send` and `close`. Between these calls the client does nothing, but delays and timeouts still run. If an attempt to
/// connect is not polled until after its timeout, it fails, and another attempt follows.
///
/// Dropping it closes the connection as dropping a [`WebSocket`] does, and cancels an attempt or a delay at once.
pub struct ReconnectingWebSocket {
    connector: Connector,
    reconnection: Reconnection,
    backoff: Backoff,
    state: State,
    /// The events that occurred while the program was in `send`.
    pending: VecDeque<ReconnectEvent>,
    final_failure: Option<ConnectionFailure>,
}

enum State {
    /// The next attempt starts at the next poll.
    Due,
    /// The mutex is never locked: polling requires `&mut self`. It makes the handle `Sync` although the future of a
    /// hook need not be.
    Connecting(Mutex<ConnectFuture>),
    Open {
        socket: WebSocket,
        since: Instant,
    },
    BackingOff(Pin<Box<Sleep>>),
    /// The program has closed the WebSocket, or there are no more attempts. Contains the connection that the program
    /// has closed, if there was one.
    Ended(Option<WebSocket>),
}

impl ReconnectingWebSocket {
    pub(crate) fn new(connector: Connector, reconnection: Reconnection) -> Self {
        let backoff = reconnection.backoff();
        Self {
            connector,
            reconnection,
            backoff,
            state: State::Due,
            pending: VecDeque::new(),
            final_failure: None,
        }
    }

    /// Returns the next message or change. Returns `None` at the end: after [`close`](Self::close), or after the last
    /// attempt has failed.
    ///
    /// Cancel safe: a dropped call loses no event, and the next call continues an attempt or a delay that has begun. So
    /// it can be used in a `select!`.
    pub async fn next_event(&mut self) -> Option<ReconnectEvent> {
        poll_fn(|cx| self.poll_next_event(cx)).await
    }

    /// Returns the next message from the current or a later connection, and discards all other events. Returns `None`
    /// at the end; [`final_failure`](Self::final_failure) then returns the reason.
    ///
    /// Cancel safe, like [`next_event`](Self::next_event).
    pub async fn recv(&mut self) -> Option<Message> {
        loop {
            if let ReconnectEvent::Message(message) = self.next_event().await? {
                return Some(message);
            }
        }
    }

    /// Sends a message on the current connection, as [`WebSocket::send`] does. If there is no connection, waits for the
    /// next one; wrap the call in `tokio::time::timeout` to limit that time. If the connection ends while the call
    /// waits for capacity, the message is sent on the next connection.
    ///
    /// Events that occur meanwhile are buffered for [`next_event`](Self::next_event): the newest 32 changes, and the
    /// messages that had arrived before the end of the connection was detected (up to 1 MiB plus one message of the
    /// maximum size in [`Limits`](crate::Limits)). So this call may send on a new connection before the program
    /// receives the event for that connection. Send anything that the server must receive first in
    /// [`Reconnection::on_connect`].
    ///
    /// Cancel safe: if the call is dropped while it waits, the message is not sent. A message is never sent in part.
    /// (Cloning a message shares its payload.)
    ///
    /// # Errors
    /// The WebSocket was closed, or the last attempt to reconnect has failed: there will be no further connection.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        let mut message = message.into();
        loop {
            match &mut self.state {
                State::Open { socket, .. } => match socket.send(message).await {
                    Ok(()) => return Ok(()),
                    Err(SendError(refused)) => {
                        message = refused;
                        self.drain_socket().await;
                    }
                },
                State::Ended(_) => return Err(SendError(message)),
                State::Due | State::Connecting(_) | State::BackingOff(_) => {
                    poll_fn(|cx| self.poll_advance(cx)).await;
                }
            }
        }
    }

    /// Sends a message like [`send`](Self::send), but fails instead of waiting.
    ///
    /// # Errors
    /// There is no connection at the moment, the write buffer is full, or there will be no further connection.
    pub fn try_send(&mut self, message: impl Into<Message>) -> Result<(), TrySendError> {
        match &mut self.state {
            State::Open { socket, .. } => socket.try_send(message).map_err(|error| match error {
                // `recv` will detect this and reconnect.
                TrySendError::Closed(message) => TrySendError::Disconnected(message),
                error => error,
            }),
            State::Ended(_) => Err(TrySendError::Closed(message.into())),
            State::Due | State::Connecting(_) | State::BackingOff(_) => {
                Err(TrySendError::Disconnected(message.into()))
            }
        }
    }

    /// Returns the current connection, for methods that only [`WebSocket`] has. For example,
    /// [`sender`](WebSocket::sender) makes a handle for other tasks, which is valid only for this connection. If the
    /// program closes the connection through this handle, the client reconnects as after any other disconnect.
    pub fn socket_mut(&mut self) -> Option<&mut WebSocket> {
        match &mut self.state {
            State::Open { socket, .. } => Some(socket),
            _ => None,
        }
    }

    /// Returns the failure after which no further attempt was made, or `None` if there was none.
    #[must_use]
    pub fn final_failure(&self) -> Option<&ConnectionFailure> {
        self.final_failure.as_ref()
    }

    /// Closes the connection as [`WebSocket::close`] does, and does not reconnect. Returns `None` if there was no
    /// connection; an attempt to connect or a delay is cancelled at once.
    ///
    /// Cancel safe: closing continues if the call is dropped, and a second call waits for it.
    pub async fn close(&mut self, frame: impl Into<Option<CloseFrame>>) -> Option<CloseCause> {
        self.state = match mem::replace(&mut self.state, State::Ended(None)) {
            State::Open { socket, .. } | State::Ended(Some(socket)) => State::Ended(Some(socket)),
            _ => return None,
        };
        let State::Ended(Some(socket)) = &mut self.state else { return None };
        Some(socket.close(frame).await)
    }

    fn poll_next_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<ReconnectEvent>> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Poll::Ready(Some(event));
            }
            match &mut self.state {
                State::Open { socket, .. } => match ready!(Pin::new(socket).poll_next(cx)) {
                    Some(message) => return Poll::Ready(Some(ReconnectEvent::Message(message))),
                    None => self.handle_disconnected(),
                },
                State::Ended(_) => return Poll::Ready(None),
                State::Due | State::Connecting(_) | State::BackingOff(_) => ready!(self.poll_advance(cx)),
            }
        }
    }

    /// Makes one step towards a connection.
    fn poll_advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Due => {
                self.push_event(ReconnectEvent::Connecting { attempt: self.backoff.attempts() });
                self.state = State::Connecting(Mutex::new(self.reconnection.start_attempt(&self.connector)));
            }
            State::Connecting(attempt) => {
                let attempt = attempt.get_mut().unwrap_or_else(PoisonError::into_inner);
                match ready!(attempt.as_mut().poll(cx)) {
                    Ok((socket, response)) => self.handle_connected(socket, response),
                    Err(error) => self.handle_failure(ConnectionFailure::ConnectFailed(Arc::new(error))),
                }
            }
            State::BackingOff(sleep) => {
                ready!(sleep.as_mut().poll(cx));
                self.state = State::Due;
            }
            State::Open { .. } | State::Ended(_) => {}
        }
        Poll::Ready(())
    }

    fn handle_connected(&mut self, socket: WebSocket, response: Response<()>) {
        let protocol = socket.protocol().map(str::to_owned);
        self.push_event(ReconnectEvent::Connected { protocol, response: Box::new(response) });
        self.state = State::Open { socket, since: Instant::now() };
    }

    /// Called when `send` finds that the connection has ended. Buffers the messages that the program has not received
    /// yet.
    async fn drain_socket(&mut self) {
        let State::Open { socket, .. } = &mut self.state else { return };
        let mut kept: usize = self.pending.iter().map(event_size).sum();
        while let Some(message) = socket.recv().await {
            let event = ReconnectEvent::Message(message);
            kept = kept.saturating_add(event_size(&event));
            if kept > MAX_PENDING_BYTES + self.connector.max_message_size() {
                // A TCP stream does not get here: it does not hold that much unread data after a write has failed.
                self.handle_failure(ConnectionFailure::Disconnected(CloseCause::Io(
                    io::ErrorKind::BrokenPipe,
                )));
                return;
            }
            self.pending.push_back(event);
        }
        self.handle_disconnected();
    }

    /// Called when the connection has ended and all its messages were received.
    fn handle_disconnected(&mut self) {
        let State::Open { socket, since } = &self.state else { return };
        let closed = socket.close_cause().expect("`recv` returned `None`, so the connection is closed");
        // A connection that lasted for `delay_max` restarts the delays. There are still no more connections per hour
        // than with the longest delay. A shorter connection counts as one more failed attempt. A server that accepts
        // and disconnects therefore gets no more attempts than a server that refuses, even if it sends messages first.
        if since.elapsed() >= self.backoff.delay_max() {
            self.backoff.reset();
        }
        self.handle_failure(ConnectionFailure::Disconnected(closed));
    }

    fn handle_failure(&mut self, failure: ConnectionFailure) {
        tracing::debug!(%failure, attempts = self.backoff.attempts(), "no WebSocket connection");
        self.push_event(match &failure {
            ConnectionFailure::Disconnected(closed) => ReconnectEvent::Disconnected { cause: closed.clone() },
            ConnectionFailure::ConnectFailed(error) => {
                ReconnectEvent::ConnectFailed { error: Arc::clone(error) }
            }
        });
        if self.reconnection.allows_attempt(self.backoff.attempts(), &failure) {
            let delay =
                self.backoff.next_delay(random()).saturating_add(failure.retry_after().unwrap_or_default());
            self.push_event(ReconnectEvent::Reconnecting { attempt: self.backoff.attempts(), delay });
            self.state = State::BackingOff(Box::pin(sleep(delay)));
        } else {
            self.final_failure = Some(failure.clone());
            self.push_event(ReconnectEvent::ReconnectFailed { failure });
            self.state = State::Ended(None);
        }
    }

    /// Queues an event for `next_event`. Drops the oldest change if there are too many, and never drops a message.
    fn push_event(&mut self, event: ReconnectEvent) {
        let is_change = |event: &ReconnectEvent| !matches!(event, ReconnectEvent::Message(_));
        if self.pending.iter().filter(|event| is_change(event)).count() >= MAX_PENDING_EVENTS
            && let Some(oldest) = self.pending.iter().position(is_change)
        {
            self.pending.remove(oldest);
        }
        self.pending.push_back(event);
    }
}

/// Yields the events that [`next_event`](Self::next_event) returns, and ends when it returns `None`.
impl Stream for ReconnectingWebSocket {
    type Item = ReconnectEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ReconnectEvent>> {
        self.get_mut().poll_next_event(cx)
    }
}

/// Returns the memory that a message in `pending` uses. Other events count as 0, because their number is limited.
fn event_size(event: &ReconnectEvent) -> usize {
    match event {
        ReconnectEvent::Message(message) => size_of::<ReconnectEvent>() + message.len(),
        _ => 0,
    }
}

/// Returns random bits for the jitter of the delays, or 0 if the operating system has none. The delays then do not
/// vary, and connecting fails with its own error.
fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}

impl fmt::Debug for ReconnectingWebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Due | State::Connecting(_) => "connecting",
            State::Open { .. } => "open",
            State::BackingOff(_) => "waiting",
            State::Ended(_) => "ended",
        };
        f.debug_struct("ReconnectingWebSocket")
            .field("state", &state)
            .field("attempts", &self.backoff.attempts())
            .finish_non_exhaustive()
    }
}
