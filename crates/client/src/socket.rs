//! One namespace of a client.

mod acks;
mod emit;
mod event_stream;
mod events;

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use engineio_proto::EncodedMessage;
use handlers::{
    BoxFuture, EventHandler, Handler, HandlerError, HandlerKind, IntoHandlerResult, IntoReply, MissingState,
    StateMap,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::Excerpt;
use socketio_proto::client::{AckId, EmitAction, SocketKey};
use tokio::sync::{Notify, watch};

use crate::auth::{AuthResult, AuthSource};
use crate::client::{Client, ClientShared, Handle};
use crate::error::{ConnectError, EmitError};
use crate::handler::{
    ClientSide, OnConnect, OnConnectError, OnDisconnect, OnEvent, Registration, SocketHandlers,
};
use crate::outgoing::{log_not_encoded, with_outgoing};
use crate::platform::print_if_unlogged;
pub use acks::AckFuture;
pub use emit::Emitter;
use event_stream::StreamSender;
pub use event_stream::{EventStream, StreamEvent};
pub(crate) use events::lifecycle;

/// A namespace of a client. Cheap to clone; all clones are the same socket.
///
/// It keeps its identity when the connection is lost: it reconnects, gets a new [`id`](Self::id), and sends what was
/// buffered in between.
///
/// When the last handle of a client is dropped ([`Client`], `Socket`, [`EventStream`], [`AckFuture`]), the client closes
/// as [`Client::close`] describes. Handles inside running handlers count.
#[derive(Clone)]
pub struct Socket {
    inner: Arc<SocketInner>,
    /// Keeps the client open.
    handle: Arc<Handle>,
}

/// The state that all clones of a socket share with the driver. It does not keep the client open.
pub(crate) struct SocketInner {
    pub(crate) key: SocketKey,
    pub(crate) namespace: Box<str>,
    pub(crate) client: Arc<ClientShared>,
    handle: Weak<Handle>,
    auth: Mutex<AuthSource>,
    pub(crate) ack_timeout: Option<Duration>,
    has_retries: bool,
    next_ack_id: AtomicU64,
    handlers: Mutex<Arc<SocketHandlers>>,
    /// Counts the changes of `handlers`.
    handlers_version: AtomicU64,
    extensions: Mutex<Extensions>,
    /// Which of the extensions are in use, so that an event for which they are empty needs no lock.
    has_once: AtomicBool,
    has_stream: AtomicBool,
    has_outgoing_listeners: AtomicBool,
    /// The program has registered its handlers, see [`Socket::start`].
    has_started: AtomicBool,
    /// The program has disconnected the socket. The driver has not dropped the queued events yet.
    discards_events: AtomicBool,
    status: watch::Sender<Status>,
    /// Notified when an event may fit that did not fit before.
    capacity: Notify,
}

#[derive(Default)]
struct Extensions {
    /// Handlers that are called for one event only.
    once: Vec<(Box<str>, EventHandler<ClientSide>)>,
    stream: Option<StreamSender>,
}

/// What tasks wait for, see [`Socket::connected`].
#[derive(Debug, Clone)]
pub(crate) enum Status {
    /// The socket is not connected, and may become so without the program.
    Connecting,
    Connected,
    /// The socket does not connect until the program connects it.
    Inactive(Option<ConnectError>),
}

/// The settings of one socket.
#[derive(Default)]
pub(crate) struct SocketSettings {
    pub(crate) auth: AuthSource,
    pub(crate) retries: Option<u32>,
    pub(crate) ack_timeout: Option<Duration>,
    pub(crate) handlers: SocketHandlers,
    /// Whether the program has passed handlers with the settings. They are called from the first event on.
    pub(crate) has_handlers: bool,
    /// The checks of these handlers, which come before `state` of the builder.
    state_checks: Vec<StateCheck>,
}

/// Checks whether the program has provided the state that a handler takes.
struct StateCheck {
    handler: Cow<'static, str>,
    check: fn(&StateMap) -> Result<(), MissingState>,
}

impl SocketSettings {
    /// Keeps the check of a handler until the builder has all its state.
    pub(crate) fn add_handler<K, M, H>(&mut self, handler: impl Into<Cow<'static, str>>)
    where
        K: HandlerKind,
        H: Handler<K, M>,
    {
        self.has_handlers = true;
        self.state_checks.push(StateCheck { handler: handler.into(), check: H::check_state });
    }

    /// # Panics
    /// Panics if a handler takes a [`State`](crate::State) that the program has not provided.
    #[track_caller]
    pub(crate) fn check_state(&self, states: &StateMap, namespace: &str) {
        for StateCheck { handler, check } in &self.state_checks {
            if let Err(missing) = check(states) {
                panic_about_state(handler, namespace, missing);
            }
        }
    }
}

#[track_caller]
fn panic_about_state(handler: &dyn fmt::Display, namespace: &str, missing: MissingState) -> ! {
    panic!("{handler} in namespace `{namespace}` cannot be called: {missing}");
}

impl Socket {
    pub(crate) fn new(inner: Arc<SocketInner>, handle: Arc<Handle>) -> Self {
        Self { inner, handle }
    }

    /// Returns a handle to the socket. `None` if all handles of the client were dropped.
    pub(crate) fn from_inner(inner: &Arc<SocketInner>) -> Option<Self> {
        Some(Self { inner: Arc::clone(inner), handle: inner.handle.upgrade()? })
    }

    /// Returns the client, which has the connection.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(Arc::clone(&self.handle))
    }

    /// Returns the name of the namespace, with its leading slash.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    /// Returns the id that the server has assigned, while the socket is connected. Each connection has another id,
    /// unless the server has [recovered](Self::is_recovered) the session.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.inner.client.state().machine[self.inner.key].id().map(str::to_owned)
    }

    /// Returns whether the socket is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.inner.client.state().machine[self.inner.key].is_connected()
    }

    /// Returns whether the socket is connected, or connects by itself as soon as possible. In JavaScript: `active`. It
    /// is `false` before [`connect`](Self::connect), after [`disconnect`](Self::disconnect), and after the server has
    /// rejected or disconnected the socket.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.inner.client.state().machine[self.inner.key].is_active()
    }

    /// Returns whether the socket is connected, and the server has sent everything that the socket missed since it lost
    /// its previous connection. In JavaScript: `recovered`. If `false`, the server treats it as a new socket: query the
    /// state again.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        self.inner.client.state().machine[self.inner.key].is_recovered()
    }

    /// Connects the socket, and connects it again whenever the connection is lost. Opens the connection of the client if
    /// there is none. If the client waits before its next attempt, this does not shorten the delay. Does nothing if the
    /// socket is active or the client is closed.
    pub fn connect(&self) {
        if self.inner.client.is_closed() {
            return;
        }
        // The error of earlier attempts is no longer the state of the socket. Nobody needs to be woken for that.
        self.inner.status.send_if_modified(|status| {
            if matches!(status, Status::Inactive(_)) {
                *status = Status::Connecting;
            }
            false
        });
        let driver = self.inner.client.state().connect(self.inner.key);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Disconnects the socket immediately. It does not reconnect until [`connect`](Self::connect) is called. If no other
    /// socket of the client is active, the connection is closed.
    ///
    /// Received events whose handlers have not started are dropped; [`DroppedEvents`](crate::DroppedEvents) counts them.
    /// Awaited acknowledgements fail, and their events are not sent if they are still buffered. Other buffered events
    /// are kept for the next connection.
    pub fn disconnect(&self) {
        self.inner.discards_events.store(true, Ordering::Release);
        let (waiters, driver) = self.inner.client.state().disconnect(self.inner.key);
        for waiter in waiters {
            let _ = waiter.send(Err(crate::AckError::Disconnected));
        }
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Replaces the credentials. They are sent from the next connection on, see [`Builder::auth`](crate::Builder::auth).
    pub fn set_auth(&self, auth: impl Serialize) {
        let source = AuthSource::from_value(&auth);
        let machine = source.machine();
        let former = std::mem::replace(&mut *self.inner.auth(), source);
        drop(former);
        self.inner.client.state().machine[self.inner.key].set_auth(machine);
    }

    /// Waits until the socket is connected. Also [starts](Self::start) the handlers. Cancel safe.
    ///
    /// # Errors
    /// Returns an error if the server rejects the socket, the last attempt to connect fails, or the client is closed.
    pub async fn connected(&self) -> Result<(), ConnectError> {
        self.start();
        let mut status = self.inner.status.subscribe();
        loop {
            match &*status.borrow_and_update() {
                Status::Connected => return Ok(()),
                Status::Inactive(Some(error)) => return Err(error.clone()),
                Status::Connecting | Status::Inactive(None) => {}
            }
            if status.changed().await.is_err() {
                return Err(ConnectError::Closed);
            }
        }
    }

    /// Tells the client that the program has registered its handlers for this socket, so that they may be called.
    ///
    /// What the server sends earlier is kept, in the limits of [`Limits::max_queued_events`](crate::Limits). Handlers
    /// start at the first of these: this call; the first `emit` of any kind; [`events`](Self::events) or
    /// [`connected`](Self::connected); 100 ms after the socket has connected or has failed to. If handlers were given to
    /// the builder, they start at once.
    pub fn start(&self) {
        if !self.inner.has_started.load(Ordering::Relaxed) {
            self.inner.start();
        }
    }

    /// Registers a handler for an event. A second handler for the same event replaces the first.
    ///
    /// A handler is an async function. Its parameters are [extractors](crate::Extract), and its return value is the
    /// acknowledgement, as on the server. Events are handled in the order in which they arrive, one after another:
    /// the next one waits until the handler has finished, unless it is
    /// [`concurrent`](handlers::Registration::concurrent). A handler that panics or fails is reported to
    /// [`on_error`](crate::Builder::on_error); the connection and the other handlers go on.
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
    pub fn on<M, H>(&self, event: impl Into<String>, handler: H) -> Registration<'_>
    where
        H: Handler<OnEvent, M>,
        H::Output: IntoReply,
    {
        let event = event.into().into_boxed_str();
        self.inner.check_state::<OnEvent, M, H>(&format_args!("the handler of `{event}`"));
        Registration::register(&*self.inner, Some(event), EventHandler::new(handler))
    }

    /// Registers a handler for all events that have no handler of their own, and no [stream](Self::events).
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
    pub fn on_fallback<M, H>(&self, handler: H) -> Registration<'_>
    where
        H: Handler<OnEvent, M>,
        H::Output: IntoReply,
    {
        self.inner.check_state::<OnEvent, M, H>(&"`on_fallback`");
        Registration::register(&*self.inner, None, EventHandler::new(handler))
    }

    /// Registers the handler for each connect, the event `connect` in JavaScript. Events that the server replays, and
    /// events that were buffered and are sent now, come before it.
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
    pub fn on_connect<M, H>(&self, handler: H)
    where
        H: Handler<OnConnect, M>,
        H::Output: IntoHandlerResult,
    {
        self.inner.check_state::<OnConnect, M, H>(&"`on_connect`");
        let handler = lifecycle(handler);
        self.inner.update_handlers(|handlers| handlers.connect.replace(handler));
    }

    /// Registers the handler for failures to connect, the event `connect_error` in JavaScript: of the client, while
    /// this socket is active and not connected, and rejections of this socket by the server. The extractor
    /// [`ConnectError`] is the reason.
    ///
    /// While a handler runs, only the newest error waits for it.
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
    pub fn on_connect_error<M, H>(&self, handler: H)
    where
        H: Handler<OnConnectError, M>,
        H::Output: IntoHandlerResult,
    {
        self.inner.check_state::<OnConnectError, M, H>(&"`on_connect_error`");
        let handler = lifecycle(handler);
        self.inner.update_handlers(|handlers| handlers.connect_error.replace(handler));
    }

    /// Registers the handler for each disconnect, the event `disconnect` in JavaScript. The extractor
    /// [`DisconnectReason`](crate::DisconnectReason) is the reason. It runs after the handlers of all events that were received before.
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
    pub fn on_disconnect<M, H>(&self, handler: H)
    where
        H: Handler<OnDisconnect, M>,
        H::Output: IntoHandlerResult,
    {
        self.inner.check_state::<OnDisconnect, M, H>(&"`on_disconnect`");
        let handler = lifecycle(handler);
        self.inner.update_handlers(|handlers| handlers.disconnect.replace(handler));
    }

    /// Sends an event.
    ///
    /// A tuple is a list of arguments, `()` is an empty list, and any other value is one argument. Values that
    /// serialize as bytes ([`Bytes`](bytes::Bytes), `serde_bytes`), at any depth, are sent as binary attachments.
    ///
    /// This method never waits. If the socket is not connected, or the connection cannot take more data now, the event
    /// is buffered and sent later, in order. If the [buffer is full](crate::Limits::max_send_buffer_events), the event
    /// is dropped and [`on_error`](crate::Builder::on_error) is called; [`try_emit`](Self::try_emit) returns the error
    /// instead, and [`emit_wait`](Self::emit_wait) waits. With [`retries`](crate::Builder::retries), the event is sent
    /// until the server has acknowledged it.
    pub fn emit<T: Serialize>(&self, event: impl AsRef<str>, arguments: T) {
        Emitter::new(self).emit(event, arguments);
    }

    /// Sends an event, or returns an error if it cannot be sent or buffered.
    ///
    /// # Errors
    /// Returns an error if the buffer is full, the client is closed, or the arguments cannot be encoded.
    pub fn try_emit<T: Serialize>(&self, event: impl AsRef<str>, arguments: T) -> Result<(), EmitError> {
        Emitter::new(self).try_emit(event, arguments)
    }

    /// Waits until the event can be sent or buffered, then does so. Cancel safe: if the future is dropped before it is
    /// ready, the event was not sent.
    ///
    /// # Errors
    /// Returns an error if the client is closed or the arguments cannot be encoded.
    pub async fn emit_wait<T: Serialize>(
        &self,
        event: impl AsRef<str>,
        arguments: T,
    ) -> Result<(), EmitError> {
        loop {
            let capacity = self.inner.capacity.notified();
            match self.try_emit(event.as_ref(), &arguments) {
                Err(EmitError::Full) => capacity.await,
                sent => return sent,
            }
        }
    }

    /// Sends an event and returns a future that resolves to the server's acknowledgement, deserialized as `R` by the
    /// same rules as [`Data`](crate::Data). The event is sent or buffered now, whether or not the future is polled.
    ///
    /// The future waits without limit, unless [`ack_timeout`](crate::Builder::ack_timeout) or [`timeout`](Self::timeout)
    /// sets one. It fails if the connection ends after the event was sent. If the event is still buffered then, it is
    /// sent on the next connection, and the future goes on.
    ///
    /// While a handler of this socket awaits the future, later events are queued. Acknowledgements are still received.
    pub fn emit_with_ack<R: DeserializeOwned>(
        &self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> AckFuture<R> {
        Emitter::new(self).emit_with_ack(event, arguments)
    }

    /// Returns an emitter whose events are dropped if they cannot be sent at once, see [`Emitter::volatile`].
    pub fn volatile(&self) -> Emitter<'_> {
        Emitter::new(self).volatile()
    }

    /// Returns an emitter whose events may be compressed, or not, see [`Emitter::compress`].
    pub fn compress(&self, compress: bool) -> Emitter<'_> {
        Emitter::new(self).compress(compress)
    }

    /// Returns an emitter with this acknowledgement timeout.
    pub fn timeout(&self, timeout: Duration) -> Emitter<'_> {
        Emitter::new(self).timeout(timeout)
    }
}

