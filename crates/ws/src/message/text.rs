//! UTF-8 text in reference-counted memory.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use bytestring::ByteString;
use ws_proto::copy::append_str;

/// The payload of a text message: UTF-8 in shared memory. It is validated once, when the `Text` is created.
///
/// Cloning it shares the same bytes. It dereferences to `str`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(ByteString);

impl Text {
    /// Creates a `Text` from a string literal, without allocating.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(ByteString::from_static(text))
    }

    /// Returns the text as a string slice.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Copies a text out of the read buffer.
    pub(crate) fn copy_of(text: &str) -> Self {
        let mut copy = String::with_capacity(text.len());
        append_str(&mut copy, text);
        copy.into()
    }

    /// Returns the bytes of the text, without copying them.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }

    pub(crate) fn as_payload(&self) -> &Bytes {
        self.0.as_bytes()
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

/// A `Text` and a `str` with the same content have the same hash, so a map with `Text` keys can be looked up by `str`.
impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Box<str>> for Text {
    fn from(text: Box<str>) -> Self {
        Self(text.into())
    }
}

impl From<Text> for Bytes {
    fn from(text: Text) -> Bytes {
        text.into_bytes()
    }
}

impl From<Text> for String {
    fn from(text: Text) -> String {
        text.as_str().to_owned()
    }
}

/// Validates the bytes, and does not copy them.
impl TryFrom<Bytes> for Text {
    type Error = std::str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Self::Error> {
        ByteString::try_from(bytes).map(Self)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converting_a_string_to_text_and_bytes_does_not_copy() {
        let string = String::from("a text of some length").into_boxed_str();
        let address = string.as_ptr();
        let text = Text::from(string);
        assert_eq!(text.clone().as_ptr(), address);
        assert_eq!(text.into_bytes().as_ptr(), address);
    }

    #[test]
    fn bytes_become_text_only_if_they_are_utf_8() {
        assert_eq!(Text::try_from(Bytes::from_static("é".as_bytes())).unwrap(), "é");
        assert!(Text::try_from(Bytes::from_static(b"\xff")).is_err());
    }
}
