//! The rooms: who is in them, and their last messages.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Serialize;
use tidewire::server::ClientNetwork;

use super::limits::{
    EMPTY_ROOM_LIFE, MAX_ID_BYTES, MAX_KEPT_PICTURE_BYTES, MAX_MESSAGES, MAX_ROOMS, MAX_ROOMS_OF_ADDRESS,
    Refusal,
};
use super::picture::Picture;
use super::room::{Member, Person, Room};

/// The rooms that always exist.
const PERMANENT: [&str; 3] = ["lobby", "rust", "pictures"];

/// All rooms of the chat.
pub(super) struct Rooms {
    /// Makes ids that everyone may know from secrets that nobody else may know.
    keys: RandomState,
    /// Tells the messages of this process from those of an earlier one.
    epoch: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rooms: BTreeMap<String, Room>,
    /// The number of the last member.
    members: u64,
    /// The number of the last message.
    messages: u64,
    /// The rooms with pictures, in the order of the pictures, and the keys of their messages.
    pictures: VecDeque<(String, String)>,
    picture_bytes: usize,
    /// The rooms whose people will be announced.
    changed: BTreeSet<String>,
    /// Whether the list of rooms will be announced.
    is_list_changed: bool,
}

/// A message in a room.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Message {
    /// Different for each message of this server.
    key: String,
    /// What the page of the sender has called it.
    id: String,
    from: Person,
    /// Milliseconds since 1970.
    at: u64,
    content: Content,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Content {
    Text(String),
    Picture(Picture),
    /// The picture is not kept any more.
    Gone,
}

/// A row of the list of rooms.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct RoomSummary {
    name: String,
    people: usize,
}

impl Rooms {
    pub(super) fn new(started: SystemTime) -> Self {
        let rooms = PERMANENT.map(|name| (name.to_owned(), Room::new(name)));
        let state = State { rooms: rooms.into(), ..State::default() };
        Self { keys: RandomState::new(), epoch: milliseconds(started), state: Mutex::new(state) }
    }

    /// Returns the public id of the person with this secret. It is the same as long as the process lives.
    pub(super) fn person_id(&self, secret: &str) -> String {
        format!("{:016x}", self.keys.hash_one(secret))
    }

    /// Returns a new connection from this network.
    pub(super) fn new_member(&self, network: Option<ClientNetwork>) -> Member {
        let mut state = self.lock();
        state.members += 1;
        Member { number: state.members, network }
    }

    /// Opens a room, and returns whether it is new. Rooms that have been empty for a while make room for it.
    pub(super) fn open(&self, name: &str, by: Member, now: Instant) -> Result<bool, Refusal> {
        let mut state = self.lock();
        state.remove_abandoned(now);
        if state.rooms.contains_key(name) {
            return Ok(false);
        }
        if state.rooms.len() >= MAX_ROOMS {
            return Err(Refusal::TooManyRooms);
        }
        let of_address = |room: &&Room| by.network.is_some() && room.opened_by == by.network;
        if state.rooms.values().filter(of_address).count() >= MAX_ROOMS_OF_ADDRESS {
            return Err(Refusal::TooManyRoomsOfAddress);
        }
        let room = Room { opened_by: by.network, empty_since: Some(now), ..Room::new(name) };
        if state.rooms.values().any(|other| other.look.is_like(&room.look)) {
            return Err(Refusal::RoomNameTaken);
        }
        state.rooms.insert(name.to_owned(), room);
        state.is_list_changed = true;
        Ok(true)
    }

    /// Adds a member to a room. Returns the person as the room shows it, and whether the member was not there before. If
    /// somebody else in the room has a name that looks the same, the name gets a number.
    pub(super) fn enter(
        &self,
        room: &str,
        member: Member,
        person: &Person,
        now: Instant,
    ) -> Result<(Person, bool), Refusal> {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.remove_abandoned(now);
        let room = state.rooms.get_mut(room).ok_or(Refusal::NoRoom)?;
        let (person, is_new) = room.enter(member, person)?;
        state.is_list_changed |= is_new;
        Ok((person, is_new))
    }

    /// Removes a member from a room.
    pub(super) fn leave(&self, room: &str, member: Member, now: Instant) {
        self.lock().leave(room, member, now);
    }

    /// Removes a member from the room that it is in, and returns the room.
    pub(super) fn leave_all(&self, member: Member, now: Instant) -> Option<String> {
        let mut state = self.lock();
        let (name, _) = state.rooms.iter().find(|(_, room)| room.members.contains_key(&member.number))?;
        let name = name.clone();
        state.leave(&name, member, now);
        Some(name)
    }

    /// Changes the name under which a member is shown, and returns whether it is another one. Refuses a name that looks
    /// like that of somebody else in the room.
    pub(super) fn rename(&self, room: &str, member: Member, person: &Person) -> Result<bool, Refusal> {
        let mut state = self.lock();
        state.rooms.get_mut(room).map_or(Ok(false), |room| room.rename(member, person))
    }

