//! A client that connects again by itself.
//!
//! The handle is the machine: no task stands behind it, so nothing happens, is received or piles up while the program does
//! not ask.

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

/// How many changes are kept for a program that is in `send` and does not ask for them.
const MAX_PENDING_EVENTS: usize = 32;

/// How many bytes of messages are kept for it, beside the longest that there may be.
const MAX_PENDING_BYTES: usize = 1024 * 1024;

/// A WebSocket of a client that connects again whenever the connection is lost. [`Connector::reconnect`] makes one.
///
/// [`next_event`](Self::next_event) gives the messages and every change; [`recv`](Self::recv) gives the messages alone. It
/// also connects for the first time, and again if that fails. [`Reconnection`] says how often and how soon, after what not
/// at all, what is new in each attempt, and what is sent on each connection before all else.
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
///         ReconnectEvent::Reconnecting { attempt, delay } => println!("attempt {attempt} comes in {delay:?}"),
///         ReconnectEvent::ConnectFailed { error } => println!("not connected: {error}"),
///         ReconnectEvent::ReconnectFailed { .. } => println!("that was it"),
///         _ => {}
///     }
/// }
/// # }
/// ```
///
/// **What may be lost.** A connection that breaks takes along what was on its way, in both directions. What was received
/// is a part of what the server has sent, from the beginning of the connection and without a gap; what the server has
/// received is such a part of what was sent here, and nobody here knows how much. [`send`](Self::send) does not repeat
/// what it has once given to a connection. Whoever must know asks the server, or sends again what was not answered.
///
/// **It moves only while it is asked.** Connecting, waiting and reading go on in `next_event`, `recv`, `send` and `close`;
/// between these calls everything stays as it is, but for time. An attempt that could not move for so long that its time
/// is over fails, and another one follows.
///
/// Dropped, it closes the connection as [`WebSocket`] does; an attempt or a wait ends at once.
pub struct ReconnectingWebSocket {
    connect: Connector,
    reconnection: Reconnection,
    backoff: Backoff,
    state: State,
    /// What has happened while the program was in `send`.
    pending: VecDeque<ReconnectEvent>,
    final_failure: Option<ConnectionFailure>,
}

enum State {
    /// An attempt is to begin now.
    Due,
    /// Never locked: whoever polls it has the handle to itself. So the handle can be shared, although a future of the
    /// program need not be.
    Connecting(Mutex<ConnectFuture>),
    Open {
        socket: WebSocket,
        since: Instant,
    },
    BackingOff(Pin<Box<Sleep>>),
    /// By the program, in which case there may be a connection that it closes; or given up.
    Ended(Option<WebSocket>),
}

impl ReconnectingWebSocket {
    pub(crate) fn new(connect: Connector, reconnection: Reconnection) -> Self {
        let backoff = reconnection.backoff();
        Self {
            connect,
            reconnection,
            backoff,
            state: State::Due,
            pending: VecDeque::new(),
            final_failure: None,
        }
    }

    /// The next message or change; `None` when there will be no more, because it was given up or [`close`](Self::close)d.
    ///
    /// Cancel safe: an event is either returned or still there, and an attempt to connect or a wait that has begun goes on
    /// with the next call. So it may stand in a `select!`.
    pub async fn next_event(&mut self) -> Option<ReconnectEvent> {
        poll_fn(|cx| self.poll_next_event(cx)).await
    }

    /// The next message, from whatever connection; changes are dropped. `None` when there will be no more: then
    /// [`final_failure`](Self::final_failure) knows why.
    ///
    /// Cancel safe, like [`next_event`](Self::next_event).
    pub async fn recv(&mut self) -> Option<Message> {
        loop {
            if let ReconnectEvent::Message(message) = self.next_event().await? {
                return Some(message);
            }
        }
    }

    /// Sends a message as [`WebSocket::send`] does, on the connection that there is, or else on the next one, for which it
    /// waits: put `tokio::time::timeout` around it if that may not take for ever. If the connection ends while it waits for
    /// room, the message goes to the next one.
    ///
    /// Events that occur meanwhile are kept for [`next_event`](Self::next_event): the newest 32 changes, and the messages
    /// that had come before the connection was found to have ended (a mebibyte, and the longest that the
    /// [`Limits`](crate::Limits) admit). So the program does not learn of a new connection
    /// before this has sent on it; what a server wants to hear first belongs into
    /// [`Reconnection::on_connect`].
    ///
    /// Cancel safe: a message is sent whole or not at all, and a dropped call that was waiting has not sent it. (A clone
    /// of the message shares its payload.)
    ///
    /// # Errors
    /// It was given up, or closed: there will be no connection any more.
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

    /// [`send`](Self::send) without waiting.
    ///
    /// # Errors
    /// There is no connection now, or no room, or there will be no connection any more.
    pub fn try_send(&mut self, message: impl Into<Message>) -> Result<(), TrySendError> {
        match &mut self.state {
            State::Open { socket, .. } => socket.try_send(message).map_err(|error| match error {
                // `recv` will find that out, and connect again.
                TrySendError::Closed(message) => TrySendError::Disconnected(message),
                error => error,
            }),
            State::Ended(_) => Err(TrySendError::Closed(message.into())),
            State::Due | State::Connecting(_) | State::BackingOff(_) => {
                Err(TrySendError::Disconnected(message.into()))
            }
        }
    }

