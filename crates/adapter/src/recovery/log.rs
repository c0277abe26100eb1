//! The log of a namespace: its recent events, in the order in which they were delivered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use socketio_proto::EncodedEvent;
use ws_proto::Time;

use super::RecoveryOptions;
use super::offset::{Epoch, Position};
use super::room_positions::RoomPositions;
use crate::options::BroadcastOptions;

/// The recent events of a namespace. It is bounded by bytes and by time.
#[derive(Debug)]
pub(super) struct Log {
    /// The positions of the entries are consecutive. The last one has the position `last`.
    entries: VecDeque<Entry>,
    by_room: RoomPositions,
    last: Position,
    bytes: usize,
    max_bytes: usize,
    max_age: Duration,
    epoch: Epoch,
    /// Everything up to this position may have a gap.
    gap: Position,
    /// The offset of the last event, if a message bus has assigned it.
    last_offset: Option<Arc<str>>,
    /// The positions of the entries whose offsets a message bus has assigned.
    assigned: HashMap<Arc<str>, Position>,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// The event with its offset.
    pub(super) event: EncodedEvent,
    pub(super) options: BroadcastOptions,
    time: Time,
    bytes: usize,
    assigned: Option<Arc<str>>,
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

impl Log {
    pub(super) fn new(options: &RecoveryOptions) -> Self {
        Self {
            entries: VecDeque::new(),
            by_room: RoomPositions::default(),
            last: 0,
            bytes: 0,
            max_bytes: options.max_log_bytes,
            max_age: options.max_log_age,
            epoch: Epoch::from_random(options.random),
            gap: 0,
            last_offset: None,
            assigned: HashMap::new(),
        }
    }

    /// Returns the position of the last event.
    pub(super) fn last(&self) -> Position {
        self.last
    }

    /// Returns the offset of the last event.
    pub(super) fn current_offset(&self) -> String {
        self.last_offset.as_deref().map_or_else(|| self.epoch.offset(self.last), str::to_owned)
    }

    /// Returns the offset of the last event, if a message bus has assigned it.
    pub(super) fn assigned_offset(&self) -> Option<&str> {
        self.last_offset.as_deref()
    }

    /// Returns the offset that the next event gets, unless a message bus assigns it.
    pub(super) fn next_offset(&self) -> String {
        self.epoch.offset(self.last + 1)
    }

    /// Appends an event, which has its offset. `assigned` is the offset if a message bus has assigned it.
    pub(super) fn push(
        &mut self,
        event: EncodedEvent,
        options: BroadcastOptions,
        assigned: Option<&str>,
        now: Time,
    ) {
        self.last += 1;
        self.last_offset = assigned.map(Arc::from);
        let bytes = Entry::memory(&event, &options, assigned);
        if let Some(offset) = &self.last_offset {
            self.assigned.insert(Arc::clone(offset), self.last);
        }
        self.bytes += bytes;
        self.by_room.push(&options, self.last);
        let assigned = self.last_offset.clone();
        self.entries.push_back(Entry { event, options, time: now, bytes, assigned });
        while self.bytes > self.max_bytes {
            self.pop();
        }
        self.handle_timeout(now);
    }

    /// Notes that events may be missing here. What came before is of no use any more.
    pub(super) fn note_gap(&mut self) {
        self.last += 1;
        self.gap = self.last;
        self.epoch = self.epoch.next();
        self.last_offset = None;
        self.entries = VecDeque::new();
        self.by_room = RoomPositions::default();
        self.assigned = HashMap::new();
        self.bytes = 0;
    }

    pub(super) fn find(&self, offset: &str) -> Found {
        if self.last_offset.as_deref() == Some(offset) {
            return Found::At(self.last);
        }
        if let Some(position) = self.assigned.get(offset) {
            return Found::At(*position);
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
        rooms: impl Iterator<Item = &'r str>,
    ) -> Option<impl Iterator<Item = (Position, &Entry)>> {
        let start = self.start();
        if position < start {
            return None;
        }
        let positions = self.by_room.after(position, rooms).into_iter();
        Some(positions.filter_map(move |at| {
            let index = usize::try_from(at - start - 1).ok()?;
            Some((at, self.entries.get(index)?))
        }))
    }

    /// Returns the position before the first event in the log.
    pub(super) fn start(&self) -> Position {
        self.last - self.entries.len() as u64
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.entries.front().map(|entry| entry.time + self.max_age)
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            self.pop();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn pop(&mut self) {
        let position = self.start() + 1;
        let Some(entry) = self.entries.pop_front() else { return };
        self.bytes -= entry.bytes;
        self.by_room.pop(&entry.options, position);
        if let Some(offset) = &entry.assigned {
            self.assigned.remove(offset);
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
            self.assigned = HashMap::new();
        } else if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }
}

impl Entry {
    /// Returns the size of an entry in bytes: its event with all forms of it that were made for its receivers, and the
    /// names of its rooms, which it shares with others.
    fn memory(event: &EncodedEvent, options: &BroadcastOptions, assigned: Option<&str>) -> usize {
        let rooms = options.rooms.iter().chain(&options.except);
        let names = rooms.map(|room| room.len() + size_of_val(room)).sum::<usize>();
        let positions = RoomPositions::memory(options);
        // The offset is also a key of the map.
        let offset = assigned.map_or(0, |offset| offset.len() + 64);
        size_of::<Self>() + event.message().memory() + names + positions + offset
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
