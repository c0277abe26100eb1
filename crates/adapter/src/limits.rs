//! How much one member may make an adapter keep.

/// Limits of one member. Each names the attack that it protects against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rooms that the member may be in, beside the one of its own id. Protects against clients that join one
    /// room after the other, where the program lets them choose. At the limit joining is refused. Default 10,000.
    pub max_rooms: usize,
    /// The longest name of a room that the member may join, in bytes. Protects against names of megabytes: a name
    /// is kept as long as its room has a member. A longer one is refused. Default 1,024.
    pub max_room_name_len: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_rooms: 10_000, max_room_name_len: 1_024 }
    }
}

/// Why a socket was not put into a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The socket is in as many rooms as it may be.
    #[error("the socket is in {limit} rooms, which is as many as it may join")]
    TooManyRooms {
        /// [`Limits::max_rooms`].
        limit: usize,
    },
    /// The name of the room is too long.
    #[error("the name of the room has {length} bytes, where {limit} are allowed")]
    NameTooLong {
        /// Bytes of the name.
        length: usize,
        /// [`Limits::max_room_name_len`].
        limit: usize,
    },
}
