//! The rooms: who is in them, and their last messages.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::limits::{
    EMPTY_ROOM_LIFE, MAX_ID_BYTES, MAX_KEPT_PICTURE_BYTES, MAX_MEMBERS, MAX_MESSAGES, MAX_ROOMS, Refusal,
};
use super::picture::Picture;

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

#[derive(Default)]
struct Room {
    members: HashMap<u64, Person>,
    messages: VecDeque<Message>,
    /// Since when nobody has been here. `None` for a room with people, and for one that always exists.
    empty_since: Option<Instant>,
}

/// A person, who may have several connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Person {
    pub(super) id: String,
    pub(super) name: String,
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
        let rooms = PERMANENT.map(|name| (name.to_owned(), Room::default()));
        let state = State { rooms: rooms.into(), ..State::default() };
        Self { keys: RandomState::new(), epoch: milliseconds(started), state: Mutex::new(state) }
    }

    /// Returns the public id of the person with this secret. It is the same as long as the process lives.
    pub(super) fn person_id(&self, secret: &str) -> String {
        format!("{:016x}", self.keys.hash_one(secret))
    }

    /// Returns the number of a new connection.
    pub(super) fn new_member(&self) -> u64 {
        let mut state = self.lock();
        state.members += 1;
        state.members
    }

    /// Opens a room, and returns whether it is new. Rooms that have been empty for a while make room for it.
    pub(super) fn open(&self, name: &str, now: Instant) -> Result<bool, Refusal> {
        let mut state = self.lock();
        state.remove_abandoned(now);
        if state.rooms.contains_key(name) {
            return Ok(false);
        }
        if state.rooms.len() >= MAX_ROOMS {
            return Err(Refusal::TooManyRooms);
        }
        state.rooms.insert(name.to_owned(), Room { empty_since: Some(now), ..Room::default() });
        state.is_list_changed = true;
        Ok(true)
    }

    /// Adds a member to a room, and returns whether it was not there before.
    pub(super) fn enter(
        &self,
        room: &str,
        member: u64,
        person: Person,
        now: Instant,
    ) -> Result<bool, Refusal> {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.remove_abandoned(now);
        let room = state.rooms.get_mut(room).ok_or(Refusal::NoRoom)?;
        if room.members.len() >= MAX_MEMBERS && !room.members.contains_key(&member) {
            return Err(Refusal::RoomIsFull);
        }
        let is_new = room.members.insert(member, person).is_none();
        room.empty_since = None;
        state.is_list_changed |= is_new;
        Ok(is_new)
    }

    /// Removes a member from a room.
    pub(super) fn leave(&self, room: &str, member: u64, now: Instant) {
        self.lock().leave(room, member, now);
    }

    /// Removes a member from the room that it is in, and returns the room.
    pub(super) fn leave_all(&self, member: u64, now: Instant) -> Option<String> {
        let mut state = self.lock();
        let (name, _) = state.rooms.iter().find(|(_, room)| room.members.contains_key(&member))?;
        let name = name.clone();
        state.leave(&name, member, now);
        Some(name)
    }

    /// Changes the name under which a member is shown, and returns whether it is another one.
    pub(super) fn rename(&self, room: &str, member: u64, person: &Person) -> bool {
        let mut state = self.lock();
        let shown = state.rooms.get_mut(room).and_then(|room| room.members.get_mut(&member));
        match shown {
            Some(shown) if shown != person => {
                shown.clone_from(person);
                true
            }
            _ => false,
        }
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
    fn leave(&mut self, name: &str, member: u64, now: Instant) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        self.is_list_changed |= room.members.remove(&member).is_some();
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

impl Room {
    fn count(&self) -> usize {
        self.members.values().map(|person| &person.id).collect::<BTreeSet<_>>().len()
    }

    fn people(&self) -> Vec<Person> {
        // The first connection of a person gives the name. By name, so that the list does not jump.
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_unstable_by_key(|(member, _)| **member);
        let mut seen = BTreeSet::new();
        let mut people: Vec<_> = members
            .into_iter()
            .map(|(_, person)| person.clone())
            .filter(|person| seen.insert(person.id.clone()))
            .collect();
        people.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        people
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
