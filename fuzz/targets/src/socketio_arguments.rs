//! What applications read from arguments and write into them, compared with serde_json.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;
use engineio_proto::MessageEncoder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use socketio_proto::{Arguments, Decoder, DecoderLimits, Packet, encode};

use crate::received::received;
use crate::tree::Tree;

/// The input is the number of attachments of an event, and its arguments.
pub fn socketio_arguments(data: &[u8]) {
    let Some((count, text)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let comma = if text.is_empty() { "" } else { "," };
    let mut decoder = Decoder::new(&DecoderLimits::default());
    let count = count % 4;
    let kind = if count == 0 { "2".to_owned() } else { format!("5{count}-") };
    let text = format!(r#"{kind}["name"{comma}{text}]"#);
    let mut packet = decoder.decode_text(&text);
    for index in 0..count {
        packet = packet.and_then(|_| decoder.decode_binary(vec![index; 3]));
    }
    if let Ok(Some(Packet::Event { event, .. })) = packet {
        check(event.arguments());
    }
}

/// Reads the arguments as types of every shape, and writes the values again.
fn check(arguments: &Arguments<'_>) {
    let list = format!("[{}]", arguments.json_elements());
    let elements: Vec<&RawValue> = serde_json::from_str(&list).expect("the arguments are JSON");
    let elements: Vec<&str> = elements.into_iter().map(RawValue::get).collect();
    assert_eq!(elements.len(), arguments.len());
    if arguments.attachments().is_empty() {
        check_reading(arguments, &elements);
    } else {
        check_reading_attachments(arguments, &elements);
    }
    for value in elements.iter().filter_map(|element| serde_json::from_str::<Value>(element).ok()) {
        check_writing(&value);
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Struct {
    #[serde(default)]
    a: Option<Bytes>,
    #[serde(default)]
    b: Vec<Kind>,
}

#[derive(Debug, PartialEq, Deserialize)]
enum Kind {
    Plain,
    Binary(Bytes),
    Both { text: String, data: Vec<u8> },
}

#[derive(Debug, PartialEq, Deserialize)]
struct Newtype<T>(T);

fn check_reading(arguments: &Arguments<'_>, elements: &[&str]) {
    reads_alike::<Value>(arguments, elements);
    reads_alike::<Cow<'static, str>>(arguments, elements);
    reads_alike::<Option<Newtype<String>>>(arguments, elements);
    reads_alike::<char>(arguments, elements);
    reads_alike::<bool>(arguments, elements);
    reads_alike::<f64>(arguments, elements);
    reads_alike::<i8>(arguments, elements);
    reads_alike::<u128>(arguments, elements);
    reads_alike::<()>(arguments, elements);
    reads_alike::<Bytes>(arguments, elements);
    reads_alike::<Vec<u8>>(arguments, elements);
    reads_alike::<Vec<Option<Bytes>>>(arguments, elements);
    reads_alike::<Kind>(arguments, elements);
    reads_alike::<Struct>(arguments, elements);
    reads_alike::<Vec<Value>>(arguments, elements);
    reads_alike::<(Value, Option<Kind>)>(arguments, elements);
    reads_alike::<BTreeMap<String, Value>>(arguments, elements);
}

/// Each argument must be the same as serde_json reads from its text, or no argument can be read.
fn reads_alike<T: DeserializeOwned + Debug + PartialEq>(arguments: &Arguments<'_>, elements: &[&str]) {
    let expected: Option<Vec<T>> =
        elements.iter().map(|element| serde_json::from_str(element).ok()).collect();
    assert_eq!(arguments.deserialize_all().ok(), expected, "{elements:?}");
    if let Some(first) = elements.first() {
        let (one,): (Option<Newtype<T>>,) = arguments.deserialize().unwrap_or_default();
        let expected = serde_json::from_str::<Option<Newtype<T>>>(first).ok().flatten();
        assert_eq!(one, expected, "{first}");
    }
}

/// serde_json does not support attachments. A `serde_json::Value` is an error if there is one in it, and a `Value` is
/// sent as it came.
fn check_reading_attachments(arguments: &Arguments<'_>, elements: &[&str]) {
    let trees: Option<Vec<Tree>> = elements.iter().map(|element| Tree::parse(element).ok()).collect();
    if let Some(trees) = trees {
        let trees: Vec<Tree> = trees.into_iter().map(|tree| tree.resolved(arguments.attachments())).collect();
        let attachments: usize = trees.iter().map(Tree::attachments).sum();
        assert_eq!(arguments.deserialize_all::<Vec<Value>>().is_ok(), attachments == 0, "{trees:?}");
        let values: Vec<socketio_proto::Value> = arguments.deserialize_all().expect("it holds everything");
        let mut encoder = MessageEncoder::new();
        match encode::event(&mut encoder, "/", None, "e", &values) {
            Ok(message) => {
                let list = message.text().split_once('[').map_or("", |(_, list)| list);
                let list =
                    list.split_once(',').map_or("", |(_, list)| list).strip_suffix(']').unwrap_or_default();
                let sent: Vec<Bytes> = message.attachments().map(Bytes::copy_from_slice).collect();
                let again = Tree::parse(list).expect("what is written can be read").resolved(&sent);
                assert!(again.is_alike(&Tree::List(trees)), "{again:?}");
            }
            Err(error) => assert!(attachments > 10, "{error}"),
        }
    }
    for (index, bytes) in arguments.deserialize_all::<Vec<Option<Bytes>>>().into_iter().flatten().enumerate()
    {
        let tree = Tree::parse(elements[index]).expect("it was read as bytes");
        if let Some(Some(attachment)) = tree.placeholder() {
            let attachment = usize::try_from(attachment).ok().and_then(|at| arguments.attachments().get(at));
            assert_eq!(bytes.as_ref(), attachment, "{tree:?}");
        }
    }
    let _ = arguments.deserialize::<(Option<Bytes>, Vec<Option<Bytes>>, Struct)>();
    let _ = arguments.deserialize::<Struct>();
    let _ = arguments.deserialize_all::<Vec<Struct>>();
    let _ = arguments.deserialize_all::<Vec<Kind>>();
    let _ = arguments.deserialize_all::<Vec<Vec<u8>>>();
    let _ = arguments.deserialize::<(Cow<'static, str>, f32, i64, char)>();
}

/// Everything except floats must be written as serde_json writes it. Floats must read back as themselves.
fn check_writing(value: &Value) {
    let text = written(value);
    if is_without_floats(value) {
        assert_eq!(text, value.to_string());
    } else {
        let tree = Tree::parse(&value.to_string()).expect("a value can be read");
        let again = Tree::parse(&text).expect("what is written can be read");
        assert!(again.is_alike(&tree), "{value} was written as {text}");
        check_floats(value);
    }
}

fn is_without_floats(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(elements) => elements.iter().all(is_without_floats),
        Value::Object(members) => members.values().all(is_without_floats),
        _ => true,
    }
}

fn check_floats(value: &Value) {
    match value {
        Value::Number(number) => {
            let Some(number) = number.as_f64() else { return };
            assert_eq!(written(&number).parse(), Ok(number));
            let narrow = number as f32;
            if narrow.is_finite() {
                assert_eq!(written(&narrow).parse(), Ok(narrow));
            }
        }
        Value::Array(elements) => elements.iter().for_each(check_floats),
        Value::Object(members) => members.values().for_each(check_floats),
        _ => {}
    }
}

/// Returns the text of a value that is sent.
fn written<T: Serialize>(value: &T) -> String {
    let mut encoder = MessageEncoder::new();
    match encode::ack(&mut encoder, "/", 0, value).map(received) {
        Ok(Packet::Ack { arguments, .. }) => arguments.json_elements().to_owned(),
        other => panic!("{other:?} in place of an acknowledgement"),
    }
}
