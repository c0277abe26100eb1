//! The arguments of a packet: raw JSON and attachments, which a program deserializes into its own types.

mod elements;
mod raw_json;
mod serialize;

use std::borrow::Cow;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::value::UnitDeserializer;
use serde::de::{self, Deserialize, DeserializeOwned, IgnoredAny, SeqAccess};

use self::elements::Elements;
pub use self::raw_json::RawJson;
use crate::argument_shape::{ArgumentShape, argument_shape};
use crate::error::{ArgumentsError, DecodeError};
use crate::packet::{Packet, PacketType};
use crate::parser::IncomingPacket;

/// The arguments of an event or an acknowledgement. They are valid JSON that has not been deserialized yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments<'a> {
    /// The whole payload, including the name of an event.
    payload: Cow<'a, str>,
    /// The index of the first argument in the payload. If there is none, the index of the closing bracket.
    start: usize,
    len: usize,
    /// Whether the last argument was cut off. The payload then ends with a comma instead of the closing bracket.
    is_truncated: bool,
    /// Whether the last argument may be the offset of the event, see [`Event::with_offset`](crate::Event::with_offset).
    has_offset: bool,
    attachments: Vec<Bytes>,
}

/// What an attachment takes beside its bytes: the handle, and what an allocator needs for a block.
pub(crate) const ATTACHMENT_COST: usize = size_of::<Bytes>() + 24;

impl<'a> Arguments<'a> {
    pub(crate) fn new(payload: impl Into<Cow<'a, str>>, start: usize, len: usize) -> Self {
        Self {
            payload: payload.into(),
            start,
            len,
            is_truncated: false,
            has_offset: false,
            attachments: Vec::new(),
        }
    }

    /// Creates arguments from JSON text, the list of all arguments. It may come from a peer. The objects
    /// `{"_placeholder":true,"num":N}` in it stand for the attachments. If there are none, such objects have no special
    /// meaning.
    ///
    /// ```
    /// use tidewire_socketio_proto::Arguments;
    ///
    /// let arguments = Arguments::from_json(r#"["hello",2]"#, vec![])?;
    /// assert_eq!(arguments.deserialize::<(String, u32)>()?, ("hello".to_owned(), 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the text is not a list of JSON, or if the placeholders and the attachments do not fit each other.
    pub fn from_json(json: impl Into<Cow<'a, str>>, attachments: Vec<Bytes>) -> Result<Self, DecodeError> {
        let packet = IncomingPacket::new(PacketType::Ack, "/").with_id(0).with_json(json, attachments);
        match Packet::from_incoming(packet)? {
            Packet::Ack { arguments, .. } => Ok(arguments),
            _ => Err(DecodeError::InvalidPayload(PacketType::Ack)),
        }
    }

