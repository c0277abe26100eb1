//! One client in one namespace.

mod acks;
mod data;
mod delivery;
mod emit;
mod event_stream;
mod events;
mod lifecycle;
mod recovery;
mod remote_state;

use std::any::{Any, TypeId};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use adapter::{JoinError, LocalSocket as _, Ready, Room, SocketId};
use engineio::Session;
use handlers::{EventHandler, EventMiddleware, Handler, IntoReply};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::server::{DisconnectReason, Protocol};
use socketio_proto::{ArgumentsError, RawJson};
use tokio::sync::Notify;

use crate::connection::{Client, Handshake};
use crate::handler::{CatchAllListener, NamespaceHandlers, OnDisconnecting, OnEvent, OnUpgrade, ServerSide};
use crate::namespace::{Broadcast, Namespace};
use crate::recovery::SocketSession;
use crate::rooms::Rooms;
use acks::PendingAcks;
pub use acks::{AckError, AckFuture};
pub use data::DataError;
use data::StoredData;
pub(crate) use data::read_data;
pub use delivery::DeliveryCounts;
pub(crate) use delivery::{BroadcastOutcomes, DeliveryCounters};
pub use emit::{EmitError, Emitter};
pub(crate) use emit::{encode_event, log_emit_error};
use event_stream::StreamSender;
pub use event_stream::{EventStream, StreamEvent};
use events::Used;
pub(crate) use events::observe_broadcast;
use lifecycle::{CONNECTED, CONNECTING, protocol_of};
pub(crate) use recovery::{PendingClaim, PendingResume};
pub(crate) use remote_state::parse_handshake;

/// A client in a namespace. Cheap to clone; all clones are the same socket.
#[derive(Clone)]
pub struct Socket(Arc<SocketInner>);

/// The state that all clones of a socket share.
pub struct SocketInner {
    id: SocketId,
    namespace: Namespace,
    session: Session,
    client: Arc<Client>,
    auth: RawJson<'static>,
    handlers: Arc<NamespaceHandlers>,
    state: AtomicU8,
    /// Set when the disconnected socket leaves its rooms, after `on_disconnecting`. Another socket of a client of
    /// Socket.IO 4 may have the same id then.
    has_left_rooms: AtomicBool,
    /// Set while the program has disconnected the socket, and events that it sent before are still on their way through a
    /// message bus.
    awaits_events: AtomicBool,
    acks: PendingAcks,
    /// `None` if the client cannot recover its session.
    recovery: Option<Box<SocketSession>>,
    /// Notified when the socket disconnects and when its connection upgrades.
    changed: Notify,
    /// Handlers and data of this socket alone. Few sockets have them; for the others, this costs one load per event.
    extensions: OnceLock<Box<SocketExtensions>>,
}

/// What one socket has in addition to what all sockets of its namespace have.
#[derive(Default)]
struct SocketExtensions {
    /// Which of the lists are in use, so that an event for which they are empty needs no lock.
    used: Used,
    lists: Mutex<ExtensionLists>,
}

#[derive(Default)]
struct ExtensionLists {
    handlers: Vec<(Box<str>, EventHandler<ServerSide>)>,
    /// Handlers that are called for one event only.
    once: Vec<(Box<str>, EventHandler<ServerSide>)>,
    stream: Option<StreamSender>,
    event_middleware: Vec<EventMiddleware<ServerSide>>,
    listeners: Vec<CatchAllListener>,
    outgoing_listeners: Vec<CatchAllListener>,
    disconnecting: Option<OnDisconnecting>,
    upgrade: Option<OnUpgrade>,
    data: Option<StoredData>,
    /// Values of the program, one per type.
    values: Vec<(TypeId, Arc<dyn Any + Send + Sync>)>,
}

/// The result of [`Socket::join`]. The socket has already joined the room when `join` returns. Awaiting this value
/// returns the result. In a cluster, it also waits until broadcasts of the other servers to the room reach the socket.
/// It never waits for the client. Cancel safe.
///
/// If the room was rejected, awaiting returns the error. If the value is dropped without being awaited, the server's
/// [`on_error`](crate::Builder::on_error) hook is called with the error.
#[derive(Debug)]
pub struct JoinFuture(Joined);

