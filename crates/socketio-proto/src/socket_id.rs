//! The public id of a socket.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use engineio_proto::Base64Id;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The id of one socket in one namespace: 20 characters of `A–Z a–z 0–9 - _` that encode 15 random bytes.
///
/// The id is public: each socket has a room of this name, and other clients may see it. It differs from the id of the
/// Engine.IO session, which is secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(Base64Id);

impl SocketId {
    /// The length of an id in characters.
    pub const LEN: usize = Base64Id::LEN;

    /// Creates an id from 15 random bytes. They must come from a cryptographic random number generator.
    #[must_use]
    pub fn from_random(random: [u8; 15]) -> Self {
        Self(Base64Id::from_random(random))
    }

    /// Parses an id. Returns `None` if the text does not have the form of an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Base64Id::parse(text).map(Self)
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a socket id has 20 characters of A-Z a-z 0-9 - _")]
pub struct InvalidSocketId;

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
    fn an_id_is_twenty_bytes_and_pads_like_text() {
        assert_eq!(size_of::<SocketId>(), 20);
        assert_eq!(format!("{:>22}", SocketId::from_random([0; 15])), "  AAAAAAAAAAAAAAAAAAAA");
    }
}
