//! Drives the handlers of one socket in the order of what has happened to it: connects, events, disconnects.
//!
//! Hot path: every event passes through here to the [`EventQueue`].

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use handlers::{BoxFuture, EventQueue, EventQueueSize, FirstPoll, HandlerError, Spawn, start_handler};
use socketio_proto::client::{AckId, DisconnectReason, SocketKey};
use socketio_proto::{Event, Excerpt};
use ws_proto::Time;

use crate::auth::AuthResult;
use crate::error::ConnectError;
use crate::handler::{ClientHandlerEnv, ClientSide, ConnectedSocket, Context, Lifecycle, SocketHandlers};
use crate::platform::SpawnTask;
use crate::socket::SocketInner;

/// How long after the first connect, or the first failure to connect, the events wait for the program to register its
/// handlers, unless it starts earlier.
pub(crate) const START_DELAY: Duration = Duration::from_millis(100);

/// The maximum number of queued items that one poll starts, so that other work of the driver is not delayed.
const MAX_ITEMS_PER_POLL: usize = 32;

/// The handlers of one socket. The driver of the client polls it.
pub(crate) struct SocketDriver {
    pub(crate) key: SocketKey,
    socket: Arc<SocketInner>,
    handlers: Arc<SocketHandlers>,
    handlers_version: u64,
    /// Sends the acknowledgements of the events in `events`, which were all received on one connection.
    connected: Arc<ConnectedSocket>,
    events: EventQueue<ClientSide>,
    /// A running handler without an event.
    running: Option<<SpawnTask as Spawn>::Task<Result<(), HandlerError>>>,
    /// What waits for `events` to finish, or for the start.
    waiting: VecDeque<Waiting>,
    waiting_size: EventQueueSize,
    start: Start,
    /// The events that were dropped since the last disconnect.
    dropped: usize,
    /// The function of the program that obtains the credentials.
    pub(crate) auth: Option<BoxFuture<AuthResult>>,
    /// When that function is called again after it has failed.
    pub(crate) auth_retry: Option<Time>,
}

/// Whether handlers may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// The program is still registering handlers. `at` is set when the socket has connected, or has failed to.
    Waiting {
        at: Option<Time>,
    },
    Started,
}

enum Waiting {
    Event { event: Event<'static>, ack: Option<AckId>, bytes: usize },
    Lifecycle(Lifecycle),
}

impl SocketDriver {
    pub(crate) fn new(key: SocketKey, socket: Arc<SocketInner>) -> Self {
        let (handlers, handlers_version) = socket.handlers();
        let connected = Arc::new(ConnectedSocket { socket: Arc::clone(&socket), connection: None });
        Self {
            key,
            socket,
            handlers,
            handlers_version,
            connected,
            events: EventQueue::new(),
            running: None,
            waiting: VecDeque::new(),
            waiting_size: EventQueueSize::default(),
            start: Start::Waiting { at: None },
            dropped: 0,
            auth: None,
            auth_retry: None,
        }
    }

    pub(crate) fn socket(&self) -> &Arc<SocketInner> {
        &self.socket
    }

    /// Returns the number of queued events and their bytes.
    pub(crate) fn queued(&self) -> EventQueueSize {
        [self.events.size(), self.waiting_size].into_iter().sum()
    }

    /// Returns whether no handler runs and nothing is queued.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty() && self.events.is_idle()
    }