    /// Returns the number of arguments.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns `true` if there are no arguments.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Deserializes the arguments as `T`.
    ///
    /// A tuple reads the list of arguments, and `()` reads none. Any other type, including an array or a `Vec`, reads
    /// the first argument. As in JavaScript, additional arguments are ignored. A missing argument is `None` for an
    /// `Option` and an error for any other type.
    ///
    /// Binary data can be read as a type that requests bytes from serde ([`Bytes`], the types of `serde_bytes`), as a
    /// [`Value`](crate::Value), or as a sequence of numbers (`Vec<u8>`), at any depth. If serde buffers a value before it
    /// selects the type (untagged and internally tagged enums, flattened structs), only the first two are possible. A
    /// type that cannot hold binary data, such as `serde_json::Value`, is an error.
    ///
    /// # Errors
    /// Returns an error if an argument is missing or has another type.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ArgumentsError> {
        let mut elements = self.elements(true);
        let result = match argument_shape::<T>() {
            ArgumentShape::Empty => T::deserialize(UnitDeserializer::new()),
            ArgumentShape::Tuple => T::deserialize(&mut elements),
            ArgumentShape::Single => elements
                .next_element_seed(PhantomData)
                .and_then(|first| first.ok_or_else(|| de::Error::custom("missing"))),
        };
        result.map_err(|error| elements.to_arguments_error(&error))
    }

    /// Deserializes all arguments as one sequence, for example as a `Vec<T>`.
    ///
    /// # Errors
    /// Returns an error if an argument has another type.
    pub fn deserialize_all<T: DeserializeOwned>(&self) -> Result<T, ArgumentsError> {
        let mut elements = self.elements(false);
        T::deserialize(&mut elements).map_err(|error| elements.to_arguments_error(&error))
    }

    /// Returns the JSON text of the arguments as received, separated by commas, without the enclosing brackets. Binary
    /// data is represented by placeholders.
    #[must_use]
    pub fn json_elements(&self) -> &str {
        let list = self.payload[self.start..].trim_end();
        list.strip_suffix(if self.is_truncated { ',' } else { ']' }).unwrap_or(list).trim_end()
    }

    /// Returns the last argument if it is a string without escapes. The offset of a recoverable event is such a string.
    #[must_use]
    pub fn last_string(&self) -> Option<&str> {
        self.find_last_string().map(|(_, text)| text)
    }

    /// Removes the last argument if it is a string without escapes. A driver calls this to hide the offset of a
    /// recoverable event from the program.
    #[must_use]
    pub fn without_last_string(mut self) -> Self {
        let Some((start, _)) = self.find_last_string() else { return self };
        self.len -= 1;
        self.is_truncated = true;
        match &mut self.payload {
            Cow::Borrowed(payload) => *payload = &payload[..start],
            Cow::Owned(payload) => payload.truncate(start),
        }
        self
    }

    /// Returns the index of the last argument, and its text without the quotes.
    fn find_last_string(&self) -> Option<(usize, &str)> {
        if self.len == 0 {
            return None;
        }
        // If a list ends with a quote, its last element is a string.
        let inner = self.json_elements().strip_suffix('"')?;
        let (before, text) = inner.rsplit_once('"')?;
        let is_plain = !before.ends_with('\\') && !text.contains('\\');
        is_plain.then_some((self.start + before.len(), text))
    }

    /// Removes all arguments but the first. The attachments stay as they are.
    #[must_use]
    pub fn into_first(mut self) -> Self {
        if self.len <= 1 {
            return self;
        }
        let mut json = serde_json::Deserializer::from_str(&self.payload[self.start..]);
        if IgnoredAny::deserialize(&mut json).is_ok() {
            let end = self.start + json.into_iter::<IgnoredAny>().byte_offset();
            let payload = self.payload.to_mut();
            payload.truncate(end);
            payload.push(',');
            self.len = 1;
            self.is_truncated = true;
        }
        self
    }

    /// Returns the attachments of the packet, in the order in which they arrived.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// Converts the arguments so that they own their data. This needs one allocation for the text, and one for the list
    /// of attachments if there are any.
    #[must_use]
    pub fn into_owned(self) -> Arguments<'static> {
        Arguments {
            payload: Cow::Owned(self.payload.into_owned()),
            start: self.start,
            len: self.len,
            is_truncated: self.is_truncated,
            has_offset: self.has_offset,
            attachments: self.attachments,
        }
    }

    /// Returns the size of the memory that the arguments hold, in bytes: the whole text of the packet after its header,
    /// and the attachments.
    #[must_use]
    pub fn size(&self) -> usize {
        self.payload.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// Returns the memory that the arguments take while they wait, in bytes: their [`size`](Self::size), and a fixed cost
    /// for each attachment. A packet may have a hundred thousand attachments of one byte.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.size() + self.attachments.len() * ATTACHMENT_COST
    }

    pub(crate) fn payload(&self) -> &str {
        &self.payload
    }

    pub(crate) fn attachments_mut(&mut self) -> &mut Vec<Bytes> {
        &mut self.attachments
    }

    pub(crate) fn set_has_offset(&mut self) {
        self.has_offset = true;
    }

    fn elements(&self, pad: bool) -> Elements<'_> {
        Elements {
            rest: &self.payload[self.start..],
            left: self.len,
            attachments: &self.attachments,
            index: 0,
            pad,
            has_offset: self.has_offset && pad,
            missing: false,
        }
    }
}

#[cfg(test)]
mod tests;
