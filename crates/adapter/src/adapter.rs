//! The interface between a server and an adapter.

use std::any::Any;
use std::sync::Arc;
use std::task::Waker;

use socketio_proto::{EncodedEvent, SocketId};

use crate::limits::{JoinError, Limits};
use crate::options::{BroadcastOptions, DeliveryPolicy};
use crate::room::Room;
use crate::room_change::RoomObserver;

/// A socket of this process, as an adapter sees it.
///
/// The supertrait [`Any`] lets the server downcast a `dyn LocalSocket` from the adapter to its own socket type.
pub trait LocalSocket: Any + Send + Sync {
    /// Returns the id of the socket. It never changes.
    fn id(&self) -> &SocketId;

    /// Queues an event for the socket.
    ///
    /// If the connection must be woken, this returns its waker and does not call it, because the adapter holds its
    /// locks. For the same reason, this method must not block and must not call the adapter.
    ///
    /// `policy` is for a connection that is behind.
    fn deliver(&self, event: &EncodedEvent, policy: &DeliveryPolicy) -> Option<Waker>;

    /// Disconnects the socket. With `close_connection`, also closes its connection, which disconnects every other
    /// socket of the connection. The adapter holds no lock during this call.
    fn disconnect(&self, close_connection: bool);

    /// Returns the limits on what the adapter stores for this socket. The adapter holds its locks during this call.
    /// Default: [`Limits::default`].
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Is called when [`Adapter::add_sockets`] or another process puts the socket into a room that its limits do not
    /// allow. The adapter holds no lock during this call. Default: does nothing.
    fn on_join_error(&self, error: JoinError) {
        let _ = error;
    }
}

/// The sockets of one namespace and their rooms.
///
/// Every method takes effect on this process before it returns. An adapter that connects several processes also informs
/// the other processes and does not wait for them. If [`BroadcastOptions::local`] is set, it does not inform them.
pub trait Adapter: Send + Sync {
    /// Adds a socket of this process. The socket is in the room of its own id and in no other room. If there is already
    /// a socket with this id, that socket is removed from the adapter first, with all its rooms.
    fn insert(&self, member: Arc<dyn LocalSocket>);

    /// Puts a socket into rooms. A room is created when its first member joins. Does nothing if the adapter has no
    /// socket with this id.
    ///
    /// # Errors
    /// Returns an error for the first room that the socket's [`limits`](LocalSocket::limits) do not allow. The socket
    /// has then joined the rooms before it in `rooms`, and none after it.
    fn add_all(&self, id: &SocketId, rooms: &[&str]) -> Result<(), JoinError>;

    /// Takes a socket out of a room. The room is removed with its last member. A socket cannot leave the room of its
    /// own id.
    fn del(&self, id: &SocketId, room: &str);

    /// Removes a socket and takes it out of all its rooms.
    fn del_all(&self, id: &SocketId);

    /// Delivers an event to the sockets that the options select. Each socket receives one copy. Returns the number of
    /// receivers in this process.
    fn broadcast(&self, event: &EncodedEvent, options: &BroadcastOptions) -> usize;

    /// Returns the socket of this process with this id.
    fn local_socket(&self, id: &SocketId) -> Option<Arc<dyn LocalSocket>>;

    /// Returns the sockets of this process that the options select, in no particular order.
    fn local_sockets(&self, options: &BroadcastOptions) -> Vec<Arc<dyn LocalSocket>>;

    /// Returns the ids of the sockets of this process that the options select, in no particular order.
    fn sockets(&self, options: &BroadcastOptions) -> Vec<SocketId>;

    /// Returns the rooms of a socket, starting with the room of its own id. The list is empty if the adapter has no
    /// socket with this id.
    fn socket_rooms(&self, id: &SocketId) -> Vec<Room>;

    /// Puts the sockets that the options select into rooms. If the limits of a socket do not allow a room, the socket
    /// is told through [`on_join_error`](LocalSocket::on_join_error). It has then joined the rooms before that room in
    /// `rooms`, and none after it.
    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[&str]);

    /// Takes the sockets that the options select out of rooms.
    fn del_sockets(&self, options: &BroadcastOptions, rooms: &[&str]);

    /// Disconnects the sockets that the options select. See [`LocalSocket::disconnect`].
    fn disconnect_sockets(&self, options: &BroadcastOptions, close_connection: bool);

    /// Sets the function that is called with each later change of the rooms of this process. The server calls this at
    /// most once, before the first socket, and only if the program has an observer. A second call has no effect. The
    /// adapter holds no lock while it calls the function. Default: does nothing, so the observers of the
    /// program learn nothing about rooms.
    ///
    /// The changes that one thread causes are reported in their order. Those of two threads may be reported in another
    /// order.
    fn observe_rooms(&self, observer: RoomObserver) {
        drop(observer);
    }

    /// Returns the number of processes that share the namespace, including this one.
    fn server_count(&self) -> usize;
}
