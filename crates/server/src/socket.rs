//! One client in one namespace.

mod acks;
mod emit;
mod lifecycle;

use std::any::{Any, TypeId};
use std::fmt;
use std::future::{Future, IntoFuture, Ready, ready};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use adapter::{JoinError, LocalSocket as _, Room, SocketId};
use engineio::Session;
use handlers::{EventHandler, Handler, IntoReply};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::server::DisconnectReason;
use socketio_proto::{ArgumentsError, RawJson};
use tokio::sync::Notify;

use crate::connection::{Client, Handshake};
use crate::handler::{NamespaceHandlers, OnEvent, ServerSide};
use crate::namespace::{Broadcast, Namespace};
use acks::PendingAcks;
pub use acks::{AckError, AckFuture};
pub use emit::{EmitError, Emitter};
pub(crate) use emit::{encode_event, log_emit_error};
use lifecycle::{CONNECTED, CONNECTING};

/// A client in a namespace. Cheap to clone; all clones are the same socket.
#[derive(Clone)]
pub struct Socket(Arc<SocketInner>);

/// What all clones of a socket share.
pub struct SocketInner {
    id: SocketId,
    namespace: Namespace,
    session: Session,
    client: Arc<Client>,
    auth: RawJson<'static>,
    handlers: Arc<NamespaceHandlers>,
    state: AtomicU8,
    acks: PendingAcks,
    disconnected: Notify,
    /// What few sockets have. Those that have none pay one load for each event.
    extensions: OnceLock<Box<Mutex<SocketExtensions>>>,
}

#[derive(Default)]
struct SocketExtensions {
    handlers: Vec<(Box<str>, EventHandler<ServerSide>)>,
    data: Vec<(TypeId, Arc<dyn Any + Send + Sync>)>,
}

/// What [`Socket::join`] returns. The socket is in the room already; awaiting this also waits until a cluster knows it.
///
/// If the room was refused, awaiting this tells why. Dropped without that, it tells the server's
/// [`on_error`](crate::Builder::on_error) hook instead.
#[derive(Debug)]
pub struct JoinFuture(Option<(Socket, JoinError)>);

impl IntoFuture for JoinFuture {
    type Output = Result<(), JoinError>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(mut self) -> Self::IntoFuture {
        ready(self.0.take().map_or(Ok(()), |(_, error)| Err(error)))
    }
}

impl Drop for JoinFuture {
    fn drop(&mut self) {
        if let Some((socket, error)) = self.0.take() {
            socket.on_join_error(error);
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
        let handlers = namespace.handlers();
        Self(Arc::new(SocketInner {
            id,
            namespace,
            session,
            client,
            auth,
            handlers,
            state: AtomicU8::new(CONNECTING),
            acks: PendingAcks::default(),
            disconnected: Notify::new(),
            extensions: OnceLock::new(),
        }))
    }

    /// The id of the socket, also the name of a room that it alone is in. Not the session's id: it may be shown.
    #[must_use]
    pub fn id(&self) -> SocketId {
        self.0.id
    }

    /// The namespace that the socket is in.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// The request that the connection began with.
    #[must_use]
    pub fn handshake(&self) -> &Handshake {
        self.0.client.handshake()
    }

    /// The transport of the connection now.
    #[must_use]
    pub fn transport(&self) -> engineio::Transport {
        self.0.session.transport()
    }

    /// What the client authenticated with, read as `T`; `{}` if it sent nothing.
    ///
    /// # Errors
    /// The client sent something else.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, ArgumentsError> {
        self.0.auth.deserialize()
    }

