//! Packets that are sent and received with MessagePack arrive as with the default parser.

use std::sync::Arc;

use bytes::Bytes;
use engineio_proto::{CloseReason, EncodedMessage, Framing, MessageBatch, MessageEncoder, SharedBatch};
use proptest::prelude::*;
use tidewire_socketio_proto::parser::{encode_shared_with, encode_with};
use tidewire_socketio_proto::{
    Decoder, DecoderLimits, EncodeError, EncodedEvent, MessagePackParser, Object, Packet, Parser, Value,
    client, encode, server,
};
use ws_proto::Time;

/// The kind and the length in front of each message of a batch.
const HEADER_LEN: usize = 6;

fn bytes_of(batch: &SharedBatch) -> Vec<u8> {
    batch.framed(Framing::LengthDelimited)[HEADER_LEN..].to_vec()
}

fn to_message_pack(message: &EncodedMessage<'_>) -> Vec<u8> {
    let mut batch = MessageBatch::new();
    encode_with(&MessagePackParser, message, &mut batch).expect("all data can be written");
    bytes_of(&batch.to_shared())
}

fn received(message: &[u8]) -> Packet<'static> {
    let mut decoder = Decoder::with_parser(&MessagePackParser, &DecoderLimits::default());
    decoder.decode_binary(message).expect("it is valid").expect("a packet is one message")
}

fn received_by_default(message: &EncodedMessage<'_>) -> Packet<'static> {
    let mut limits = DecoderLimits::default();
    limits.max_attachments = usize::MAX;
    let mut decoder = Decoder::new(&limits);
    let mut packet = decoder.decode_text(message.text()).expect("it is valid").map(Packet::into_owned);
    for attachment in message.attachments() {
        packet = decoder.decode_binary(attachment).expect("it is expected");
    }
    packet.expect("the packet is complete")
}

fn text() -> impl Strategy<Value = String> {
    r#"[a-z"\\/é☃😀\u{0}-\u{1f}\u{7f}\u{2028}]{0,40}|_placeholder|num"#
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..64_u32).prop_flat_map(|bits| any::<u64>().prop_map(move |number| Value::from(number >> bits))),
        any::<f64>().prop_filter("JSON has no infinity", |number| number.is_finite()).prop_map(Value::from),
        text().prop_map(Value::from),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Value::from(Bytes::from(bytes))),
    ];
    leaf.prop_recursive(4, 64, 20, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
            proptest::collection::vec((text(), inner), 0..20)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Object>())),
        ]
    })
}

