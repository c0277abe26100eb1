//! A namespace: its handlers and its sockets.

mod broadcast;
mod broadcast_acks;
mod fetch;
mod host;
mod parent;
mod request;
mod server_side;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError, Weak};

use adapter::{Adapter, AdapterFactory, Host, KeptForRecovery, Recovery, RoomChange, SocketId};
use handlers::{
    EventHandler, EventRegistry, EventTable, Handler, HandlerError, HandlerKind, IntoEventMiddlewareResult,
    IntoHandlerResult, IntoReply, ObservedEvent, StateMap, erase_handler,
};
use net::metrics::SocketCount;
use serde::Serialize;
use socketio_proto::Parser;
use socketio_proto::server::DisconnectReason;

use crate::handler::{
    BeforeEvent, CatchAllListener, IntoMiddlewareResult, NamespaceHandlers, OnConnection, OnDisconnect,
    OnDisconnecting, OnEvent, OnUpgrade, Registration, ServerSide,
};
use crate::limits::Limits;
use crate::observer::{Observation, Observers};
use crate::recovery::RecoverySettings;
use crate::rooms::Rooms;
use crate::server::{Server, ServerShared};
use crate::socket::{DeliveryCounters, Socket};
pub use broadcast::Broadcast;
pub use broadcast_acks::{AckFailure, BroadcastAcks, IncompleteAcks};
pub use fetch::{FetchSocketsError, FetchedSocket};
pub(crate) use parent::{Admits, CheckFuture, Child, INVALID_NAMESPACE, Parent, check};
pub use parent::{ParentBroadcast, ParentNamespace};
pub use request::{IntoAllowed, NamespaceRequest};
pub(crate) use server_side::ServerSideHandler;

/// A namespace of a server. Cheap to clone; all clones are the same namespace.
///
/// Handlers are registered once and shared by all sockets. A socket uses the handlers that were registered when it
/// connected, so register them before the server listens.
#[derive(Clone)]
pub struct Namespace(Arc<Inner>);

struct Inner {
    name: Box<str>,
    shared: Arc<ServerShared>,
    adapter: Arc<dyn Adapter>,
    handlers: Mutex<Arc<NamespaceHandlers>>,
    /// The next acknowledgement id. All sockets of the namespace share the counter, as in Node.
    next_ack_id: AtomicU64,
    /// Set if the namespace belongs to a parent.
    child: Option<Child>,
    /// Completed when the hook for new namespaces has finished.
    ready: Once,
    /// Whether its clients may recover their sessions.
    is_recoverable: bool,
    /// Whether the namespace or one of its sockets has ever had a catch-all listener of outgoing events.
    has_outgoing_listeners: AtomicBool,
    /// Created with the first socket: most of the names that clients request never have one.
    socket_count: OnceLock<SocketCount>,
}

impl Namespace {
    pub(crate) fn new(name: &str, shared: Arc<ServerShared>, adapter: &dyn AdapterFactory) -> Self {
        Self::with_handlers(name, shared, adapter, Arc::default(), None)
    }

    /// Creates the child of a parent. It has the handlers that the parent has now.
    pub(crate) fn new_child(
        name: &str,
        shared: Arc<ServerShared>,
        adapter: &dyn AdapterFactory,
        parent: &Parent,
        child: Child,
    ) -> Self {
        Self::with_handlers(name, shared, adapter, parent.handlers(), Some(child))
    }

    fn with_handlers(
        name: &str,
        shared: Arc<ServerShared>,
        adapter: &dyn AdapterFactory,
        handlers: Arc<NamespaceHandlers>,
        child: Option<Child>,
    ) -> Self {
        let has_outgoing_listeners = AtomicBool::new(!handlers.outgoing_listeners.is_empty());
        Self(Arc::new_cyclic(|this: &Weak<Inner>| {
            let host = || Weak::clone(this) as Weak<dyn Host>;
            let adapter = adapter.create(name, host());
            let is_from_client = child.as_ref().is_some_and(|child| child.is_from_client);
            let is_recoverable = shared
                .recovery
                .as_ref()
                .is_some_and(|recovery| recovery.enable(name, is_from_client, &*adapter, host()));
            Inner {
                name: name.into(),
                shared,
                adapter,
                handlers: Mutex::new(handlers),
                next_ack_id: AtomicU64::new(0),
                child,
                ready: Once::new(),
                is_recoverable,
                has_outgoing_listeners,
                socket_count: OnceLock::new(),
            }
        }))
    }