    /// Returns when [`poll`](Self::poll) must be called even if nothing happens.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match self.start {
            Start::Waiting { at } if !self.waiting.is_empty() => at,
            _ => None,
        }
    }

    /// Handles a received event.
    pub(crate) fn handle_event(&mut self, event: Event<'_>, ack: Option<AckId>, cx: &mut TaskContext<'_>) {
        self.update_start(None);
        if self.start == Start::Started && self.running.is_none() && self.waiting.is_empty() {
            return self.start_event(&event, ack, cx);
        }
        let bytes = event.memory() + size_of::<Waiting>();
        self.waiting_size.events += 1;
        self.waiting_size.bytes += bytes;
        self.waiting.push_back(Waiting::Event { event: event.into_owned(), ack, bytes });
    }

    /// Handles a connect, a failure to connect, or a disconnect.
    pub(crate) fn handle_lifecycle(&mut self, mut change: Lifecycle, now: Time, cx: &mut TaskContext<'_>) {
        if let Start::Waiting { at: at @ None } = &mut self.start {
            *at = Some(now + START_DELAY);
        }
        if let Lifecycle::Disconnect { reason, dropped } = &mut change {
            if *reason == DisconnectReason::IoClientDisconnect {
                self.discard_events();
            }
            *dropped = std::mem::take(&mut self.dropped);
        }
        // While a handler runs for long, failed attempts must not pile up. The newest error is the one that matters.
        if matches!(change, Lifecycle::ConnectError(_))
            && let Some(Waiting::Lifecycle(last @ Lifecycle::ConnectError(_))) = self.waiting.back_mut()
        {
            *last = change;
        } else {
            self.waiting.push_back(Waiting::Lifecycle(change));
        }
        let _ = self.poll(now, cx);
    }

    /// Calls the next handlers, as far as the running ones allow. Ready when no handler runs and nothing is queued.
    pub(crate) fn poll(&mut self, now: Time, cx: &mut TaskContext<'_>) -> Poll<()> {
        if self.socket.take_discard_request() {
            self.discard_events();
        }
        self.update_start(Some(now));
        self.update_handlers();
        for _ in 0..MAX_ITEMS_PER_POLL {
            let env = ClientHandlerEnv { socket: &self.connected, handlers: &self.handlers, lifecycle: None };
            if self.events.poll(&env, cx).is_pending() {
                return Poll::Pending;
            }
            if let Some(running) = &mut self.running {
                let Poll::Ready(result) = Pin::new(running).poll(cx) else { return Poll::Pending };
                self.running = None;
                self.report(result.unwrap_or_else(Err));
            }
            if self.start != Start::Started {
                return if self.waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending };
            }
            match self.waiting.pop_front() {
                None => return Poll::Ready(()),
                Some(Waiting::Event { event, ack, bytes }) => {
                    self.waiting_size.events -= 1;
                    self.waiting_size.bytes -= bytes;
                    self.start_event(&event, ack, cx);
                }
                Some(Waiting::Lifecycle(change)) => self.start_lifecycle(&change, cx),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Drops the events whose handlers have not started.
    pub(crate) fn discard_events(&mut self) {
        let before = self.events.dropped();
        self.events.discard_queued();
        self.dropped += self.events.dropped() - before + self.waiting_size.events;
        self.waiting.retain(|waiting| matches!(waiting, Waiting::Lifecycle(_)));
        self.waiting_size = EventQueueSize::default();
    }

    /// Ends the wait for handlers if the program has started, or if the time is over.
    fn update_start(&mut self, now: Option<Time>) {
        if let Start::Waiting { at } = self.start {
            let is_over = now.zip(at).is_some_and(|(now, at)| at <= now);
            if is_over || self.socket.has_started() {
                self.start = Start::Started;
                self.socket.set_started();
            }
        }
    }

    fn update_handlers(&mut self) {
        if self.socket.handlers_version() != self.handlers_version {
            (self.handlers, self.handlers_version) = self.socket.handlers();
        }
    }

    fn start_event(&mut self, event: &Event<'_>, ack: Option<AckId>, cx: &mut TaskContext<'_>) {
        self.update_handlers();
        if let Some(ack) = ack
            && self.connected.connection.map(AckId::connection) != Some(ack.connection())
        {
            // A disconnect came before this event, so `events` has finished those of the previous connection.
            let socket = Arc::clone(&self.socket);
            self.connected = Arc::new(ConnectedSocket { socket, connection: Some(ack) });
        }
        let env = ClientHandlerEnv { socket: &self.connected, handlers: &self.handlers, lifecycle: None };
        self.events.handle_event(event, ack.map(AckId::id), &env, cx);
    }

    fn start_lifecycle(&mut self, change: &Lifecycle, cx: &mut TaskContext<'_>) {
        self.update_handlers();
        let handlers = Arc::clone(&self.handlers);
        let Some(handler) = change.handler(&handlers) else {
            // The errors after which the socket does not try again.
            match change {
                Lifecycle::ConnectError(ConnectError::InvalidSetting(error)) => {
                    tracing::error!(%error, "the client cannot connect");
                }
                Lifecycle::ConnectError(ConnectError::Rejected { message, .. }) => {
                    let (namespace, message) = (&*self.socket.namespace, Excerpt(message));
                    tracing::warn!(namespace, error = %message, "the server has refused the socket");
                }
                _ => {}
            }
            return;
        };
        let env = ClientHandlerEnv { socket: &self.connected, handlers: &handlers, lifecycle: Some(change) };
        let mut context = Context::new(env);
        match start_handler(handler, &mut context, cx) {
            FirstPoll::Pending(task) => self.running = Some(task),
            FirstPoll::Ready(result) => self.report(result),
            FirstPoll::Failed(error) => self.report(Err(error)),
        }
    }

    fn report(&self, result: Result<(), HandlerError>) {
        if let Err(error) = result {
            self.socket.report_error(&error, None);
        }
    }
}
