//! A deserializer around serde_json's that replaces placeholders with attachments.
//!
//! This module is used only for packets with attachments. Every nested deserializer, visitor, seed and access is
//! wrapped too, so that placeholders are replaced at any depth. All other values are passed through.

use std::fmt;

use bytes::Bytes;
use serde::de::value::SeqDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde_json::Value;

use crate::placeholder::{NUM_KEY, PLACEHOLDER_KEY};

/// Wraps one of serde's roles (deserializer, visitor, seed, access), together with the attachments.
pub(crate) struct AttachmentDeserializer<'x, I> {
    inner: I,
    attachments: &'x [Bytes],
}

impl<'x, I> AttachmentDeserializer<'x, I> {
    pub(crate) fn new(inner: I, attachments: &'x [Bytes]) -> Self {
        Self { inner, attachments }
    }

    fn wrap<J>(&self, inner: J) -> AttachmentDeserializer<'x, J> {
        AttachmentDeserializer { inner, attachments: self.attachments }
    }
}

/// Forwards methods for values without nested values. The visitor is not wrapped.
macro_rules! pass {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        }
    )*};
}

/// Forwards methods for values that can contain nested values. The visitor is wrapped.
macro_rules! wrap {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.wrap(visitor);
            self.inner.$method($($argument,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for AttachmentDeserializer<'_, D> {
    type Error = D::Error;

    pass! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_unit
        deserialize_identifier deserialize_ignored_any
    }

    wrap! {
        deserialize_any()
        deserialize_option()
        deserialize_map()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let attachments = self.attachments;
        self.inner.deserialize_any(BytesVisitor { visitor, attachments })
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let attachments = self.attachments;
        self.inner.deserialize_any(SequenceVisitor { visitor, attachments })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_seq(visitor)
    }
}

/// Passes an attachment to a type that requests bytes. The type makes one copy, because serde has no way to pass shared
/// memory.
struct BytesVisitor<'x, V> {
    visitor: V,
    attachments: &'x [Bytes],
}

impl<'de, V: Visitor<'de>> Visitor<'de> for BytesVisitor<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_bytes(read_placeholder(map, self.attachments)?)
    }

    // serde_json also accepts lists and strings when a type requests bytes.
    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_seq(sequence)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        self.visitor.visit_bytes(text.as_bytes())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<V::Value, E> {
        self.visitor.visit_borrowed_bytes(text.as_bytes())
    }
}

/// Passes a list to a type that requests a sequence (`Vec<u8>`, `[u8; 4]`). If the value is a placeholder, passes the
/// bytes of the attachment one by one.
struct SequenceVisitor<'x, V> {
    visitor: V,
    attachments: &'x [Bytes],
}

impl<'de, V: Visitor<'de>> Visitor<'de> for SequenceVisitor<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let bytes = read_placeholder(map, self.attachments)?;
        self.visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_seq(AttachmentDeserializer::new(sequence, self.attachments))
    }
}

/// Reads an object that must be a placeholder, and returns its attachment.
fn read_placeholder<'de, 'x, A: MapAccess<'de>>(
    mut map: A,
    attachments: &'x [Bytes],
) -> Result<&'x Bytes, A::Error> {
    let mut flagged = false;
    let mut found = None;
    while let Some(key) = map.next_key()? {
        match key {
            Key::Placeholder => flagged = map.next_value::<Value>()? == Value::Bool(true),
            Key::Num => found = attachments.get(map.next_value::<usize>()?),
            Key::Other => {
                map.next_value::<IgnoredAny>()?;
            }
        }
    }
    found.filter(|_| flagged).ok_or_else(|| Error::custom("invalid type: map, expected binary data"))
}

enum Key {
    Placeholder,
    Num,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
                Ok(match key {
                    PLACEHOLDER_KEY => Key::Placeholder,
                    NUM_KEY => Key::Num,
                    _ => Key::Other,
                })
            }
        }

        deserializer.deserialize_identifier(KeyVisitor)
    }
}

