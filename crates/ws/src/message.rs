//! The messages that are received and sent.

mod prepared;
mod text;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use ws_proto::copy::to_vec;
use ws_proto::{Event, Opcode};

pub use self::prepared::PreparedMessage;
pub use self::text::Text;

/// A text or binary message. Cloning it shares the payload.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// Text.
    Text(Text),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// Returns the payload of a text or binary message.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.as_payload()
    }

    /// Returns the payload of a text or binary message, without copying it.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) => bytes,
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

    /// Returns the length of the payload in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_payload().len()
    }

    /// Returns `true` if the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_payload().is_empty()
    }

    /// Converts a protocol event into a message. Returns `None` if the event is not a complete message. A message that
    /// was complete in the read buffer is allocated and copied here, once. A message that was assembled from fragments
    /// is moved.
    pub(crate) fn from_event(event: Event<'_>) -> Option<Self> {
        match event {
            Event::Text(Cow::Borrowed(text)) => Some(Self::Text(Text::copy_of(text))),
            Event::Text(Cow::Owned(text)) => Some(text.into()),
            Event::Binary(Cow::Borrowed(bytes)) => Some(to_vec(bytes).into()),
            Event::Binary(Cow::Owned(bytes)) => Some(bytes.into()),
            Event::TextChunk { .. } | Event::BinaryChunk { .. } => None,
            Event::Ping(_) | Event::Pong(_) | Event::Close(_) | Event::CloseTimedOut => None,
        }
    }

    pub(crate) fn opcode(&self) -> Opcode {
        match self {
            Self::Text(_) => Opcode::Text,
            Self::Binary(_) => Opcode::Binary,
        }
    }

    /// Returns whether this is the only reference to the payload.
    pub(crate) fn is_unique(&self) -> bool {
        self.as_payload().is_unique()
    }

    /// Takes the payload and leaves an empty one.
    pub(crate) fn take(&mut self) -> Bytes {
        match self {
            Self::Text(text) => std::mem::take(text).into_bytes(),
            Self::Binary(bytes) => std::mem::take(bytes),
        }
    }

    pub(crate) fn as_payload(&self) -> &Bytes {
        match self {
            Self::Text(text) => text.as_payload(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// Prints at most the first 200 characters or bytes of the payload, and then the length of a longer payload. The error
/// of a failed send contains the message, and `unwrap` would otherwise print all of it.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The unit is characters for text and bytes for binary.
        const SHOWN: usize = 200;
        match self {
            Self::Text(text) => match text.char_indices().nth(SHOWN) {
                None => f.debug_tuple("Text").field(text).finish(),
                Some((end, _)) => {
                    let (begin, length) = (&text[..end], text.len());
                    f.debug_tuple("Text").field(&format_args!("{begin:?}… ({length} bytes)")).finish()
                }
            },
            Self::Binary(bytes) if bytes.len() <= SHOWN => f.debug_tuple("Binary").field(bytes).finish(),
            Self::Binary(bytes) => {
                let (begin, length) = (bytes.slice(..SHOWN), bytes.len());
                f.debug_tuple("Binary").field(&format_args!("{begin:?}… ({length} bytes)")).finish()
            }
        }
    }
}

/// A piece of a message that is received piece by piece.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) content: Message,
    pub(crate) is_last: bool,
}

impl Chunk {
    /// Converts a protocol event into a chunk. A whole message becomes a single, last chunk.
    pub(crate) fn from_event(event: Event<'_>) -> Option<Self> {
        let (event, is_last) = match event {
            Event::TextChunk { text, is_last } => (Event::Text(text), is_last),
            Event::BinaryChunk { bytes, is_last } => (Event::Binary(bytes), is_last),
            event => (event, true),
        };
        Some(Self { content: Message::from_event(event)?, is_last })
    }
}

impl From<Text> for Message {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_the_beginning_and_the_length_of_a_long_message() {
        for (text, printed) in [
            ("é".repeat(200), format!("Text(\"{}\")", "é".repeat(200))),
            ("é".repeat(201), format!("Text(\"{}\"… (402 bytes))", "é".repeat(200))),
        ] {
            assert_eq!(format!("{:?}", Message::from(text)), printed);
        }
        for (bytes, printed) in [
            (vec![b'a'; 200], format!("Binary(b\"{}\")", "a".repeat(200))),
            (vec![b'a'; 100_000], format!("Binary(b\"{}\"… (100000 bytes))", "a".repeat(200))),
        ] {
            assert_eq!(format!("{:?}", Message::from(bytes)), printed);
        }
    }
}