#[derive(Debug)]
enum Joined {
    Joined(Ready),
    Rejected(Socket, JoinError),
}

impl JoinFuture {
    fn ready() -> Self {
        Self(Joined::Joined(Ready::now()))
    }

    fn new(socket: &Socket, joined: Result<Ready, JoinError>) -> Self {
        Self(match joined {
            Ok(ready) => Joined::Joined(ready),
            Err(error) => Joined::Rejected(socket.clone(), error),
        })
    }
}

impl Future for JoinFuture {
    type Output = Result<(), JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Joined::Joined(ready) => Pin::new(ready).poll(cx).map(Ok),
            Joined::Rejected(_, error) => {
                let error = *error;
                self.0 = Joined::Joined(Ready::now());
                Poll::Ready(Err(error))
            }
        }
    }
}

impl Drop for JoinFuture {
    fn drop(&mut self) {
        if let Joined::Rejected(socket, error) = &self.0 {
            socket.on_join_error(*error);
        }
    }
}

impl Socket {
    pub(crate) fn new(
        id: SocketId,
        namespace: Namespace,
        session: Session,
        client: Arc<Client>,
        auth: RawJson<'static>,
    ) -> Self {
        let is_recoverable = namespace.recovery_settings().is_some() && protocol_of(&session) == Protocol::V5;
        let recovery = if is_recoverable { SocketSession::new() } else { None };
        Self::with_session(id, namespace, session, client, auth, recovery)
    }

    fn with_session(
        id: SocketId,
        namespace: Namespace,
        session: Session,
        client: Arc<Client>,
        auth: RawJson<'static>,
        recovery: Option<Box<SocketSession>>,
    ) -> Self {
        let handlers = namespace.handlers();
        Self(Arc::new(SocketInner {
            id,
            namespace,
            session,
            client,
            auth,
            handlers,
            state: AtomicU8::new(CONNECTING),
            has_left_rooms: AtomicBool::new(false),
            awaits_events: AtomicBool::new(false),
            acks: PendingAcks::default(),
            recovery,
            changed: Notify::new(),
            extensions: OnceLock::new(),
        }))
    }

    /// Returns a socket in another namespace that takes the place of this one, which was never connected.
    pub(crate) fn in_namespace(&self, namespace: Namespace) -> Self {
        let SocketInner { id, session, client, auth, .. } = &*self.0;
        Self::new(id.clone(), namespace, session.clone(), Arc::clone(client), auth.clone())
    }

    /// Returns the id of the socket. It is also the name of a room that contains only this socket. It is not the
    /// Engine.IO session id, so other clients may see it.
    ///
    /// The exception are clients of Socket.IO 4, if [`Builder::allow_eio3`](crate::Builder::allow_eio3) lets them
    /// connect: their id contains the secret id of the session, see [`protocol`](Self::protocol).
    #[must_use]
    pub fn id(&self) -> SocketId {
        self.0.id.clone()
    }

    pub(crate) fn id_str(&self) -> &str {
        &self.0.id
    }

    /// Returns the namespace of the socket.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// Returns the handshake request of the connection.
    #[must_use]
    pub fn handshake(&self) -> &Handshake {
        self.0.client.handshake()
    }

    /// Returns the revision of the Socket.IO protocol that the client uses: 5, or 4 if
    /// [`Builder::allow_eio3`](crate::Builder::allow_eio3) is set and the client is old.
    #[must_use]
    pub fn protocol(&self) -> u8 {
        match self.0.protocol() {
            Protocol::V4 => 4,
            Protocol::V5 => 5,
        }
    }

    /// Returns the current transport of the connection. It changes at most once, see [`upgraded`](Self::upgraded).
    #[must_use]
    pub fn transport(&self) -> engineio::Transport {
        self.0.session.transport()
    }

    /// Returns the number of bytes that are queued for the connection and not yet written, for all its sockets.
    #[must_use]
    pub fn buffered_amount(&self) -> usize {
        self.0.session.buffered()
    }

