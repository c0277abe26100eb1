//! The messages of a Socket.IO peer: which of them are packets, what applications read from them, and how they are
//! relayed.

mod model;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use engineio_proto::MessageEncoder;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
use socketio_proto::{
    Arguments, DecodeError, Decoder, DecoderLimits, EncodeError, Packet, RESERVED_EVENTS, RawJson, encode,
};

use crate::memory;
use crate::received::received;
use crate::tree::Tree;
use model::Verdict;

/// The input is a list of messages, separated by 0xff, which no UTF-8 text contains. A message that starts with 0xfe is
/// binary. The bytes before the list set how many attachments a packet may have, and how long they may be.
pub fn socketio_packet(data: &[u8]) {
    let mut choices = Unstructured::new(data);
    let Ok(limits) = limits(&mut choices) else { return };
    let mut decoder = Decoder::new(&limits);
    let mut text_bytes = 0;
    for message in choices.take_rest().split(|&byte| byte == 0xff) {
        let awaited = decoder.awaited_attachments();
        let packet = if let [0xfe, data @ ..] = message {
            take_binary(&mut decoder, &limits, text_bytes, data)
        } else {
            let text = String::from_utf8_lossy(message);
            text_bytes = text.len();
            take_text(&mut decoder, &limits, &text)
        };
        if let Some(packet) = packet {
            assert_eq!(
                (decoder.awaited_attachments(), decoder.pending_bytes()),
                (0, 0),
                "a packet is complete"
            );
            look_at(&packet, text_bytes);
        }
        assert!(decoder.awaited_attachments() <= limits.max_attachments.max(awaited));
        assert!(decoder.pending_bytes() <= text_bytes + limits.max_attachment_bytes);
    }
}

fn limits(choices: &mut Unstructured<'_>) -> Result<DecoderLimits> {
    let mut limits = DecoderLimits::default();
    if let count @ 1.. = choices.arbitrary::<u8>()? {
        limits.max_attachments = count.into();
    }
    if let bytes @ 1.. = choices.arbitrary::<u8>()? {
        limits.max_attachment_bytes = bytes.into();
    }
    Ok(limits)
}

fn take_text(decoder: &mut Decoder, limits: &DecoderLimits, text: &str) -> Option<Packet<'static>> {
    let awaited = decoder.awaited_attachments();
    let mut result = Ok(None);
    let held = memory::peak(|| {
        // Moves the packet out of the run, so that its memory counts as held.
        result = decoder.decode_text(text).map(|packet| packet.map(Packet::into_owned));
    });
    // Nesting in a binary packet costs most: four bytes per bracket, in a list that doubles.
    assert!(held <= 16 * text.len() + 1024, "{held} bytes are held for {}", text.len());
    if awaited > 0 {
        assert_eq!(result, Err(DecodeError::UnexpectedText { awaited }));
    } else {
        let borrowed = Decoder::new(limits).decode_text(text).map(|packet| packet.map(Packet::into_owned));
        assert_eq!(borrowed, result, "what came before does not matter");
        match (Verdict::of(text, limits), &result) {
            (Verdict::Awaits(count), Ok(None)) => assert_eq!(decoder.awaited_attachments(), count),
            (Verdict::Refused, Err(_)) | (Verdict::Complete, Ok(Some(_))) => {}
            (Verdict::Unsure, result) if !matches!(result, Err(DecodeError::InvalidJson { .. })) => {}
            (verdict, result) => panic!("{text:?}: {verdict:?} expected, {result:?} found"),
        }
    }
    if result.is_err() {
        assert_eq!(
            (decoder.awaited_attachments(), decoder.pending_bytes()),
            (0, 0),
            "an error leaves nothing"
        );
    }
    result.unwrap_or_default()
}

fn take_binary(
    decoder: &mut Decoder,
    limits: &DecoderLimits,
    text_bytes: usize,
    data: &[u8],
) -> Option<Packet<'static>> {
    let awaited = decoder.awaited_attachments();
    let attachments = decoder.pending_bytes().saturating_sub(text_bytes) + data.len();
    let result = decoder.decode_binary(data);
    if awaited == 0 {
        assert_eq!(result, Err(DecodeError::UnexpectedBinary));
    } else if attachments > limits.max_attachment_bytes {
        assert_eq!(result, Err(DecodeError::AttachmentsTooLarge { max: limits.max_attachment_bytes }));
    } else {
        assert_eq!(result.as_ref().map(Option::is_some), Ok(awaited == 1));
    }
    let awaited = if matches!(result, Ok(None)) { awaited - 1 } else { 0 };
    assert_eq!(decoder.awaited_attachments(), awaited);
    assert_eq!(decoder.pending_bytes(), if awaited > 0 { text_bytes + attachments } else { 0 });
    result.unwrap_or_default()
}

