//! Where in the log the events for a room are.

use std::collections::{HashMap, VecDeque};

use super::ClaimError;
use super::candidates::Candidates;
use super::offset::Position;
use crate::options::BroadcastOptions;
use crate::room::Room;

/// The positions of the events in a log, by the rooms that they were sent to. With them, the cost of a recovery depends on
/// the events for the rooms of the session, and not on the length of the log.
#[derive(Debug, Default)]
pub(super) struct RoomPositions {
    /// The events that were sent to no room, so to all sockets.
    to_all: VecDeque<Position>,
    /// Clients choose the names of rooms, so the hash is keyed.
    by_room: HashMap<Room, VecDeque<Position>>,
}

impl RoomPositions {
    /// Returns the memory that an event takes here, in bytes, if it is the only one for its rooms.
    pub(super) fn memory(options: &BroadcastOptions) -> usize {
        // Maps and queues are at least seven sixteenths full; the first queue of a room has four places.
        const PER_ROOM: usize = 2 * size_of::<(Room, VecDeque<Position>)>() + 4 * size_of::<Position>();
        match options.rooms.len() {
            0 => 2 * size_of::<Position>(),
            rooms => rooms * PER_ROOM,
        }
    }

    /// Adds an event, whose position is greater than that of any event before it.
    pub(super) fn push(&mut self, options: &BroadcastOptions, position: Position) {
        if options.rooms.is_empty() {
            self.to_all.push_back(position);
        }
        for room in &options.rooms {
            match self.by_room.get_mut(room) {
                Some(positions) if positions.back() == Some(&position) => {} // the event names the room twice
                Some(positions) => positions.push_back(position),
                None => drop(self.by_room.insert(room.clone(), VecDeque::from([position]))),
            }
        }
    }

    /// Removes the first event.
    pub(super) fn pop(&mut self, options: &BroadcastOptions, position: Position) {
        if options.rooms.is_empty() {
            pop_if_first(&mut self.to_all, position);
        }
        for room in &options.rooms {
            let Some(positions) = self.by_room.get_mut(room) else { continue };
            pop_if_first(positions, position);
            if positions.is_empty() {
                self.by_room.remove(room);
            }
        }
        if self.by_room.capacity() > 64 && self.by_room.len() < self.by_room.capacity() / 4 {
            self.by_room.shrink_to(self.by_room.len() * 2);
        }
    }

    /// Adds the events that were sent to all sockets.
    pub(super) fn add_sent_to_all(&self, after: Position, found: &mut Candidates) -> Result<(), ClaimError> {
        found.add(&self.to_all, after, Position::MAX)
    }

    /// Adds the events that were sent to a room after `after`, and not after `until`.
    pub(super) fn add_sent_to(
        &self,
        room: &str,
        after: Position,
        until: Position,
        found: &mut Candidates,
    ) -> Result<(), ClaimError> {
        self.by_room.get(room).map_or(Ok(()), |positions| found.add(positions, after, until))
    }
}

fn pop_if_first(positions: &mut VecDeque<Position>, position: Position) {
    if positions.front() == Some(&position) {
        positions.pop_front();
    }
    if positions.capacity() > 64 && positions.len() < positions.capacity() / 4 {
        positions.shrink_to(positions.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(rooms: &[&str]) -> BroadcastOptions {
        rooms.iter().fold(BroadcastOptions::new(), |options, room| options.to(*room))
    }

    #[test]
    fn the_events_for_some_rooms_are_found_once_and_in_order() {
        let mut positions = RoomPositions::default();
        let events = [to(&["a"]), to(&["b"]), to(&[]), to(&["b", "a", "b"]), to(&["c"]), to(&["a"])];
        for (options, position) in events.iter().zip(1..) {
            positions.push(options, position);
        }
        let find = |positions: &RoomPositions, after, rooms: &[&str], until| {
            let mut found = Candidates::new(100);
            positions.add_sent_to_all(after, &mut found).unwrap();
            for room in rooms {
                positions.add_sent_to(room, after, until, &mut found).unwrap();
            }
            found.take_sorted()
        };
        assert_eq!(find(&positions, 0, &["a", "b"], Position::MAX), [1, 2, 3, 4, 6]);
        assert_eq!(find(&positions, 1, &["a", "b"], 4), [2, 3, 4]);
        assert_eq!(find(&positions, 3, &["b", "d", "b"], Position::MAX), [4]);
        assert_eq!(find(&positions, 0, &[], Position::MAX), [3]);
        for (options, position) in events.iter().zip(1..).take(4) {
            positions.pop(options, position);
        }
        assert_eq!(find(&positions, 0, &["a", "b", "c"], Position::MAX), [5, 6]);
        for (options, position) in events.iter().zip(1..).skip(4) {
            positions.pop(options, position);
        }
        assert!(positions.by_room.is_empty() && positions.to_all.is_empty());
    }
}
