//! Parents of namespaces: namespaces on demand, as in Node.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adapter::{BroadcastOptions, DeliveryPolicy};
use handlers::{BoxFuture, Handler, IntoEventMiddlewareResult, IntoHandlerResult, IntoReply, ObservedEvent};
use serde::Serialize;
use socketio_proto::server::DisconnectReason;
use tokio::sync::Semaphore;

use super::{Broadcast, Namespace, NamespaceRequest};
use crate::handler::{
    BeforeEvent, ConnectError, IntoMiddlewareResult, NamespaceHandlers, OnConnection, OnDisconnect, OnEvent,
    Registration,
};
use crate::rooms::Rooms;
use crate::server::Namespaces;
use crate::socket::{EmitError, Socket, log_emit_error};

/// A parent of namespaces, which are created when clients request them. Cheap to clone; all clones are the same parent.
///
/// [`Server::of_pattern`](crate::Server::of_pattern) and [`Server::of_predicate`](crate::Server::of_predicate) create
/// parents. A child has the handlers, the middlewares and the settings that its parent has at the time when the child is
/// created. So register them before the server listens. Later changes affect later children.
#[derive(Clone)]
pub struct ParentNamespace {
    namespaces: Arc<Namespaces>,
    parent: Arc<Parent>,
}

impl ParentNamespace {
    pub(crate) fn new(namespaces: Arc<Namespaces>, parent: Arc<Parent>) -> Self {
        Self { namespaces, parent }
    }

    /// Registers the handler that is called when a client has connected to a child, see [`Namespace::on_connection`].
    pub fn on_connection<M, H>(&self, handler: H)
    where
        H: Handler<OnConnection, M>,
        H::Output: IntoHandlerResult,
    {
        self.parent.template.on_connection(handler);
    }

    /// Registers a handler for `event` in the children, see [`Namespace::on`].
    pub fn on<M, H>(&self, event: impl Into<String>, handler: H) -> Registration<'_>
    where
        H: Handler<OnEvent, M>,
        H::Output: IntoReply,
    {
        self.parent.template.on(event, handler)
    }

    /// Registers a handler for all events without their own handler, see [`Namespace::on_fallback`].
    pub fn on_fallback<M, H>(&self, handler: H) -> Registration<'_>
    where
        H: Handler<OnEvent, M>,
        H::Output: IntoReply,
    {
        self.parent.template.on_fallback(handler)
    }

    /// Sets how many handlers of one socket may run at the same time, see [`Namespace::set_concurrency_limit`].
    pub fn set_concurrency_limit(&self, handlers: usize) {
        self.parent.template.set_concurrency_limit(handlers);
    }

    /// Registers the handler that is called when a socket was disconnected from a child, see
    /// [`Namespace::on_disconnect`].
    pub fn on_disconnect<M, H>(&self, handler: H)
    where
        H: Handler<OnDisconnect, M>,
        H::Output: IntoHandlerResult,
    {
        self.parent.template.on_disconnect(handler);
    }

    /// Registers a function that is called when a socket of a child is being disconnected, see
    /// [`Namespace::on_disconnecting`].
    pub fn on_disconnecting(&self, f: impl Fn(&Socket, DisconnectReason) + Send + Sync + 'static) {
        self.parent.template.on_disconnecting(f);
    }

    /// Registers a function that is called when the connection of a socket of a child upgrades, see
    /// [`Namespace::on_upgrade`].
    pub fn on_upgrade(&self, f: impl Fn(&Socket) + Send + Sync + 'static) {
        self.parent.template.on_upgrade(f);
    }

    /// Adds a middleware of events for the children, see [`Namespace::event_middleware`].
    pub fn event_middleware<M, H>(&self, handler: H)
    where
        H: Handler<BeforeEvent, M>,
        H::Output: IntoEventMiddlewareResult,
    {
        self.parent.template.event_middleware(handler);
    }

    /// Adds an observer of received events for the children, see [`Namespace::on_any`].
    pub fn on_any(&self, observer: impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static) {
        self.parent.template.on_any(observer);
    }

    /// Adds an observer of sent events for the children, see [`Namespace::on_any_outgoing`].
    pub fn on_any_outgoing(&self, observer: impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static) {
        self.parent.template.on_any_outgoing(observer);
    }

