//! The arguments of a packet: raw JSON and attachments, which a program deserializes into its own types.

use std::borrow::Cow;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::value::UnitDeserializer;
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, IgnoredAny, SeqAccess, Unexpected, Visitor,
};
use serde::{Deserializer, Serialize, forward_to_deserialize_any};
use serde_json::value::RawValue;

use crate::argument_shape::{ArgumentShape, argument_shape};
use crate::error::{ArgumentsError, EncodeError, reason_without_position};
use crate::scan::SERDE_JSON_PRIVATE_PREFIX;
use crate::serializer::write_value;
use crate::value::parse_prefix;

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

/// A JSON value that is not a list of arguments: the credentials of a client, or the reason of a rejection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawJson<'a>(Cow<'a, str>);

impl<'a> RawJson<'a> {
    /// `{}`, the auth payload of a client without credentials.
    pub const EMPTY_OBJECT: RawJson<'static> = RawJson(Cow::Borrowed("{}"));

    pub(crate) fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Self(match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_ascii()),
            Cow::Owned(text) => Cow::Owned(text.trim_ascii().to_owned()),
        })
    }

    /// Serializes a value as a JSON object, which is the required form of an auth payload. Bytes are written as lists
    /// of numbers.
    ///
    /// # Errors
    /// Returns an error if the value cannot be serialized or is not a JSON object.
    pub fn object<T: Serialize + ?Sized>(value: &T) -> Result<RawJson<'static>, EncodeError> {
        let mut text = Vec::new();
        write_value(&mut text, None, value)?;
        let reason = |error: &dyn std::fmt::Display| EncodeError::Serialize { reason: error.to_string() };
        let json = RawJson(Cow::Owned(String::from_utf8(text).map_err(|error| reason(&error))?));
        if json.is_object() { Ok(json) } else { Err(reason(&"it is not an object")) }
    }

    pub(crate) fn from_raw(raw: Box<RawValue>) -> RawJson<'static> {
        RawJson(Cow::Owned(Box::<str>::from(raw).into_string()))
    }

    /// Returns the JSON text as received.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Deserializes the value as `T`. Unlike in [`Arguments::deserialize`], a tuple reads a JSON array.
    ///
    /// # Errors
    /// Returns an error if the value has another type.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ArgumentsError> {
        serde_json::from_str(&self.0)
            .map_err(|error| ArgumentsError::InvalidPayload { reason: reason_without_position(&error) })
    }

    /// Converts the value so that it owns its text.
    #[must_use]
    pub fn into_owned(self) -> RawJson<'static> {
        RawJson(Cow::Owned(self.0.into_owned()))
    }

    pub(crate) fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }

    pub(crate) fn is_string(&self) -> bool {
        self.0.starts_with('"')
    }
}

/// Reads the arguments, one JSON value at a time.
///
/// A deserializer for the enclosing array would also have to read the name of the event and the arguments that the
/// program ignores.
struct Elements<'j> {
    /// The text from the next argument to the end of the payload.
    rest: &'j str,
    left: usize,
    attachments: &'j [Bytes],
    index: usize,
    /// Whether the list continues after the last argument with any number of missing arguments.
    pad: bool,
    /// Whether the last argument may be the offset of the event.
    has_offset: bool,
    missing: bool,
}

