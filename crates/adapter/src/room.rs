//! The name of a room.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use socketio_proto::SocketId;

/// The name of a room. Cloning shares the text.
///
/// The room of a socket's own id stores the id inline and needs no allocation. It is equal to a room that was created
/// from the text of the id.
#[derive(Clone)]
pub struct Room(Name);

#[derive(Clone)]
enum Name {
    Id(SocketId),
    Text(Arc<str>),
}

impl Room {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Id(id) => id.as_str(),
            Name::Text(text) => text,
        }
    }

    /// Returns the name as a socket id, if it has the form of one.
    pub(crate) fn socket_id(&self) -> Option<Cow<'_, SocketId>> {
        match &self.0 {
            Name::Id(id) => Some(Cow::Borrowed(id)),
            Name::Text(text) => SocketId::parse(text).map(Cow::Owned),
        }
    }
}

impl Deref for Room {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Room {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl From<SocketId> for Room {
    fn from(id: SocketId) -> Self {
        Self(Name::Id(id))
    }
}

impl From<&SocketId> for Room {
    fn from(id: &SocketId) -> Self {
        Self(Name::Id(id.clone()))
    }
}

impl From<&str> for Room {
    fn from(name: &str) -> Self {
        Self(SocketId::parse(name).map_or_else(|| Name::Text(name.into()), Name::Id))
    }
}

impl From<&String> for Room {
    fn from(name: &String) -> Self {
        Self::from(name.as_str())
    }
}

impl From<String> for Room {
    fn from(name: String) -> Self {
        Self::from(name.as_str())
    }
}

impl From<Arc<str>> for Room {
    fn from(name: Arc<str>) -> Self {
        Self(Name::Text(name))
    }
}

impl From<&Room> for Room {
    fn from(room: &Room) -> Self {
        room.clone()
    }
}

impl PartialEq for Room {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Room {}

impl PartialOrd for Room {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Room {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

/// Hashes like the text of the name, so that a map with [`Room`] keys can be searched with a `&str`.
impl Hash for Room {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use engineio_proto::SessionId;

    use super::*;

    #[test]
    fn the_room_of_an_id_is_the_room_of_that_name() {
        let random = *b"fifteen octets!";
        let old = SocketId::of_session("/admin", &SessionId::from_random(random));
        for id in [SocketId::from_random(random), old] {
            let by_id = Room::from(&id);
            let by_arc = Room::from(Arc::<str>::from(id.as_str()));
            assert_eq!(by_id, by_arc);
            assert_eq!(by_id.socket_id().as_deref(), Some(&id));
            assert_eq!(by_id.socket_id(), by_arc.socket_id());
            let rooms = HashSet::from([by_id, by_arc, Room::from(id.as_str())]);
            assert_eq!(rooms.len(), 1);
            assert!(rooms.contains(id.as_str()));
        }
    }

    #[test]
    fn a_room_is_three_words() {
        assert_eq!(size_of::<Room>(), 24);
        assert_eq!(size_of::<Option<Room>>(), 24);
    }
}
