//! Values without a type of their own: what a program that relays them sends, and what other types read from them.

mod model;

use std::collections::BTreeMap;
use std::fmt::Debug;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use engineio_proto::MessageEncoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use socketio_proto::{Arguments, Decoder, DecoderLimits, EncodeError, Packet, Value, encode};

use crate::received::received;
use model::{AnyValue, Rendered};

/// The most attachments of a packet that we encode.
const MAX_ATTACHMENTS: usize = DecoderLimits::DEFAULT_MAX_ATTACHMENTS;

/// The first byte of the input selects the number of attachments of an event, and the rest are its arguments; or the rest
/// describes a value that a program builds.
pub fn socketio_value(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    match choice % 5 {
        4 => check_built(rest),
        attachments => check_received(usize::from(attachments), &String::from_utf8_lossy(rest)),
    }
}

fn check_received(attachments: usize, text: &str) {
    let comma = if text.is_empty() { "" } else { "," };
    let kind = if attachments == 0 { "2".to_owned() } else { format!("5{attachments}-") };
    let text = format!(r#"{kind}["name"{comma}{text}]"#);
    let mut decoder = Decoder::new(&DecoderLimits::default());
    let mut packet = decoder.decode_text(&text);
    for index in 0..attachments {
        // Each attachment is different, and none is text.
        packet = packet.and_then(|_| decoder.decode_binary(vec![0xff - index as u8; index + 1]));
    }
    if let Ok(Some(Packet::Event { event, .. })) = packet {
        check_arguments(event.arguments());
    }
}

fn check_arguments(arguments: &Arguments<'_>) {
    let list = format!("[{}]", arguments.json_elements());
    let elements: Vec<&RawValue> = serde_json::from_str(&list).expect("the arguments are JSON");
    let deepest = elements.iter().map(|element| model::depth(element.get())).max().unwrap_or(0);
    let values: Vec<Value> = match arguments.deserialize_all() {
        Ok(values) => values,
        Err(error) => return assert!(deepest > 127, "{error}"),
    };
    assert!(deepest <= 127, "a deep value is refused");
    assert_eq!(values.len(), elements.len());

    // What is relayed has the bytes of the original, but for white space, unnecessary escapes, and the indices of
    // placeholders.
    let mut rendered = Rendered::new(arguments.attachments());
    rendered.list(&elements);
    let mut encoder = MessageEncoder::new();
    match encode::event(&mut encoder, "/", None, "e", &values) {
        Ok(message) => {
            let (_, list) = message.text().split_once(r#"["e","#).expect("an event");
            assert_eq!(list.strip_suffix(']'), Some(&*rendered.text));
            assert!(message.attachments().eq(rendered.used.iter().map(|bytes| &**bytes)));
        }
        Err(error) => {
            assert_eq!(error, EncodeError::TooManyAttachments { max: MAX_ATTACHMENTS });
            assert!(rendered.used.len() > MAX_ATTACHMENTS);
        }
    }

    let any: Vec<AnyValue> = arguments.deserialize_all().unwrap_or_default();
    for (index, (value, element)) in values.into_iter().zip(elements).enumerate() {
        let direct = any.get(index);
        check_value(&value, direct, element.get(), arguments.attachments().is_empty());
    }
}

/// Reads a value as types of every shape.
fn check_value(value: &Value, direct: Option<&AnyValue>, text: &str, is_plain: bool) {
    let read = AnyValue::deserialize(value.clone()).expect("it takes everything");
    assert!(read.holds(value), "{value:?} was read as {read:?}");
    if let Some(direct) = direct {
        assert!(direct.holds(value), "{value:?} was read from {text} as {direct:?}");
    }
    assert_eq!(value.clone().deserialize_into::<Value>().as_ref(), Ok(value), "nothing is lost");
    // serde buffers these before it selects a type, which keeps bytes.
    let buffered: Untagged = value.clone().deserialize_into().expect("one variant takes everything");
    let Untagged::Value(buffered) = buffered else { unreachable!("no other variant can be read") };
    assert!(read.has_the_shape_of(&buffered), "{value:?} was buffered as {buffered:?}");
    assert_eq!(model::attachments(&buffered), model::attachments(value));
    if let Ok(Flattened { rest }) = value.clone().deserialize_into() {
        let members = value.as_object().expect("only an object has members");
        assert!(rest.len() <= members.len());
        assert!(members.iter().all(|(key, _)| rest.contains_key(key)), "{value:?}");
    }

    reads::<String>(value, text, is_plain);
    reads::<bool>(value, text, is_plain);
    reads::<()>(value, text, is_plain);
    reads::<char>(value, text, is_plain);
    reads::<i8>(value, text, is_plain);
    reads::<u64>(value, text, is_plain);
    reads::<i64>(value, text, is_plain);
    reads::<u128>(value, text, is_plain);
    reads::<i128>(value, text, is_plain);
    reads::<Option<i32>>(value, text, is_plain);
    reads::<Bytes>(value, text, is_plain);
    reads::<Vec<u8>>(value, text, is_plain);
    reads::<[u8; 2]>(value, text, is_plain);
    reads::<(u8, Option<String>)>(value, text, is_plain);
    reads::<Vec<Option<Bytes>>>(value, text, is_plain);
    reads::<BTreeMap<String, Option<Bytes>>>(value, text, is_plain);
    reads::<Fields>(value, text, is_plain);
    reads::<Kind>(value, text, is_plain);
    reads::<Vec<Kind>>(value, text, is_plain);
    // serde_json reads no number from a key with an escape, and buffers no number that is too large for `f64`.
    reads::<BTreeMap<i16, bool>>(value, text, is_plain && !text.contains('\\'));
    reads::<Tagged>(value, text, is_plain && direct.is_some());
}

/// Without attachments, a type must be read from a value exactly as serde_json reads it from the text.
fn reads<T: DeserializeOwned + Debug + PartialEq>(value: &Value, text: &str, is_plain: bool) {
    let read: Option<T> = value.clone().deserialize_into().ok();
    if is_plain {
        assert_eq!(read, serde_json::from_str(text).ok(), "{text}");
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Never(Never),
    Value(Value),
}

#[derive(Debug)]
struct Never;

impl<'de> Deserialize<'de> for Never {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> std::result::Result<Self, D::Error> {
        Err(serde::de::Error::custom("never"))
    }
}

#[derive(Debug, Deserialize)]
struct Flattened {
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Fields {
    a: Option<Bytes>,
    #[serde(default)]
    b: Vec<u8>,
}

#[derive(Debug, PartialEq, Deserialize)]
enum Kind {
    Plain,
    Newtype(Bytes),
    Pair(u8, Option<bool>),
    Fields { a: String },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "a")]
enum Tagged {
    A { b: Option<Bytes> },
    B,
}

/// A value that a program builds must arrive as it was built.
fn check_built(data: &[u8]) {
    let mut choices = Unstructured::new(data);
    let Ok(value) = built(&mut choices, 0) else { return };
    let mut encoder = MessageEncoder::new();
    match encode::ack(&mut encoder, "/", 7, &(&value,)).map(received) {
        Ok(Packet::Ack { arguments, .. }) => {
            assert_eq!(arguments.attachments().len(), model::attachments(&value));
            assert_eq!(arguments.deserialize::<(Value,)>(), Ok((value,)));
        }
        Err(error) => {
            assert_eq!(error, EncodeError::TooManyAttachments { max: MAX_ATTACHMENTS });
            assert!(model::attachments(&value) > MAX_ATTACHMENTS);
        }
        Ok(other) => panic!("{other:?} was not sent"),
    }
}

fn built(choices: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    Ok(match choices.int_in_range(0..=if depth < 100 { 8 } else { 6 })? {
        0 => Value::Null,
        1 => choices.arbitrary::<bool>()?.into(),
        2 => choices.arbitrary::<i64>()?.into(),
        3 => choices.arbitrary::<u64>()?.into(),
        4 => choices.arbitrary::<f64>()?.into(),
        5 => choices.arbitrary::<&str>()?.into(),
        6 => Bytes::copy_from_slice(choices.arbitrary()?).into(),
        7 => {
            let elements = (0..choices.int_in_range(0..=5)?).map(|_: u8| built(choices, depth + 1));
            Value::Array(elements.collect::<Result<_>>()?)
        }
        _ => {
            let members = (0..choices.int_in_range(0..=5)?).map(|_: u8| {
                let key = choices.arbitrary::<&str>()?;
                // The key of placeholders, and the prefix that is serde_json's.
                let is_reserved = key == "_placeholder" || key.starts_with("$serde_json::private::");
                Ok((if is_reserved { "" } else { key }, built(choices, depth + 1)?))
            });
            Value::Object(members.collect::<Result<_>>()?)
        }
    })
}
