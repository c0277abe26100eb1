//! Random ids: the session id, which a client must send to use its session, and the format that all ids share.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A random id: 20 characters of `A–Z a–z 0–9 - _`, which encode 15 random bytes. All ids of this stack have this
/// format.
///
/// The Node packages use the same length. Sticky load balancers and cluster adapters in production check it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Base64Id([u8; Self::LEN]);

impl Base64Id {
    /// The number of characters in an id.
    pub const LEN: usize = 20;

    /// Makes an id from 15 random bytes. They must come from a cryptographically secure source.
    #[must_use]
    pub fn from_random(random: [u8; 15]) -> Self {
        let mut text = [0; Self::LEN];
        // 15 bytes become exactly 20 characters, without padding.
        let written = URL_SAFE_NO_PAD.encode_slice(random, &mut text);
        debug_assert_eq!(written, Ok(Self::LEN));
        Self(text)
    }

    /// Parses an id that a peer has sent. Returns `None` if the text does not have the format of an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; Self::LEN] = text.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            .then_some(Self(bytes))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("an id is ASCII by construction")
    }
}

/// Hashes as fixed bytes, without the length prefix and terminator of text: the bytes are random already.
impl Hash for Base64Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl fmt::Debug for Base64Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The id of an Engine.IO session.
///
/// It is a secret: every client that has the id can read, write and close the session. So never show it to other
/// clients. The `Debug` output hides all but the first characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(Base64Id);

impl SessionId {
    /// Makes an id from 15 random bytes. They must come from a cryptographically secure source.
    #[must_use]
    pub fn from_random(random: [u8; 15]) -> Self {
        Self(Base64Id::from_random(random))
    }

    /// Parses an id that a client has sent. Returns `None` if the text does not have the format of an id.
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

impl From<SessionId> for Base64Id {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({}…)", &self.as_str()[..4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_twenty_url_safe_characters() {
        let id = SessionId::from_random([0xff; 15]);
        assert_eq!(id.as_str(), "____________________");
        assert_eq!(SessionId::parse(id.as_str()), Some(id));
        assert_eq!(SessionId::from_random([0; 15]).as_str(), "AAAAAAAAAAAAAAAAAAAA");
    }

    #[test]
    fn what_cannot_be_an_id_is_not_one() {
        for text in
            ["", "short", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAA/", "ééééééééééé", "éééééééééé"]
        {
            assert_eq!(SessionId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_log_line_does_not_reveal_an_id() {
        assert_eq!(format!("{:?}", SessionId::from_random([0; 15])), "SessionId(AAAA…)");
    }
}
