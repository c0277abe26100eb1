//! Who is meant, and how.

use smallvec::SmallVec;

use crate::room::Room;

/// Which sockets an operation is for. The default is every socket of the namespace, in all processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastOptions {
    /// Members of any of these rooms; all sockets of the namespace if there is none.
    pub rooms: SmallVec<[Room; 1]>,
    /// But no member of any of these.
    pub except: SmallVec<[Room; 1]>,
    /// A receiver that is not ready may miss it.
    pub volatile: bool,
    /// Only sockets of this process.
    pub local: bool,
}

impl BroadcastOptions {
    /// For every socket of the namespace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For the members of `room` too, or only, if it is the first one.
    #[must_use]
    pub fn to(mut self, room: impl Into<Room>) -> Self {
        self.rooms.push(room.into());
        self
    }

    /// Not for the members of `room`.
    #[must_use]
    pub fn except(mut self, room: impl Into<Room>) -> Self {
        self.except.push(room.into());
        self
    }
}