    /// The connection that there is, for what only a [`WebSocket`] can do: a [`sender`](WebSocket::sender) for other tasks,
    /// which ends with this connection. Closed in this way, it is lost like any other.
    pub fn socket_mut(&mut self) -> Option<&mut WebSocket> {
        match &mut self.state {
            State::Open { socket, .. } => Some(socket),
            _ => None,
        }
    }

    /// After what it was given up: the last thing that was lost. `None` while it was not.
    #[must_use]
    pub fn final_failure(&self) -> Option<&ConnectionFailure> {
        self.final_failure.as_ref()
    }

    /// Closes the connection as [`WebSocket::close`] does, for good. An attempt to connect, or the wait for one, ends at
    /// once; then there is nothing that could say how it ended.
    ///
    /// Cancel safe: the close goes on without the call, and a second call waits for it.
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
                    None => self.disconnected(),
                },
                State::Ended(_) => return Poll::Ready(None),
                State::Due | State::Connecting(_) | State::BackingOff(_) => ready!(self.poll_advance(cx)),
            }
        }
    }

    /// One step towards a connection.
    fn poll_advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Due => {
                self.push_event(ReconnectEvent::Connecting { attempt: self.backoff.attempts() });
                self.state = State::Connecting(Mutex::new(self.reconnection.start_attempt(&self.connect)));
            }
            State::Connecting(attempt) => {
                let attempt = attempt.get_mut().unwrap_or_else(PoisonError::into_inner);
                match ready!(attempt.as_mut().poll(cx)) {
                    Ok((socket, response)) => self.connected(socket, response),
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

    fn connected(&mut self, socket: WebSocket, response: Response<()>) {
        let protocol = socket.protocol().map(str::to_owned);
        self.push_event(ReconnectEvent::Connected { protocol, response: Box::new(response) });
        self.state = State::Open { socket, since: Instant::now() };
    }

    /// The program sends on a connection that has ended, and may not have received all of it.
    async fn drain_socket(&mut self) {
        let State::Open { socket, .. } = &mut self.state else { return };
        let mut kept: usize = self.pending.iter().map(event_size).sum();
        while let Some(message) = socket.recv().await {
            let event = ReconnectEvent::Message(message);
            kept = kept.saturating_add(event_size(&event));
            if kept > MAX_PENDING_BYTES + self.connect.max_message_size() {
                // A TCP stream has not so much to be read once it cannot be written.
                self.handle_failure(ConnectionFailure::Disconnected(CloseCause::Io(
                    io::ErrorKind::BrokenPipe,
                )));
                return;
            }
            self.pending.push_back(event);
        }
        self.disconnected();
    }

    /// The connection has ended, and all of it was received.
    fn disconnected(&mut self) {
        let State::Open { socket, since } = &self.state else { return };
        let closed = socket.close_cause().expect("nothing more is received from what is closed");
        // What lasts that long may begin again with the shortest delay, and there will still not be more connections in an
        // hour than with the longest. What does not is one more attempt that has failed: a server that accepts and hangs
        // up, whatever it says before, is not asked more often than one that refuses.
        if since.elapsed() >= self.backoff.delay_max() {
            self.backoff.reset();
        }
        self.handle_failure(ConnectionFailure::Disconnected(closed));
    }

    fn handle_failure(&mut self, lost: ConnectionFailure) {
        tracing::debug!(%lost, attempts = self.backoff.attempts(), "no WebSocket connection");
        self.push_event(match &lost {
            ConnectionFailure::Disconnected(closed) => ReconnectEvent::Disconnected { cause: closed.clone() },
            ConnectionFailure::ConnectFailed(error) => {
                ReconnectEvent::ConnectFailed { error: Arc::clone(error) }
            }
        });
        if self.reconnection.allows_attempt(self.backoff.attempts(), &lost) {
            let delay =
                self.backoff.next_delay(random()).saturating_add(lost.retry_after().unwrap_or_default());
            self.push_event(ReconnectEvent::Reconnecting { attempt: self.backoff.attempts(), delay });
            self.state = State::BackingOff(Box::pin(sleep(delay)));
        } else {
            self.final_failure = Some(lost.clone());
            self.push_event(ReconnectEvent::ReconnectFailed { failure: lost });
            self.state = State::Ended(None);
        }
    }

    /// For `next_event`. Messages are never dropped to make room.
    fn push_event(&mut self, change: ReconnectEvent) {
        let is_change = |event: &ReconnectEvent| !matches!(event, ReconnectEvent::Message(_));
        if self.pending.iter().filter(|event| is_change(event)).count() >= MAX_PENDING_EVENTS
            && let Some(oldest) = self.pending.iter().position(is_change)
        {
            self.pending.remove(oldest);
        }
        self.pending.push_back(change);
    }
}

/// Of what [`next_event`](Self::next_event) gives.
impl Stream for ReconnectingWebSocket {
    type Item = ReconnectEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ReconnectEvent>> {
        self.get_mut().poll_next_event(cx)
    }
}

/// What a pending event holds, if it is a message.
fn event_size(event: &ReconnectEvent) -> usize {
    match event {
        ReconnectEvent::Message(message) => size_of::<ReconnectEvent>() + message.len(),
        _ => 0,
    }
}

/// For the unevenness of delays. Without randomness they are even, and a connection fails for other reasons.
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
