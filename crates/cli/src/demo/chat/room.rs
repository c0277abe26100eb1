//! One room: who is in it, and under which names.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tidewire::server::ClientNetwork;

use super::limits::{MAX_MEMBERS, MAX_MEMBERS_OF_ADDRESS, MAX_NAME_CHARS, Refusal};
use super::look::Look;
use super::rooms::Message;
use super::text::numbered;

/// One room.
pub(super) struct Room {
    pub(super) look: Look,
    /// Where somebody has opened it. `None` if the limits per address do not hold there.
    pub(super) opened_by: Option<ClientNetwork>,
    pub(super) members: HashMap<u64, Presence>,
    pub(super) messages: VecDeque<Message>,
    /// Since when nobody has been here. `None` for a room with people, and for one that always exists.
    pub(super) empty_since: Option<Instant>,
}

/// A member of a room.
pub(super) struct Presence {
    person: Person,
    look: Look,
    network: Option<ClientNetwork>,
}

/// A connection. A recovered one has another number than before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) number: u64,
    /// `None` if the limits per address do not hold for its address.
    pub(super) network: Option<ClientNetwork>,
}

/// A person, who may have several connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Person {
    pub(super) id: String,
    pub(super) name: String,
}

impl Room {
    pub(super) fn new(name: &str) -> Self {
        Self {
            look: Look::of(name),
            opened_by: None,
            members: HashMap::new(),
            messages: VecDeque::new(),
            empty_since: None,
        }
    }

    /// Adds a member, see [`Rooms::enter`](super::rooms::Rooms::enter).
    pub(super) fn enter(&mut self, member: Member, person: &Person) -> Result<(Person, bool), Refusal> {
        let is_new = !self.members.contains_key(&member.number);
        if is_new {
            self.check_limits(member)?;
        }
        let (person, look) = self.distinguished(person).ok_or(Refusal::NameTaken)?;
        let presence = Presence { person: person.clone(), look, network: member.network };
        self.members.insert(member.number, presence);
        self.empty_since = None;
        Ok((person, is_new))
    }

    /// Changes the name of a member, see [`Rooms::rename`](super::rooms::Rooms::rename).
    pub(super) fn rename(&mut self, member: Member, person: &Person) -> Result<bool, Refusal> {
        let look = Look::of(&person.name);
        if self.has_other(person, &look) {
            return Err(Refusal::NameTaken);
        }
        match self.members.get_mut(&member.number) {
            Some(shown) if shown.person != *person => {
                shown.person.clone_from(person);
                shown.look = look;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn check_limits(&self, member: Member) -> Result<(), Refusal> {
        if self.members.len() >= MAX_MEMBERS {
            return Err(Refusal::RoomIsFull);
        }
        let of_address = |other: &&Presence| member.network.is_some() && other.network == member.network;
        if self.members.values().filter(of_address).count() >= MAX_MEMBERS_OF_ADDRESS {
            return Err(Refusal::TooManyOfAddress);
        }
        Ok(())
    }

    /// Whether another person is here whose name looks like this.
    fn has_other(&self, person: &Person, look: &Look) -> bool {
        self.members.values().any(|other| other.person.id != person.id && other.look.is_like(look))
    }

    /// Returns a person whose name looks like that of nobody else here: as it is, or with a number. The tabs of a person
    /// get the same name.
    fn distinguished(&self, person: &Person) -> Option<(Person, Look)> {
        let numbers = (2..=MAX_MEMBERS + 1).map(|number| numbered(&person.name, number, MAX_NAME_CHARS));
        let others = self.members.values().map(|other| &other.person).filter(|other| other.id != person.id);
        // Cheaper than a look, and enough for most of them.
        let taken: BTreeSet<&str> = others.map(|other| &*other.name).collect();
        let names = std::iter::once(person.name.clone()).chain(numbers);
        let free = names.filter(|name| !taken.contains(&**name));
        let mut looks = free.map(|name| (Look::of(&name), name));
        let (look, name) = looks.find(|(look, _)| !self.has_other(person, look))?;
        Some((Person { name, ..person.clone() }, look))
    }

    /// Returns how many people are here.
    pub(super) fn count(&self) -> usize {
        self.members.values().map(|member| &member.person.id).collect::<BTreeSet<_>>().len()
    }

    /// Returns the people who are here, each of them once.
    pub(super) fn people(&self) -> Vec<Person> {
        // The first connection of a person gives the name. By name, so that the list does not jump.
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_unstable_by_key(|(member, _)| **member);
        let mut seen = BTreeSet::new();
        let mut people: Vec<_> = members
            .into_iter()
            .map(|(_, member)| member.person.clone())
            .filter(|person| seen.insert(person.id.clone()))
            .collect();
        people.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        people
    }
}
