//! The messages that a program receives and sends.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use engineio_proto::Packet;

/// A text or binary message. It borrows its content, or owns it.
///
/// [`Socket::recv`](super::Socket::recv) returns messages that own their content. To send, pass a message, a reference
/// to one, a string or bytes; borrowed content is copied only once, into the queue of the session.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
}

impl Message<'_> {
    /// Returns the content.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(data) => data,
        }
    }

    /// Returns the text of a text message, and `None` for a binary message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Returns the length of the content in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Returns whether the content is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Returns a message that owns its content.
    #[must_use]
    pub fn into_owned(self) -> Message<'static> {
        match self {
            Self::Text(text) => Message::Text(text.into_owned().into()),
            Self::Binary(data) => Message::Binary(data.into_owned().into()),
        }
    }

    /// Returns the memory of the content, in bytes, with what an allocator adds to each.
    pub(super) fn capacity(&self) -> usize {
        const ALLOCATION: usize = 16;
        let capacity = match self {
            Self::Text(Cow::Owned(text)) => text.capacity(),
            Self::Binary(Cow::Owned(data)) => data.capacity(),
            Self::Text(_) | Self::Binary(_) => 0,
        };
        capacity + ALLOCATION
    }

    pub(super) fn as_packet(&self) -> Packet<'_> {
        match self {
            Self::Text(text) => Packet::Message(text),
            Self::Binary(data) => Packet::Binary((&**data).into()),
        }
    }

    /// Returns a length that the packet of this message does not exceed in any framing.
    pub(super) fn max_framed_len(&self) -> usize {
        self.len().saturating_add(self.len() / 3).saturating_add(32)
    }
}

impl<'a> From<crate::handler::Message<'a>> for Message<'a> {
    fn from(message: crate::handler::Message<'a>) -> Self {
        match message {
            crate::handler::Message::Text(text) => Self::Text(text.into()),
            crate::handler::Message::Binary(data) => Self::Binary(data),
        }
    }
}

impl<'a> From<&'a Message<'_>> for Message<'a> {
    fn from(message: &'a Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text((&**text).into()),
            Message::Binary(data) => Self::Binary((&**data).into()),
        }
    }
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> From<&'a String> for Message<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Message<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(data: &'a [u8]) -> Self {
        Self::Binary(data.into())
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Message<'a> {
    fn from(data: &'a [u8; N]) -> Self {
        Self::Binary(data.as_slice().into())
    }
}

impl<'a> From<&'a Vec<u8>> for Message<'a> {
    fn from(data: &'a Vec<u8>) -> Self {
        Self::Binary(data.into())
    }
}

impl From<Vec<u8>> for Message<'_> {
    fn from(data: Vec<u8>) -> Self {
        Self::Binary(data.into())
    }
}

impl<'a> From<&'a Bytes> for Message<'a> {
    fn from(data: &'a Bytes) -> Self {
        Self::Binary((&**data).into())
    }
}

/// Prints the content of a short message, and the length of a longer one: a log should not contain megabytes.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// In bytes.
        const SHOWN: usize = 200;
        match self {
            Self::Text(text) if text.len() <= SHOWN => f.debug_tuple("Text").field(text).finish(),
            Self::Binary(data) if data.len() <= SHOWN => f.debug_tuple("Binary").field(data).finish(),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Binary(data) => write!(f, "Binary({} bytes)", data.len()),
        }
    }
}
