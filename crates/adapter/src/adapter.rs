//! What the server above asks of an adapter, and what an adapter asks of a socket.

use std::any::Any;
use std::sync::Arc;
use std::task::Waker;

use socketio_proto::{EncodedEvent, SocketId};

use crate::limits::{JoinError, Limits};
use crate::options::BroadcastOptions;
use crate::room::Room;

/// A socket of this process, as an adapter sees it.
///
/// [`Any`] is there for the server, which gets back what it has added: `&dyn Member` is a `&dyn Any`.
pub trait LocalSocket: Any + Send + Sync {
    /// Its id, always the same.
    fn id(&self) -> SocketId;

    /// Queues an event. If that is a reason to wake the connection, the waker is returned and not called: locks of the
    /// adapter are held, and for the same reason this must neither block nor call the adapter.
    ///
    /// A `volatile` event may be dropped when the connection is not ready for it.
    fn deliver(&self, event: &EncodedEvent, volatile: bool) -> Option<Waker>;

    /// Ends the socket, and with `close_connection` its connection and every other socket on it. No lock is held.
    fn disconnect(&self, close_connection: bool);

    /// How much it may make the adapter keep. Locks of the adapter are held. Default: those of [`Limits::default`].
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// It was to join a room by [`Adapter::add_sockets`], or by another process, and its limits do not allow it. No
    /// lock is held. Default: nothing happens.
    fn on_join_error(&self, error: JoinError) {
        let _ = error;
    }
}

/// The sockets of one namespace, their rooms, and how to reach them.
///
/// All methods take effect on this process before they return. An adapter with other processes behind it tells them as
/// well, unless [`BroadcastOptions::local`] is set, and does not wait for them.
pub trait Adapter: Send + Sync {
    /// Adds a socket of this process. It is in the room of its own id and in no other. An id that is there already is
    /// removed first, with its rooms.
    fn add(&self, member: Arc<dyn LocalSocket>);

    /// Puts a socket into rooms; they come into being with their first member. Without effect if the socket is not
    /// there (any more).
    ///
    /// # Errors
    /// The first room that the socket's [`limits`](LocalSocket::limits) do not allow. It has joined those before.
    fn add_all(&self, id: SocketId, rooms: &[&str]) -> Result<(), JoinError>;

    /// Takes a socket out of a room; with its last member a room is gone. The room of its own id it cannot leave.
    fn del(&self, id: SocketId, room: &str);

    /// Removes a socket and takes it out of all its rooms.
    fn del_all(&self, id: SocketId);

    /// Delivers an event to the sockets that the options select, one copy each. Returns how many of this process there
    /// were.
    fn broadcast(&self, event: &EncodedEvent, options: &BroadcastOptions) -> usize;

    /// The socket of this process that has the id.
    fn local_socket(&self, id: SocketId) -> Option<Arc<dyn LocalSocket>>;

    /// The sockets of this process that the options select, in no particular order.
    fn local_sockets(&self, options: &BroadcastOptions) -> Vec<Arc<dyn LocalSocket>>;

    /// The ids of the sockets of this process that the options select, in no particular order.
    fn sockets(&self, options: &BroadcastOptions) -> Vec<SocketId>;

    /// The rooms of a socket, that of its own id first; none if the socket is not there.
    fn socket_rooms(&self, id: SocketId) -> Vec<Room>;

    /// Puts the sockets that the options select into rooms. Those whose limits do not allow one of the rooms are
    /// [told](LocalSocket::on_join_error), and have joined those before.
    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[&str]);

    /// Takes the sockets that the options select out of rooms.
    fn del_sockets(&self, options: &BroadcastOptions, rooms: &[&str]);

    /// Ends the sockets that the options select; see [`LocalSocket::disconnect`].
    fn disconnect_sockets(&self, options: &BroadcastOptions, close_connection: bool);

    /// How many processes share the namespace, this one included.
    fn server_count(&self) -> usize;
}
