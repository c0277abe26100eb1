//! A value that no type describes: any JSON value, or bytes.

mod deserialize;
mod deserializer;
mod hand_over;
mod number;
mod object;
mod parse;
mod serialize;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::error::ArgumentsError;
use ws_proto::Excerpt;

pub(crate) use self::deserialize::VALUE_NAME;
pub(crate) use self::hand_over::hand_over;
pub use self::number::Number;
pub use self::object::Object;
pub(crate) use self::parse::parse_prefix;

/// An argument, or a part of one, whose type the program does not know: any JSON value, or binary data.
///
/// A program that relays or stores data takes this type. Nothing is lost between a received `Value` and a sent one:
/// binary data stays binary at any depth, members of an object keep their order, and numbers keep their text. A
/// `serde_json::Value` cannot hold binary data, and reading a binary value into one is an error.
///
/// A `Value` can be an argument, a field of a struct, an element of a list, a part of an enum, and so on. If serde
/// buffers it before it selects a type (untagged and internally tagged enums, flattened structs), numbers have only the
/// precision of `u64`, `i64` and `f64`.
///
/// Nesting is limited to 127 levels, as in `serde_json`.
///
/// ```
/// # use bytes::Bytes;
/// use tidewire_socketio_proto::Value;
///
/// let picture = Value::from(Bytes::from_static(b"\x89PNG"));
/// let mut message = Value::Object([("to", "everyone".into()), ("picture", picture)].into_iter().collect());
/// assert_eq!(message.get("to").and_then(Value::as_str), Some("everyone"));
/// assert_eq!(message.get("picture").and_then(Value::as_bytes), Some(&b"\x89PNG"[..]));
///
/// message.as_object_mut().unwrap().insert("count", 2);
/// let (to, count): (String, u32) = {
///     #[derive(serde::Deserialize)]
///     struct Message { to: String, count: u32 }
///     let message: Message = message.deserialize_into()?;
///     (message.to, message.count)
/// };
/// assert_eq!((&*to, count), ("everyone", 2));
/// # Ok::<(), tidewire_socketio_proto::ArgumentsError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(String),
    /// Binary data: a `Buffer`, an `ArrayBuffer` or a typed array in JavaScript.
    Bytes(Bytes),
    /// A list.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

impl Value {
    /// Deserializes the value as `T`. Binary data can be read as described at
    /// [`Arguments::deserialize`](crate::Arguments::deserialize), but a tuple reads a list.
    ///
    /// # Errors
    /// Returns an error if the value has another type.
    pub fn deserialize_into<T: DeserializeOwned>(self) -> Result<T, ArgumentsError> {
        T::deserialize(self)
            .map_err(|error| ArgumentsError::InvalidPayload { reason: Excerpt(error).to_string() })
    }

    /// Returns whether the value is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Returns the value if it is `true` or `false`.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// Returns the number if the value is one that an `i64` can hold exactly.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Number(number) = self { number.as_i64() } else { None }
    }

    /// Returns the number if the value is one that a `u64` can hold exactly.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        if let Self::Number(number) = self { number.as_u64() } else { None }
    }

    /// Returns the nearest `f64` if the value is a number.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(number.as_f64()) } else { None }
    }

    /// Returns the text if the value is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// Returns the binary data if the value is binary.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// Returns the elements if the value is a list.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Self::Array(elements) = self { Some(elements) } else { None }
    }

    /// Returns the elements if the value is a list, to change them.
    #[must_use]
    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Value>> {
        if let Self::Array(elements) = self { Some(elements) } else { None }
    }

    /// Returns the members if the value is an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// Returns the members if the value is an object, to change them.
    #[must_use]
    pub fn as_object_mut(&mut self) -> Option<&mut Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// Returns the member with this key if the value is an object and has one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }
}

macro_rules! from {
    ($($type:ty => |$value:ident| $result:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $result
            }
        }
    )*};
}

from! {
    () => |_nothing| Self::Null;
    bool => |value| Self::Bool(value);
    i32 => |value| Self::Number(value.into());
    u32 => |value| Self::Number(value.into());
    i64 => |value| Self::Number(value.into());
    u64 => |value| Self::Number(value.into());
    // As `JSON.stringify`: NaN and the infinities are `null`.
    f64 => |value| Number::from_f64(value).map_or(Self::Null, Self::Number);
    &str => |text| Self::String(text.to_owned());
    String => |text| Self::String(text);
    Bytes => |bytes| Self::Bytes(bytes);
    Vec<Value> => |elements| Self::Array(elements);
    Object => |members| Self::Object(members);
}
