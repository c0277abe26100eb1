//! Parents of namespaces: namespaces on demand, as in Node.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adapter::SocketId;
use handlers::{BoxFuture, Handler, IntoEventMiddlewareResult, IntoHandlerResult, IntoReply, ObservedEvent};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::server::DisconnectReason;
use tokio::sync::Semaphore;

use super::{Broadcast, BroadcastAcks, FetchSocketsError, FetchedSocket, Namespace, NamespaceRequest};
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
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
    pub fn on_connection<M, H>(&self, handler: H)
    where
        H: Handler<OnConnection, M>,
        H::Output: IntoHandlerResult,
    {
        self.parent.template.on_connection(handler);
    }

    /// Registers a handler for `event` in the children, see [`Namespace::on`].
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
    pub fn on<M, H>(&self, event: impl Into<String>, handler: H) -> Registration<'_>
    where
        H: Handler<OnEvent, M>,
        H::Output: IntoReply,
    {
        self.parent.template.on(event, handler)
    }

    /// Registers a handler for all events without their own handler, see [`Namespace::on_fallback`].
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
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
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
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
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
    pub fn event_middleware<M, H>(&self, handler: H)
    where
        H: Handler<BeforeEvent, M>,
        H::Output: IntoEventMiddlewareResult,
    {
        self.parent.template.event_middleware(handler);
    }

    /// Adds a catch-all listener of received events for the children, see [`Namespace::on_any`].
    pub fn on_any(&self, listener: impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static) {
        self.parent.template.on_any(listener);
    }

    /// Adds a catch-all listener of sent events for the children, see [`Namespace::on_any_outgoing`].
    pub fn on_any_outgoing(&self, listener: impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static) {
        self.parent.template.on_any_outgoing(listener);
    }

    /// Adds a middleware for the children, see [`Namespace::middleware`].
    ///
    /// # Panics
    /// Panics if the handler takes a [`State`](crate::State) for which the builder has no value.
    #[track_caller]
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

    /// Selects all sockets in all children, for instance for [`ParentBroadcast::sockets`].
    pub fn broadcast(&self) -> ParentBroadcast {
        Broadcast::new(self.clone())
    }

    /// Selects all sockets in all children, and sets how long to wait for their replies, see [`Namespace::timeout`].
    pub fn timeout(&self, timeout: Duration) -> ParentBroadcast {
        self.broadcast().timeout(timeout)
    }

    /// Sends an event to all sockets in all children, and returns their acknowledgements, see
    /// [`Namespace::emit_with_ack`].
    pub fn emit_with_ack<R: DeserializeOwned>(
        &self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> BroadcastAcks<R> {
        self.broadcast().emit_with_ack(event, arguments)
    }

    /// Returns the sockets of all children on all servers of the cluster, see [`ParentBroadcast::fetch_sockets`].
    ///
    /// # Errors
    /// Returns an error if a server has not replied. The error contains the sockets of all other servers.
    pub async fn fetch_sockets(&self) -> Result<Vec<FetchedSocket>, FetchSocketsError> {
        self.broadcast().fetch_sockets().await
    }

    /// Returns the sockets of all children that are connected to this server.
    #[must_use]
    pub fn sockets(&self) -> Vec<Socket> {
        self.broadcast().sockets()
    }

    /// Makes all sockets of all children join a room, or a list of rooms, see [`Namespace::sockets_join`].
    pub fn sockets_join(&self, rooms: impl Rooms) {
        self.broadcast().sockets_join(rooms);
    }

    /// Makes all sockets of all children leave a room, or a list of rooms.
    pub fn sockets_leave(&self, rooms: impl Rooms) {
        self.broadcast().sockets_leave(rooms);
    }

    /// Disconnects all sockets of all children. If `close_connections` is true, also closes their connections.
    pub fn disconnect_sockets(&self, close_connections: bool) {
        self.broadcast().disconnect_sockets(close_connections);
    }

    /// Registers a handler in the children for an event that another server of the cluster sends, see
    /// [`Namespace::on_server_side_emit`].
    pub fn on_server_side_emit<T, H, F>(&self, event: impl Into<String>, handler: H)
    where
        T: DeserializeOwned + Send + 'static,
        H: Fn(T) -> F + Send + Sync + 'static,
        F: Future<Output: IntoReply> + Send + 'static,
    {
        self.parent.template.on_server_side_emit(event, handler);
    }

    /// Sends an event to the programs on the *other* servers of the cluster, once for each child of this server, see
    /// [`Namespace::server_side_emit`]. A server that has no namespace of that name does not receive it.
    pub fn server_side_emit<T: Serialize>(&self, event: impl AsRef<str>, arguments: T) {
        for child in self.children() {
            child.server_side_emit(&event, &arguments);
        }
    }

    /// Does the same as [`server_side_emit`](Self::server_side_emit), and returns the responses: one of each server for
    /// each child. See [`Namespace::server_side_emit_with_ack`].
    pub fn server_side_emit_with_ack<R: DeserializeOwned>(
        &self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> BroadcastAcks<R> {
        let (acks, replies) = BroadcastAcks::new(self.parent.template.limits().max_broadcast_ack_bytes);
        for child in self.children() {
            if let Err(error) = child.request_server_side(event.as_ref(), &arguments, replies.clone()) {
                return acks.not_sent(error.into());
            }
        }
        acks
    }
}

impl fmt::Debug for ParentNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParentNamespace").field("id", &self.parent.id).finish_non_exhaustive()
    }
}