    /// Adds a middleware for the children, see [`Namespace::middleware`].
    pub fn middleware<M, H>(&self, handler: H)
    where
        H: Handler<OnConnection, M>,
        H::Output: IntoMiddlewareResult,
    {
        self.parent.template.middleware(handler);
    }

    /// Returns the children that exist now, in no particular order.
    #[must_use]
    pub fn children(&self) -> Vec<Namespace> {
        self.namespaces.children(&self.parent)
    }

    /// Sends an event to all sockets in all children.
    pub fn emit<T: Serialize>(&self, event: impl AsRef<str>, arguments: T) {
        self.broadcast().emit(event, arguments);
    }

    /// Sends the event `message` to all sockets in all children.
    pub fn send<T: Serialize>(&self, arguments: T) {
        self.emit("message", arguments);
    }

    /// Selects the sockets in a room, or in one of several rooms, in all children. See [`Broadcast::to`].
    pub fn to(&self, rooms: impl Rooms) -> ParentBroadcast {
        self.broadcast().to(rooms)
    }

    /// The same as [`to`](Self::to).
    pub fn in_(&self, rooms: impl Rooms) -> ParentBroadcast {
        self.to(rooms)
    }

    /// Selects all sockets in all children except those in these rooms.
    pub fn except(&self, rooms: impl Rooms) -> ParentBroadcast {
        self.broadcast().except(rooms)
    }

    /// Selects the sockets in all children that are connected to this server of the cluster.
    pub fn local(&self) -> ParentBroadcast {
        self.broadcast().local()
    }

    /// Selects all sockets in all children, and makes the event volatile, see [`Namespace::volatile`].
    pub fn volatile(&self) -> ParentBroadcast {
        self.broadcast().volatile()
    }

    /// Selects all sockets in all children. Those that are behind get only the latest event of a key, see
    /// [`Namespace::keep_latest`].
    pub fn keep_latest(&self, key: impl AsRef<str>) -> ParentBroadcast {
        self.broadcast().keep_latest(key)
    }

    /// Selects all sockets in all children, for an event that may be compressed or not, see [`Namespace::compress`].
    pub fn compress(&self, compress: bool) -> ParentBroadcast {
        self.broadcast().compress(compress)
    }

    fn broadcast(&self) -> ParentBroadcast {
        ParentBroadcast {
            parent: self.clone(),
            options: BroadcastOptions::new(),
            is_limited_to_rooms: false,
            compress: true,
        }
    }
}

impl fmt::Debug for ParentNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParentNamespace").field("id", &self.parent.id).finish_non_exhaustive()
    }
}

/// A selection of sockets in all children of a parent, see [`Broadcast`]. The event is encoded once for each child,
/// because it contains the name of the namespace.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `emit`"]
pub struct ParentBroadcast {
    parent: ParentNamespace,
    options: BroadcastOptions,
    compress: bool,
    /// [`to`](Self::to) was called. Without rooms, nobody is selected then.
    is_limited_to_rooms: bool,
}

impl ParentBroadcast {
    /// Selects the sockets in a room, or in one of several rooms, see [`Broadcast::to`].
    pub fn to(mut self, rooms: impl Rooms) -> Self {
        rooms.append_to(&mut self.options.rooms);
        self.is_limited_to_rooms = true;
        self
    }

    /// The same as [`to`](Self::to).
    pub fn in_(self, rooms: impl Rooms) -> Self {
        self.to(rooms)
    }

    /// Removes the sockets in these rooms from the selection.
    pub fn except(mut self, rooms: impl Rooms) -> Self {
        rooms.append_to(&mut self.options.except);
        self
    }

    /// Limits the selection to sockets that are connected to this server of the cluster.
    pub fn local(mut self) -> Self {
        self.options.local = true;
        self
    }

    /// Makes the event volatile, see [`Broadcast::volatile`].
    pub fn volatile(mut self) -> Self {
        self.options.policy = DeliveryPolicy::Volatile;
        self
    }

    /// Sends only the latest event of a key to sockets that are behind, see [`Broadcast::keep_latest`].
    pub fn keep_latest(mut self, key: impl AsRef<str>) -> Self {
        self.options.policy = DeliveryPolicy::KeepLatest(key.as_ref().into());
        self
    }