    /// Returns whether both sockets, in two namespaces, use the same connection of the same client.
    #[must_use]
    pub fn same_connection(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.client, &other.0.client)
    }

    /// Deserializes the client's auth payload as `T`. The payload is `{}` if the client sent none.
    ///
    /// # Errors
    /// Returns an error if the payload does not fit `T`.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, ArgumentsError> {
        self.0.auth.deserialize()
    }

    pub(crate) fn auth_len(&self) -> usize {
        self.0.auth.as_str().len()
    }

    /// Returns whether the socket is connected. This is `false` while the middlewares run and after the disconnect.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == CONNECTED
    }

    /// Returns whether the client has recovered its session after it had lost its connection: the socket has the id, the
    /// rooms and the [data](Self::data) of the former socket, and the client gets each event that it has missed. It has
    /// this value in middlewares too, if they run ([`skip_middlewares`](crate::ConnectionStateRecovery::skip_middlewares)). Always `false` without [`connection_state_recovery`](crate::Builder::connection_state_recovery).
    #[must_use]
    pub fn recovered(&self) -> bool {
        self.0.recovery.as_ref().is_some_and(|session| session.is_recovered)
    }

    /// Waits until the socket is disconnected and returns the reason. Cancel safe.
    pub async fn disconnected(&self) -> DisconnectReason {
        loop {
            let notified = self.0.changed.notified();
            if let Some(reason) = self.disconnect_reason() {
                return reason;
            }
            notified.await;
        }
    }

    /// Returns what went wrong, if the connection of the socket has ended because of an error that has a description, such
    /// as a violated rule of the protocol. It may contain text of the client. In Node: the second argument of the event
    /// `disconnect`.
    #[must_use]
    pub fn disconnect_description(&self) -> Option<&str> {
        self.0.session.close_description()
    }

    /// Waits until the connection has upgraded from long-polling to another transport. Returns `false` if the socket
    /// disconnects before. A connection that started on WebSocket never upgrades. Cancel safe.
    ///
    /// [`Namespace::on_upgrade`](crate::Namespace::on_upgrade) calls a function instead.
    pub async fn upgraded(&self) -> bool {
        loop {
            let notified = self.0.changed.notified();
            if self.0.client.has_upgraded() {
                return true;
            }
            if self.is_disconnected() {
                return false;
            }
            notified.await;
        }
    }

    /// Sends an event to the client.
    ///
    /// A tuple is a list of arguments, `()` is an empty list, and any other value is one argument. Values that
    /// serialize as bytes ([`Bytes`](bytes::Bytes), `serde_bytes`), at any depth, are sent as binary attachments.
    ///
    /// This method never waits. If more than [`max_write_buffer_size`](crate::Builder::max_write_buffer_size) bytes are
    /// buffered for the client, it is disconnected. [`volatile`](Self::volatile) and [`keep_latest`](Self::keep_latest) do
    /// something else for clients that read slowly. If the socket is already disconnected, the event is dropped, unless the
    /// client may [recover](crate::Builder::connection_state_recovery) its session: then it gets the event later. If the
    /// event cannot be encoded, the error is logged; [`try_emit`](Self::try_emit) returns it instead.
    pub fn emit<T: Serialize>(&self, event: impl AsRef<str>, arguments: T) {
        Emitter::new(self).emit(event, arguments);
    }

    /// Sends the event `message`. The same as `emit("message", arguments)`.
    pub fn send<T: Serialize>(&self, arguments: T) {
        self.emit("message", arguments);
    }

    /// Sends an event, or returns an error if it cannot be sent. If the client's write buffer is full, this returns
    /// [`EmitError::Full`]; [`emit`](Self::emit) would disconnect the client.
    ///
    /// # Errors
    /// Returns an error if the write buffer is full, the socket is disconnected, or the arguments cannot be encoded.
    pub fn try_emit<T: Serialize>(&self, event: impl AsRef<str>, arguments: T) -> Result<(), EmitError> {
        Emitter::new(self).try_emit(event, arguments)
    }

    /// Waits until the client's write buffer has capacity, then sends an event. Cancel safe: if the future is dropped
    /// before it is ready, the event was not sent.
    ///
    /// # Errors
    /// Returns an error if the socket is disconnected or the arguments cannot be encoded.
    pub async fn emit_wait<T: Serialize>(
        &self,
        event: impl AsRef<str>,
        arguments: T,
    ) -> Result<(), EmitError> {
        loop {
            match Emitter::new(self).try_emit_sized(event.as_ref(), &arguments) {
                Err((EmitError::Full, length)) => {
                    std::future::poll_fn(|cx| self.0.session.poll_capacity(length, cx)).await?;
                }
                sent => return sent.map_err(|(error, _)| error),
            }
        }
    }

    /// Sends an event immediately. The returned future resolves to the client's acknowledgement, deserialized as `R` by
    /// the same rules as [`Data`](crate::Data). The timeout is [`Limits::ack_timeout`](crate::Limits::ack_timeout),
    /// unless [`timeout`](Self::timeout) sets another one.
    ///
    /// While a handler awaits the future, later events of its socket are queued. Acknowledgements are still received.
    pub fn emit_with_ack<R: DeserializeOwned>(
        &self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> AckFuture<R> {
        Emitter::new(self).emit_with_ack(event, arguments)
    }

    /// Returns an emitter that may drop the event if the connection is not ready to send it, see [`Emitter::volatile`].
    pub fn volatile(&self) -> Emitter<'_> {
        Emitter::new(self).volatile()
    }

    /// Returns an emitter that sends only the latest event of a key while the connection is behind, see
    /// [`Emitter::keep_latest`].
    pub fn keep_latest<'a>(&'a self, key: &'a str) -> Emitter<'a> {
        Emitter::new(self).keep_latest(key)
    }

    /// Returns an emitter whose event may be compressed or not, see [`Emitter::compress`].
    pub fn compress(&self, compress: bool) -> Emitter<'_> {
        Emitter::new(self).compress(compress)
    }

    /// Returns an emitter with this acknowledgement timeout.
    pub fn timeout(&self, timeout: Duration) -> Emitter<'_> {
        Emitter::new(self).timeout(timeout)
    }

    /// Joins a room, or a list of rooms, immediately. Has no effect if the socket is disconnected.
    ///
    /// The call is rejected if a name is longer than [`Limits::max_room_name_len`](crate::Limits::max_room_name_len),
    /// or if the socket is already in [`Limits::max_rooms`](crate::Limits::max_rooms) rooms; the rooms before it in the
    /// list are joined. Then `socket.join(room).await` returns the error, and `socket.join(room);` reports it to the
    /// server's [`on_error`](crate::Builder::on_error) hook.
    pub fn join(&self, rooms: impl Rooms) -> JoinFuture {
        if self.is_disconnected() {
            return JoinFuture::ready();
        }
        let joined = rooms.with_names(|names| self.0.namespace.adapter().add_all(&self.0.id, names));
        JoinFuture::new(self, joined)
    }

    /// Leaves a room, or a list of rooms, immediately. Has no effect if the socket is disconnected.
    pub fn leave(&self, rooms: impl Rooms) {
        if self.is_disconnected() {
            return;
        }
        rooms.with_names(|names| {
            for name in names {
                self.0.namespace.adapter().del(&self.0.id, name);
            }
        });
    }

    /// Returns the rooms of the socket, starting with its own id. Empty after the disconnect; while `on_disconnecting`
    /// runs, the socket is still in its rooms.
    #[must_use]
    pub fn rooms(&self) -> Vec<Room> {
        if self.0.has_left_rooms.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.0.namespace.adapter().local().socket_rooms(&self.0.id)
    }

    /// Returns whether the socket is in a room, as `socket.rooms.has(room)` in Node. False after the disconnect; while
    /// [`on_disconnecting`](Self::on_disconnecting) runs, the socket is still in its rooms.
    ///
    /// ```
    /// use tidewire_server::{Data, HandlerError, Server, Socket};
    ///
    /// let io = Server::new();
    /// io.on("say", async |socket: Socket, Data((room, text)): Data<(String, String)>| {
    ///     if !socket.is_in(&room) {
    ///         return Err(HandlerError::new("join the room first").code("not_a_member"));
    ///     }
    ///     socket.to(&room).emit("said", text);
    ///     Ok(())
    /// });
    /// ```
    #[must_use]
    pub fn is_in(&self, room: impl AsRef<str>) -> bool {
        self.0.namespace.adapter().local().is_in(&self.0.id, room.as_ref())
    }

    /// Selects the sockets in a room, or in one of several rooms, except this one. See [`Broadcast::to`].
    pub fn to(&self, rooms: impl Rooms) -> Broadcast {
        self.broadcast().to(rooms)
    }

    /// The same as [`to`](Self::to).
    pub fn in_(&self, rooms: impl Rooms) -> Broadcast {
        self.to(rooms)
    }

    /// Selects all sockets in the namespace, except this one and those in these rooms.
    pub fn except(&self, rooms: impl Rooms) -> Broadcast {
        self.broadcast().except(rooms)
    }

    /// Selects all sockets in the namespace, except this one.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(self.0.namespace.clone()).except(&self.0.id)
    }

    /// Selects the sockets in the namespace that are connected to this server of the cluster, except this one.
    pub fn local(&self) -> Broadcast {
        self.broadcast().local()
    }

    /// Registers an event handler on this socket only. It takes precedence over the namespace's handler for the same
    /// event. A second handler for the same event replaces the first. [`off`](Self::off) removes it. Register handlers
    /// for all sockets on the [`Namespace`].
    ///
    /// If the handler takes a [`State`](crate::State) for which the builder has no value, this reports an error to the
    /// [error hook](crate::Builder::on_error) at once, and each event that the handler would handle fails in the same way.
    /// It does not panic, because it is usually called in another handler, which would not finish then.
    pub fn on<M, H>(&self, event: impl Into<String>, handler: H)
    where
        H: Handler<OnEvent, M>,
        H::Output: IntoReply,
    {
        let event = event.into().into_boxed_str();
        self.check_state::<OnEvent, M, H>(Some(&event));
        let handler = EventHandler::new(handler);
        self.update_extensions(|own| insert_or_replace(&mut own.handlers, event, handler));
    }

    /// Disconnects the socket from its namespace immediately. The connection stays open. The client does not reconnect
    /// automatically.
    pub fn disconnect(&self) {
        self.leave_by_program(false);
    }

    /// Disconnects this socket and all other sockets of its connection, and closes the connection.
    pub fn close_connection(&self) {
        if !self.leave_by_program(true) {
            self.request_close();
        }
    }

    /// A disconnected socket must not use its id in the adapter: if its client of Socket.IO 4 has connected to the
    /// namespace again, the new socket has the same id.
    fn is_disconnected(&self) -> bool {
        self.disconnect_reason().is_some()
    }

    /// Changes the extensions. `change` returns the values that it removed; they are dropped after the lock is
    /// released, because dropping them may run code of the program.
    fn update_extensions<R>(&self, change: impl FnOnce(&mut ExtensionLists) -> R) {
        let former = change(&mut self.0.own_extensions().lists());
        drop(former);
    }
}

impl SocketInner {
    fn own_extensions(&self) -> &SocketExtensions {
        self.extensions.get_or_init(Box::default)
    }
}

impl SocketExtensions {
    fn lists(&self) -> MutexGuard<'_, ExtensionLists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces the value with this key and returns the old one, or appends the value.
fn insert_or_replace<K: PartialEq, V>(list: &mut Vec<(K, V)>, key: K, value: V) -> Option<V> {
    match list.iter_mut().find(|(known, _)| *known == key) {
        Some((_, former)) => Some(std::mem::replace(former, value)),
        None => {
            list.push((key, value));
            None
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SocketInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.log_id())
            .field("namespace", &self.namespace.name())
            .finish_non_exhaustive()
    }
}

/// Handlers hold these futures across an `.await`, so they must be `Send`.
const _: fn() = || {
    fn is_send<F: Future + Send>(_: F) {}
    fn check(socket: &Socket) {
        is_send(socket.disconnected());
        is_send(socket.upgraded());
        is_send(socket.emit_wait("event", ()));
    }
    let _ = check;
};
