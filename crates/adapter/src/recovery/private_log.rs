//! The logged events that were each sent to one socket.

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{HashMap, VecDeque};

use ws_proto::Time;
use ws_proto::collections::AscendingMap;

use super::ClaimError;
use super::assigned::AssignedOffsets;
use super::budget::{Charge, with_margin};
use super::candidates::Candidates;
use super::log::Entry;
use super::offset::Position;
use crate::room::Room;

/// The events of a log that were each sent to one socket. They have limits of their own, so that a client that makes the
/// program answer without end does not push out the events of the others.
#[derive(Debug)]
pub(super) struct PrivateLog {
    /// By their positions.
    entries: AscendingMap<Box<Entry>>,
    /// By the name of the room of the socket's own id. Each of them has an entry.
    by_room: HashMap<Room, Share>,
    bytes: usize,
    /// For each socket: the setting `max_private_bytes`.
    max_share: usize,
    /// Up to this position, events of any socket may be missing.
    start: Position,
}

/// What one socket has of the log.
#[derive(Debug, Default)]
struct Share {
    positions: VecDeque<Position>,
    bytes: usize,
    /// Up to this position, events may be missing.
    start: Position,
}

impl PrivateLog {
    /// Creates an empty log. `max_share` is the maximum size of the events of one socket.
    pub(super) fn new(max_share: usize) -> Self {
        Self { entries: AscendingMap::new(), by_room: HashMap::new(), bytes: 0, max_share, start: 0 }
    }

    /// Returns an empty log with the limits of this one.
    #[cfg(feature = "cluster")]
    pub(super) fn empty_copy(&self) -> Self {
        Self::new(self.max_share)
    }

    /// Returns the memory that an entry takes here, in bytes, if it is the only one of its socket.
    pub(super) fn memory() -> usize {
        // Maps and queues are at least seven sixteenths full; the first queue of a room has four places.
        2 * size_of::<(Room, Share)>() + 4 * size_of::<Position>()
    }

    /// Adds an event, whose position is greater than that of any event before it. All events here may take half of what the log
    /// may take. At a limit, the oldest events of the same socket are dropped first. At the limit of all sockets, the oldest
    /// events of the others follow. If there are too many of them for `work`, they are dropped later, as in
    /// [`Log`](super::log::Log).
    pub(super) fn push(
        &mut self,
        position: Position,
        mut entry: Box<Entry>,
        log: &Charge,
        offsets: &mut AssignedOffsets,
        work: &mut usize,
    ) {
        let Some(room) = entry.options.rooms.first().cloned() else { return };
        let max_bytes = log.limit() / 2;
        let max_share = self.max_share.min(max_bytes);
        if entry.bytes() > max_share {
            entry.empty();
        }
        let bytes = entry.bytes();
        self.bytes += bytes;
        self.entries.insert(position, entry);
        let share = self.by_room.entry(room.clone()).or_default();
        share.bytes += bytes;
        share.positions.push_back(position);
        while let Some(share) = self.by_room.get(&room)
            && (share.bytes > max_share || self.bytes > max_bytes)
            && *work > 0
        {
            match share.positions.front() {
                Some(first) if *first < position => self.remove(*first, offsets),
                _ => break,
            }
            *work -= 1;
        }
        while self.bytes > max_bytes && *work > 0 && self.pop(offsets) {
            *work -= 1;
        }
        let share = self.by_room.get(&room).map_or(0, |share| share.bytes);
        if share > with_margin(max_share) || self.bytes > log.hard_limit() / 2 {
            self.empty(position);
        }
    }

    /// Drops the content of an event.
    pub(super) fn empty(&mut self, position: Position) {
        let Some(entry) = self.entries.get_mut(position) else { return };
        let freed = entry.empty();
        self.bytes -= freed;
        if let Some(share) = entry.options.rooms.first().and_then(|room| self.by_room.get_mut(room)) {
            share.bytes -= freed;
        }
    }

    /// Adds the events that were sent to the room of a socket after `after`, and not after `until`. An error means that some
    /// of them are not in the log any more.
    pub(super) fn add_sent_to(
        &self,
        room: &str,
        after: Position,
        until: Position,
        found: &mut Candidates,
    ) -> Result<(), ClaimError> {
        let Some(share) = self.by_room.get(room) else { return Ok(()) };
        if after < share.start {
            return Err(ClaimError::LogTooShort);
        }
        found.add(&share.positions, after, until)
    }

    /// Returns the position up to which events of any socket may be missing.
    pub(super) fn start(&self) -> Position {
        self.start
    }

    pub(super) fn get(&self, position: Position) -> Option<&Entry> {
        self.entries.get(position).map(|entry| &**entry)
    }

    pub(super) fn get_mut(&mut self, position: Position) -> Option<&mut Entry> {
        self.entries.get_mut(position).map(|entry| &mut **entry)
    }

    /// Returns the time of the oldest event.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.entries.first().map(|(_, entry)| entry.time())
    }

    /// Removes the oldest event of all. Returns `false` if there is none.
    pub(super) fn pop(&mut self, offsets: &mut AssignedOffsets) -> bool {
        let Some((position, _)) = self.entries.first() else { return false };
        self.remove(position, offsets);
        true
    }

    /// Removes the first event of a socket.
    fn remove(&mut self, position: Position, offsets: &mut AssignedOffsets) {
        let Some(entry) = self.entries.remove(position) else { return };
        self.bytes -= entry.bytes();
        offsets.remove(&entry);
        let Some(room) = entry.options.rooms.first() else { return };
        let MapEntry::Occupied(mut share) = self.by_room.entry(room.clone()) else { return };
        share.get_mut().bytes -= entry.bytes();
        share.get_mut().start = position;
        share.get_mut().positions.pop_front();
        if share.get().positions.is_empty() {
            // A share becomes empty only in `pop`, which removes the oldest event of all sockets. So nothing older is left.
            self.start = position;
            share.remove();
        } else if share.get().positions.capacity() > 64
            && share.get().positions.len() < share.get().positions.capacity() / 4
        {
            let len = share.get().positions.len();
            share.get_mut().positions.shrink_to(len * 2);
        }
        if self.by_room.capacity() > 64 && self.by_room.len() < self.by_room.capacity() / 4 {
            self.by_room.shrink_to(self.by_room.len() * 2);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
