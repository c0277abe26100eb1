//! Every message that a format has is read as it was written.

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use socketio_proto::{Arguments, Object, Value};

use super::describe;
use crate::cluster::codec::{
    DecodeLimits, FormatError, Notification, Notified, PostgresCodec, RedisCodec, ShardedRedisCodec,
    SubscriptionMode,
};
use crate::cluster::{AckRequest, Message, NodeId, Recipient, RequestId};
use crate::{
    BroadcastOptions, DeliveryPolicy, EncodedEvent, MessageEncoder, MissingReason, RemoteSocketState, Room,
};

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z#/\"\\\\]{0,4}", ".{0,4}"]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<u32>().prop_map(|number| Value::from(f64::from(number) / 16.0)),
        text().prop_map(Value::from),
        vec(any::<u8>(), 0..4).prop_map(|data| Value::from(Bytes::from(data))),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            vec((text(), inner), 0..3).prop_map(|members| {
                let mut object = Object::new();
                for (key, value) in members {
                    object.insert(key, value);
                }
                Value::Object(object)
            }),
        ]
    })
}

/// The arguments of an event, or one argument.
fn arguments(values: &[Value]) -> Arguments<'static> {
    let mut encoder = MessageEncoder::new();
    encoder.lift_attachment_limit();
    let event = EncodedEvent::encode(&mut encoder, "/", None, "", values).expect("values are JSON");
    let list = event.json().strip_prefix(r#"["","#).and_then(|list| list.strip_suffix(']'));
    let list = list.expect("the list is the only argument").to_owned();
    Arguments::from_json(list, event.attachments().to_vec()).expect("it is a list")
}

fn event(with_flag: bool) -> impl Strategy<Value = EncodedEvent> {
    (text(), vec(value(), 0..3), any::<bool>()).prop_filter_map(
        "the name is not reserved and there are few binary values",
        move |(name, values, compress)| {
            let mut encoder = MessageEncoder::new();
            let event = socketio_proto::encode::event(&mut encoder, "/", None, &name, &arguments(&values));
            Some(event.ok()?.with_compression(compress || !with_flag).into())
        },
    )
}

fn rooms() -> impl Strategy<Value = Vec<Room>> {
    vec(text().prop_map(Room::from), 0..3)
}

fn names() -> impl Strategy<Value = Vec<Box<str>>> {
    vec(text().prop_map(Box::from), 0..3)
}

fn options(with_flags: bool) -> impl Strategy<Value = BroadcastOptions> {
    let policy = prop_oneof![
        Just(DeliveryPolicy::Queue),
        Just(DeliveryPolicy::Volatile),
        text().prop_map(|key| DeliveryPolicy::KeepLatest(key.into())),
    ];
    (rooms(), rooms(), policy, any::<bool>()).prop_map(move |(rooms, except, policy, private)| {
        let mut options =
            BroadcastOptions { rooms: rooms.into(), except: except.into(), ..Default::default() };
        if with_flags {
            (options.policy, options.private) = (policy, private);
        }
        options
    })
}

fn request() -> impl Strategy<Value = RequestId> {
    "[a-zA-Z0-9_-]{1,36}".prop_map(|text| RequestId::parse(&text).expect("it is short enough"))
}

fn argument() -> impl Strategy<Value = Arguments<'static>> {
    vec(value(), 0..2).prop_map(|values| arguments(&values))
}

fn socket() -> impl Strategy<Value = RemoteSocketState> {
    (text(), rooms(), value()).prop_map(|(id, rooms, data)| {
        RemoteSocketState::new(&id, r#"{"auth":{"a":[1]}}"#.to_owned(), rooms, arguments(&[data]))
    })
}

/// The messages that every format has.
fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        (event(true), options(true), proptest::option::of((request(), 0..100_000_u64))).prop_map(
            |(event, options, ack)| {
                let ack = ack.map(|(request, timeout)| AckRequest {
                    request,
                    timeout: Duration::from_millis(timeout),
                });
                Message::Broadcast { event, options, ack, sequence: None }
            }
        ),
        (options(false), names()).prop_map(|(options, rooms)| Message::SocketsJoin { options, rooms }),
        (options(false), names()).prop_map(|(options, rooms)| Message::SocketsLeave { options, rooms }),
        (options(false), any::<bool>()).prop_map(|(options, close_connection)| {
            Message::DisconnectSockets { options, close_connection }
        }),
        (request(), options(false)).prop_map(|(request, options)| Message::FetchSockets { request, options }),
        (request(), vec(socket(), 0..3))
            .prop_map(|(request, sockets)| Message::FetchSocketsResponse { request, sockets }),
        (event(false), proptest::option::of(request()))
            .prop_map(|(event, request)| Message::ServerSideEmit { event, request }),
        (request(), argument())
            .prop_map(|(request, arguments)| Message::ServerSideEmitResponse { request, arguments }),
        (request(), any::<u32>())
            .prop_map(|(request, count)| Message::BroadcastClientCount { request, count: count as usize }),
        (request(), argument()).prop_map(|(request, arguments)| Message::BroadcastAck { request, arguments }),
    ]
}

/// The messages that all formats have, those that Node ignores included.
fn message_of_ours() -> impl Strategy<Value = Message> {
    let reason = prop_oneof![
        Just(MissingReason::TimedOut),
        Just(MissingReason::Disconnected),
        Just(MissingReason::Limit)
    ];
    prop_oneof![
        8 => message(),
        1 => Just(Message::Close),
        1 => (request(), text(), reason).prop_map(|(request, socket, reason)| {
            Message::BroadcastMissing { request, socket: socket.into(), reason }
        }),
    ]
}

