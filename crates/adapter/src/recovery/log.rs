//! The log of a namespace: its recent events, in the order in which they were delivered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use socketio_proto::{EncodedEvent, StoredEvent};
use ws_proto::Time;

use super::RecoveryOptions;
use super::assigned::AssignedOffsets;
use super::offset::{Epoch, Position};
use super::private_log::PrivateLog;
use super::room_positions::RoomPositions;
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

    /// Returns the events after a position that were sent to all sockets or to one of these rooms, with their positions.
    /// `None` if some are not in the log any more.
    pub(super) fn after<'r>(
        &self,
        position: Position,
        rooms: impl Iterator<Item = &'r str> + Clone,
    ) -> Option<impl Iterator<Item = (Position, &Entry)>> {
        if position < self.start {
            return None;
        }
        let mut positions = self.private.after(position, rooms.clone())?;
        self.by_room.add_after(position, rooms, &mut positions);
        positions.sort_unstable();
        positions.dedup();
        Some(positions.into_iter().filter_map(|at| Some((at, self.get(at)?))))
    }

    fn get(&self, position: Position) -> Option<&Entry> {
        match self.shared.binary_search_by_key(&position, |(at, _)| *at) {
            Ok(index) => Some(&self.shared.get(index)?.1),
            Err(_) => self.private.get(position),
        }
    }

    /// Returns the events at these positions.
    pub(super) fn share(&mut self, positions: &[Position]) -> Vec<EncodedEvent> {
        positions.iter().filter_map(|at| self.get_mut(*at)?.share()).collect()
    }

    fn get_mut(&mut self, position: Position) -> Option<&mut Entry> {
        match self.shared.binary_search_by_key(&position, |(at, _)| *at) {
            Ok(index) => Some(&mut self.shared.get_mut(index)?.1),
            Err(_) => self.private.get_mut(position),
        }
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