    /// Keeps a message. If the same person has sent the same id to the room before, returns that message and `false`.
    pub(super) fn say(
        &self,
        room: &str,
        id: String,
        from: Person,
        content: Content,
        now: SystemTime,
    ) -> Result<(Message, bool), Refusal> {
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            return Err(Refusal::MessageId);
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        let messages = &mut state.rooms.get_mut(room).ok_or(Refusal::NoRoom)?.messages;
        if let Some(sent) = messages.iter().find(|sent| sent.id == id && sent.from.id == from.id) {
            return Ok((sent.clone(), false));
        }
        state.messages += 1;
        let key = format!("{:x}-{}", self.epoch, state.messages);
        if let Content::Picture(picture) = &content {
            state.picture_bytes += picture.data.len();
            state.pictures.push_back((room.to_owned(), key.clone()));
        }
        let message = Message { key, id, from, at: milliseconds(now), content };
        messages.push_back(message.clone());
        let forgotten = if messages.len() > MAX_MESSAGES { messages.pop_front() } else { None };
        state.forget(forgotten);
        state.forget_old_pictures();
        Ok((message, true))
    }

    /// Returns the people in a room, each of them once.
    pub(super) fn people(&self, room: &str) -> Vec<Person> {
        self.lock().rooms.get(room).map(Room::people).unwrap_or_default()
    }

    /// Returns the last messages of a room, the oldest one first.
    pub(super) fn messages(&self, room: &str) -> Vec<Message> {
        self.lock().rooms.get(room).map(|room| room.messages.iter().cloned().collect()).unwrap_or_default()
    }

    /// Returns the picture of the message with this key.
    pub(super) fn picture(&self, room: &str, key: &str) -> Option<Bytes> {
        let state = self.lock();
        let message = state.rooms.get(room)?.messages.iter().find(|message| message.key == key)?;
        match &message.content {
            Content::Picture(picture) => Some(picture.data.clone()),
            Content::Text(_) | Content::Gone => None,
        }
    }

    /// Returns all rooms: first those that always exist, then the others by name.
    pub(super) fn list(&self) -> Vec<RoomSummary> {
        let state = self.lock();
        let opened = state.rooms.keys().map(String::as_str).filter(|name| !PERMANENT.contains(name));
        let names = PERMANENT.into_iter().chain(opened);
        let people = |name: &str| state.rooms.get(name).map_or(0, Room::count);
        names.map(|name| RoomSummary { name: name.to_owned(), people: people(name) }).collect()
    }

    /// Notes that the people of `room` have changed. Returns whether the caller must announce it: otherwise somebody else
    /// is about to.
    pub(super) fn schedule_announcement(&self, room: &str) -> bool {
        let mut state = self.lock();
        let is_first = state.changed.is_empty();
        state.changed.insert(room.to_owned());
        is_first
    }

    /// Returns the rooms whose people have changed with their people, and whether the list of rooms has changed.
    pub(super) fn take_announcements(&self, now: Instant) -> (Vec<(String, Vec<Person>)>, bool) {
        let mut state = self.lock();
        state.remove_abandoned(now);
        let changed = std::mem::take(&mut state.changed);
        let rooms = changed.into_iter().filter_map(|name| {
            let people = state.rooms.get(&name)?.people();
            Some((name, people))
        });
        (rooms.collect(), std::mem::take(&mut state.is_list_changed))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn leave(&mut self, name: &str, member: Member, now: Instant) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        self.is_list_changed |= room.members.remove(&member.number).is_some();
        if room.members.is_empty() && !PERMANENT.contains(&name) {
            room.empty_since.get_or_insert(now);
        }
    }

    fn remove_abandoned(&mut self, now: Instant) {
        let is_abandoned = |room: &Room| {
            room.empty_since.is_some_and(|since| now.saturating_duration_since(since) >= EMPTY_ROOM_LIFE)
        };
        let mut abandoned = VecDeque::new();
        self.rooms.retain(|_, room| {
            let keeps = !is_abandoned(room);
            if !keeps {
                abandoned.append(&mut room.messages);
                self.is_list_changed = true;
            }
            keeps
        });
        for message in abandoned {
            self.forget(Some(message));
        }
    }

    /// Subtracts a message that is not kept any more.
    fn forget(&mut self, message: Option<Message>) {
        let Some(Message { key, content: Content::Picture(picture), .. }) = message else { return };
        self.picture_bytes -= picture.data.len();
        self.pictures.retain(|(_, kept)| *kept != key);
    }

    fn forget_old_pictures(&mut self) {
        while self.picture_bytes > MAX_KEPT_PICTURE_BYTES {
            let Some((room, key)) = self.pictures.pop_front() else { return };
            let messages = self.rooms.get_mut(&room).map(|room| &mut room.messages);
            let message = messages.and_then(|all| all.iter_mut().find(|message| message.key == key));
            if let Some(message) = message
                && let Content::Picture(picture) = std::mem::replace(&mut message.content, Content::Gone)
            {
                self.picture_bytes -= picture.data.len();
            }
        }
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
