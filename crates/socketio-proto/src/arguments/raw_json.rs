//! JSON values that are not lists of arguments.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ArgumentsError, EncodeError, reason_without_position};
use crate::serializer::write_value;

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

    /// Returns the JSON text as received.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Deserializes the value as `T`. Unlike in [`Arguments::deserialize`](crate::Arguments::deserialize), a tuple reads a JSON array.
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