impl SocketInner {
    pub(crate) fn new(
        key: SocketKey,
        namespace: &str,
        client: Arc<ClientShared>,
        handle: Weak<Handle>,
        settings: SocketSettings,
    ) -> Self {
        let SocketSettings { auth, retries, ack_timeout, handlers, has_handlers, state_checks: _ } = settings;
        let has_outgoing_listeners = !handlers.outgoing_listeners.is_empty();
        Self {
            key,
            namespace: namespace.into(),
            client,
            handle,
            auth: Mutex::new(auth),
            ack_timeout,
            has_retries: retries.is_some(),
            next_ack_id: AtomicU64::new(0),
            handlers: Mutex::new(Arc::new(handlers)),
            handlers_version: AtomicU64::new(0),
            extensions: Mutex::default(),
            has_once: AtomicBool::new(false),
            has_stream: AtomicBool::new(false),
            has_outgoing_listeners: AtomicBool::new(has_outgoing_listeners),
            has_started: AtomicBool::new(has_handlers),
            discards_events: AtomicBool::new(false),
            status: watch::Sender::new(Status::Inactive(None)),
            capacity: Notify::new(),
        }
    }

    fn auth(&self) -> MutexGuard<'_, AuthSource> {
        self.auth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to obtain the credentials of one connection.
    pub(crate) fn obtain_auth(&self) -> BoxFuture<AuthResult> {
        let source = self.auth().clone();
        source.obtain()
    }

