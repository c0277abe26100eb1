//! Checks that a decoder reads back exactly what was encoded.

use bytes::Bytes;
use engineio_proto::{EncodedMessage, MessageEncoder};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::Value;
use tidewire_socketio_proto::{Decoder, DecoderLimits, Packet, RESERVED_EVENTS, encode};

/// Decodes the text of a message and its attachments.
fn transmit(message: &EncodedMessage<'_>) -> Packet<'static> {
    let mut decoder = Decoder::new(&DecoderLimits::default());
    let mut packet = decoder.decode_text(message.text()).expect("the text is valid").map(Packet::into_owned);
    for attachment in message.attachments() {
        assert_eq!(packet, None, "the packet is complete only after the last attachment");
        packet = decoder.decode_binary(attachment).expect("the attachment is valid");
    }
    packet.expect("the packet is complete")
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // serde_json parses other fractions only up to the last bit. Multiples of 1/8 are exact.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[^,]{0,80}"]
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Message {
    title: String,
    image: Bytes,
    parts: Vec<Option<Bytes>>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
enum Kind {
    Plain,
    Binary(Bytes),
    Both { text: String, data: Bytes },
}

fn message() -> impl Strategy<Value = Message> {
    let bytes = || vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    let kind = prop_oneof![
        Just(Kind::Plain),
        bytes().prop_map(Kind::Binary),
        (any::<String>(), bytes()).prop_map(|(text, data)| Kind::Both { text, data }),
    ];
    (any::<String>(), bytes(), vec(proptest::option::of(bytes()), 0..6), kind)
        .prop_map(|(title, image, parts, kind)| Message { title, image, parts, kind })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn an_event_arrives_unchanged(
        namespace in namespace(), id: Option<u64>, name: String, first in json(), second in json()
    ) {
        prop_assume!(!RESERVED_EVENTS.contains(&name.as_str()));
        let mut encoder = MessageEncoder::new();
        let sent = encode::event(&mut encoder, &namespace, id, &name, &(&first, &second)).unwrap();
        let Packet::Event { namespace: to, ack, event } = transmit(&sent) else { panic!("an event was sent") };
        prop_assert_eq!((&*to, ack, event.name()), (&*namespace, id, &*name));
        prop_assert_eq!(event.arguments().len(), 2);
        let all: Vec<Value> = event.arguments().deserialize_all().unwrap();
        let pair: (Value, Value) = event.arguments().deserialize().unwrap();
        let one: Value = event.arguments().deserialize().unwrap();
        let raw: Value = serde_json::from_str(&format!("[{}]", event.arguments().json_elements())).unwrap();
        // Floats with an integer value are written as integers, so both sides are converted to one notation first.
        prop_assert_eq!(text(&one), text(&first));
        prop_assert_eq!(text(&raw), text(&Value::from(vec![first.clone(), second.clone()])));
        prop_assert_eq!(all, vec![pair.0.clone(), pair.1.clone()]);
        prop_assert_eq!((text(&pair.0), text(&pair.1)), (text(&first), text(&second)));
    }

    #[test]
    fn binary_data_arrives_at_its_position(
        namespace in namespace(), id: u64, message in message(), tail in json()
    ) {
        let mut encoder = MessageEncoder::new();
        let sent = encode::ack(&mut encoder, &namespace, id, &(&message, &tail)).unwrap();
        let Packet::Ack { namespace: to, id: of, arguments } = transmit(&sent) else {
            panic!("an acknowledgement was sent")
        };
        prop_assert_eq!((&*to, of), (&*namespace, id));
        let (received, received_tail): (Message, Value) = arguments.deserialize().unwrap();
        prop_assert_eq!(received, message.clone());
        prop_assert_eq!(text(&received_tail), text(&tail));
        prop_assert_eq!(arguments.deserialize::<Message>(), Ok(message));
    }

    #[test]
    fn other_payloads_arrive_unchanged(
        namespace in namespace(), sid: String, reason: String, data in proptest::option::of(json())
    ) {
        let mut encoder = MessageEncoder::new();
        let Packet::Connect { namespace: to, auth } = transmit(&encode::connect(&mut encoder, &namespace, &sid)) else {
            panic!("a connect was sent")
        };
        prop_assert_eq!(&*to, &*namespace);
        let auth: Value = auth.unwrap().deserialize().unwrap();
        prop_assert_eq!(auth["sid"].as_str(), Some(&*sid));

        let sent = encode::connect_error(&mut encoder, &namespace, &reason, data.as_ref()).unwrap();
        let Packet::ConnectError { namespace: to, data: details } = transmit(&sent) else {
            panic!("a connect error was sent")
        };
        prop_assert_eq!(&*to, &*namespace);
        let details: Value = details.deserialize().unwrap();
        prop_assert_eq!(details["message"].as_str(), Some(&*reason));
        prop_assert_eq!(details.get("data").map(text), data.as_ref().map(text));

        let left = transmit(&encode::disconnect(&mut encoder, &namespace));
        prop_assert_eq!(left, Packet::Disconnect { namespace: namespace.into() });
    }
}

/// Returns the JSON text of a value, with all numbers in one notation.
fn text(value: &Value) -> String {
    let mut encoder = MessageEncoder::new();
    match transmit(&encode::ack(&mut encoder, "/", 0, value).expect("JSON can be written")) {
        Packet::Ack { arguments, .. } => arguments.json_elements().to_owned(),
        other => panic!("an acknowledgement was sent, not {other:?}"),
    }
}