/// The messages that all formats but the one of `createAdapter` have.
fn cluster_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        8 => message_of_ours(),
        1 => Just(Message::InitialHeartbeat),
        1 => Just(Message::Heartbeat),
    ]
}

fn request_of(message: &Message) -> Option<RequestId> {
    match message {
        Message::Broadcast { ack, .. } => ack.map(|ack| ack.request),
        Message::ServerSideEmit { request, .. } => *request,
        Message::FetchSockets { request, .. }
        | Message::FetchSocketsResponse { request, .. }
        | Message::ServerSideEmitResponse { request, .. }
        | Message::BroadcastClientCount { request, .. }
        | Message::BroadcastAck { request, .. }
        | Message::BroadcastMissing { request, .. } => Some(*request),
        _ => None,
    }
}

/// What `JSON.stringify` makes of binary values, where a format has only JSON.
fn without_binary(described: serde_json::Value) -> serde_json::Value {
    use serde_json::{Value, json};
    match described {
        Value::Object(members) => match members.get("<binary>").and_then(Value::as_str) {
            Some(hex) => json!({ "type": "Buffer", "data": super::from_hex(hex) }),
            None => members.into_iter().map(|(key, value)| (key, without_binary(value))).collect(),
        },
        Value::Array(elements) => elements.into_iter().map(without_binary).collect(),
        other => other,
    }
}

fn check(message: &Message, received: &Message, is_json: bool) {
    let mut expected = describe(message);
    if is_json {
        expected = without_binary(expected);
    }
    assert_eq!(describe(received), expected);
    assert_eq!(request_of(received), request_of(message));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn redis_messages_are_read_as_they_were_written(message in message_of_ours(), uses_channels: bool) {
        let (one, two) = (NodeId::from("one"), NodeId::from("two"));
        let mut codec = RedisCodec::with_key("key", "/", &one);
        if uses_channels {
            codec = codec.with_response_channels();
        }
        let published = match codec.encode(&Recipient::Node(two.clone()), &message) {
            Ok(published) => published,
            // A program can make an object that looks like a placeholder only on purpose.
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let receiver = RedisCodec::with_key("key", "/", &two);
        let received = receiver.decode(&published.channel, &published.payload, &DecodeLimits::default());
        let received = received.unwrap().unwrap();
        let is_json = !matches!(message, Message::Broadcast { .. } | Message::BroadcastAck { .. });
        check(&message, &received.message, is_json);
    }

    #[test]
    fn sharded_redis_messages_are_read_as_they_were_written(message in cluster_message()) {
        let codec = |id| ShardedRedisCodec::with_prefix("key", "/", &NodeId::from(id), SubscriptionMode::Dynamic);
        let published = codec("one").encode(&Recipient::Node(NodeId::from("two")), &message).unwrap();
        let received =
            codec("two").decode(&published.channel, &published.payload, &DecodeLimits::default());
        let received = received.unwrap().unwrap();
        check(&message, &received.message, false);
        prop_assert_eq!(received.sender, Some(NodeId::from("one")));
    }

    #[test]
    fn postgres_messages_are_read_as_they_were_written(message in cluster_message(), max_payload in 0..400_usize) {
        let one = PostgresCodec::new("/", &NodeId::from("one")).with_max_payload(max_payload);
        let (two, limits) = (PostgresCodec::new("/", &NodeId::from("two")), DecodeLimits::default());
        let (received, is_json) = match one.encode(&message).unwrap() {
            Notification::Payload(published) => {
                prop_assert!(published.payload.len() <= max_payload);
                let Some(Notified::Message(received)) = two.decode(&published.payload, &limits).unwrap() else {
                    return Err(TestCaseError::fail("it is a message"));
                };
                (received, true)
            }
            Notification::Row(row) => {
                let notification = row.notification("42");
                let notified = two.decode(&notification.payload, &limits).unwrap();
                let is_row = matches!(notified, Some(Notified::Row { id, .. }) if &*id == "42");
                prop_assert!(is_row);
                (two.decode_row(&row.content, &limits).unwrap().unwrap(), false)
            }
        };
        check(&message, &received.message, is_json);
        prop_assert_eq!(received.sender, Some(NodeId::from("one")));
    }
}

#[test]
fn a_format_refuses_what_it_does_not_have() {
    let redis = RedisCodec::new("/", &NodeId::from("one"));
    for message in [Message::InitialHeartbeat, Message::Heartbeat] {
        let error = redis.encode(&Recipient::All, &message).unwrap_err();
        assert_eq!(error, FormatError::NoForm { message: message.name() });
    }
    let (request, options) = (RequestId::from(1), BroadcastOptions::new());
    let emitter = RedisCodec::emitter("socket.io", "/");
    assert!(emitter.encode(&Recipient::All, &Message::FetchSockets { request, options }).is_err());
    assert!(emitter.encode(&Recipient::All, &Message::AllRooms { request }).is_err());
    let emitter = PostgresCodec::emitter("socket.io", "/");
    for message in [Message::Heartbeat, Message::AllRooms { request }] {
        let error = emitter.encode(&message).unwrap_err();
        assert_eq!(error, FormatError::NoForm { message: message.name() });
    }
}