    /// Returns a new id for an event that requests an acknowledgement.
    pub(crate) fn next_ack_id(&self) -> u64 {
        self.next_ack_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn has_started(&self) -> bool {
        self.has_started.load(Ordering::Acquire)
    }

    pub(crate) fn set_started(&self) {
        self.has_started.store(true, Ordering::Release);
    }

    /// Lets handlers be called from now on.
    #[cold]
    fn start(&self) {
        self.set_started();
        self.client.notify();
    }

    pub(crate) fn discards_events(&self) -> bool {
        self.discards_events.load(Ordering::Acquire)
    }

    pub(crate) fn take_discard_request(&self) -> bool {
        self.discards_events() && self.discards_events.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn set_status(&self, status: Status) {
        self.status.send_replace(status);
        self.notify_capacity();
    }

    pub(crate) fn notify_capacity(&self) {
        self.capacity.notify_waiters();
    }

    /// Sends the acknowledgement of an event, unless the connection on which it was received has ended.
    pub(crate) fn send_ack(&self, connection: AckId, message: EncodedMessage<'_>) {
        let sent = with_outgoing(self.client.parser.as_ref(), message, |packet| {
            let state = self.client.state();
            if state.machine[self.key].acknowledge(connection) == EmitAction::Transmit
                && let Some(session) = &state.session
            {
                session.send(packet);
            }
        });
        if let Err(error) = sent {
            log_not_encoded(&error);
        }
    }

    #[track_caller]
    fn check_state<K: HandlerKind, M, H: Handler<K, M>>(&self, handler: &dyn fmt::Display) {
        if let Err(missing) = H::check_state(&self.client.states) {
            panic_about_state(handler, &self.namespace, missing);
        }
    }

    /// Calls the error hook of the program.
    pub(crate) fn report_error(self: &Arc<Self>, error: &HandlerError, event: Option<&str>) {
        let socket = Socket::from_inner(self);
        if let (Some(hook), Some(socket)) = (&self.client.on_error, &socket)
            // The hook is the program's code: if it panics, the client must go on.
            && catch_unwind(AssertUnwindSafe(|| hook(error, socket, event))).is_ok()
        {
            return;
        }
        self.client.error_log_limit.try_log(|suppressed| {
            let (event, error) = (event.map(Excerpt), Excerpt(error));
            let of_event = event.as_ref().map(|event| format!(" of `{event}`")).unwrap_or_default();
            let event = event.as_ref().map(tracing::field::display);
            let namespace = &*self.namespace;
            if self.client.on_error.is_some() && socket.is_some() {
                tracing::error!(namespace, event, %error, suppressed, "the error hook panicked");
                print_if_unlogged(
                    format_args!("the error hook panicked, for this error: {error}"),
                    suppressed,
                );
            } else {
                tracing::warn!(namespace, event, %error, suppressed, "a handler or the client failed");
                print_if_unlogged(
                    format_args!("a handler{of_event} or the client failed: {error}"),
                    suppressed,
                );
            }
        });
    }

    fn extensions(&self) -> MutexGuard<'_, Extensions> {
        self.extensions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for SocketInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Programs hold these futures in tasks, so they must be `Send`.
#[cfg(not(target_family = "wasm"))]
const _: fn() = || {
    fn is_send<F: Future + Send>(_: F) {}
    fn check(socket: &Socket) {
        is_send(socket.connected());
        is_send(socket.emit_wait("event", ()));
    }
    let _ = check;
};
