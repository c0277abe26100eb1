//! The id of a socket.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use engineio_proto::{Base64Id, SessionId};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The id of one socket in one namespace: 20 characters of `A–Z a–z 0–9 - _` that encode 15 random bytes.
///
/// The id is public: each socket has a room of this name, and other clients may see it. It differs from the id of the
/// Engine.IO session, which is secret.
///
/// A client of Socket.IO 4 (`socket.io-client` 1 and 2) computes the id of its socket from the id of its session, so
/// such a socket has the id [`of_session`](Self::of_session). **That id reveals the secret id of the session.**
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketId(Form);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Base64(Base64Id),
    /// A namespace, `#`, and the id of a session.
    WithNamespace(Arc<str>),
}

impl SocketId {
    /// The number of random characters, at the end of every id.
    pub const LEN: usize = Base64Id::LEN;

    /// Creates an id from 15 random bytes. They must come from a cryptographic random number generator.
    #[must_use]
    pub fn from_random(random: [u8; 15]) -> Self {
        Self(Form::Base64(Base64Id::from_random(random)))
    }

    /// Returns the id of the socket that a client of Socket.IO 4 has in `namespace`: the id of the session for `/`, and
    /// `/namespace#<id of the session>` for every other namespace.
    #[must_use]
    pub fn of_session(namespace: &str, session: &SessionId) -> Self {
        Self(match namespace {
            "/" => Form::Base64(Base64Id::from(*session)),
            _ => Form::WithNamespace(format!("{namespace}#{}", session.as_str()).into()),
        })
    }

    /// Parses an id. Returns `None` if the text does not have the form of an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if !text.starts_with('/') {
            return Base64Id::parse(text).map(|id| Self(Form::Base64(id)));
        }
        let (namespace, session) = text.rsplit_once('#')?;
        let is_id = namespace.len() > 1 && Base64Id::parse(session).is_some();
        is_id.then(|| Self(Form::WithNamespace(text.into())))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Form::Base64(id) => id.as_str(),
            Form::WithNamespace(text) => text,
        }
    }
}

/// Hashes the random bytes without a length.
impl Hash for SocketId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Form::Base64(id) => id.hash(state),
            Form::WithNamespace(text) => state.write(text.as_bytes()),
        }
    }
}

impl Deref for SocketId {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketId({})", self.as_str())
    }
}

/// An error for a text that does not have the form of a socket id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidSocketId;

impl fmt::Display for InvalidSocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a socket id has 20 characters of A-Z a-z 0-9 - _, perhaps after a namespace and `#`")
    }
}

impl std::error::Error for InvalidSocketId {}

impl FromStr for SocketId {
    type Err = InvalidSocketId;

    fn from_str(text: &str) -> Result<Self, InvalidSocketId> {
        Self::parse(text).ok_or(InvalidSocketId)
    }
}

impl<'de> Deserialize<'de> for SocketId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for SocketId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_base64_of_its_bytes_in_the_url_alphabet() {
        for (random, text) in [
            ([0; 15], "AAAAAAAAAAAAAAAAAAAA"),
            ([0xff; 15], "____________________"),
            (*b"fifteen octets!", "ZmlmdGVlbiBvY3RldHMh"),
        ] {
            let id = SocketId::from_random(random);
            assert_eq!(&*id, text);
            assert_eq!(SocketId::parse(text), Some(id));
        }
    }

    #[test]
    fn a_valid_id_is_deserialized_and_an_invalid_one_is_rejected() {
        let id = SocketId::from_random(*b"fifteen octets!");
        assert_eq!(serde_json::from_str::<SocketId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        assert!(serde_json::from_str::<SocketId>("\"general\"").is_err());
    }

    #[test]
    fn the_id_of_a_session_has_the_namespace_in_front_and_is_parsed() {
        let session = SessionId::from_random(*b"fifteen octets!");
        for (namespace, text) in [
            ("/", "ZmlmdGVlbiBvY3RldHMh"),
            ("/admin", "/admin#ZmlmdGVlbiBvY3RldHMh"),
            ("/a#b", "/a#b#ZmlmdGVlbiBvY3RldHMh"),
        ] {
            let id = SocketId::of_session(namespace, &session);
            assert_eq!(&*id, text);
            assert_eq!(SocketId::parse(text), Some(id));
        }
        for text in ["/admin", "/admin#", "/#ZmlmdGVlbiBvY3RldHMh", "/admin#ZmlmdGVlbiBvY3RldHM", "#"] {
            assert_eq!(SocketId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_id_is_three_words_and_pads_like_text() {
        assert_eq!(size_of::<SocketId>(), 24);
        assert_eq!(size_of::<Option<SocketId>>(), 24);
        assert_eq!(format!("{:>22}", SocketId::from_random([0; 15])), "  AAAAAAAAAAAAAAAAAAAA");
    }
}
