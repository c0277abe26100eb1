//! Writes a value with any serializer.

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use super::deserialize::RAW_VALUE_NAME;
use super::{Number, Object, Value};

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::Array(elements) => serializer.collect_seq(elements),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for Number {
    /// JSON gets the text as it was received. Other formats get the nearest number.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.as_u64(), self.as_i64(), self.noncanonical_text()) {
            (Some(value), ..) => serializer.serialize_u64(value),
            (None, Some(value), _) => serializer.serialize_i64(value),
            (None, None, Some(text)) if serializer.is_human_readable() => {
                // serde_json writes the field of a struct with this name unchanged, and so does this crate.
                let mut raw = serializer.serialize_struct(RAW_VALUE_NAME, 1)?;
                raw.serialize_field(RAW_VALUE_NAME, text)?;
                raw.end()
            }
            (None, None, _) => serializer.serialize_f64(self.as_f64()),
        }
    }
}
