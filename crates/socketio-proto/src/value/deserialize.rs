//! Reads a value from any deserializer.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Number, Object, Value, parse_prefix};

/// The name by which serde_json's deserializer returns the text of a value instead of its parts. It is the name of
/// `serde_json::value::RawValue`.
pub(super) const RAW_VALUE_NAME: &str = "$serde_json::private::RawValue";

/// The name of [`Value`] for the deserializer of a [`Value`], which then keeps the text of numbers. Other deserializers
/// ignore it.
pub(super) const VALUE_NAME: &str = "$tidewire::private::Value";

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(VALUE_NAME, NamedVisitor)
    }
}

/// Asks a deserializer that does not know [`VALUE_NAME`] for the text of the value.
struct NamedVisitor;

impl<'de> Visitor<'de> for NamedVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_newtype_struct(RAW_VALUE_NAME, ValueVisitor { is_from_value: false })
    }

    /// Only the deserializer of a [`Value`] calls this: it knows [`VALUE_NAME`].
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor { is_from_value: true })
    }
}

/// Takes what the deserializer has: the text of a value, or its parts.
struct ValueVisitor {
    /// The deserializer is that of a [`Value`]. It passes on a number as its text, by `visit_some`, for which it has no
    /// other use.
    is_from_value: bool,
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.is_from_value {
            return String::deserialize(deserializer).map(|text| Value::Number(Number::parse(&text)));
        }
        Value::deserialize(deserializer)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Bytes::copy_from_slice(bytes).into())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Value, E> {
        Ok(Bytes::from(bytes).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element()? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == RAW_VALUE_NAME && members.is_empty() && !self.is_from_value {
                let text: String = map.next_value()?;
                return parse_prefix(&text, &[]).map(|(value, _)| value).map_err(A::Error::custom);
            }
            members.push((key, map.next_value()?));
        }
        Ok(Value::Object(members.into_iter().collect::<Object>()))
    }
}