    /// Whether the socket is connected. It is not in a middleware, and not after the disconnect.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == CONNECTED
    }

    /// Waits until the socket is disconnected and tells why. Cancel safe.
    pub async fn disconnected(&self) -> DisconnectReason {
        loop {
            let notified = self.0.disconnected.notified();
            if let Some(reason) = self.disconnect_reason() {
                return reason;
            }
            notified.await;
        }
    }

    /// Sends an event to the client.
    ///
    /// A tuple is a list of arguments, `()` is none, anything else is one argument. Types that serialise as bytes
    /// ([`Bytes`](bytes::Bytes), `serde_bytes`) travel as binary attachments, at any depth.
    ///
    /// It never waits. A client for which more than [`max_write_buffer_size`](crate::Builder::max_write_buffer_size) bytes wait is
    /// disconnected; an emit to a socket that is gone is dropped; one that cannot be encoded is logged as an error (see
    /// [`try_emit`](Self::try_emit) for the error itself).
    pub fn emit<T: Serialize>(&self, event: impl AsRef<str>, arguments: T) {
        Emitter::new(self).emit(event, arguments);
    }

    /// Sends an event, or tells why it was not sent. Where [`emit`](Self::emit) would disconnect a slow client, this
    /// refuses.
    ///
    /// # Errors
    /// No room, socket gone, or the arguments cannot be written.
    pub fn try_emit<T: Serialize>(&self, event: impl AsRef<str>, arguments: T) -> Result<(), EmitError> {
        Emitter::new(self).try_emit(event, arguments)
    }

    /// Waits until there is room, then sends an event. Cancel safe: dropped before it is ready, nothing was sent.
    ///
    /// # Errors
    /// Socket gone, or the arguments cannot be written.
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

    /// Sends an event at once and returns a future of the client's acknowledgement, read as `R` by the rule of
    /// [`Data`](crate::Data). It waits for [`Limits::ack_timeout`](crate::Limits::ack_timeout), or what
    /// [`timeout`](Self::timeout) says.
    ///
    /// While a handler waits for it, the connection's later events wait too; acknowledgements do not.
    pub fn emit_with_ack<R: DeserializeOwned>(
        &self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> AckFuture<R> {
        Emitter::new(self).emit_with_ack(event, arguments)
    }

    /// The next emit may be dropped if the connection is not ready for it.
    pub fn volatile(&self) -> Emitter<'_> {
        Emitter::new(self).volatile()
    }

    /// The acknowledgement of the next emit is awaited for this long.
    pub fn timeout(&self, timeout: Duration) -> Emitter<'_> {
        Emitter::new(self).timeout(timeout)
    }

    /// Joins a room, at once. Without effect once the socket is disconnected.
    ///
    /// A room is refused when its name is longer than [`Limits::max_room_name_len`](crate::Limits::max_room_name_len), or the socket
    /// is in as many as [`Limits::max_rooms`](crate::Limits::max_rooms) says. `socket.join(room).await?` fails then;
    /// `socket.join(room);` tells the server's [`on_error`](crate::Builder::on_error) hook.
    pub fn join(&self, room: impl AsRef<str>) -> JoinFuture {
        let joined = self.0.namespace.adapter().add_all(self.0.id, &[room.as_ref()]);
        JoinFuture(joined.err().map(|error| (self.clone(), error)))
    }

    /// Leaves a room, at once.
    pub fn leave(&self, room: impl AsRef<str>) {
        self.0.namespace.adapter().del(self.0.id, room.as_ref());
    }

    /// The rooms that the socket is in, its own id first. Empty once it is disconnected.
    #[must_use]
    pub fn rooms(&self) -> Vec<Room> {
        self.0.namespace.adapter().socket_rooms(self.0.id)
    }

    /// Everybody in `room`, except this socket.
    pub fn to(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// The same as [`to`](Self::to).
    pub fn in_(&self, room: impl Into<Room>) -> Broadcast {
        self.to(room)
    }

    /// Everybody in the namespace, except this socket and those in `room`.
    pub fn except(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().except(room)
    }

    /// Everybody in the namespace, except this socket.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(self.0.namespace.clone()).except(self.0.id)
    }

    /// Everybody that is connected to this server of the cluster, except this socket.
    pub fn local(&self) -> Broadcast {
        self.broadcast().local()
    }

    /// Adds a handler to this socket alone. It comes before the namespace's handler of the same event. Handlers that
    /// all sockets have are registered on the namespace, once.
    pub fn on<M, H>(&self, event: impl Into<String>, handler: H)
    where
        H: Handler<OnEvent, M>,
        H::Output: IntoReply,
    {
        let event = event.into().into_boxed_str();
        let handler = EventHandler::new(handler);
        self.update_extensions(|own| insert_or_replace(&mut own.handlers, event, handler));
    }

    /// Keeps a value with this socket, one of each type.
    pub fn set_data<T: Send + Sync + 'static>(&self, value: T) {
        self.update_extensions(|own| insert_or_replace(&mut own.data, TypeId::of::<T>(), Arc::new(value)));
    }

    /// The value of this type that [`set_data`](Self::set_data) has kept.
    #[must_use]
    pub fn data<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let own = self.0.extensions.get()?.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, value) = own.data.iter().find(|(kind, _)| *kind == TypeId::of::<T>())?;
        Arc::clone(value).downcast().ok()
    }

    /// Disconnects the socket from its namespace, at once; the connection stays. The client does not reconnect by
    /// itself.
    pub fn disconnect(&self) {
        if self.leave_namespace(DisconnectReason::ServerNamespaceDisconnect) {
            self.send_disconnect();
            self.0.session.wake();
        }
    }

    /// Disconnects the socket and all others of its connection, and closes the connection.
    pub fn close_connection(&self) {
        self.0.client.close_connection();
        self.disconnect();
        // The connection's task does it, which knows the other sockets.
        self.0.session.wake();
    }

    /// What `change` returns, values of the program that it has taken out, is dropped under no lock.
    fn update_extensions<R>(&self, change: impl FnOnce(&mut SocketExtensions) -> R) {
        let own = self.0.extensions.get_or_init(Box::default);
        let former = change(&mut own.lock().unwrap_or_else(PoisonError::into_inner));
        drop(former);
    }
}

/// Puts a value in the place of the one with this key, which is returned, or at the end.
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
            .field("id", &self.id.as_str())
            .field("namespace", &self.namespace.name())
            .finish_non_exhaustive()
    }
}

/// A future that a middleware or handler of the program may hold is `Send`, whatever it holds of ours.
const _: fn() = || {
    fn is_send<F: Future + Send>(_: F) {}
    fn check(socket: &Socket) {
        is_send(socket.disconnected());
        is_send(socket.emit_wait("event", ()));
    }
    let _ = check;
};