/// With the default parser, an object that looks like a placeholder would be one.
fn has_placeholder_key(value: &Value) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(has_placeholder_key),
        Value::Object(object) => {
            object.iter().any(|(key, value)| key == "_placeholder" || has_placeholder_key(value))
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn events_and_acknowledgements_arrive_as_with_the_default_parser(
        namespace in "/[a-zé0-9-]{0,20}", id: Option<u64>, name in "[a-z\"é]{1,20}", first in value(), second in value()
    ) {
        prop_assume!(!tidewire_socketio_proto::RESERVED_EVENTS.contains(&&*name));
        let mut encoder = MessageEncoder::new();
        for is_ack in [false, true] {
            encoder.lift_attachment_limit();
            let arguments = (&first, &second);
            let message = if is_ack {
                encode::ack(&mut encoder, &namespace, id.unwrap_or(7), &arguments)
            } else {
                encode::event(&mut encoder, &namespace, id, &name, &arguments)
            };
            let looks_alike = has_placeholder_key(&first) || has_placeholder_key(&second);
            let message = match message {
                Err(EncodeError::PlaceholderLike) if looks_alike => continue,
                message => message.unwrap(),
            };
            let has_bytes = message.attachments().next().is_some();
            if has_bytes && looks_alike {
                continue;
            }
            let expected = received_by_default(&message);
            let packet = received(&to_message_pack(&message));
            prop_assert_eq!(packet.namespace(), &*namespace);
            match (packet, expected) {
                (Packet::Event { ack, event, .. }, Packet::Event { event: expected, .. }) => {
                    prop_assert_eq!((ack, event.name()), (id, expected.name()));
                    prop_assert_eq!(event.arguments().json_elements(), expected.arguments().json_elements());
                    prop_assert_eq!(event.arguments(), expected.arguments());
                }
                (Packet::Ack { id: received, arguments, .. }, Packet::Ack { arguments: expected, .. }) => {
                    prop_assert_eq!(received, id.unwrap_or(7));
                    prop_assert_eq!(arguments, expected);
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn no_message_makes_the_decoder_panic_and_what_is_read_can_be_written(
        bytes in proptest::collection::vec(any::<u8>(), 0..80), type_ in 0..5_u8, has_head: bool
    ) {
        let head = [b"\x84\xa4type".as_slice(), &[type_], b"\xa3nsp\xa1/\xa2id\x07\xa4data\x93\xa1e"].concat();
        let message = if has_head { [head, bytes].concat() } else { bytes };
        let mut decoder = Decoder::with_parser(&MessagePackParser, &DecoderLimits::default());
        if let Ok(Some(Packet::Event { namespace, ack, event })) = decoder.decode_binary(&message[..]) {
            let mut encoder = MessageEncoder::new();
            encoder.lift_attachment_limit();
            // Attachments are written through a value, whose depth is limited.
            if let Ok(again) = encode::event(&mut encoder, &namespace, ack, event.name(), event.arguments()) {
                let Packet::Event { event: again, .. } = received(&to_message_pack(&again)) else {
                    panic!("it is an event");
                };
                prop_assert_eq!(again, event);
            }
        }
    }
}

#[test]
fn an_event_for_many_receivers_is_converted_once_also_for_its_clones() {
    let parser: Arc<dyn Parser> = Arc::new(MessagePackParser);
    let event =
        EncodedEvent::encode(&mut MessageEncoder::new(), "/a", None, "say", &Bytes::from("b")).unwrap();
    let first = encode_shared_with(&parser, event.message()).unwrap();
    let second = encode_shared_with(&parser, event.clone().message()).unwrap();
    for framing in [Framing::WebSocket, Framing::LengthDelimited] {
        assert_eq!(first.framed(framing).as_ptr(), second.framed(framing).as_ptr());
    }
    assert_eq!(bytes_of(&first), b"\x83\xa4type\x02\xa4data\x92\xa3say\xc4\x01b\xa3nsp\xa2/a");
    // The offset comes before the conversion.
    let stamped = encode_shared_with(&parser, event.with_offset("1").message()).unwrap();
    assert_eq!(bytes_of(&stamped), b"\x83\xa4type\x02\xa4data\x93\xa3say\xc4\x01b\xa11\xa3nsp\xa2/a");
}

struct Member;

impl server::Socket for Member {
    fn namespace(&self) -> &str {
        "/chat"
    }

    fn is_disconnected(&self) -> bool {
        false
    }
}

#[test]
fn the_machines_of_both_sides_talk_with_message_pack() {
    let parser: Arc<dyn Parser> = Arc::new(MessagePackParser);
    let (now, limits) = (Time::ZERO, DecoderLimits::default());
    let mut client =
        client::Client::<&str>::new(&Default::default(), &limits).with_parser(Arc::clone(&parser));
    let mut server = server::Connection::new(server::Protocol::V5, &Default::default(), &limits, now)
        .with_parser(&*parser, &limits);
    let mut encoder = MessageEncoder::new();
    let chat = client.socket("/chat", client::Auth::Static(None));
    client[chat].connect();
    // The decoder of each connection has the parser.
    for _ in 0..2 {
        client.handle_open();
        let request = client.poll_transmit().expect("the client requests its namespace");
        let request = bytes_of(&encode_shared_with(&parser, &request).unwrap());
        client.handle_close(CloseReason::TransportClose);
        assert_eq!(request, b"\x82\xa4type\x00\xa3nsp\xa5/chat");
    }
    client.handle_open();
    let request = bytes_of(&encode_shared_with(&parser, &client.poll_transmit().unwrap()).unwrap());
    let Ok(Some(server::Received::Connect(request))) = server.handle_binary(request, now) else {
        panic!("the client requests a namespace");
    };
    assert!(request.insert(Member).accept());
    let response = to_message_pack(&encode::connect(&mut encoder, "/chat", "sid"));
    assert!(client.handle_binary(response).is_ok());
    while let Some((_, output)) = client.poll_output() {
        assert!(matches!(output, client::Output::Connected { .. }), "{output:?}");
    }
    assert_eq!(client[chat].id(), Some("sid"));

    let event = encode::event(&mut encoder, "/chat", Some(7), "say", &Bytes::from("b")).unwrap();
    let Ok(Some(server::Received::Event { event, ack, .. })) =
        server.handle_binary(to_message_pack(&event), now)
    else {
        panic!("an event was received");
    };
    assert_eq!((event.name(), ack, event.arguments().deserialize()), ("say", Some(7), Ok(Bytes::from("b"))));
    let event = encode::event(&mut encoder, "/chat", None, "said", &Bytes::from("b")).unwrap();
    let Ok(Some((key, client::Output::Event { event, .. }))) = client.handle_binary(to_message_pack(&event))
    else {
        panic!("an event was received");
    };
    assert_eq!((key, event.name(), event.arguments().deserialize()), (chat, "said", Ok(Bytes::from("b"))));
    assert!(client.handle_text("2/chat,[\"said\"]").is_err(), "the server has another parser");
    assert!(server.handle_text("2/chat,[\"say\"]", now).is_err(), "the client has another parser");
}
