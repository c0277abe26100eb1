//! The log of a namespace: its recent events, in the order in which they were delivered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use socketio_proto::{EncodedEvent, StoredEvent};
use ws_proto::Time;

use super::assigned::AssignedOffsets;
use super::budget::Charge;
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
    shared: VecDeque<(Position, Box<Entry>)>,
    /// The position of the last shared event that was dropped.
    start: Position,
    by_room: RoomPositions,
    private: PrivateLog,
    last: Position,
    shared_bytes: usize,
    charge: Charge,
    max_age: Duration,
    epoch: Epoch,
    /// Everything up to this position may have a gap.
    gap: Position,
    offsets: AssignedOffsets,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// The event with its offset. `None` if it did not fit.
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

/// How much is dropped with each new event, because its time is over or because it would not fit: one for each event, and one
/// more for each room that the event was sent to. No event of the namespace can be sent meanwhile.
const DROPPED_PER_EVENT: usize = 256;
const DUE_PER_EVENT: usize = 32;

impl Log {
    pub(super) fn new(options: &RecoveryOptions) -> Self {
        let total = options.budget.as_ref().map(|budget| Arc::clone(&budget.log_bytes));
        Self {
            shared: VecDeque::new(),
            start: 0,
            by_room: RoomPositions::default(),
            private: PrivateLog::new(options.max_private_bytes),
            last: 0,
            shared_bytes: 0,
            charge: Charge::new(options.max_log_bytes, total),
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
    #[cfg(feature = "cluster")]
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
        let mut entry = Box::new(Entry { event: Some(event), options, time: now, bytes, assigned });
        self.charge.reserve(bytes);
        if bytes > self.charge.limit() {
            entry.empty();
        }
        let mut work = DROPPED_PER_EVENT;
        match audience {
            Audience::OneSocket => {
                self.private.push(position, entry, &self.charge, &mut self.offsets, &mut work);
                self.make_room(0, &mut work);
                if self.bytes() > self.charge.hard_limit() {
                    self.private.empty(position);
                }
            }
            Audience::Several => self.push_shared(position, entry, &mut work),
        }
        self.drop_old(now, DUE_PER_EVENT);
        self.charge.settle(self.bytes());
    }

    /// Appends an event that may have been sent to several sockets. Old events that are many and small are not all dropped for
    /// one large event, because this takes long: then the log exceeds its limit, and later events drop them. If it would exceed
    /// the limit by too much, the new event is not kept.
    fn push_shared(&mut self, position: Position, mut entry: Box<Entry>, work: &mut usize) {
        self.make_room(entry.bytes, work);
        let max_bytes = self.charge.hard_limit();
        if self.bytes() + entry.bytes > max_bytes {
            entry.empty();
        }
        if self.bytes() + entry.bytes > max_bytes {
            // Its rooms alone are too many. It is missing for everybody.
            self.offsets.remove(&entry);
            self.start = position;
            return;
        }
        self.shared_bytes += entry.bytes;
        self.by_room.push(&entry.options, position);
        self.shared.push_back((position, entry));
    }

    /// Drops the oldest shared events until there is room for this many bytes, or `work` is done.
    fn make_room(&mut self, bytes: usize, work: &mut usize) {
        while self.bytes() + bytes > self.charge.limit() && *work > 0 {
            let Some(done) = self.pop_shared() else { return };
            *work = work.saturating_sub(done);
        }
    }

    /// Notes that events may be missing here. What came before is of no use any more: returns it.
    #[cfg(feature = "cluster")]
    pub(super) fn note_gap(&mut self) -> Self {
        let position = self.last + 1;
        let next = Self {
            shared: VecDeque::new(),
            start: position,
            by_room: RoomPositions::default(),
            private: self.private.empty_copy(),
            last: position,
            shared_bytes: 0,
            charge: self.charge.empty_copy(),
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
                Ok(index) => &*self.shared.get(index)?.1,
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
                Ok(index) => self.shared.get_mut(index).map(|(_, entry)| &mut **entry),
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
        if self.bytes() > self.charge.limit() {
            return Some(Time::ZERO);
        }
        let shared = self.shared.front().map(|(_, entry)| entry.time);
        [shared, self.private.oldest()].into_iter().flatten().min().map(|time| time + self.max_age)
    }

    /// Drops events whose time is over, or that do not fit, until `work` is done. Returns what is left of it.
    pub(super) fn drop_due(&mut self, now: Time, work: usize) -> usize {
        // What the namespace may keep depends on what others keep meanwhile.
        self.charge.reserve(0);
        let left = self.drop_old(now, work);
        self.charge.settle(self.bytes());
        left
    }

    fn drop_old(&mut self, now: Time, mut work: usize) -> usize {
        let max_age = self.max_age;
        let is_due = |time: Option<Time>| time.is_some_and(|time| time + max_age <= now);
        while work > 0 {
            let does_not_fit = self.bytes() > self.charge.limit();
            let done = if does_not_fit || is_due(self.shared.front().map(|(_, entry)| entry.time)) {
                self.pop_shared()
            } else {
                None
            };
            let done = done.or_else(|| {
                let is_dropped =
                    (does_not_fit || is_due(self.private.oldest())) && self.private.pop(&mut self.offsets);
                is_dropped.then_some(1)
            });
            let Some(done) = done else { return work };
            work = work.saturating_sub(done);
        }
        0
    }

    pub(super) fn len(&self) -> usize {
        self.shared.len() + self.private.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.shared_bytes + self.private.bytes()
    }

    /// Drops the oldest shared event. Returns how much work this was, or `None` if there is no event.
    fn pop_shared(&mut self) -> Option<usize> {
        let (position, entry) = self.shared.pop_front()?;
        // Everything may be missing up to a later event, which was not kept.
        self.start = self.start.max(position);
        self.shared_bytes -= entry.bytes;
        self.by_room.pop(&entry.options, position);
        self.offsets.remove(&entry);
        if self.shared.is_empty() {
            self.shared = VecDeque::new();
        } else if self.shared.capacity() > 64 && self.shared.len() < self.shared.capacity() / 4 {
            self.shared.shrink_to(self.shared.len() * 2);
        }
        Some(1 + entry.options.rooms.len())
    }
}

impl Entry {
    /// Returns the size of an entry in bytes without its event: with the names of its rooms, which it shares with others.
    fn memory(options: &BroadcastOptions, assigned: Option<&str>) -> usize {
        let rooms = options.rooms.iter().chain(&options.except);
        let names = rooms.map(|room| room.len() + size_of_val(room)).sum::<usize>();
        // The offset is also a key of the map.
        let offset = assigned.map_or(0, |offset| offset.len() + 64);
        // The queue or the map is at least half full.
        2 * size_of::<(Position, Box<Self>)>() + size_of::<Self>() + names + offset
    }

    /// Returns whether the event did not fit. Its place says what is missing.
    pub(super) fn is_empty(&self) -> bool {
        self.event.is_none()
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