macro_rules! visit_plain {
    ($($method:ident($type:ty))*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for AttachmentDeserializer<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visit_plain! {
        visit_bool(bool) visit_i8(i8) visit_i16(i16) visit_i32(i32) visit_i64(i64) visit_i128(i128)
        visit_u8(u8) visit_u16(u16) visit_u32(u32) visit_u64(u64) visit_u128(u128) visit_f32(f32) visit_f64(f64)
        visit_char(char) visit_str(&str) visit_borrowed_str(&'de str) visit_string(String)
        visit_bytes(&[u8]) visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(AttachmentDeserializer::new(deserializer, self.attachments))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(AttachmentDeserializer::new(deserializer, self.attachments))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(AttachmentDeserializer::new(sequence, self.attachments))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(AttachmentDeserializer::new(map, self.attachments))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(AttachmentDeserializer::new(data, self.attachments))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for AttachmentDeserializer<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(AttachmentDeserializer::new(deserializer, self.attachments))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for AttachmentDeserializer<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.wrap(seed);
        self.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for AttachmentDeserializer<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.wrap(seed);
        self.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 'x, A: EnumAccess<'de>> EnumAccess<'de> for AttachmentDeserializer<'x, A> {
    type Error = A::Error;
    type Variant = AttachmentDeserializer<'x, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, AttachmentDeserializer { inner: variant, attachments: self.attachments }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for AttachmentDeserializer<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.wrap(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.wrap(visitor);
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.wrap(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::de::DeserializeOwned;
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::*;

    const IMAGE: &str = r#"{"_placeholder":true,"num":1}"#;

    fn resolve<T: DeserializeOwned>(json: &str) -> Result<T, String> {
        let attachments = [Bytes::from("zero"), Bytes::from("one")];
        T::deserialize(AttachmentDeserializer::new(
            &mut serde_json::Deserializer::from_str(json),
            &attachments,
        ))
        .map_err(|error| error.to_string())
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Post {
        title: String,
        image: Bytes,
        thumbnail: Option<Bytes>,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    enum Shape {
        Plain,
        Newtype(Bytes),
        Tuple(u8, Bytes),
        Struct { image: Bytes },
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Wrapped(Bytes);

    #[test]
    fn bytes_are_found_at_any_depth() {
        let one = || Bytes::from("one");
        assert_eq!(resolve(IMAGE), Ok(one()));
        assert_eq!(resolve(r#" { "num" : 1 , "x" : [{}] , "_placeholder" : true } "#), Ok(one()));
        assert_eq!(resolve(r#"{"\u005fplaceholder":true,"num":1}"#), Ok(one()));
        assert_eq!(resolve(IMAGE), Ok(Wrapped(one())));
        assert_eq!(resolve(IMAGE), Ok(Some(one())));
        assert_eq!(resolve("null"), Ok(None::<Bytes>));
        assert_eq!(resolve(&format!("[1,{IMAGE},null]")), Ok((1, one(), None::<Bytes>)));
        assert_eq!(resolve(&format!("[[{IMAGE}]]")), Ok(vec![[one()]]));
        assert_eq!(resolve(&format!(r#"{{"a":{IMAGE}}}"#)), Ok(BTreeMap::from([("a".to_owned(), one())])));
        let post = Post { title: "t".into(), image: one(), thumbnail: Some("zero".into()) };
        let json = format!(r#"{{"title":"t","image":{IMAGE},"thumbnail":{{"_placeholder":true,"num":0}}}}"#);
        assert_eq!(resolve(&json), Ok(post));
    }

    #[test]
    fn bytes_are_found_in_enums() {
        let one = || Bytes::from("one");
        assert_eq!(resolve(r#""Plain""#), Ok(Shape::Plain));
        assert_eq!(resolve(&format!(r#"{{"Newtype":{IMAGE}}}"#)), Ok(Shape::Newtype(one())));
        assert_eq!(resolve(&format!(r#"{{"Tuple":[1,{IMAGE}]}}"#)), Ok(Shape::Tuple(1, one())));
        assert_eq!(
            resolve(&format!(r#"{{"Struct":{{"image":{IMAGE}}}}}"#)),
            Ok(Shape::Struct { image: one() })
        );
    }

    #[test]
    fn an_attachment_can_be_read_as_a_sequence_of_numbers() {
        assert_eq!(resolve(IMAGE), Ok(b"one".to_vec()));
        assert_eq!(resolve(IMAGE), Ok(*b"one"));
        assert_eq!(resolve("[1,2]"), Ok(vec![1, 2]));
        assert_eq!(resolve("[1,2]"), Ok(Bytes::from(vec![1, 2])));
        assert_eq!(resolve(r#""text""#), Ok(Bytes::from("text")));
    }

    #[test]
    fn other_values_pass_through() {
        let json = r#"{"a":[1,-2,0.5,true,null,"é\n"],"b":{"_placeholder":true,"num":1}}"#;
        let value = json!({"a": [1, -2, 0.5, true, null, "é\n"], "b": {"_placeholder": true, "num": 1}});
        assert_eq!(resolve(json), Ok(value));
        assert_eq!(resolve::<Box<RawValue>>(json).unwrap().get(), json);
        assert_eq!(resolve(r#"["x",{"y":1}]"#), Ok(("x".to_owned(), BTreeMap::from([('y', 1u64)]))));
    }

    #[test]
    fn a_value_that_is_not_an_attachment_is_a_clear_error() {
        for json in [
            "{}",
            r#"{"num":1}"#,
            r#"{"_placeholder":false,"num":1}"#,
            r#"{"_placeholder":{},"num":1}"#,
            r#"{"_placeholder":true}"#,
            r#"{"_placeholder":true,"num":2}"#,
        ] {
            let error = resolve::<Bytes>(json).unwrap_err();
            assert!(error.contains("expected binary data"), "{json}: {error}");
            assert!(resolve::<Vec<u8>>(json).is_err(), "{json}");
        }
        assert!(resolve::<Bytes>("7").unwrap_err().contains("expected byte array"));
        assert!(resolve::<Vec<u8>>("7").unwrap_err().contains("expected a sequence"));
    }
}
