//! Deserialization of arguments one by one.

use bytes::Bytes;
use serde::de::{self, Deserialize, DeserializeSeed, IgnoredAny, SeqAccess, Unexpected, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

use crate::error::{ArgumentsError, reason_without_position};
use crate::scan::SERDE_JSON_PRIVATE_PREFIX;
use crate::value::{VALUE_NAME, hand_over, parse_prefix};

/// Reads the arguments, one JSON value at a time.
///
/// A deserializer for the enclosing array would also have to read the name of the event and the arguments that the
/// program ignores.
pub(super) struct Elements<'j> {
    /// The text from the next argument to the end of the payload.
    pub(super) rest: &'j str,
    pub(super) left: usize,
    pub(super) attachments: &'j [Bytes],
    pub(super) index: usize,
    /// Whether the list continues after the last argument with any number of missing arguments.
    pub(super) pad: bool,
    /// Whether the last argument may be the offset of the event.
    pub(super) has_offset: bool,
    pub(super) missing: bool,
}

impl<'de> Elements<'de> {
    /// Reads the next argument. Returns its value and the length of its text.
    fn read<S: DeserializeSeed<'de>>(&self, seed: S) -> Result<(S::Value, usize), serde_json::Error> {
        if !self.attachments.is_empty() {
            let (value, end) = parse_prefix(self.rest, self.attachments).map_err(de::Error::custom)?;
            return Ok((seed.deserialize(value)?, end));
        }
        let mut json = serde_json::Deserializer::from_str(self.rest);
        let mut end = 0;
        let value = seed.deserialize(JsonText { text: self.rest, json: &mut json, value_end: &mut end })?;
        if end == 0 {
            end = json.into_iter::<IgnoredAny>().byte_offset();
        }
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

    pub(super) fn to_arguments_error(&self, error: &serde_json::Error) -> ArgumentsError {
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

/// The text of an argument. A [`Value`](crate::Value) is parsed from it in one pass. serde_json, which reads everything
/// else, would search for its end first.
struct JsonText<'a, 'de> {
    text: &'de str,
    json: &'a mut serde_json::Deserializer<serde_json::de::StrRead<'de>>,
    /// Where the argument ends. Set if serde_json has not read it.
    value_end: &'a mut usize,
}

macro_rules! left_to_serde_json {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(
            self,
            $($argument: $type,)*
            visitor: V,
        ) -> Result<V::Value, serde_json::Error> {
            self.json.$method($($argument,)* visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for JsonText<'_, 'de> {
    type Error = serde_json::Error;

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        if name != VALUE_NAME {
            return self.json.deserialize_newtype_struct(name, visitor);
        }
        let (value, end) = parse_prefix(self.text, &[]).map_err(de::Error::custom)?;
        *self.value_end = end;
        hand_over(value, visitor)
    }

    left_to_serde_json! {
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_f32() deserialize_f64() deserialize_char() deserialize_str() deserialize_string()
        deserialize_bytes() deserialize_byte_buf() deserialize_option() deserialize_unit() deserialize_seq()
        deserialize_map() deserialize_identifier() deserialize_ignored_any()
        deserialize_unit_struct(name: &'static str)
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
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
        match name {
            VALUE_NAME => self.deserialize_any(visitor),
            _ if name.starts_with(SERDE_JSON_PRIVATE_PREFIX) => {
                self.as_json().deserialize_newtype_struct(name, visitor)
            }
            _ => visitor.visit_newtype_struct(self),
        }
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
