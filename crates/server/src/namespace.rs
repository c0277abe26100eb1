//! A namespace: its handlers and its sockets.

mod broadcast;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use adapter::{Adapter, Room, SocketId};
use handlers::{
    EventHandler, EventRegistry, EventTable, Handler, HandlerError, IntoHandlerResult, IntoReply,
    erase_handler,
};
use serde::Serialize;

use crate::handler::{
    IntoMiddlewareResult, NamespaceHandlers, OnConnection, OnDisconnect, OnEvent, Registration, ServerSide,
};
use crate::limits::Limits;
use crate::server::ServerShared;
use crate::socket::Socket;
pub use broadcast::Broadcast;

/// A namespace of a server. Cheap to clone; all clones are the same namespace.
///
/// Handlers are registered once and shared by all sockets. A socket uses those that were registered when it joined, so
/// register them before the server listens.
#[derive(Clone)]
pub struct Namespace(Arc<Inner>);

struct Inner {
    name: Box<str>,
    common: Arc<ServerShared>,
    adapter: Arc<dyn Adapter>,
    handlers: Mutex<Arc<NamespaceHandlers>>,
    /// Ids of acknowledgements, shared by the sockets of the namespace as in Node.
    next_ack_id: AtomicU64,
}

impl Namespace {
    pub(crate) fn new(name: &str, common: Arc<ServerShared>, adapter: Arc<dyn Adapter>) -> Self {
        Self(Arc::new(Inner {
            name: name.into(),
            common,
            adapter,
            handlers: Mutex::default(),
            next_ack_id: AtomicU64::new(0),
        }))
    }

    /// The name, with its leading slash.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Called when a client has joined. No event of the socket is handled before it has finished.
    pub fn on_connection<M, H>(&self, handler: H)
    where
        H: Handler<OnConnection, M>,
        H::Output: IntoHandlerResult,
    {
        let handler = erase_handler::<OnConnection, _, _, _>(handler, IntoHandlerResult::into_handler_result);
        self.register(|handlers| handlers.connection.replace(handler));
    }

    /// Called for every `event` of a client, in the order of their arrival, one after another (unless the
    /// [`Registration`] is told otherwise). A second handler of the same event takes the place of the first.
    pub fn on<M, H>(&self, event: impl Into<String>, handler: H) -> Registration<'_>
    where
        H: Handler<OnEvent, M>,
        H::Output: IntoReply,
    {
        let event = event.into().into_boxed_str();
        Registration::register(self, Some(event), EventHandler::new(handler))
    }

    /// Called for events that have no handler. Without it they are ignored, as in Node.
    pub fn on_fallback<M, H>(&self, handler: H) -> Registration<'_>
    where
        H: Handler<OnEvent, M>,
        H::Output: IntoReply,
    {
        Registration::register(self, None, EventHandler::new(handler))
    }

    /// How many handlers of one socket may run at the same time. Default 1: events are handled strictly in order. With
    /// more, an event is still *started* in order, as in Node, where a handler that waits lets the next one begin.
    pub fn concurrency_limit(&self, handlers: usize) {
        self.register(|table| table.events.set_concurrency_limit(handlers));
    }

    /// Called once for every socket that `on_connection` was called for, when it is gone and its last handler has
    /// finished.
    pub fn on_disconnect<M, H>(&self, handler: H)
    where
        H: Handler<OnDisconnect, M>,
        H::Output: IntoHandlerResult,
    {
        let handler = erase_handler::<OnDisconnect, _, _, _>(handler, IntoHandlerResult::into_handler_result);
        self.register(|handlers| handlers.disconnect.replace(handler));
    }

    /// Adds a middleware: it is called before a client may join, after those that were added before it, and lets the
    /// client in with `()` or `Ok(())`, or refuses it with an `Err` (see [`ConnectError`](crate::ConnectError)). The
    /// socket is not connected yet: emits to it are dropped.
    pub fn middleware<M, H>(&self, handler: H)
    where
        H: Handler<OnConnection, M>,
        H::Output: IntoMiddlewareResult,
    {
        let handler =
            erase_handler::<OnConnection, _, _, _>(handler, IntoMiddlewareResult::into_middleware_result);
        self.register(|handlers| handlers.middleware.push(handler));
    }

    /// Sends an event to everybody in the namespace.
    pub fn emit<T: Serialize>(&self, event: impl AsRef<str>, arguments: T) {
        Broadcast::new(self.clone()).emit(event, arguments);
    }

    /// Everybody in `room`.
    pub fn to(&self, room: impl Into<Room>) -> Broadcast {
        Broadcast::new(self.clone()).to(room)
    }

    /// The same as [`to`](Self::to).
    pub fn in_(&self, room: impl Into<Room>) -> Broadcast {
        self.to(room)
    }

    /// Everybody except those in `room`.
    pub fn except(&self, room: impl Into<Room>) -> Broadcast {
        Broadcast::new(self.clone()).except(room)
    }

    /// Everybody that is connected to this server of the cluster.
    pub fn local(&self) -> Broadcast {
        Broadcast::new(self.clone()).local()
    }

    /// Everybody whose connection is ready for it.
    pub fn volatile(&self) -> Broadcast {
        Broadcast::new(self.clone()).volatile()
    }

    /// Everybody in the namespace: for [`Broadcast::sockets`], [`Broadcast::sockets_join`] and the like.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(self.clone())
    }

    /// The socket with this id, if it is connected to this server.
    #[must_use]
    pub fn socket(&self, id: SocketId) -> Option<Socket> {
        let member = self.0.adapter.local_socket(id)?;
        Arc::downcast::<Socket>(member).ok().map(|socket| (*socket).clone())
    }

    pub(crate) fn adapter(&self) -> &dyn Adapter {
        &*self.0.adapter
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.common.limits
    }

    pub(crate) fn handlers(&self) -> Arc<NamespaceHandlers> {
        Arc::clone(&self.0.handlers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn next_ack_id(&self) -> u64 {
        self.0.next_ack_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Reports what went wrong in a handler of `event`.
    pub(crate) fn report(&self, error: &HandlerError, socket: &Socket, event: Option<&str>) {
        self.0.common.report(error, socket, event);
    }

    /// Changes the table. What `change` returns, handlers that it has taken out, is dropped under no lock: what they
    /// have captured is the program's.
    fn register<R>(&self, change: impl FnOnce(&mut NamespaceHandlers) -> R) {
        let former = {
            let mut handlers = self.0.handlers.lock().unwrap_or_else(PoisonError::into_inner);
            change(Arc::make_mut(&mut handlers))
        };
        drop(former);
    }
}

impl EventRegistry<ServerSide> for Namespace {
    fn update_event_table(&self, change: &mut dyn FnMut(&mut EventTable<ServerSide>)) {
        self.register(|handlers| change(&mut handlers.events));
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("name", &self.0.name).finish_non_exhaustive()
    }
}