impl<'de> Elements<'de> {
    /// Reads the next argument. Returns its value and the length of its text.
    fn read<S: DeserializeSeed<'de>>(&self, seed: S) -> Result<(S::Value, usize), serde_json::Error> {
        if !self.attachments.is_empty() {
            let (value, end) = parse_prefix(self.rest, self.attachments).map_err(de::Error::custom)?;
            return Ok((seed.deserialize(value)?, end));
        }
        let mut json = serde_json::Deserializer::from_str(self.rest);
        let value = seed.deserialize(&mut json)?;
        let mut end = json.into_iter::<IgnoredAny>().byte_offset();
        if end == 0 {
            // The type has read nothing from its deserializer.
            let mut json = serde_json::Deserializer::from_str(self.rest);
            IgnoredAny::deserialize(&mut json)?;
            end = json.into_iter::<IgnoredAny>().byte_offset();
        }
        // For a 128-bit integer, serde_json reads the 0 of 0.1 and leaves the rest for the next read.
        let after = self.rest.get(end..).unwrap_or_default().trim_ascii_start();
        if !after.starts_with([',', ']']) {
            return Err(de::Error::invalid_type(
                Unexpected::Other("a number with a fraction"),
                &"an integer",
            ));
        }
        Ok((value, end))
    }

    fn to_arguments_error(&self, error: &serde_json::Error) -> ArgumentsError {
        if self.missing {
            ArgumentsError::Missing { index: self.index }
        } else {
            ArgumentsError::Invalid { index: self.index, reason: reason_without_position(error) }
        }
    }
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = serde_json::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, serde_json::Error> {
        let value = if self.left > 0 {
            let (value, end) = if let Some(mut text) = UnescapedString::parse_prefix(self.rest) {
                text.is_offset = self.has_offset && self.left == 1;
                (seed.deserialize(text)?, text.json.len())
            } else {
                self.read(seed)?
            };
            let rest = self.rest.get(end..).unwrap_or_default().trim_ascii_start();
            self.rest = rest.strip_prefix(',').unwrap_or(rest).trim_ascii_start();
            self.left -= 1;
            value
        } else if self.pad {
            self.missing = true;
            let value = seed.deserialize(MissingArgument)?;
            self.missing = false;
            value
        } else {
            return Ok(None);
        };
        self.index += 1;
        Ok(Some(value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> Deserializer<'de> for &mut Elements<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        visitor.visit_seq(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A string without escapes, the most frequent type of argument. Its text is used directly, because serde_json would
/// search it for escapes in small steps.
#[derive(Clone, Copy)]
struct UnescapedString<'de> {
    /// The JSON text, with its quotes.
    json: &'de str,
    /// Whether the text may be the offset of the event. Then an `Option` is `None`.
    is_offset: bool,
}

impl<'de> UnescapedString<'de> {
    fn parse_prefix(json: &'de str) -> Option<Self> {
        let text = json.strip_prefix('"')?.as_bytes();
        // The text is valid JSON, so nothing else ends a string without escapes.
        let end = memchr::memchr2(b'"', b'\\', text)?;
        (text[end] == b'"').then(|| Self { json: &json[..end + 2], is_offset: false })
    }

    fn as_json(self) -> serde_json::Deserializer<serde_json::de::StrRead<'de>> {
        serde_json::Deserializer::from_str(self.json)
    }
}

/// If a type does not request text, or if its name has a special meaning in serde_json, serde_json deserializes it.
impl<'de> Deserializer<'de> for UnescapedString<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        visitor.visit_borrowed_str(&self.json[1..self.json.len() - 1])
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        if self.is_offset { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        if name.starts_with(SERDE_JSON_PRIVATE_PREFIX) {
            return self.as_json().deserialize_newtype_struct(name, visitor);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        self.as_json().deserialize_enum(name, variants, visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        self.as_json().deserialize_bytes(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        self.as_json().deserialize_byte_buf(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string unit unit_struct seq tuple tuple_struct
        map struct identifier ignored_any
    }
}

/// Deserializes an argument that the peer did not send: as `None`, as `()`, or with an error.
struct MissingArgument;

impl<'de> Deserializer<'de> for MissingArgument {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, serde_json::Error> {
        Err(de::Error::custom("missing"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        visitor.visit_none()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit_struct seq tuple
        tuple_struct map struct enum identifier
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::scan;

    fn arguments(payload: &str) -> Arguments<'_> {
        let list = scan::scan_array(payload, &mut ()).unwrap();
        Arguments::new(payload, list.first.start, list.len)
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Point {
        x: i32,
        y: i32,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Wrapped<T>(T);

    #[test]
    fn a_tuple_is_the_list_of_arguments() {
        let list = arguments(r#"[ 1 , "two" , {"x":3,"y":4} ]"#);
        assert_eq!(list.deserialize(), Ok((1,)));
        assert_eq!(list.deserialize(), Ok((1u8, "two".to_owned())));
        assert_eq!(list.deserialize(), Ok((1u8, "two".to_owned(), Point { x: 3, y: 4 })));
        assert_eq!(list.deserialize(), Ok((json!(1), json!("two"), json!({"x": 3, "y": 4}))));
    }

    #[test]
    fn the_unit_takes_no_arguments() {
        assert_eq!(arguments("[]").deserialize(), Ok(()));
        assert_eq!(arguments("[1,2]").deserialize(), Ok(()));
    }

    #[test]
    fn any_other_type_is_the_first_argument() {
        assert_eq!(arguments(r#"["one",2]"#).deserialize(), Ok("one".to_owned()));
        assert_eq!(arguments("[[1,2],3]").deserialize(), Ok(vec![1, 2]));
        assert_eq!(arguments("[[1,2],3]").deserialize(), Ok([1, 2]));
        assert_eq!(arguments("[[1,2],3]").deserialize(), Ok(Point { x: 1, y: 2 }));
        assert_eq!(arguments("[[1,2],3]").deserialize(), Ok(Wrapped((1, 2))));
        assert_eq!(arguments(r#"[{"x":1,"y":2}]"#).deserialize(), Ok(Point { x: 1, y: 2 }));
        assert_eq!(arguments("[null,1]").deserialize(), Ok(None::<u8>));
        assert_eq!(arguments("[null,1]").deserialize(), Ok(Value::Null));
    }

    #[test]
    fn a_string_is_read_as_the_requested_type() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Colour {
            Red,
        }
        for red in [r#"["red",2]"#, r#"["\u0072ed" , 2]"#] {
            let list = arguments(red);
            assert_eq!(list.deserialize(), Ok(("red".to_owned(), 2)), "{red}");
            assert_eq!(list.deserialize(), Ok((Some(Colour::Red), 2)), "{red}");
            assert_eq!(list.deserialize(), Ok((Some(Wrapped("red".to_owned())), 2)), "{red}");
            assert_eq!(list.deserialize(), Ok((Value::from("red"), 2)), "{red}");
            assert_eq!(list.deserialize().map(|(_, n): (IgnoredAny, u8)| n), Ok(2), "{red}");
            assert!(matches!(list.deserialize::<(Bytes, u8)>(), Ok((bytes, 2)) if bytes == "red"), "{red}");
            let raw: Box<RawValue> = list.deserialize().unwrap();
            assert!(red.contains(raw.get()) && raw.get().ends_with("ed\""), "{red}");
            for error in [
                list.deserialize::<char>().unwrap_err(),
                list.deserialize::<Vec<u8>>().unwrap_err(),
                list.deserialize::<Point>().unwrap_err(),
                list.deserialize::<bool>().unwrap_err(),
            ] {
                assert!(error.to_string().contains("string \"red\""), "{error}");
            }
        }
        assert_eq!(arguments(r#"["x"]"#).deserialize(), Ok('x'));
        assert_eq!(arguments(r#"[""]"#).deserialize(), Ok(String::new()));
    }

    #[test]
    fn a_missing_argument_is_none_or_an_error() {
        fn missing<T: DeserializeOwned>(payload: &str) -> Option<usize> {
            match arguments(payload).deserialize::<T>() {
                Err(ArgumentsError::Missing { index }) => Some(index),
                _ => None,
            }
        }
        assert_eq!(arguments("[]").deserialize(), Ok(None::<u8>));
        assert_eq!(arguments("[]").deserialize(), Ok(Wrapped(None::<u8>)));
        assert_eq!(arguments("[1]").deserialize(), Ok((1u8, None::<u8>, None::<u8>)));
        assert_eq!(missing::<u8>("[]"), Some(0));
        assert_eq!(missing::<Value>("[]"), Some(0));
        assert_eq!(missing::<Vec<u8>>("[]"), Some(0));
        assert_eq!(missing::<(u8, Option<u8>, u8)>("[1]"), Some(2));
        assert_eq!(missing::<(u8, u8)>(r#"["one"]"#), None);
        assert_eq!(ArgumentsError::Missing { index: 2 }.to_string(), "argument 2 is missing");
    }

    #[test]
    fn a_wrong_argument_is_named() {
        let error = arguments(r#"[1,"two"]"#).deserialize::<(u8, u8)>().unwrap_err();
        assert!(matches!(error, ArgumentsError::Invalid { index: 1, .. }), "{error}");
        assert!(
            error.to_string().starts_with(r#"argument 1: invalid type: string "two", expected u8"#),
            "{error}"
        );
        let error = arguments("[300]").deserialize::<u8>().unwrap_err();
        assert!(matches!(error, ArgumentsError::Invalid { index: 0, .. }), "{error}");
    }

    #[test]
    fn missing_bytes_are_a_clear_error() {
        let list = arguments(r#"[{"_placeholder":true,"num":0}]"#);
        let error = list.deserialize::<Bytes>().unwrap_err();
        assert!(error.to_string().contains("expected byte array"), "{error}");
        assert!(arguments("[7]").deserialize::<Bytes>().is_err());
    }

    #[test]
    fn all_arguments_can_be_read_as_a_sequence() {
        let list = arguments(r#"[1,"two",[3]]"#);
        assert_eq!(list.deserialize_all(), Ok(vec![json!(1), json!("two"), json!([3])]));
        assert_eq!(list.deserialize_all(), Ok(Wrapped(vec![json!(1), json!("two"), json!([3])])));
        assert_eq!(list.deserialize_all(), Ok(json!([1, "two", [3]])));
        assert_eq!(arguments("[]").deserialize_all(), Ok(Vec::<u8>::new()));
        assert!(matches!(list.deserialize_all::<Vec<u8>>(), Err(ArgumentsError::Invalid { index: 1, .. })));
    }

    #[test]
    fn a_type_that_reads_nothing_does_not_affect_the_others() {
        #[derive(Debug, PartialEq)]
        struct Nothing;
        impl<'de> Deserialize<'de> for Nothing {
            fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                Ok(Self)
            }
        }
        assert_eq!(arguments(r#"[{"a":1},2]"#).deserialize(), Ok((Nothing, 2)));
        assert_eq!(arguments(r#"[{"a":1},2]"#).deserialize(), Ok((IgnoredAny, 2)).map(|(_, n)| (Nothing, n)));
    }

    #[test]
    fn the_raw_arguments_are_as_received() {
        assert_eq!(arguments(r#" [ 1 , [ 2 ] ] "#).json_elements(), "1 , [ 2 ]");
        assert_eq!(arguments("[]").json_elements(), "");
        assert_eq!(arguments("[ ]").json_elements(), "");
        assert!(arguments("[]").is_empty());
    }

    #[test]
    fn the_last_argument_can_be_read_and_removed_if_it_is_a_string_without_escapes() {
        for (payload, text, rest, len) in [
            (r#"[1,"Q81oi"]"#, Some("Q81oi"), "1", 1),
            (r#"[ [1] , "x" ] "#, Some("x"), "[1]", 1),
            (r#"["é\"","x",""]"#, Some(""), r#""é\"","x""#, 2),
            (r#"["x"]"#, Some("x"), "", 0),
            (r#"["x","a\u0062"]"#, None, r#""x","a\u0062""#, 2),
            (r#"["x","\"y"]"#, None, r#""x","\"y""#, 2),
            (r#"["x",{"a":"b"}]"#, None, r#""x",{"a":"b"}"#, 2),
            (r#"["x",1]"#, None, r#""x",1"#, 2),
            ("[]", None, "", 0),
        ] {
            let list = arguments(payload);
            assert_eq!(list.last_string(), text, "{payload}");
            for list in [list.clone().without_last_string(), list.into_owned().without_last_string()] {
                assert_eq!((list.json_elements(), list.len()), (rest, len), "{payload}");
                assert_eq!(list.deserialize_all::<Vec<Value>>().unwrap().len(), len, "{payload}");
                assert_eq!(
                    list.deserialize::<(Option<Value>, Option<Value>, Option<Value>)>().unwrap().2,
                    None
                );
            }
        }
        let twice = arguments(r#"[[1],"a","b"]"#).without_last_string().without_last_string();
        assert_eq!((twice.json_elements(), twice.len(), twice.last_string()), ("[1]", 1, None));
    }

    #[test]
    fn the_first_argument_is_cut_off_at_its_end() {
        for (payload, first) in [
            ("[]", ""),
            ("[1]", "1"),
            ("[1,2]", "1"),
            (r#"[ {"a":[1,"],"]} , "b", 3 ]"#, r#"{"a":[1,"],"]}"#),
            (r#"["a,\"b",2]"#, r#""a,\"b""#),
        ] {
            let list = arguments(payload);
            let len = list.len().min(1);
            for list in [list.clone().into_first(), list.into_owned().into_first()] {
                assert_eq!((list.json_elements(), list.len()), (first, len), "{payload}");
                assert_eq!(list.deserialize_all::<Vec<Value>>().unwrap().len(), len, "{payload}");
                assert_eq!(
                    list.deserialize::<(Option<Value>, Option<Value>)>().unwrap().1,
                    None,
                    "{payload}"
                );
            }
        }
    }

    #[test]
    fn an_auth_payload_is_an_object() {
        assert_eq!(RawJson::object(&json!({"token": "é"})).unwrap().as_str(), r#"{"token":"é"}"#);
        for value in [json!([1]), json!("x"), json!(null)] {
            assert!(RawJson::object(&value).unwrap_err().to_string().ends_with("not an object"), "{value}");
        }
    }

    #[test]
    fn a_number_at_the_end_of_the_list_does_not_swallow_what_follows() {
        for number in
            ["0", "-1", "1.5", "1e3", "123456789012345678901234567890", "0.1234567890123456789012345"]
        {
            let payload = format!("[{number},{number}]");
            let (a, b, c): (f64, f64, Option<f64>) = arguments(&payload).deserialize().unwrap();
            assert_eq!((a, b, c), (number.parse().unwrap(), number.parse().unwrap(), None), "{number}");
        }
    }

    #[test]
    fn a_fraction_is_not_an_integer_of_any_width() {
        for number in ["0.1", "-7.5", "3e2", "0.0"] {
            let payload = format!("[{number} , 5]");
            for error in [
                arguments(&payload).deserialize::<u128>().unwrap_err(),
                arguments(&payload).deserialize::<i128>().unwrap_err(),
                arguments(&payload).deserialize::<(Option<i128>, u8)>().unwrap_err(),
                arguments(&format!("[{number}]")).deserialize_all::<Vec<i128>>().unwrap_err(),
            ] {
                assert!(matches!(error, ArgumentsError::Invalid { index: 0, .. }), "{number}: {error}");
            }
        }
        let largest = format!("[{} , {}]", u128::MAX, i128::MIN);
        assert_eq!(arguments(&largest).deserialize(), Ok((u128::MAX, i128::MIN)));
    }

    #[test]
    fn a_nested_value_stops_at_serde_jsons_depth() {
        let payload = ["[".repeat(1000), "]".repeat(1000)].concat();
        assert!(arguments(&payload).deserialize::<Value>().is_err());
        assert_eq!(arguments(&payload).deserialize(), Ok(()));
    }

    #[test]
    fn a_json_value_is_read_whole() {
        assert_eq!(RawJson::new(r#" {"token":"1"} "#).as_str(), r#"{"token":"1"}"#);
        assert_eq!(RawJson::new("[1,2]").deserialize(), Ok((1, 2)));
        assert_eq!(RawJson::EMPTY_OBJECT.deserialize(), Ok(json!({})));
        assert!(matches!(RawJson::new("{}").deserialize::<u8>(), Err(ArgumentsError::InvalidPayload { .. })));
    }
}
