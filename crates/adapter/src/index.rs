//! The index of the sockets and their rooms, both stored as small numbers.
//!
//! Hot path. Sockets and rooms have numbered slots. A room is a vector of socket slots. A socket has a list of its
//! rooms, sorted by slot, with its position in the vector of each room. So a broadcast walks through a vector, and
//! leaving a room needs no search through its members. If a broadcast has several rooms or has exceptions, a binary
//! search in the list of each socket shows whether the socket is in one of these rooms. So each receiver gets one copy,
//! and the broadcast needs no set of visited sockets.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use socketio_proto::SocketId;

use crate::limits::JoinError;
use crate::local_socket::LocalSocket;
use crate::options::BroadcastOptions;
use crate::room::Room;
use crate::room_change::RoomChange;
use crate::slab::{Slab, shrink_if_sparse};

/// The sockets of a namespace and their rooms. The room of a socket's own id is not stored, because it follows from the
/// id.
pub(crate) struct RoomIndex {
    sockets: Slab<SocketEntry>,
    /// Ids are random bytes from this process, so the hash needs no key.
    by_id: FxHashMap<SocketId, u32>,
    rooms: Slab<RoomEntry>,
    /// Room names often come from clients, which must not be able to choose names that collide. So the hash is keyed.
    by_name: HashMap<Room, u32>,
    /// What has changed since [`take_changes`](RoomIndex::take_changes). `None` if nobody wants to know.
    changes: Option<Vec<RoomChange>>,
}

/// A socket and the rooms it has joined, sorted by slot. Two rooms fit without a heap allocation.
struct SocketEntry {
    socket: Arc<dyn LocalSocket>,
    rooms: SmallVec<[Membership; 2]>,
}

#[derive(Debug, Clone, Copy)]
struct Membership {
    room: u32,
    /// The index of the socket in the room's vector.
    position: u32,
}

/// A room that has members.
struct RoomEntry {
    name: Room,
    members: Vec<u32>,
}

impl RoomIndex {
    pub(crate) fn new() -> Self {
        Self {
            sockets: Slab::new(),
            by_id: FxHashMap::default(),
            rooms: Slab::new(),
            by_name: HashMap::new(),
            changes: None,
        }
    }

    /// Records the changes from now on, see [`take_changes`](Self::take_changes).
    pub(crate) fn record_changes(&mut self) {
        self.changes.get_or_insert_default();
    }