/// A selection of sockets in all children of a parent. It has the methods of every [`Broadcast`]. The event is encoded once
/// for each child, because it contains the name of the namespace.
pub type ParentBroadcast = Broadcast<ParentNamespace>;

impl ParentBroadcast {
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
        self.children().try_for_each(|child| child.try_emit(event, &arguments))
    }

    /// Sends an event immediately, and returns the clients' acknowledgements, see [`Broadcast::emit_with_ack`]. The limit
    /// of their size holds for all children together. In Node, a parent waits for nobody.
    pub fn emit_with_ack<R: DeserializeOwned>(
        self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> BroadcastAcks<R> {
        let limits = self.namespace.parent.template.limits();
        let (acks, replies) = BroadcastAcks::new(limits.max_broadcast_ack_bytes);
        for child in self.children() {
            if let Err(error) = child.request_acks(event.as_ref(), &arguments, replies.clone()) {
                return acks.not_sent(error.into());
            }
        }
        acks
    }

    /// Returns the selected sockets of all servers of the cluster, see [`Broadcast::fetch_sockets`]. All children are
    /// asked at the same time. Node refuses this. A child that this server does not have is not asked for. Cancel safe.
    ///
    /// # Errors
    /// Returns an error if a server has not replied. The error contains the sockets of all other servers.
    pub async fn fetch_sockets(&self) -> Result<Vec<FetchedSocket>, FetchSocketsError> {
        let mut pending = Vec::new();
        for child in self.children() {
            pending.push(child.begin_fetch());
        }
        let (mut sockets, mut missing) = (Vec::new(), Vec::new());
        for child in pending {
            let fetched = child.collect().await.unwrap_or_else(|error| {
                missing.extend(error.missing);
                error.sockets
            });
            sockets.extend(fetched);
        }
        if missing.is_empty() { Ok(sockets) } else { Err(FetchSocketsError { sockets, missing }) }
    }

    /// Returns the selected sockets that are connected to this server.
    #[must_use]
    pub fn sockets(&self) -> Vec<Socket> {
        let mut sockets = Vec::new();
        for child in self.children() {
            sockets.append(&mut child.sockets());
        }
        sockets
    }

    /// Returns the ids of the selected sockets that are connected to this server.
    #[must_use]
    pub fn socket_ids(&self) -> Vec<SocketId> {
        let mut ids = Vec::new();
        for child in self.children() {
            ids.append(&mut child.socket_ids());
        }
        ids
    }

    /// Makes all selected sockets join a room, or a list of rooms, see [`Broadcast::sockets_join`].
    pub fn sockets_join(&self, rooms: impl Rooms) {
        rooms.with_names(|names| self.children().for_each(|child| child.sockets_join(names)));
    }

    /// Makes all selected sockets leave a room, or a list of rooms, on all servers of the cluster.
    pub fn sockets_leave(&self, rooms: impl Rooms) {
        rooms.with_names(|names| self.children().for_each(|child| child.sockets_leave(names)));
    }

    /// Disconnects all selected sockets, on all servers of the cluster. If `close_connections` is true, also closes their
    /// connections.
    pub fn disconnect_sockets(&self, close_connections: bool) {
        self.children().for_each(|child| child.disconnect_sockets(close_connections));
    }

    /// Returns the same selection in each child.
    fn children(&self) -> impl Iterator<Item = Broadcast> {
        self.namespace.children().into_iter().map(|namespace| Broadcast {
            namespace,
            options: self.options.clone(),
            compress: self.compress,
            is_limited_to_rooms: self.is_limited_to_rooms,
            timeout: self.timeout,
        })
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
                        permit = Some(
                            pending_checks.try_acquire().map_err(|_| ConnectError::new(TOO_MANY_CHECKS))?,
                        );
                    }
                    predicate(request.clone()).await
                }
            };
            if is_allowed {
                return Ok(Arc::clone(parent));
            }
        }
        Err(ConnectError::new(INVALID_NAMESPACE))
    };
    Box::pin(async move {
        tokio::time::timeout(timeout, ask).await.unwrap_or_else(|_| Err(ConnectError::new(CHECK_TIMED_OUT)))
    })
}

/// The message of Node for a namespace that does not exist.
pub(crate) const INVALID_NAMESPACE: &str = "Invalid namespace";
const TOO_MANY_CHECKS: &str = "Too many namespaces are being checked";
const CHECK_TIMED_OUT: &str = "The namespace was not checked in time";