    /// Returns what counts the sockets of the namespace for the metrics.
    pub(crate) fn socket_count(&self) -> &SocketCount {
        self.0.socket_count.get_or_init(|| {
            let is_dynamic = self.child().is_some_and(|child| child.is_from_client);
            SocketCount::of_namespace(self.name(), is_dynamic)
        })
    }

    /// Returns the name, with its leading slash.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the server. `None` if all handles to it and all its connections are gone. A function that the server
    /// keeps, such as that of [`Server::on_new_namespace`], should use this method, because a captured `Server` would
    /// never be dropped.
    #[must_use]
    pub fn server(&self) -> Option<Server> {
        self.0.shared.server()
    }

    /// Registers the handler that is called when a client has connected to the namespace. The socket's events are
    /// handled only after this handler has finished, or has taken the stream of events ([`Socket::events`]).
    ///
    /// If the handler returns an error or panics, the error hook is called, and the socket is disconnected from the
    /// namespace, as by [`Socket::disconnect`]: the client does not reconnect automatically. Then `on_disconnect` runs.
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
    pub fn on_connection<M, H>(&self, handler: H)
    where
        H: Handler<OnConnection, M>,
        H::Output: IntoHandlerResult,
    {
        self.check_state::<OnConnection, M, H>(&"`on_connection`");
        let handler = erase_handler::<OnConnection, _, _, _>(handler, IntoHandlerResult::into_handler_result);
        self.update_handlers(|handlers| handlers.connection.replace(handler));
    }

