//! Writes JSON like `JSON.stringify`, with placeholders for binary values.
//!
//! Hot path. A custom formatter for serde_json's own serializer could write numbers and placeholders differently, but
//! serde_json would still write strings byte by byte. Except for numbers and bytes, the output must equal the output of
//! serde_json. A property test compares the two.

use std::fmt::{self, Display};

use engineio_proto::AttachmentEncoder;
use serde::Serialize;
use serde::ser::{self, Serializer};

use crate::error::EncodeError;
use crate::json_string::{write_json_escaped, write_json_string};
use crate::limits::DecoderLimits;
use crate::number::{write_float, write_integer};
use crate::scan::SERDE_JSON_PRIVATE_PREFIX;

/// Writes one JSON value to `text`.
///
/// Bytes are appended to `attachments`. If this is `None`, they are written as lists of numbers.
///
/// # Errors
/// Returns an error if the value fails to serialize, has a map key that cannot be written as text, or has more binary
/// values than a packet may have, unless its parser has no limit. `text` and `attachments` are then incomplete.
pub(crate) fn write_value<T: Serialize + ?Sized>(
    text: &mut Vec<u8>,
    attachments: Option<&mut AttachmentEncoder>,
    value: &T,
) -> Result<(), EncodeError> {
    let mut serializer = JsonSerializer { text, attachments, verbatim: false };
    value.serialize(&mut serializer).map_err(|error| *error.0)
}

/// The error is boxed, so that the result of every step fits into a register.
#[derive(Debug)]
struct SerializeError(Box<EncodeError>);

impl Display for SerializeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SerializeError {}

impl ser::Error for SerializeError {
    fn custom<T: Display>(reason: T) -> Self {
        Self(Box::new(EncodeError::Serialize { reason: reason.to_string() }))
    }
}

struct JsonSerializer<'e> {
    text: &'e mut Vec<u8>,
    attachments: Option<&'e mut AttachmentEncoder>,
    /// Whether the next string is already JSON.
    verbatim: bool,
}

impl<'s, 'e> JsonSerializer<'e> {
    fn put(&mut self, token: &str) {
        self.text.extend_from_slice(token.as_bytes());
    }

    fn open(&'s mut self, bracket: u8, close: &'static str) -> Compound<'s, 'e> {
        self.text.push(bracket);
        Compound { serializer: self, state: State::Empty, close }
    }

    /// Begins an enum variant with contents, which is written as an object with one member.
    fn open_variant(&'s mut self, variant: &str, bracket: u8, close: &'static str) -> Compound<'s, 'e> {
        self.text.push(b'{');
        write_json_string(self.text, variant);
        self.text.push(b':');
        self.open(bracket, close)
    }

    /// Writes a key. It must be a string, a number or a boolean. Numbers and booleans are converted to strings, as in
    /// JavaScript.
    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), SerializeError> {
        let start = self.text.len();
        key.serialize(&mut *self)?;
        match self.text.get(start) {
            Some(b'"') => {}
            Some(b'-' | b'0'..=b'9' | b't' | b'f') => {
                self.text.insert(start, b'"');
                self.text.push(b'"');
            }
            _ => return Err(ser::Error::custom("a map key must be a string, a number or a boolean")),
        }
        self.text.push(b':');
        Ok(())
    }
}

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {
        $(
            #[inline]
            fn $method(self, value: $type) -> Result<(), SerializeError> {
                write_integer(self.text, value);
                Ok(())
            }
        )*
    };
}

impl<'s, 'e> Serializer for &'s mut JsonSerializer<'e> {
    type Ok = ();
    type Error = SerializeError;
    type SerializeSeq = Compound<'s, 'e>;
    type SerializeTuple = Compound<'s, 'e>;
    type SerializeTupleStruct = Compound<'s, 'e>;
    type SerializeTupleVariant = Compound<'s, 'e>;
    type SerializeMap = Compound<'s, 'e>;
    type SerializeStruct = Compound<'s, 'e>;
    type SerializeStructVariant = Compound<'s, 'e>;

