//! What must come of a value: its text when it is relayed, and its parts for a type that takes everything.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use socketio_proto::Value;

/// Returns how many lists and objects of a JSON text are nested.
pub(super) fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut is_escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth -= 1,
            _ => {}
        }
    }
    deepest
}

/// Returns how many values are binary.
pub(super) fn attachments(value: &Value) -> usize {
    match value {
        Value::Bytes(_) => 1,
        Value::Array(elements) => elements.iter().map(attachments).sum(),
        Value::Object(object) => object.iter().map(|(_, value)| attachments(value)).sum(),
        _ => 0,
    }
}

/// A JSON text without white space and unnecessary escapes, whose placeholders have new indices. Numbers keep their text.
pub(super) struct Rendered<'a> {
    pub(super) text: String,
    /// The attachments of the placeholders, in the order of the text.
    pub(super) used: Vec<Bytes>,
    attachments: &'a [Bytes],
}

impl<'a> Rendered<'a> {
    pub(super) fn new(attachments: &'a [Bytes]) -> Self {
        Self { text: String::new(), used: Vec::new(), attachments }
    }

    pub(super) fn list(&mut self, elements: &[&RawValue]) {
        self.text.push('[');
        for (index, element) in elements.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.value(element.get());
        }
        self.text.push(']');
    }

    fn value(&mut self, text: &str) {
        match text.as_bytes()[0] {
            b'[' => self.list(&serde_json::from_str::<Vec<&RawValue>>(text).expect("a list")),
            b'{' => self.object(&serde_json::from_str::<Members<'_>>(text).expect("an object").0),
            b'"' => self.string(&serde_json::from_str::<String>(text).expect("a text")),
            _ => self.text.push_str(text),
        }
    }

    fn string(&mut self, text: &str) {
        self.text.push_str(&serde_json::to_string(text).expect("a text has a JSON form"));
    }

    fn object(&mut self, members: &[(String, &RawValue)]) {
        let member = |name| members.iter().rev().find(|(other, _)| other == name).map(|(_, raw)| raw.get());
        if member("_placeholder") == Some("true")
            && let Some(attachment) =
                member("num").and_then(|num| self.attachments.get(num.parse::<usize>().ok()?))
        {
            self.text.push_str(&format!(r#"{{"_placeholder":true,"num":{}}}"#, self.used.len()));
            self.used.push(attachment.clone());
            return;
        }
        self.text.push('{');
        for (index, (name, member)) in members.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.string(name);
            self.text.push(':');
            self.value(member.get());
        }
        self.text.push('}');
    }
}

/// The members of an object, also those whose name comes twice.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// What a deserializer says of a value to a type that takes everything.
#[derive(Debug)]
pub(super) enum AnyValue {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<AnyValue>),
    Object(Vec<(String, AnyValue)>),
}

impl AnyValue {
    /// Returns whether nothing of `value` is missing or different. Numbers have the precision of `f64`.
    pub(super) fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Unsigned(number), Value::Number(_)) => value.as_u64() == Some(*number),
            (Self::Signed(number), Value::Number(_)) => value.as_i64() == Some(*number),
            (Self::Float(number), Value::Number(_)) => {
                value.as_u64().is_none() && value.as_i64().is_none() && is_close(*number, value)
            }
            _ => self.is_alike(value, Self::holds),
        }
    }

    /// The same, but numbers may have another text.
    pub(super) fn has_the_shape_of(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Unsigned(number), Value::Number(_)) => is_close(*number as f64, value),
            (Self::Signed(number), Value::Number(_)) => is_close(*number as f64, value),
            (Self::Float(number), Value::Number(_)) => is_close(*number, value),
            // There is no JSON for a number that is too large.
            (Self::Float(number), Value::Null) => !number.is_finite(),
            _ => self.is_alike(value, Self::has_the_shape_of),
        }
    }

    fn is_alike(&self, value: &Value, compare: impl Fn(&Self, &Value) -> bool) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(one), Value::Bool(other)) => one == other,
            (Self::Text(one), Value::String(other)) => one == other,
            (Self::Bytes(one), Value::Bytes(other)) => one == other,
            (Self::List(one), Value::Array(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| compare(one, other))
            }
            (Self::Object(one), Value::Object(other)) => {
                one.len() == other.len()
                    && one
                        .iter()
                        .zip(other.iter())
                        .all(|((name, one), (other_name, other))| name == other_name && compare(one, other))
            }
            _ => false,
        }
    }
}

/// serde_json parses a float to within the last bit.
fn is_close(number: f64, value: &Value) -> bool {
    let Some(other) = value.as_f64() else { return false };
    number == other || (number - other).abs() <= other.abs() * 1e-15
}

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = AnyValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<AnyValue, E> {
        Ok(AnyValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<AnyValue, E> {
        Ok(AnyValue::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<AnyValue, E> {
        Ok(AnyValue::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<AnyValue, E> {
        Ok(AnyValue::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<AnyValue, E> {
        Ok(AnyValue::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<AnyValue, E> {
        Ok(AnyValue::Text(text.to_owned()))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<AnyValue, E> {
        Ok(AnyValue::Bytes(bytes.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<AnyValue, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(AnyValue::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyValue, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(AnyValue::Object(members))
    }
}
