//! A value as a deserializer, which reads it into a type of the program.

use std::iter;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Error;

use super::deserialize::{RAW_VALUE_NAME, VALUE_NAME};
use super::hand_over::hand_over;
use super::{Number, Object, Value};

impl Value {
    /// Passes on what the value is.
    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Number(number) => visit_number(&number, visitor),
            Self::String(text) => visitor.visit_string(text),
            Self::Bytes(bytes) => visitor.visit_byte_buf(bytes.into()),
            Self::Array(elements) => visit_elements(elements.into_iter(), visitor),
            Self::Object(object) => visit_object(object, visitor),
        }
    }

    /// Returns whether the value is binary, or contains something that is.
    fn contains_bytes(&self) -> bool {
        match self {
            Self::Bytes(_) => true,
            Self::Array(elements) => elements.iter().any(Self::contains_bytes),
            Self::Object(object) => object.iter().any(|(_, value)| value.contains_bytes()),
            _ => false,
        }
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Error> {
    match (number.as_u64(), number.as_i64()) {
        (Some(value), _) => visitor.visit_u64(value),
        (None, Some(value)) => visitor.visit_i64(value),
        (None, None) => visitor.visit_f64(number.as_f64()),
    }
}

fn visit_elements<'de, E, V>(
    elements: impl ExactSizeIterator<Item = E>,
    visitor: V,
) -> Result<V::Value, Error>
where
    E: IntoDeserializer<'de, Error>,
    V: Visitor<'de>,
{
    let mut elements = SeqDeserializer::new(elements);
    let value = visitor.visit_seq(&mut elements)?;
    elements.end()?;
    Ok(value)
}

fn visit_object<'de, V: Visitor<'de>>(object: Object, visitor: V) -> Result<V::Value, Error> {
    let mut members = MapDeserializer::new(object.into_iter().map(|(key, value)| (Key(key), value)));
    let value = visitor.visit_map(&mut members)?;
    members.end()?;
    Ok(value)
}

/// Adds what the programmer can do to the error of a type that cannot hold binary data.
fn cannot_hold_bytes(error: &Error) -> Error {
    Error::custom(format_args!("{error}: this type cannot hold binary data, but `Value` can"))
}

/// Types that name what they want get what the value is, and report an error if that is something else. A `String` would
/// take binary data if it is UTF-8, but a peer that sends binary data does not mean text.
macro_rules! visit {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, Error> {
            match self {
                Self::Bytes(_) => Err(Error::invalid_type(Unexpected::Other("binary data"), &visitor)),
                other => other.visit(visitor),
            }
        }
    )*};
}

/// Deserializes an integer of 128 bits, which only the text of a number may have exactly.
macro_rules! deserialize_wide {
    ($deserialize:ident, $visit:ident) => {
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match &self {
                Self::Number(number)
                    if (number.as_u64(), number.as_i64()) == (None, None)
                        && let Ok(value) = number.to_string().parse() =>
                {
                    visitor.$visit(value)
                }
                _ => self.visit(visitor),
            }
        }
    };
}

impl<'de> Deserializer<'de> for Value {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Bytes(_) => self.visit(visitor).map_err(|error| cannot_hold_bytes(&error)),
            _ => self.visit(visitor),
        }
    }

    deserialize_wide!(deserialize_i128, visit_i128);
    deserialize_wide!(deserialize_u128, visit_u128);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    /// serde_json takes a text or a list as bytes too.
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::String(text) => visitor.visit_byte_buf(text.into_bytes()),
            other => other.visit(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    /// Binary data is a sequence of numbers for types such as `Vec<u8>` and `[u8; 4]`.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Bytes(bytes) => visit_elements(bytes.iter().copied(), visitor),
            other => other.visit(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match name {
            VALUE_NAME => hand_over(self, visitor),
            RAW_VALUE_NAME if self.contains_bytes() => {
                let error = visitor.visit_bytes(&[]).err();
                Err(error.map_or_else(|| Error::custom("binary data"), |error| cannot_hold_bytes(&error)))
            }
            RAW_VALUE_NAME => {
                let text = serde_json::to_string(&self)?;
                visitor.visit_map(MapDeserializer::new(iter::once((RAW_VALUE_NAME, text))))
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (variant, content) = match self {
            Self::String(variant) => (variant, None),
            Self::Object(object) if object.len() == 1 => match object.into_iter().next() {
                Some((variant, content)) => (variant, Some(content)),
                None => return Err(Error::custom("an object without members is not a variant")),
            },
            Self::Object(object) => {
                let count = object.len();
                return Err(Error::custom(format_args!("an object with {count} members is not a variant")));
            }
            other => return other.visit(visitor),
        };
        visitor.visit_enum(Variant { variant, content })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    visit! {
        deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64() deserialize_u8()
        deserialize_u16() deserialize_u32() deserialize_u64() deserialize_f32() deserialize_f64() deserialize_char()
        deserialize_str() deserialize_string() deserialize_unit() deserialize_map() deserialize_identifier()
        deserialize_unit_struct(_name: &'static str)
        deserialize_struct(_name: &'static str, _fields: &'static [&'static str])
    }
}

impl<'de> IntoDeserializer<'de, Error> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A variant of an enum: a text, or an object with one member.
struct Variant {
    variant: String,
    content: Option<Value>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Error;
    type Variant = Content;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content), Error> {
        let name = seed.deserialize(IntoDeserializer::<Error>::into_deserializer(self.variant))?;
        Ok((name, Content(self.content)))
    }
}

/// What a variant contains.
struct Content(Option<Value>);

impl Content {
    fn value(self, expected: &'static str) -> Result<Value, Error> {
        self.0.ok_or_else(|| Error::invalid_type(Unexpected::UnitVariant, &expected))
    }
}

impl<'de> VariantAccess<'de> for Content {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        self.0.map_or(Ok(()), <()>::deserialize)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.value("newtype variant")?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.value("tuple variant")?.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.value("struct variant")?.visit(visitor)
    }
}

/// A key of an object. A type may read it as a number or as `true` and `false`, as in serde_json.
struct Key(String);

/// Reads a number or a boolean from the text of a key. As in serde_json, there is no white space around it.
macro_rules! from_text {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            if self.0.trim_ascii().len() < self.0.len() {
                return Err(Error::invalid_type(Unexpected::Str(&self.0), &visitor));
            }
            let mut json = serde_json::Deserializer::from_reader(self.0.as_bytes());
            let value = json.$method(visitor)?;
            json.end()?;
            Ok(value)
        }
    )*};
}

impl<'de> Deserializer<'de> for Key {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }

    from_text! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(Variant { variant: self.0, content: None })
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Key {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