    integers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128
    }

    fn serialize_bool(self, value: bool) -> Result<(), SerializeError> {
        self.put(if value { "true" } else { "false" });
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), SerializeError> {
        write_float(self.text, value);
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), SerializeError> {
        write_float(self.text, value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), SerializeError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), SerializeError> {
        if self.verbatim {
            self.put(value);
        } else {
            write_json_string(self.text, value);
        }
        Ok(())
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), SerializeError> {
        struct Escaping<'t>(&'t mut Vec<u8>);
        impl fmt::Write for Escaping<'_> {
            fn write_str(&mut self, piece: &str) -> fmt::Result {
                write_json_escaped(self.0, piece);
                Ok(())
            }
        }
        self.text.push(b'"');
        fmt::write(&mut Escaping(self.text), format_args!("{value}")).map_err(|_| {
            <SerializeError as ser::Error>::custom("a Display implementation returned an error")
        })?;
        self.text.push(b'"');
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), SerializeError> {
        let Some(attachments) = &mut self.attachments else {
            return self.collect_seq(value);
        };
        let index = attachments.count();
        if index >= DecoderLimits::DEFAULT_MAX_ATTACHMENTS && !attachments.is_unlimited() {
            let max = DecoderLimits::DEFAULT_MAX_ATTACHMENTS;
            return Err(SerializeError(Box::new(EncodeError::TooManyAttachments { max })));
        }
        attachments.push(value);
        self.put(r#"{"_placeholder":true,"num":"#);
        write_integer(self.text, index);
        self.text.push(b'}');
        Ok(())
    }

    fn serialize_none(self) -> Result<(), SerializeError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), SerializeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), SerializeError> {
        self.put("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), SerializeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), SerializeError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), SerializeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), SerializeError> {
        self.text.push(b'{');
        write_json_string(self.text, variant);
        self.text.push(b':');
        value.serialize(&mut *self)?;
        self.text.push(b'}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'s, 'e>, SerializeError> {
        Ok(self.open(b'[', "]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'s, 'e>, SerializeError> {
        Ok(self.open(b'[', "]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Compound<'s, 'e>, SerializeError> {
        Ok(self.open(b'[', "]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'s, 'e>, SerializeError> {
        Ok(self.open_variant(variant, b'[', "]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'s, 'e>, SerializeError> {
        Ok(self.open(b'{', "}"))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Compound<'s, 'e>, SerializeError> {
        // serde_json's `RawValue`, and its `Number` with arbitrary precision, serialize as a struct with this name and
        // one field. The field is the JSON text of the value.
        if name.starts_with(SERDE_JSON_PRIVATE_PREFIX) {
            return Ok(Compound { serializer: self, state: State::Verbatim, close: "" });
        }
        Ok(self.open(b'{', "}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'s, 'e>, SerializeError> {
        Ok(self.open_variant(variant, b'{', "}}"))
    }
}

/// An array or object between its brackets.
struct Compound<'s, 'e> {
    serializer: &'s mut JsonSerializer<'e>,
    state: State,
    close: &'static str,
}

enum State {
    Empty,
    Filled,
    /// Not an object: see `serialize_struct`.
    Verbatim,
}

impl Compound<'_, '_> {
    fn write_separator(&mut self) {
        match self.state {
            State::Empty => self.state = State::Filled,
            State::Filled => self.serializer.text.push(b','),
            State::Verbatim => {}
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        self.write_separator();
        value.serialize(&mut *self.serializer)
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), SerializeError> {
        if matches!(self.state, State::Verbatim) {
            self.serializer.verbatim = true;
            let written = value.serialize(&mut *self.serializer);
            self.serializer.verbatim = false;
            return written;
        }
        self.write_separator();
        write_json_string(self.serializer.text, name);
        self.serializer.text.push(b':');
        value.serialize(&mut *self.serializer)
    }

    fn finish(self) {
        match self.close.as_bytes() {
            // Most often. A copy of unknown length would cost a call.
            &[bracket] => self.serializer.text.push(bracket),
            _ => self.serializer.put(self.close),
        }
    }
}

macro_rules! compounds {
    ($($trait:ident::$method:ident),*) => {
        $(impl ser::$trait for Compound<'_, '_> {
            type Ok = ();
            type Error = SerializeError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
                self.element(value)
            }

            fn end(self) -> Result<(), SerializeError> {
                self.finish();
                Ok(())
            }
        })*
    };
}

macro_rules! structs {
    ($($trait:ident),*) => {
        $(impl ser::$trait for Compound<'_, '_> {
            type Ok = ();
            type Error = SerializeError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), SerializeError> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), SerializeError> {
                self.finish();
                Ok(())
            }
        })*
    };
}

compounds! {
    SerializeSeq::serialize_element, SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field, SerializeTupleVariant::serialize_field
}

structs! { SerializeStruct, SerializeStructVariant }

impl ser::SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = SerializeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), SerializeError> {
        self.write_separator();
        self.serializer.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        value.serialize(&mut *self.serializer)
    }

    fn end(self) -> Result<(), SerializeError> {
        self.finish();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use serde_json::{Map, Value, json};

    use super::*;

    fn written<T: Serialize + ?Sized>(value: &T) -> Result<String, EncodeError> {
        let mut text = Vec::new();
        write_value(&mut text, None, value).map(|()| String::from_utf8(text).unwrap())
    }

    #[derive(Debug, Clone, Serialize)]
    enum Every {
        Unit,
        Newtype(Box<Every>),
        Tuple(bool, i8, u128),
        Struct {
            text: String,
            none: Option<()>,
            some: Option<char>,
        },
        Sequence(Vec<Every>),
        Numbers(BTreeMap<i16, UnitStruct>),
        Booleans(BTreeMap<bool, TupleStruct>),
        Letters(BTreeMap<Key, Wrapped>),
        Empty {},
        #[serde(rename = "a \"name\"\n")]
        Bytes(#[serde(with = "bytes_as_bytes")] Vec<u8>),
    }

    #[derive(Debug, Clone, Serialize)]
    struct UnitStruct;
    #[derive(Debug, Clone, Serialize)]
    struct TupleStruct(u8, i64);
    #[derive(Debug, Clone, Serialize)]
    struct Wrapped(String);
    #[derive(Debug, Clone, Serialize, PartialEq, Eq, PartialOrd, Ord)]
    enum Key {
        A,
        B,
    }

    mod bytes_as_bytes {
        pub(super) fn serialize<S: serde::Serializer>(
            bytes: &[u8],
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(bytes)
        }
    }

    fn every() -> impl Strategy<Value = Every> {
        let text = || r#"[a-z"\\é☃\n\u{1}]{0,8}"#;
        let leaf = prop_oneof![
            Just(Every::Unit),
            Just(Every::Empty {}),
            any::<(bool, i8, u128)>().prop_map(|(a, b, c)| Every::Tuple(a, b, c)),
            (text(), any::<Option<()>>(), any::<Option<char>>())
                .prop_map(|(text, none, some)| Every::Struct { text, none, some }),
            any::<Vec<i16>>()
                .prop_map(|keys| Every::Numbers(keys.into_iter().map(|key| (key, UnitStruct)).collect())),
            any::<Vec<(bool, i64)>>().prop_map(|pairs| {
                Every::Booleans(pairs.into_iter().map(|(key, value)| (key, TupleStruct(7, value))).collect())
            }),
            text().prop_map(|text| {
                Every::Letters([Key::A, Key::B].map(|key| (key, Wrapped(text.clone()))).into_iter().collect())
            }),
            any::<Vec<u8>>().prop_map(Every::Bytes),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                inner.clone().prop_map(|value| Every::Newtype(Box::new(value))),
                proptest::collection::vec(inner, 0..4).prop_map(Every::Sequence),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_value_is_written_as_serde_json_writes_it(value in every()) {
            prop_assert_eq!(written(&value).unwrap(), serde_json::to_string(&value).unwrap());
        }
    }

    #[test]
    fn a_displayed_value_is_written_as_a_string() {
        struct Displayed;
        impl Serialize for Displayed {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&format_args!("{}\"{}", 1, '\n'))
            }
        }
        assert_eq!(written(&Displayed).unwrap(), r#""1\"\n""#);
    }

    #[test]
    fn raw_json_is_written_unchanged() {
        let raw = RawValue::from_string(r#"{ "a" : 1.0 }"#.to_owned()).unwrap();
        assert_eq!(written(&(1, &raw, "a\n", &raw)).unwrap(), r#"[1,{ "a" : 1.0 },"a\n",{ "a" : 1.0 }]"#);
        assert_eq!(written(&BTreeMap::from([("k", &raw)])).unwrap(), r#"{"k":{ "a" : 1.0 }}"#);
    }

    #[test]
    fn members_keep_their_order_and_keys_become_text() {
        let value: Map<String, Value> =
            [("b".into(), json!(1)), ("a\"".into(), json!([null, true]))].into_iter().collect();
        assert_eq!(written(&value).unwrap(), serde_json::to_string(&value).unwrap());
        assert_eq!(written(&BTreeMap::from([(-5, "x"), (17, "y")])).unwrap(), r#"{"-5":"x","17":"y"}"#);
        assert_eq!(written(&BTreeMap::from([(Some('k'), 1)])).unwrap(), r#"{"k":1}"#);
    }

    #[test]
    fn a_key_that_cannot_be_a_string_is_rejected() {
        fn refused<K: Serialize + Ord>(key: K) {
            let error = written(&BTreeMap::from([(key, 1)])).unwrap_err();
            assert!(error.to_string().contains("a map key must be a string"), "{error}");
        }
        refused(());
        refused(None::<u8>);
        refused([1, 2]);
        refused(BTreeMap::from([("a", 1)]));
    }

    #[test]
    fn the_error_of_a_value_is_returned() {
        struct Refuses;
        impl Serialize for Refuses {
            fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(ser::Error::custom("not today"))
            }
        }
        let error = written(&[Refuses]).unwrap_err();
        assert_eq!(error, EncodeError::Serialize { reason: "not today".into() });
    }
}
