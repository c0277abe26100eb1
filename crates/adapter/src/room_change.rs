//! Changes of the rooms of an adapter, for observers.

use socketio_proto::SocketId;

use crate::room::Room;

/// A change of the rooms of one adapter. The variants are the events of Node's adapters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomChange {
    /// A room has its first member: `create-room` in Node.
    Created {
        /// The room.
        room: Room,
    },
    /// A socket has joined a room: `join-room` in Node.
    Joined {
        /// The room.
        room: Room,
        /// The id of the socket.
        socket: SocketId,
    },
    /// A socket has left a room: `leave-room` in Node.
    Left {
        /// The room.
        room: Room,
        /// The id of the socket.
        socket: SocketId,
    },
    /// The last member has left a room: `delete-room` in Node.
    Deleted {
        /// The room.
        room: Room,
    },
}

/// A function that is called with each change of the rooms of an adapter, see
/// [`InMemoryAdapter::observe_rooms`](crate::InMemoryAdapter::observe_rooms).
pub type RoomObserver = Box<dyn Fn(&RoomChange) + Send + Sync>;