    /// Takes the recorded changes, in their order. The list is empty if they are not recorded.
    pub(crate) fn take_changes(&mut self) -> Vec<RoomChange> {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Adds a socket. Returns its slot.
    pub(crate) fn insert(&mut self, socket: Arc<dyn LocalSocket>) -> u32 {
        let id = socket.id().clone();
        if let Some(changes) = &mut self.changes {
            let room = Room::from(&id);
            // Other sockets may have joined a room of this name before.
            if !self.by_name.contains_key(id.as_str()) {
                changes.push(RoomChange::Created { room: room.clone() });
            }
            changes.push(RoomChange::Joined { room, socket: id.clone() });
        }
        let slot = self.sockets.insert(SocketEntry { socket, rooms: SmallVec::new() });
        self.by_id.insert(id, slot);
        slot
    }

    /// Returns the number of slots: one more than the highest one that is in use.
    pub(crate) fn slots(&self) -> usize {
        self.sockets.slots()
    }

    /// Removes a socket and takes it out of its rooms. The caller must drop it without holding a lock.
    pub(crate) fn remove(&mut self, id: &SocketId) -> Option<Arc<dyn LocalSocket>> {
        let slot = self.by_id.remove(id)?;
        if self.by_id.capacity() > 64 && self.by_id.len() < self.by_id.capacity() / 4 {
            self.by_id.shrink_to(self.by_id.len() * 2);
        }
        let SocketEntry { socket: member, rooms } = self.sockets.remove(slot)?;
        for membership in rooms {
            self.remove_from_room(membership, Some(id));
        }
        if let Some(changes) = &mut self.changes {
            let room = Room::from(id);
            changes.push(RoomChange::Left { room: room.clone(), socket: id.clone() });
            if !self.by_name.contains_key(id.as_str()) {
                changes.push(RoomChange::Deleted { room });
            }
        }
        Some(member)
    }

    pub(crate) fn slot(&self, id: &SocketId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    /// Returns whether there is a socket with this id that is connected.
    pub(crate) fn is_connected(&self, id: &SocketId) -> bool {
        self.slot(id).and_then(|slot| self.socket(slot)).is_some_and(|socket| socket.is_connected())
    }

    pub(crate) fn socket(&self, slot: u32) -> Option<&Arc<dyn LocalSocket>> {
        Some(&self.sockets.get(slot)?.socket)
    }

    /// Puts a socket into a room. If the limits of the socket do not allow the room, nothing changes.
    pub(crate) fn join(&mut self, slot: u32, name: &str) -> Result<(), JoinError> {
        let Some(member) = self.sockets.get_mut(slot) else { return Ok(()) };
        if member.socket.id().as_str() == name {
            return Ok(());
        }
        let known = self.by_name.get(name).copied();
        if !known.is_some_and(|room| member.is_in(room)) {
            member.check_limits(name)?;
        }
        let room = known.unwrap_or_else(|| {
            let name = Room::from(name);
            let room = self.rooms.insert(RoomEntry { name: name.clone(), members: Vec::new() });
            self.by_name.insert(name, room);
            room
        });
        let Err(at) = member.rooms.binary_search_by_key(&room, |membership| membership.room) else {
            return Ok(());
        };
        // Foreign code, so it is called before anything changes.
        let id = self.changes.is_some().then(|| member.socket.id().clone());
        let Some(entry) = self.rooms.get_mut(room) else { return Ok(()) };
        let position =
            u32::try_from(entry.members.len()).expect("a room has fewer members than there are slots");
        entry.members.push(slot);
        member.rooms.insert(at, Membership { room, position });
        if let (Some(changes), Some(socket)) = (&mut self.changes, id) {
            let room = entry.name.clone();
            // The room of a socket's own id exists as long as that socket.
            let is_new = position == 0 && !is_own_room(&self.by_id, &room);
            if is_new {
                changes.push(RoomChange::Created { room: room.clone() });
            }
            changes.push(RoomChange::Joined { room, socket });
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self, slot: u32, name: &str) {
        let Some(&room) = self.by_name.get(name) else { return };
        let Some(member) = self.sockets.get_mut(slot) else { return };
        if let Ok(at) = member.rooms.binary_search_by_key(&room, |membership| membership.room) {
            let id = self.changes.is_some().then(|| member.socket.id().clone());
            let membership = member.rooms.remove(at);
            let left = member.rooms.len();
            if member.rooms.spilled() && (left <= 2 || left < member.rooms.capacity() / 4) {
                member.rooms.shrink_to_fit();
            }
            self.remove_from_room(membership, id.as_ref());
        }
    }

    /// Returns the rooms of a socket, starting with the room of its own id.
    pub(crate) fn rooms_of(&self, slot: u32) -> Vec<Room> {
        let Some(member) = self.sockets.get(slot) else { return Vec::new() };
        let joined = member.rooms.iter().filter_map(|membership| self.rooms.get(membership.room));
        std::iter::once(Room::from(member.socket.id())).chain(joined.map(|room| room.name.clone())).collect()
    }

    /// Returns whether a socket is in a room. The room of its own id is one of its rooms.
    pub(crate) fn is_in(&self, slot: u32, name: &str) -> bool {
        self.sockets.get(slot).is_some_and(|member| {
            member.socket.id().as_str() == name
                || self.by_name.get(name).is_some_and(|room| member.is_in(*room))
        })
    }

    /// Returns whether a room has a member.
    pub(crate) fn has_room(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
            || (Room::from(name).socket_id().is_some_and(|id| self.by_id.contains_key(&*id)))
    }

    /// Returns all stored rooms with the number of their members.
    pub(crate) fn rooms(&self) -> Vec<(Room, usize)> {
        self.rooms.iter().map(|(_, room)| (room.name.clone(), room.members.len())).collect()
    }

    /// Returns the slots of the selected sockets, in no particular order.
    pub(crate) fn selected(&self, options: &BroadcastOptions) -> Vec<u32> {
        let mut slots = Vec::new();
        self.for_each_selected(options, |slot, _| slots.push(slot));
        slots
    }

    /// Visits every selected socket once, in no particular order. Hot path: it is compiled for each `visit`. Elsewhere, use
    /// [`selected`](Self::selected).
    pub(crate) fn for_each_selected(
        &self,
        options: &BroadcastOptions,
        mut visit: impl FnMut(u32, &Arc<dyn LocalSocket>),
    ) {
        let except = self.resolve(&options.except);
        let mut visit_unless_excepted = |slot, member: &SocketEntry| {
            let excepted =
                member.is_in_any(&except.rooms) || except.own_id_sockets.binary_search(&slot).is_ok();
            if !excepted {
                visit(slot, &member.socket);
            }
        };
        if options.rooms.is_empty() {
            self.sockets.iter().for_each(|(slot, member)| visit_unless_excepted(slot, member));
            return;
        }
        let mut target = self.resolve(&options.rooms);
        if options.private {
            target.rooms.clear();
        }
        for (index, &room) in target.rooms.iter().enumerate() {
            let Some(entry) = self.rooms.get(room) else { continue };
            for &slot in &entry.members {
                // A socket in several of the rooms is visited in the first of them only.
                match self.sockets.get(slot) {
                    Some(member) if !member.is_in_any(&target.rooms[..index]) => {
                        visit_unless_excepted(slot, member);
                    }
                    _ => {}
                }
            }
        }
        for &slot in &target.own_id_sockets {
            match self.sockets.get(slot) {
                Some(member) if !member.is_in_any(&target.rooms) => visit_unless_excepted(slot, member),
                _ => {}
            }
        }
    }

    /// Finds the slots for the names: slots of stored rooms, and slots of sockets whose id is one of the names.
    fn resolve(&self, names: &[Room]) -> ResolvedRooms {
        let (mut rooms, mut own_id_sockets) = (SmallVec::new(), SmallVec::new());
        for name in names {
            if let Some(room) = self.by_name.get(name.as_str()) {
                rooms.push(*room);
            }
            if let Some(slot) = name.socket_id().and_then(|id| self.slot(&id)) {
                own_id_sockets.push(slot);
            }
        }
        sort_and_dedup(&mut rooms);
        sort_and_dedup(&mut own_id_sockets);
        ResolvedRooms { rooms, own_id_sockets }
    }

    /// Removes a socket from a room's vector. The last socket of the vector moves to the free position, so its
    /// membership must be updated. `id` is the id of the socket; it is needed only if changes are recorded.
    fn remove_from_room(&mut self, Membership { room, position }: Membership, id: Option<&SocketId>) {
        let Some(entry) = self.rooms.get_mut(room) else { return };
        if let (Some(changes), Some(id)) = (&mut self.changes, id) {
            changes.push(RoomChange::Left { room: entry.name.clone(), socket: id.clone() });
        }
        entry.members.swap_remove(position as usize);
        if let Some(&moved) = entry.members.get(position as usize)
            && let Some(member) = self.sockets.get_mut(moved)
            && let Ok(at) = member.rooms.binary_search_by_key(&room, |membership| membership.room)
        {
            member.rooms[at].position = position;
        }
        if !entry.members.is_empty() {
            shrink_if_sparse(&mut entry.members);
        } else if let Some(RoomEntry { name, .. }) = self.rooms.remove(room) {
            self.by_name.remove(&name);
            if self.by_name.capacity() > 64 && self.by_name.len() < self.by_name.capacity() / 4 {
                self.by_name.shrink_to(self.by_name.len() * 2);
            }
            if let Some(changes) = &mut self.changes
                && !is_own_room(&self.by_id, &name)
            {
                changes.push(RoomChange::Deleted { room: name });
            }
        }
    }
}

/// Returns whether the room is that of the own id of a socket.
fn is_own_room(sockets: &FxHashMap<SocketId, u32>, room: &Room) -> bool {
    room.socket_id().is_some_and(|id| sockets.contains_key(&*id))
}

impl SocketEntry {
    fn is_in(&self, room: u32) -> bool {
        self.rooms.binary_search_by_key(&room, |membership| membership.room).is_ok()
    }

    /// Checks whether the socket may join one more room, with this name.
    fn check_limits(&self, name: &str) -> Result<(), JoinError> {
        self.socket.limits().check(self.rooms.len(), name)
    }

    /// Whether the socket has joined one of `rooms`, which must be sorted. Each entry of the shorter list is searched
    /// in the longer list, so that the cost stays low for many exceptions and for a socket in many rooms.
    fn is_in_any(&self, rooms: &[u32]) -> bool {
        if rooms.len() <= self.rooms.len() {
            rooms.iter().any(|room| self.is_in(*room))
        } else {
            self.rooms.iter().any(|membership| rooms.binary_search(&membership.room).is_ok())
        }
    }
}

fn sort_and_dedup(slots: &mut SmallVec<[u32; 4]>) {
    slots.sort_unstable();
    slots.dedup();
}

/// Slots of rooms and of sockets. Each list is sorted and has no duplicates.
struct ResolvedRooms {
    rooms: SmallVec<[u32; 4]>,
    own_id_sockets: SmallVec<[u32; 4]>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idle_socket::Idle;

    fn id(number: usize) -> SocketId {
        let mut random = [0; 15];
        // Spreads the ids as random bytes would.
        let spread = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        random[..8].copy_from_slice(&spread.to_le_bytes());
        random[8..].copy_from_slice(&spread.rotate_left(32).to_be_bytes()[..7]);
        SocketId::from_random(random)
    }

    impl RoomIndex {
        /// The size of the index on the heap in bytes, without the sockets themselves and the room names.
        fn memory(&self) -> usize {
            // A map has one control byte per bucket and fills at most seven of eight buckets.
            let buckets = |capacity: usize, entry: usize| capacity * 8 / 7 * (entry + 1);
            self.sockets.memory()
                + self.rooms.memory()
                + buckets(self.by_id.capacity(), size_of::<(SocketId, u32)>())
                + buckets(self.by_name.capacity(), size_of::<(Room, u32)>())
        }

        fn check(&self) {
            assert_eq!(self.by_id.len(), self.sockets.iter().count());
            assert_eq!(self.by_name.len(), self.rooms.iter().count());
            for (slot, member) in self.sockets.iter() {
                assert!(member.rooms.is_sorted_by_key(|membership| membership.room));
                for membership in &member.rooms {
                    let room = self.rooms.get(membership.room).unwrap();
                    assert_eq!(room.members[membership.position as usize], slot);
                }
            }
            let memberships: usize = self.sockets.iter().map(|(_, member)| member.rooms.len()).sum();
            let positions: usize = self.rooms.iter().map(|(_, room)| room.members.len()).sum();
            assert_eq!(memberships, positions);
        }
    }

    #[test]
    fn an_idle_member_costs_less_than_150_bytes() {
        assert_eq!(size_of::<Option<SocketEntry>>(), 40);
        let mut index = RoomIndex::new();
        // The worst case: counts just above a power of two, where a vector has just doubled, and just above seven
        // eighths of a power of two, where a map has just doubled.
        for count in 0..=131_073 {
            index.insert(Arc::new(Idle(id(count))));
            if [8193, 57_345, 65_537, 100_000, 114_689, 131_073].contains(&(count + 1)) {
                let each = index.memory() / (count + 1);
                assert!(each < 150, "{each} bytes for each of {}", count + 1);
            }
        }
    }

    #[test]
    fn memory_comes_back_after_a_burst() {
        let mut index = RoomIndex::new();
        for number in 0..10_000 {
            index.insert(Arc::new(Idle(id(number))));
            let slot = index.slot(&id(number)).unwrap();
            for room in 0..5 {
                index.join(slot, &format!("room {}", number * room)).unwrap();
            }
        }
        index.check();
        for number in 0..10_000 {
            assert!(index.remove(&id(number)).is_some());
        }
        index.check();
        assert!(index.memory() < 20_000, "{}", index.memory());
    }

    #[test]
    fn leaving_in_any_order_keeps_every_position() {
        let mut index = RoomIndex::new();
        for number in 0..50 {
            index.insert(Arc::new(Idle(id(number))));
            let slot = index.slot(&id(number)).unwrap();
            for room in ["a", "b", "c", "b"] {
                index.join(slot, room).unwrap();
            }
        }
        for step in 0..50 {
            let number = step * 7 % 50;
            let slot = index.slot(&id(number)).unwrap();
            index.leave(slot, ["a", "b", "c"][step % 3]);
            index.leave(slot, "nowhere");
            index.check();
            if step % 5 == 0 {
                index.remove(&id(number));
                index.check();
            }
        }
    }

    #[test]
    fn an_own_room_costs_no_entry_and_cannot_be_left() {
        let mut index = RoomIndex::new();
        index.insert(Arc::new(Idle(id(1))));
        let slot = index.slot(&id(1)).unwrap();
        index.join(slot, &id(1)).unwrap();
        assert!(index.by_name.is_empty());
        index.leave(slot, &id(1));
        assert_eq!(index.rooms_of(slot), [Room::from(id(1))]);
    }
}