    /// Sets whether the event may be compressed, see [`Broadcast::compress`].
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// Sends an event. See [`Socket::emit`](crate::Socket::emit) for the arguments and for slow clients.
    pub fn emit<T: Serialize>(self, event: impl AsRef<str>, arguments: T) {
        let event = event.as_ref();
        if let Err(error) = self.try_emit(event, arguments) {
            log_emit_error(event, &error);
        }
    }

    /// Sends an event, or returns an error if it cannot be encoded.
    ///
    /// # Errors
    /// Returns [`EmitError::Encode`] if the arguments cannot be encoded.
    pub fn try_emit<T: Serialize>(self, event: impl AsRef<str>, arguments: T) -> Result<(), EmitError> {
        let event = event.as_ref();
        for child in self.parent.children() {
            let options = self.options.clone();
            Broadcast::with_options(child, options, self.is_limited_to_rooms, self.compress)
                .try_emit(event, &arguments)?;
        }
        Ok(())
    }
}

/// A parent as the server keeps it.
pub(crate) struct Parent {
    id: usize,
    /// Holds the handlers of future children. It has no sockets.
    template: Namespace,
    admits: Admits,
}

type Pattern = Box<dyn Fn(&str) -> bool + Send + Sync>;
type Predicate = Box<dyn Fn(NamespaceRequest) -> BoxFuture<bool> + Send + Sync>;

/// Which namespaces clients may create.
pub(crate) enum Admits {
    Pattern(Pattern),
    Predicate(Predicate),
}

impl Parent {
    /// Creates the parent with this index in the server's list.
    pub(crate) fn new(id: usize, template: Namespace, admits: Admits) -> Self {
        Self { id, template, admits }
    }

    /// Returns whether the name is one of this parent's pattern.
    pub(crate) fn matches(&self, name: &str) -> bool {
        matches!(&self.admits, Admits::Pattern(pattern) if pattern(name))
    }

    pub(super) fn handlers(&self) -> Arc<NamespaceHandlers> {
        self.template.handlers()
    }
}

/// What a child knows about its parent.
pub(crate) struct Child {
    parent: usize,
    /// Whether a client has caused the namespace.
    pub(crate) is_from_client: bool,
    /// The number of sockets that are connected or request to connect. Incremented only under the lock of the server's
    /// table.
    pub(crate) sockets: AtomicUsize,
}

impl Child {
    pub(crate) fn new(parent: &Parent, is_from_client: bool) -> Self {
        Self { parent: parent.id, is_from_client, sockets: AtomicUsize::new(0) }
    }

    pub(crate) fn is_of(&self, parent: &Parent) -> bool {
        self.parent == parent.id
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sockets.load(Ordering::Acquire) == 0
    }
}

/// The check whether a client may create a namespace. The result is the parent of the namespace.
pub(crate) type CheckFuture = Pin<Box<dyn Future<Output = Result<Arc<Parent>, ConnectError>> + Send>>;

/// Asks the parents in the order of their creation. Dropping the future ends the check.
pub(crate) fn check(
    parents: Arc<[Arc<Parent>]>,
    request: NamespaceRequest,
    pending_checks: Arc<Semaphore>,
    timeout: Duration,
) -> CheckFuture {
    let ask = async move {
        let mut permit = None;
        for parent in parents.iter() {
            let is_allowed = match &parent.admits {
                Admits::Pattern(pattern) => pattern(request.name()),
                Admits::Predicate(predicate) => {
                    if permit.is_none() {
                        // Only a predicate can wait.
                        permit = Some(pending_checks.try_acquire().map_err(|_| TOO_MANY_CHECKS)?);
                    }
                    predicate(request.clone()).await
                }
            };
            if is_allowed {
                return Ok(Arc::clone(parent));
            }
        }
        Err(ConnectError::from(INVALID_NAMESPACE))
    };
    Box::pin(async move {
        tokio::time::timeout(timeout, ask).await.unwrap_or_else(|_| Err(CHECK_TIMED_OUT.into()))
    })
}

/// The message of Node for a namespace that does not exist.
pub(crate) const INVALID_NAMESPACE: &str = "Invalid namespace";
const TOO_MANY_CHECKS: &str = "Too many namespaces are being checked";
const CHECK_TIMED_OUT: &str = "The namespace was not checked in time";
