//! The limits on what an adapter stores for one socket.

use std::fmt;

use crate::room::Room;

/// Limits of one socket. Each field names the attack that it protects against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of rooms that the socket may be in, not counting the room of its own id. At the limit,
    /// joining fails. Default: 10,000.
    ///
    /// Protects against clients that join more and more rooms, in programs that let clients choose the rooms.
    pub max_rooms: usize,
    /// The maximum length of a room name in bytes. The socket cannot join a room with a longer name. Default: 1,024.
    ///
    /// Protects against names of megabytes. A name is stored as long as the room has a member.
    pub max_room_name_len: usize,
}

impl Limits {
    /// Checks whether a socket may be in all of these rooms.
    pub(crate) fn check_all(&self, rooms: &[Room]) -> Result<(), JoinError> {
        rooms.iter().enumerate().try_for_each(|(joined, room)| self.check(joined, room))
    }

    /// Checks whether a socket in `joined` rooms may join one more, with this name.
    pub(crate) fn check(&self, joined: usize, name: &str) -> Result<(), JoinError> {
        if name.len() > self.max_room_name_len {
            return Err(JoinError::NameTooLong { len: name.len(), max: self.max_room_name_len });
        }
        if joined >= self.max_rooms {
            return Err(JoinError::TooManyRooms { max: self.max_rooms });
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_rooms: 10_000, max_room_name_len: 1_024 }
    }
}

/// The reason why a socket could not join a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JoinError {
    /// The socket is in the maximum number of rooms.
    TooManyRooms {
        /// The maximum number of rooms, [`Limits::max_rooms`].
        max: usize,
    },
    /// The name of the room is too long.
    NameTooLong {
        /// The length of the name in bytes.
        len: usize,
        /// The maximum length in bytes, [`Limits::max_room_name_len`].
        max: usize,
    },
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRooms { max } => write!(f, "the socket is already in {max} rooms, the maximum"),
            Self::NameTooLong { len, max } => {
                write!(f, "the room name is {len} bytes long, but the maximum is {max}")
            }
        }
    }
}

impl std::error::Error for JoinError {}