    /// Registers a handler for `event`. The events of a socket are handled one after another, in the order in which
    /// they arrive, unless the returned [`Registration`] changes that. A second handler for the same event replaces the
    /// first.
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
        self.check_state::<OnEvent, M, H>(&format_args!("the handler of `{event}`"));
        Registration::register(self, Some(event), EventHandler::new(handler))
    }

    /// Registers a handler for all events without their own handler. By default such events are ignored, as in Node.
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
    pub fn on_fallback<M, H>(&self, handler: H) -> Registration<'_>
    where
        H: Handler<OnEvent, M>,
        H::Output: IntoReply,
    {
        self.check_state::<OnEvent, M, H>(&"`on_fallback`");
        Registration::register(self, None, EventHandler::new(handler))
    }

    /// Sets how many handlers of one socket may run at the same time. Default 1: each handler starts after the previous
    /// one has finished. With a higher limit, handlers still *start* in the order of the events. Node has no limit:
    /// there the next handler starts as soon as the previous one awaits something.
    pub fn set_concurrency_limit(&self, handlers: usize) {
        self.update_handlers(|table| table.events.set_concurrency_limit(handlers));
    }

    /// Registers the handler that is called when a socket was disconnected and its last handler has finished. It is
    /// called once for every socket that had connected to the namespace.
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
    pub fn on_disconnect<M, H>(&self, handler: H)
    where
        H: Handler<OnDisconnect, M>,
        H::Output: IntoHandlerResult,
    {
        self.check_state::<OnDisconnect, M, H>(&"`on_disconnect`");
        let handler = erase_handler::<OnDisconnect, _, _, _>(handler, IntoHandlerResult::into_handler_result);
        self.update_handlers(|handlers| handlers.disconnect.replace(handler));
    }

    /// Registers a function that is called when a socket is being disconnected, while it is still in its rooms
    /// ([`Socket::rooms`]). It is called once for every socket that was connected, before `on_disconnect`, and on the
    /// thread that disconnects the socket, so it must not block. The socket can receive nothing any more.
    pub fn on_disconnecting(&self, f: impl Fn(&Socket, DisconnectReason) + Send + Sync + 'static) {
        let f: OnDisconnecting = Arc::new(f);
        self.update_handlers(|handlers| handlers.disconnecting.replace(f));
    }

    /// Registers a function that is called when the connection of a socket upgrades from long-polling to another
    /// transport ([`Socket::transport`]). It is called once for each socket of the connection that is connected at that
    /// time, on the task of the connection, so it must not block. If the upgrade comes before the socket is connected, it
    /// is not called. In Node: `socket.conn.on("upgrade")`.
    pub fn on_upgrade(&self, f: impl Fn(&Socket) + Send + Sync + 'static) {
        let f: OnUpgrade = Arc::new(f);
        self.update_handlers(|handlers| handlers.upgrade.replace(f));
    }

    /// Adds a middleware of events. It is called for each event that a client sends, before the handler of the event.
    /// The middlewares of the namespace are called in the order in which they were added, then those of the socket
    /// ([`Socket::event_middleware`]).
    ///
    /// A middleware passes the event on unchanged with `()` or `Ok(())`. It replaces the event with a
    /// [`ReceivedEvent`](crate::ReceivedEvent), and refuses it with an `Err` that converts to [`HandlerError`]. A
    /// refused event does not reach its handler. The error hook is called, and a client that requested an
    /// acknowledgement receives `{"error": …}`.
    ///
    /// While a middleware waits, later events of the socket wait, as they do behind a handler. This applies even if the
    /// handler of the event is [`concurrent`](Registration::concurrent).
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
    pub fn event_middleware<M, H>(&self, handler: H)
    where
        H: Handler<BeforeEvent, M>,
        H::Output: IntoEventMiddlewareResult,
    {
        self.check_state::<BeforeEvent, M, H>(&"a middleware of events");
        let middleware = handlers::event_middleware(handler);
        self.update_handlers(|handlers| handlers.event_middleware.push(middleware));
    }

    /// Adds a catch-all listener of received events. It is called for every event, also for one without a handler, when the
    /// event's turn has come, before the middlewares of events. It sees the event as the client sent it.
    ///
    /// A listener is not async, because it runs on the task of the connection: it must not block.
    pub fn on_any(&self, listener: impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static) {
        let listener: CatchAllListener = Arc::new(listener);
        self.update_handlers(|handlers| handlers.listeners.push(listener));
    }

    /// Adds a catch-all listener of sent events. It is called with each socket to which an event was sent, after the event was
    /// queued: for events of one socket and for broadcasts of this process. Acknowledgements are not reported. A
    /// volatile event is reported to a broadcast's listeners even if a connection was not ready for it.
    ///
    /// A listener must not block. Events that it sends itself are not reported. A socket that joins or leaves a room
    /// during a broadcast may be reported wrongly. Each observed event is decoded again, and each broadcast makes a list
    /// of its receivers.
    pub fn on_any_outgoing(&self, listener: impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static) {
        let listener: CatchAllListener = Arc::new(listener);
        self.set_has_outgoing_listeners();
        self.update_handlers(|handlers| handlers.outgoing_listeners.push(listener));
    }

    /// Adds a middleware. When a client requests to connect, the middlewares are called in the order in which they were
    /// added.
    ///
    /// A middleware accepts the client with `()` or `Ok(())`, and rejects it with an `Err` (see
    /// [`ConnectError`](crate::ConnectError)). The socket is not connected yet, so emits to it are dropped.
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
    pub fn middleware<M, H>(&self, handler: H)
    where
        H: Handler<OnConnection, M>,
        H::Output: IntoMiddlewareResult,
    {
        self.check_state::<OnConnection, M, H>(&"a middleware");
        let handler =
            erase_handler::<OnConnection, _, _, _>(handler, IntoMiddlewareResult::into_middleware_result);
        self.update_handlers(|handlers| handlers.middleware.push(handler));
    }

    /// Sends an event to all sockets in the namespace.
    pub fn emit<T: Serialize>(&self, event: impl AsRef<str>, arguments: T) {
        Broadcast::new(self.clone()).emit(event, arguments);
    }

    /// Sends the event `message` to all sockets in the namespace. The same as `emit("message", arguments)`.
    pub fn send<T: Serialize>(&self, arguments: T) {
        self.emit("message", arguments);
    }

    /// Selects the sockets in a room, or in one of several rooms. See [`Broadcast::to`].
    pub fn to(&self, rooms: impl Rooms) -> Broadcast {
        Broadcast::new(self.clone()).to(rooms)
    }

    /// The same as [`to`](Self::to).
    pub fn in_(&self, rooms: impl Rooms) -> Broadcast {
        self.to(rooms)
    }

    /// Selects all sockets in the namespace except those in these rooms.
    pub fn except(&self, rooms: impl Rooms) -> Broadcast {
        Broadcast::new(self.clone()).except(rooms)
    }

    /// Selects the sockets in the namespace that are connected to this server of the cluster.
    pub fn local(&self) -> Broadcast {
        Broadcast::new(self.clone()).local()
    }

    /// Selects all sockets in the namespace, and makes the event volatile: the server drops it for each socket whose
    /// connection is not ready to send it.
    pub fn volatile(&self) -> Broadcast {
        Broadcast::new(self.clone()).volatile()
    }

    /// Selects all sockets in the namespace. Those whose connection is behind get only the latest event of a key, see
    /// [`Broadcast::keep_latest`].
    pub fn keep_latest(&self, key: impl AsRef<str>) -> Broadcast {
        Broadcast::new(self.clone()).keep_latest(key)
    }

    /// Selects all sockets in the namespace, for an event that may be compressed or not, see [`Broadcast::compress`].
    pub fn compress(&self, compress: bool) -> Broadcast {
        Broadcast::new(self.clone()).compress(compress)
    }

    /// Selects all sockets in the namespace, for instance for [`Broadcast::sockets`] or [`Broadcast::sockets_join`].
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(self.clone())
    }

    /// Returns all sockets of the namespace that are connected to this server.
    #[must_use]
    pub fn sockets(&self) -> Vec<Socket> {
        self.broadcast().sockets()
    }

    /// Makes all sockets of the namespace join a room, or a list of rooms, see [`Broadcast::sockets_join`].
    pub fn sockets_join(&self, rooms: impl Rooms) {
        self.broadcast().sockets_join(rooms);
    }

    /// Makes all sockets of the namespace leave a room, or a list of rooms.
    pub fn sockets_leave(&self, rooms: impl Rooms) {
        self.broadcast().sockets_leave(rooms);
    }

    /// Disconnects all sockets from the namespace. If `close_connections` is true, also closes their connections.
    pub fn disconnect_sockets(&self, close_connections: bool) {
        self.broadcast().disconnect_sockets(close_connections);
    }

    /// Returns what is kept so that clients can recover their sessions: the log of events, and the sessions without a socket.
    /// Nothing without [`connection_state_recovery`](crate::Builder::connection_state_recovery).
    #[must_use]
    pub fn kept_for_recovery(&self) -> KeptForRecovery {
        self.recovery().map(Recovery::kept).unwrap_or_default()
    }

    /// Returns the socket with this id, if it is connected to this server.
    #[must_use]
    pub fn socket(&self, id: &SocketId) -> Option<Socket> {
        let member = self.0.adapter.local().local_socket(id)?;
        Arc::downcast::<Socket>(member).ok().map(|socket| (*socket).clone())
    }

    /// Returns what the namespace has to do with its parent, if it has one.
    pub(crate) fn child(&self) -> Option<&Child> {
        self.0.child.as_ref()
    }

    /// Returns whether both are the same namespace, and not only two with the same name.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Makes the namespace ready for clients, after `prepare` has finished.
    pub(crate) fn set_ready(&self, prepare: &dyn Fn()) {
        self.0.ready.call_once(|| {
            self.start_adapter();
            prepare();
        });
    }

    /// Waits until another thread has made the namespace ready.
    pub(crate) fn wait_until_ready(&self) {
        if !self.0.ready.is_completed() {
            self.0.ready.wait();
        }
    }

    pub(crate) fn observers(&self) -> &Observers {
        &self.0.shared.observers
    }

    /// Lets the observers of the server see the rooms. Called once, before the first socket.
    pub(crate) fn observe_rooms(&self) {
        if !self.observers().is_active() {
            return;
        }
        // The adapter belongs to the namespace, so the function must not hold the namespace.
        let (observers, name) = (self.observers().clone(), self.0.name.clone());
        self.adapter().local().observe_rooms(Box::new(move |change| {
            let namespace = &*name;
            observers.notify(|| match change {
                RoomChange::Created { room } => Observation::RoomCreated { namespace, room },
                RoomChange::Joined { room, socket } => {
                    Observation::RoomJoined { namespace, room, socket_id: socket }
                }
                RoomChange::Left { room, socket } => {
                    Observation::RoomLeft { namespace, room, socket_id: socket }
                }
                RoomChange::Deleted { room } => Observation::RoomDeleted { namespace, room },
            });
        }));
    }

    pub(crate) fn adapter(&self) -> &dyn Adapter {
        &*self.0.adapter
    }

    /// Returns the part of the adapter that keeps sessions, if clients may recover them.
    pub(crate) fn recovery(&self) -> Option<&dyn Recovery> {
        if self.0.is_recoverable { self.0.adapter.recovery() } else { None }
    }

    /// Returns the settings of recovery, if clients may recover their sessions.
    pub(crate) fn recovery_settings(&self) -> Option<&RecoverySettings> {
        self.0.shared.recovery.as_ref().filter(|_| self.0.is_recoverable)
    }

    pub(crate) fn parser(&self) -> Option<&Arc<dyn Parser>> {
        self.0.shared.parser.as_ref()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.shared.limits
    }

    pub(crate) fn delivery_counters(&self) -> &DeliveryCounters {
        &self.0.shared.deliveries
    }

    pub(crate) fn handlers(&self) -> Arc<NamespaceHandlers> {
        Arc::clone(&self.0.handlers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn has_outgoing_listeners(&self) -> bool {
        self.0.has_outgoing_listeners.load(Ordering::Acquire)
    }

    pub(crate) fn set_has_outgoing_listeners(&self) {
        self.0.has_outgoing_listeners.store(true, Ordering::Release);
    }

    pub(crate) fn next_ack_id(&self) -> u64 {
        self.0.next_ack_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Checks whether the program has provided the state that a handler takes.
    #[track_caller]
    fn check_state<K: HandlerKind, M, H: Handler<K, M>>(&self, handler: &dyn fmt::Display) {
        if let Err(missing) = H::check_state(self.states()) {
            panic!("{handler} in namespace `{}` cannot be called: {missing}", self.name());
        }
    }

    pub(crate) fn states(&self) -> &StateMap {
        self.0.shared.states()
    }

    /// Returns the error that the client learns of.
    pub(crate) fn map_error(&self, error: HandlerError) -> HandlerError {
        self.0.shared.errors.apply(error)
    }

    /// Reports an error to the error hook. `event` is the name of the event, if the error belongs to one.
    pub(crate) fn report_error(&self, error: &HandlerError, socket: &Socket, event: Option<&str>) {
        self.0.shared.report_error(error, socket, event);
    }

    /// Changes the handlers. `change` returns the handlers that it removed; they are dropped after the lock is
    /// released, because values that they captured may run code of the program.
    fn update_handlers<R>(&self, change: impl FnOnce(&mut NamespaceHandlers) -> R) {
        let former = {
            let mut handlers = self.0.handlers.lock().unwrap_or_else(PoisonError::into_inner);
            change(Arc::make_mut(&mut handlers))
        };
        drop(former);
    }
}

impl EventRegistry<ServerSide> for Namespace {
    fn update_event_table(&self, change: &mut dyn FnMut(&mut EventTable<ServerSide>)) {
        self.update_handlers(|handlers| change(&mut handlers.events));
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("name", &self.0.name).finish_non_exhaustive()
    }
}
