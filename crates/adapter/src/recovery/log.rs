//! The log of a namespace: its recent events, in the order in which they were delivered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use socketio_proto::{EncodedEvent, StoredEvent};
use ws_proto::Time;

use super::assigned::AssignedOffsets;
use super::candidates::Candidates;
use super::memberships::{Memberships, Period};
use super::offset::{Epoch, Position};
use super::private_log::PrivateLog;
use super::room_positions::RoomPositions;
use super::{ClaimError, RecoveryOptions};
use crate::options::BroadcastOptions;

/// The recent events of a namespace. It is bounded by bytes and by time.
#[derive(Debug)]
pub(crate) struct Log {
    /// The events that may have been sent to several sockets, in the order of their positions.
    shared: VecDeque<(Position, Entry)>,
    /// The position of the last shared event that was dropped.
    start: Position,
    by_room: RoomPositions,
    private: PrivateLog,
    last: Position,
    shared_bytes: usize,
    max_bytes: usize,
    max_age: Duration,
    epoch: Epoch,
    /// Everything up to this position may have a gap.
    gap: Position,
    offsets: AssignedOffsets,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// The event with its offset. `None` if it was too large to be kept.
    event: Option<StoredEvent>,
    pub(super) options: BroadcastOptions,
    time: Time,
    bytes: usize,
    assigned: Option<Arc<str>>,
}

/// Whether an event was sent to one socket only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    OneSocket,
    Several,
}

/// What an offset says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    At(Position),
    /// It is an offset of another epoch.
    Other,
    /// It has no form of an offset, or no event has had it.
    Invalid,
}

/// The number of due events that are dropped with each new one, so that no call takes long.
const DUE_PER_EVENT: usize = 32;

impl Log {
    pub(super) fn new(options: &RecoveryOptions) -> Self {
        let max_bytes = options.max_log_bytes;
        Self {
            shared: VecDeque::new(),
            start: 0,
            by_room: RoomPositions::default(),
            private: PrivateLog::new(max_bytes / 2, options.max_private_bytes),
            last: 0,
            shared_bytes: 0,
            max_bytes,
            max_age: options.max_log_age,
            epoch: Epoch::from_random(options.random),
            gap: 0,
            offsets: AssignedOffsets::default(),
        }
    }

    /// Returns the position of the last event.
    pub(super) fn last(&self) -> Position {
        self.last
    }

    /// Returns the offset of the last event.
    pub(super) fn current_offset(&self) -> String {
        self.offsets.last().map_or_else(|| self.epoch.offset(self.last), str::to_owned)
    }

    /// Returns the offset of the last event, if a message bus has assigned it.
    pub(super) fn assigned_offset(&self) -> Option<&str> {
        self.offsets.last()
    }

    /// Returns the offset that the next event gets, unless a message bus assigns it.
    pub(super) fn next_offset(&self) -> String {
        self.epoch.offset(self.last + 1)
    }

    /// Appends an event, which has its offset. `assigned` is the offset if a message bus has assigned it.
    pub(super) fn push(
        &mut self,
        event: &EncodedEvent,
        options: BroadcastOptions,
        audience: Audience,
        assigned: Option<&str>,
        now: Time,
    ) {
        self.last += 1;
        let position = self.last;
        let places = match audience {
            Audience::OneSocket => PrivateLog::memory(),
            Audience::Several => RoomPositions::memory(&options),
        };
        let event = event.to_stored();
        let bytes = places + Entry::memory(&options, assigned) + event.memory();
        let assigned = self.offsets.push(assigned, position);
        let entry = Entry { event: Some(event), options, time: now, bytes, assigned };
        match audience {
            Audience::OneSocket => self.private.push(position, entry, &mut self.offsets),
            Audience::Several => {
                self.shared_bytes += bytes;
                self.by_room.push(&entry.options, position);
                self.shared.push_back((position, entry));
            }
        }
        while self.bytes() > self.max_bytes && self.pop_shared() {}
        self.drop_due(now, DUE_PER_EVENT);
    }

    /// Notes that events may be missing here. What came before is of no use any more: returns it.
    pub(super) fn note_gap(&mut self) -> Self {
        let position = self.last + 1;
        let next = Self {
            shared: VecDeque::new(),
            start: position,
            by_room: RoomPositions::default(),
            private: self.private.empty_copy(),
            last: position,
            shared_bytes: 0,
            epoch: self.epoch.next(),
            gap: position,
            offsets: AssignedOffsets::default(),
            ..*self
        };
        std::mem::replace(self, next)
    }

    pub(super) fn find(&self, offset: &str) -> Found {
        if self.offsets.last() == Some(offset) {
            return Found::At(self.last);
        }
        if let Some(position) = self.offsets.find(offset) {
            return Found::At(position);
        }
        match self.epoch.parse(offset) {
            Some(Some(position)) if position <= self.last => Found::At(position),
            Some(Some(_)) | None => Found::Invalid,
            Some(None) => Found::Other,
        }
    }

    /// Returns whether there may be a gap after this position.
    pub(super) fn has_gap_after(&self, position: Position) -> bool {
        position < self.gap
    }

