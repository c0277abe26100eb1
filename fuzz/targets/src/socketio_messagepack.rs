//! The messages of a peer that uses MessagePack, compared with the crate `rmpv`.

use std::sync::Arc;

use bytes::Bytes;
use engineio_proto::{Framing, MessageEncoder, Reframer, SharedMessage};
use rmpv::Value as Tree;
use serde::de::IgnoredAny;
use socketio_proto::parser::encode_shared_with;
use socketio_proto::{
    Arguments, DecodeError, Decoder, DecoderLimits, MessagePackError, MessagePackParser, Object, Packet,
    Parser, RawJson, Value, encode,
};

use crate::memory;

/// The input is a message.
pub fn socketio_messagepack(data: &[u8]) {
    let mut decoder = Decoder::with_parser(&MessagePackParser, &DecoderLimits::default());
    let mut result = Ok(None);
    let held = memory::peak(|| result = decoder.decode_binary(data));
    // Two bytes for a binary value become a placeholder and an entry, in lists that double.
    assert!(held <= 128 * data.len() + 64 * 1024, "{held} bytes are held for {}", data.len());
    assert_eq!(decoder.pending_bytes(), 0, "a packet is one message");
    match result {
        Ok(packet) => check(&packet.expect("a packet is one message"), data),
        Err(error) => check_error(&error, data),
    }
}

/// Reads a message as one value.
fn tree(data: &[u8]) -> Option<Tree> {
    let mut rest = data;
    let tree = rmpv::decode::read_value_with_max_depth(&mut rest, 4096).ok()?;
    rest.is_empty().then_some(tree)
}

/// What is no MessagePack for us is none for `rmpv`, except for the byte that `rmpv` takes for nil.
fn check_error(error: &DecodeError, data: &[u8]) {
    use MessagePackError::{TrailingBytes, UnexpectedEnd};
    if let DecodeError::MessagePack(UnexpectedEnd | TrailingBytes { .. }) = error {
        assert_eq!(tree(data), None, "{error}");
    }
}

fn check(packet: &Packet<'static>, data: &[u8]) {
    assert!(packet.namespace().starts_with('/') && !packet.namespace().contains(','));
    // What is ignored may be nested deeper than `rmpv` reads.
    let Some(Tree::Map(members)) = tree(data) else { return };
    let member = |name: &str| {
        let found = members.iter().rev().find(|(key, _)| key.as_str() == Some(name));
        found.map(|(_, value)| value).filter(|value| !is_undefined(value))
    };
    assert_eq!(member("nsp").and_then(text).as_deref(), Some(packet.namespace()));
    let data = member("data");
    match packet {
        Packet::Event { event, ack, .. } => {
            assert_eq!(ack.is_some(), member("id").is_some());
            let list = match data {
                Some(Tree::Array(list)) => list,
                // The official parser reads an extension as a list of its type and its data.
                Some(Tree::Ext(..)) => return,
                _ => panic!("the data is a list"),
            };
            check_arguments(event.arguments(), &list[1..]);
            let mut encoder = MessageEncoder::new();
            encoder.lift_attachment_limit();
            let Ok(message) =
                encode::event(&mut encoder, packet.namespace(), *ack, event.name(), event.arguments())
            else {
                return;
            };
            let again = again(&message.to_shared());
            // The name may be a number, and is then written as text.
            if list[0].is_str() {
                assert_eq!(Some(packet), again.as_ref(), "what is read can be written");
            }
        }
        Packet::Ack { arguments, .. } => match data {
            Some(Tree::Array(list)) => check_arguments(arguments, list),
            Some(Tree::Ext(..)) => {}
            _ => panic!("the data is a list"),
        },
        Packet::Connect { auth, .. } => assert_eq!(auth.is_some(), data.is_some()),
        Packet::ConnectError { data: payload, .. } => check_payload(payload),
        Packet::Disconnect { .. } => assert_eq!(data, None),
        other => panic!("{other:?} is unknown"),
    }
    if let Packet::Connect { auth: Some(auth), .. } = packet {
        check_payload(auth);
    }
}

