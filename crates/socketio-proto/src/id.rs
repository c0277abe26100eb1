//! The public id of a socket.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str;

use serde::{Serialize, Serializer};

/// The id of one socket in one namespace: 20 characters of `A–Z a–z 0–9 - _`, from 15 random bytes.
///
/// It is public: rooms are named after it and other clients may see it. It is not the id of the Engine.IO session,
/// which is a secret. The length is that of the Node packages, whose cluster adapters test for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketId([u8; Self::LENGTH]);

impl SocketId {
    /// Characters of an id.
    pub const LENGTH: usize = 20;

    /// Makes an id of 15 bytes from a cryptographic source.
    #[must_use]
    pub fn from_random(random: [u8; 15]) -> Self {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = [0; Self::LENGTH];
        for (three, four) in random.chunks_exact(3).zip(text.chunks_exact_mut(4)) {
            let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            for (index, character) in four.iter_mut().enumerate() {
                *character = ALPHABET[(bits >> (18 - 6 * index)) as usize & 63];
            }
        }
        Self(text)
    }

    /// Reads an id; `None` when it cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; Self::LENGTH] = text.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            .then_some(Self(bytes))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("an id is ASCII by construction")
    }
}

impl Deref for SocketId {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

/// Hashes as fixed bytes, without the length prefix and terminator of text: the bytes are random already.
impl Hash for SocketId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
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
    fn what_cannot_be_an_id_is_not_one() {
        for text in
            ["", "short", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAA/", "ééééééééééé", "éééééééééé"]
        {
            assert_eq!(SocketId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_id_is_twenty_bytes_and_pads_like_text() {
        assert_eq!(size_of::<SocketId>(), 20);
        assert_eq!(format!("{:>22}", SocketId::from_random([0; 15])), "  AAAAAAAAAAAAAAAAAAAA");
    }
}