    /// Adds the events after a position that were sent to all sockets, to the socket with this id, or to a room while that
    /// socket was in it. An error means that some are not in the log any more, or that these are too many.
    ///
    /// The cost depends on the number of rooms and of events for them, and not on the length of the log.
    pub(super) fn add_sent_to(
        &self,
        id: &str,
        rooms: &Memberships,
        after: Position,
        found: &mut Candidates,
    ) -> Result<(), ClaimError> {
        if after < self.start || after < self.private.start() {
            return Err(ClaimError::LogTooShort);
        }
        self.by_room.add_sent_to_all(after, found)?;
        self.by_room.add_sent_to(id, after, Position::MAX, found)?;
        self.private.add_sent_to(id, after, Position::MAX, found)?;
        for Period { room, since, until } in rooms.periods().filter(|period| after < period.until) {
            let after = after.max(since);
            self.by_room.add_sent_to(room, after, until, found)?;
            // Only the id of a socket can be the room of events for one socket.
            if room.socket_id().is_some() {
                self.private.add_sent_to(room, after, until, found)?;
            }
        }
        Ok(())
    }

    /// Returns the events at these positions, which are in order.
    pub(super) fn entries(&self, positions: &[Position]) -> impl Iterator<Item = (Position, &Entry)> {
        let mut from = 0;
        positions.iter().filter_map(move |position| {
            let found = self.seek(*position, from);
            let (Ok(index) | Err(index)) = found;
            from = index;
            let entry = match found {
                Ok(index) => &self.shared.get(index)?.1,
                Err(_) => self.private.get(*position)?,
            };
            Some((*position, entry))
        })
    }

    /// Returns the events at these positions, which are in order, for a client that has missed them.
    pub(super) fn share(&mut self, positions: &[Position]) -> Vec<EncodedEvent> {
        let mut events = Vec::with_capacity(positions.len());
        let mut from = 0;
        for position in positions {
            let found = self.seek(*position, from);
            let (Ok(index) | Err(index)) = found;
            from = index;
            let entry = match found {
                Ok(index) => self.shared.get_mut(index).map(|(_, entry)| entry),
                Err(_) => self.private.get_mut(*position),
            };
            events.extend(entry.and_then(Entry::share));
        }
        events
    }

    /// Returns the index of the shared event at a position that is not before the index `from`, or the index of the next one
    /// if there is none. The next position is usually near: the search begins there.
    fn seek(&self, position: Position, from: usize) -> Result<usize, usize> {
        let is_before = |index: usize| self.shared.get(index).is_some_and(|(at, _)| *at < position);
        let (mut low, mut width) = (from, 1);
        while is_before(low + width - 1) {
            low += width;
            width *= 2;
        }
        let mut high = low + width - 1;
        while low < high {
            let middle = low.midpoint(high);
            if is_before(middle) { low = middle + 1 } else { high = middle }
        }
        let is_there = self.shared.get(low).is_some_and(|(at, _)| *at == position);
        if is_there { Ok(low) } else { Err(low) }
    }

    /// Returns the position up to which events that may have been sent to several sockets were dropped.
    pub(super) fn start(&self) -> Position {
        self.start
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let shared = self.shared.front().map(|(_, entry)| entry.time);
        [shared, self.private.oldest()].into_iter().flatten().min().map(|time| time + self.max_age)
    }

    /// Drops the events whose time is over, at most `max`. Returns how many.
    pub(super) fn drop_due(&mut self, now: Time, max: usize) -> usize {
        let is_due = |time: Option<Time>, max_age| time.is_some_and(|time| time + max_age <= now);
        for dropped in 0..max {
            let is_dropped = if is_due(self.shared.front().map(|(_, entry)| entry.time), self.max_age) {
                self.pop_shared()
            } else {
                is_due(self.private.oldest(), self.max_age) && self.private.pop(&mut self.offsets)
            };
            if !is_dropped {
                return dropped;
            }
        }
        max
    }

    pub(super) fn len(&self) -> usize {
        self.shared.len() + self.private.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.shared_bytes + self.private.bytes()
    }

    /// Drops the oldest shared event. Returns `false` if there is none.
    fn pop_shared(&mut self) -> bool {
        let Some((position, entry)) = self.shared.pop_front() else { return false };
        self.start = position;
        self.shared_bytes -= entry.bytes;
        self.by_room.pop(&entry.options, position);
        self.offsets.remove(&entry);
        if self.shared.is_empty() {
            self.shared = VecDeque::new();
        } else if self.shared.capacity() > 64 && self.shared.len() < self.shared.capacity() / 4 {
            self.shared.shrink_to(self.shared.len() * 2);
        }
        true
    }
}

impl Entry {
    /// Returns the size of an entry in bytes without its event: with the names of its rooms, which it shares with others.
    fn memory(options: &BroadcastOptions, assigned: Option<&str>) -> usize {
        let rooms = options.rooms.iter().chain(&options.except);
        let names = rooms.map(|room| room.len() + size_of_val(room)).sum::<usize>();
        // The offset is also a key of the map.
        let offset = assigned.map_or(0, |offset| offset.len() + 64);
        size_of::<(Position, Self)>() + names + offset
    }

    /// Drops the event, and keeps its place. Returns the freed bytes.
    pub(super) fn empty(&mut self) -> usize {
        let freed = self.event.take().map_or(0, |event| event.memory());
        self.bytes -= freed;
        freed
    }

    fn share(&mut self) -> Option<EncodedEvent> {
        self.event.as_mut().map(StoredEvent::share)
    }

    pub(super) fn time(&self) -> Time {
        self.time
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn assigned(&self) -> Option<&Arc<str>> {
        self.assigned.as_ref()
    }
}