/// Does everything that a server does with a packet.
fn look_at(packet: &Packet<'static>, text_bytes: usize) {
    assert!(packet.namespace().starts_with('/') && !packet.namespace().contains(','));
    match packet {
        Packet::Event { namespace, ack, event } => {
            assert!(!RESERVED_EVENTS.contains(&event.name()));
            let attachments: usize = event.arguments().attachments().iter().map(Bytes::len).sum();
            // The payload is part of the text. An unescaped name is never longer than its escapes.
            assert!(event.size() <= 2 * text_bytes + attachments, "{event:?}");
            look_at_arguments(event.arguments());
            relay(namespace, *ack, event.name(), event.arguments());
        }
        Packet::Ack { namespace, id, arguments } => {
            look_at_arguments(arguments);
            answer(namespace, *id, arguments);
        }
        Packet::Connect { namespace, auth } => {
            auth.iter().for_each(look_at_json);
            let sid = auth.as_ref().map_or("", RawJson::as_str);
            let sent = received(encode::connect(&mut MessageEncoder::new(), namespace, sid));
            let Packet::Connect { namespace: to, auth: Some(auth) } = sent else { panic!("{sent:?}") };
            assert_eq!(&to, namespace);
            assert_eq!(auth.deserialize::<Value>().expect("ours is valid")["sid"], sid);
        }
        Packet::ConnectError { namespace, data } => {
            look_at_json(data);
            let message = data.as_str();
            let mut encoder = MessageEncoder::new();
            let sent = encode::connect_error(&mut encoder, namespace, message, Some(message)).map(received);
            let Ok(Packet::ConnectError { namespace: to, data }) = sent else { panic!("{sent:?}") };
            assert_eq!(&to, namespace);
            let data: Value = data.deserialize().expect("ours is valid");
            assert_eq!((&data["message"], &data["data"]), (&message.into(), &message.into()));
        }
        Packet::Disconnect { namespace } => {
            let sent = received(encode::disconnect(&mut MessageEncoder::new(), namespace));
            assert_eq!(&sent, packet, "{namespace}");
        }
        other => panic!("{other:?} is not known here"),
    }
}

fn look_at_json(json: &RawJson<'_>) {
    assert!(serde_json::from_str::<IgnoredAny>(json.as_str()).is_ok(), "{json:?}");
    // The nesting is too deep, a number is too large, or a surrogate pair is incomplete: this must be an error.
    let _ = json.deserialize::<Value>();
}

/// The target `socketio_arguments` checks the content of the arguments.
fn look_at_arguments(arguments: &Arguments<'_>) {
    let list = format!("[{}]", arguments.json_elements());
    let elements: Vec<IgnoredAny> = serde_json::from_str(&list).expect("the arguments are JSON");
    assert_eq!((elements.len(), elements.is_empty()), (arguments.len(), arguments.is_empty()));
    assert_eq!(arguments.deserialize(), Ok(()), "nothing is asked for, whatever has come");
    let _ = arguments.deserialize_all::<Vec<Value>>();
}

fn relay(namespace: &str, ack: Option<u64>, name: &str, arguments: &Arguments<'_>) {
    let mut encoder = MessageEncoder::new();
    let sent = encode::event(&mut encoder, namespace, ack, name, arguments).map(received);
    check_relay(arguments, sent, |packet| match packet {
        Packet::Event { namespace: to, ack: wanted, event } => {
            assert_eq!((&*to, wanted, event.name()), (namespace, ack, name));
            event.arguments().clone()
        }
        other => panic!("{other:?} was not sent"),
    });
}

fn answer(namespace: &str, id: u64, arguments: &Arguments<'_>) {
    let mut encoder = MessageEncoder::new();
    let sent = encode::ack(&mut encoder, namespace, id, arguments).map(received);
    check_relay(arguments, sent, |packet| match packet {
        Packet::Ack { namespace: to, id: of, arguments } => {
            assert_eq!((&*to, of), (namespace, id));
            arguments
        }
        other => panic!("{other:?} was not sent"),
    });
}

/// Without attachments, every argument must keep its text. With attachments, it must keep its meaning, or be rejected
/// for a reason.
fn check_relay(
    before: &Arguments<'_>,
    sent: std::result::Result<Packet<'static>, EncodeError>,
    arguments: impl FnOnce(Packet<'static>) -> Arguments<'static>,
) {
    let text = |arguments: &Arguments<'_>| format!("[{}]", arguments.json_elements());
    if before.attachments().is_empty() {
        let (before, after) = (text(before), text(&arguments(sent.expect("raw JSON can be sent"))));
        let elements = |list| -> Vec<&str> {
            let list: Vec<&RawValue> = serde_json::from_str(list).expect("the arguments are JSON");
            list.into_iter().map(RawValue::get).collect()
        };
        assert_eq!(elements(&after), elements(&before));
        return;
    }
    let tree = Tree::parse(&text(before)).map(|tree| tree.resolved(before.attachments()));
    match (tree, sent) {
        (Ok(tree), Ok(packet)) => {
            let after = arguments(packet);
            let again = Tree::parse(&text(&after)).expect("what is written can be read");
            let again =
                if after.attachments().is_empty() { again } else { again.resolved(after.attachments()) };
            assert!(again.is_alike(&tree), "{tree:?} was sent, {again:?} received");
        }
        (Ok(tree), Err(EncodeError::TooManyAttachments { max })) => assert!(tree.attachments() > max),
        // An object with the name twice, once with `true`.
        (_, Err(EncodeError::PlaceholderLike)) => assert!(text(before).contains("laceholder")),
        (Err(_), Err(EncodeError::Serialize { .. })) => {}
        // serde_json counts the list of arguments as a level, and reads no numbers beyond `f64`.
        (Err(_), Ok(packet)) => drop(arguments(packet)),
        (tree, sent) => panic!("{tree:?} became {sent:?}"),
    }
}