/// Writes a message of the default parser as MessagePack, and reads it again.
fn again(message: &SharedMessage) -> Option<Packet<'static>> {
    let parser: Arc<dyn Parser> = Arc::new(MessagePackParser);
    let batch = encode_shared_with(&parser, message).expect("all data can be written");
    let mut piece = &batch.framed(Framing::LengthDelimited)[..];
    let packet = Reframer::new(Framing::WebSocket).next_packet(&mut piece).expect("there is a message");
    assert!(piece.is_empty(), "a packet is one message");
    let mut decoder = Decoder::with_parser(&MessagePackParser, &DecoderLimits::default());
    decoder.decode_binary(packet.payload.into_owned()).expect("what is written can be read")
}

fn check_arguments(arguments: &Arguments<'_>, expected: &[Tree]) {
    assert_eq!(arguments.len(), expected.len());
    let Ok(values) = arguments.deserialize_all::<Vec<Value>>() else { return };
    let expected: Option<Vec<Value>> = expected.iter().map(model).collect();
    if let Some(expected) = expected {
        assert_eq!(values, expected);
    }
}

/// Returns what JavaScript has for a value, in our types. `None` if `rmpv` does not tell enough: how the length of an
/// extension was written.
fn model(tree: &Tree) -> Option<Value> {
    Some(match tree {
        Tree::Nil => Value::Null,
        Tree::Boolean(value) => Value::from(*value),
        Tree::Integer(number) => match number.as_u64() {
            Some(number) => Value::from(number),
            None => Value::from(number.as_i64()?),
        },
        Tree::F32(number) => float(f64::from(*number)),
        Tree::F64(number) => float(*number),
        Tree::String(text) => Value::from(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        Tree::Binary(data) => Value::from(Bytes::copy_from_slice(data)),
        Tree::Array(elements) => Value::Array(elements.iter().map(model).collect::<Option<_>>()?),
        Tree::Map(members) => {
            let member = |(key, value): &(Tree, Tree)| Some((key_text(key)?, model(value)?));
            Value::Object(members.iter().map(member).collect::<Option<Object>>()?)
        }
        Tree::Ext(0, _) => return None,
        Tree::Ext(kind, data) => {
            Value::Array(vec![Value::from(i64::from(*kind)), Value::from(Bytes::copy_from_slice(data))])
        }
    })
}

/// Floats are compared as numbers, because a whole one has no fraction in JSON.
fn float(number: f64) -> Value {
    if !number.is_finite() {
        return Value::Null;
    }
    let mut encoder = MessageEncoder::new();
    let message = encode::ack(&mut encoder, "/", 0, &(number,)).expect("a number can be written");
    let text = message.body().trim_matches(['[', ']']);
    serde_json::from_str(text).expect("it is a number")
}

/// How JavaScript writes a key.
fn key_text(key: &Tree) -> Option<String> {
    Some(match key {
        Tree::Nil => "null".to_owned(),
        Tree::Boolean(value) => value.to_string(),
        Tree::Integer(number) => number.to_string(),
        Tree::String(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        Tree::Binary(data) => String::from_utf8_lossy(data).into_owned(),
        Tree::F32(_) | Tree::F64(_) | Tree::Array(_) | Tree::Map(_) | Tree::Ext(..) => return None,
    })
}

fn check_payload(payload: &RawJson<'_>) {
    let text = serde_json::from_str::<IgnoredAny>(payload.as_str());
    assert!(text.is_ok() || payload.as_str().len() > 127, "it is JSON, perhaps with many levels");
}

fn is_undefined(value: &Tree) -> bool {
    matches!(value, Tree::Ext(0, data) if data.len() == 1)
}

fn text(value: &Tree) -> Option<String> {
    match value {
        Tree::String(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        _ => None,
    }
}
