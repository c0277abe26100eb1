//! The receivers of an operation, and the flags of its delivery.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::room::Room;

/// Selects the sockets of an operation. The default selects every socket of the namespace, in all processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastOptions {
    /// Selects the members of any of these rooms. If the list is empty, selects all sockets of the namespace.
    pub rooms: SmallVec<[Room; 1]>,
    /// Excludes the members of any of these rooms.
    pub except: SmallVec<[Room; 1]>,
    /// What happens to the event for a receiver whose connection is behind.
    pub policy: DeliveryPolicy,
    /// If `true`, selects only sockets of this process.
    pub local: bool,
    /// If `true`, each of `rooms` is the id of a socket and selects that socket, not others that have joined the room of
    /// this name.
    pub private: bool,
}

/// What happens to an event for a receiver whose connection is behind: it has not yet sent what it was given before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryPolicy {
    /// The event is queued. If too much is queued, the receiver is disconnected.
    #[default]
    Queue,
    /// The event is dropped.
    Volatile,
    /// The event replaces an earlier one with this key that is still waiting, and is sent when the connection has sent
    /// everything before it.
    KeepLatest(Arc<str>),
}

impl BroadcastOptions {
    /// Creates options that select every socket of the namespace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a room to the selection. The first call limits the selection to the members of `room`. Each further call
    /// adds the members of one more room.
    #[must_use]
    pub fn to(mut self, room: impl Into<Room>) -> Self {
        self.rooms.push(room.into());
        self
    }

    /// Excludes the members of `room`.
    #[must_use]
    pub fn except(mut self, room: impl Into<Room>) -> Self {
        self.except.push(room.into());
        self
    }
}
