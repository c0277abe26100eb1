//! The rooms of one session, and when it was in them.

use std::collections::{HashMap, VecDeque};

use super::offset::Position;
use crate::options::BroadcastOptions;
use crate::room::Room;

/// The rooms that the socket of a session is in, and those that it was in recently. The room of its own id is not
/// stored.
#[derive(Debug, Clone, Default)]
pub(super) struct Memberships {
    /// The rooms with the position of the last event before the socket joined.
    joined: HashMap<Room, Position>,
    /// The rooms that the socket has left, in the order in which it left them.
    left: VecDeque<Left>,
    /// Before this position, rooms may be missing in `left`.
    complete_after: Position,
}

/// The rooms of a session in the form in which they move to another server.
#[cfg(feature = "cluster")]
pub(super) struct Exported {
    pub(super) rooms: Vec<(Room, u64)>,
    pub(super) left: Vec<(Room, u64, u64)>,
    pub(super) complete_after: u64,
}

/// A time in which a socket was in a room: the events after `since`, and not after `until`, selected it.
pub(super) struct Period<'m> {
    pub(super) room: &'m Room,
    pub(super) since: Position,
    pub(super) until: Position,
}

#[derive(Debug, Clone)]
struct Left {
    room: Room,
    since: Position,
    until: Position,
}

impl Memberships {
    /// Notes that the socket has joined a room after the event at `position`.
    pub(super) fn join(&mut self, room: Room, position: Position) {
        self.joined.entry(room).or_insert(position);
    }

    /// Notes that the socket has left a room after the event at `position`. `log_start` is the position before the first
    /// event that the log still has.
    pub(super) fn leave(&mut self, room: &Room, position: Position, log_start: Position, max_left: usize) {
        let Some((room, since)) = self.joined.remove_entry(room) else { return };
        if self.joined.capacity() > 64 && self.joined.len() < self.joined.capacity() / 4 {
            self.joined.shrink_to(self.joined.len() * 2);
        }
        while self.left.front().is_some_and(|left| left.until <= log_start) {
            self.left.pop_front();
        }
        // No event came while it was in the room.
        if since == position {
            return;
        }
        self.left.push_back(Left { room, since, until: position });
        self.forget_oldest(max_left);
    }

    /// Forgets the rooms that the socket has left first, if there are more than `max_left`.
    fn forget_oldest(&mut self, max_left: usize) {
        while self.left.len() > max_left {
            let Some(forgotten) = self.left.pop_front() else { return };
            self.forget_until(forgotten.until);
        }
    }

    /// Returns whether all rooms after this position are known.
    pub(super) fn are_known_after(&self, position: Position) -> bool {
        position >= self.complete_after
    }

    /// Returns the times in which the socket was in its rooms.
    pub(super) fn periods(&self) -> impl Iterator<Item = Period<'_>> {
        let joined =
            self.joined.iter().map(|(room, since)| Period { room, since: *since, until: Position::MAX });
        let left =
            self.left.iter().map(|Left { room, since, until }| Period { room, since: *since, until: *until });
        joined.chain(left)
    }

    /// Returns whether an event at `position`, which was sent to a room of the socket, was not for it: the socket has the id
    /// `id`.
    pub(super) fn are_excluded(&self, id: &str, options: &BroadcastOptions, position: Position) -> bool {
        let is_in = |room: &Room| {
            room.as_str() == id
                || !options.private
                    && (self.joined.get(room).is_some_and(|since| *since < position)
                        || self.left.iter().any(|left| {
                            left.since < position && position <= left.until && left.room == *room
                        }))
        };
        options.except.iter().any(is_in)
            || options.private && !options.rooms.is_empty() && !options.rooms.iter().any(is_in)
    }

    /// Returns the rooms with their places converted.
    #[cfg(feature = "cluster")]
    pub(super) fn export(&self, convert: impl Fn(Position) -> u64) -> Exported {
        Exported {
            rooms: self.joined.iter().map(|(room, since)| (room.clone(), convert(*since))).collect(),
            left: self
                .left
                .iter()
                .map(|left| (left.room.clone(), convert(left.since), convert(left.until)))
                .collect(),
            complete_after: convert(self.complete_after),
        }
    }

    /// The reverse of [`export`](Self::export). The other server may have another limit for the rooms that a socket has left.
    #[cfg(feature = "cluster")]
    pub(super) fn import(exported: Exported, max_left: usize, convert: impl Fn(u64) -> Position) -> Self {
        let Exported { rooms, left, complete_after } = exported;
        let left = left.into_iter().map(|(room, since, until)| Left {
            room,
            since: convert(since),
            until: convert(until),
        });
        let mut memberships = Self {
            joined: rooms.into_iter().map(|(room, since)| (room, convert(since))).collect(),
            left: left.collect(),
            complete_after: convert(complete_after),
        };
        memberships.forget_oldest(max_left);
        memberships
    }

    /// Notes that nothing is known of the time up to `position`.
    pub(super) fn forget_until(&mut self, position: Position) {
        self.complete_after = self.complete_after.max(position);
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = &Room> + Clone {
        self.joined.keys()
    }

    /// Returns how many rooms are stored.
    pub(super) fn len(&self) -> usize {
        self.joined.len() + self.left.len()
    }

    /// Returns the size of the memory on the heap in bytes, with the names of the rooms.
    pub(super) fn memory(&self) -> usize {
        let entry = size_of::<(Room, Position)>() + 1;
        let names = self.joined.keys().chain(self.left.iter().map(|left| &left.room)).map(|room| room.len());
        self.joined.capacity() * 8 / 7 * entry
            + self.left.capacity() * size_of::<Left>()
            + names.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(room: &str) -> BroadcastOptions {
        BroadcastOptions::new().to(room)
    }

    /// Returns which of the events from 1 to 9 were for the members of a room.
    fn selected(rooms: &Memberships, room: &str) -> Vec<Position> {
        let is_in = |period: &Period<'_>, at| period.since < at && at <= period.until;
        (1..=9)
            .filter(|at| rooms.periods().any(|period| period.room.as_str() == room && is_in(&period, *at)))
            .collect()
    }

    #[test]
    fn a_socket_is_selected_from_when_it_joins_until_it_leaves() {
        let mut rooms = Memberships::default();
        rooms.join("a".into(), 2);
        rooms.leave(&"a".into(), 5, 0, 64);
        rooms.join("a".into(), 7);
        assert_eq!(selected(&rooms, "a"), [3, 4, 5, 8, 9]);
        let not_for = |options: &BroadcastOptions| -> Vec<_> {
            (1..=9).filter(|at| rooms.are_excluded("id", options, *at)).collect()
        };
        assert!(not_for(&to("a")).is_empty());
        assert_eq!(not_for(&BroadcastOptions::new().except("a")), [3, 4, 5, 8, 9]);
        assert!(rooms.are_excluded("id", &to("a").except("id"), 1), "it is always in the room of its own id");
        let mut private = to("a");
        private.private = true;
        assert!(rooms.are_excluded("id", &private, 3), "not for those who joined the room");
        assert!(!rooms.are_excluded("id", &private.to("id"), 3));
    }

    #[test]
    fn what_cannot_be_asked_for_is_not_stored() {
        let mut rooms = Memberships::default();
        for position in 0..10 {
            rooms.join("a".into(), position);
            rooms.leave(&"a".into(), position, 0, 3);
        }
        assert!(rooms.left.is_empty(), "no event came meanwhile");
        for position in 0..10 {
            rooms.join("a".into(), position);
            rooms.leave(&"a".into(), position + 1, position, 3);
            assert!(rooms.left.len() <= 2, "the log does not reach back");
            assert!(rooms.are_known_after(position));
        }
    }

    #[cfg(feature = "cluster")]
    #[test]
    fn a_copy_from_another_server_has_no_more_left_rooms_than_the_limit() {
        let left = (1..=5).map(|until| ("a".into(), until - 1, until)).collect();
        let exported = Exported { rooms: vec![], left, complete_after: 0 };
        let rooms = Memberships::import(exported, 2, |position| position);
        assert_eq!(selected(&rooms, "a"), [4, 5]);
        assert!(rooms.are_known_after(3) && !rooms.are_known_after(2));
    }

    #[test]
    fn beyond_the_limit_the_oldest_room_is_forgotten() {
        let mut rooms = Memberships::default();
        for (index, room) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let since = index as Position * 10;
            rooms.join(room.into(), since);
            rooms.leave(&room.into(), since + 5, 0, 3);
        }
        assert_eq!(rooms.left.len(), 3);
        assert!(!rooms.are_known_after(4), "`a` is forgotten");
        assert!(rooms.are_known_after(5));
        let forgotten = rooms.periods().all(|period| period.room.as_str() != "a");
        assert!(forgotten);
    }
}
