use super::*;
use crate::framing::{LengthDelimitedPackets, Reframer};

fn written(message: EncodedMessage<'_>, framing: Framing) -> Vec<u8> {
    let length = message.framed_len(framing);
    assert!(length <= message.max_framed_len());
    let mut written = Vec::new();
    message.write(framing, |part| written.extend_from_slice(part));
    assert_eq!(written.len(), length, "`framed_len` is the length that was written");
    written
}

/// A message with a body and two attachments.
fn encoded(encoder: &mut MessageEncoder) -> EncodedMessage<'_> {
    encoder.begin();
    encoder.text().extend_from_slice(b"/a,");
    encoder.begin_body();
    let (text, attachments) = encoder.text_and_attachments();
    attachments.push(&[1, 2]);
    text.extend_from_slice(b"[]");
    attachments.push(&[]);
    encoder.prepend(b"52-");
    encoder.finish()
}

#[test]
fn a_message_has_a_text_a_body_and_attachments() {
    let mut encoder = MessageEncoder::new();
    let message = encoded(&mut encoder);
    assert_eq!((message.text(), message.body()), ("52-/a,[]", "[]"));
    assert_eq!(message.attachments().collect::<Vec<_>>(), [&[1, 2][..], &[]]);
    let shared = message.to_shared();
    assert_eq!((shared.text(), shared.body()), ("52-/a,[]", "[]"));
    assert_eq!(shared.attachments(), [&[1, 2][..], &[]]);
    let other = shared.with_body("[7]");
    assert_eq!((other.text(), other.body()), ("52-/a,[7]", "[7]"));
    assert_eq!(other.attachments(), shared.attachments());
}

#[test]
fn for_a_websocket_it_is_a_text_frame_and_a_binary_frame_for_each_attachment() {
    let mut encoder = MessageEncoder::new();
    let expected = b"\x81\x09452-/a,[]\x82\x02\x01\x02\x82\x00";
    assert_eq!(encoded(&mut encoder).to_shared().framed(Framing::WebSocket), &expected[..]);
    assert_eq!(written(encoded(&mut encoder), Framing::WebSocket), expected);
}

#[test]
fn for_a_websocket_without_binary_frames_each_attachment_is_a_text_frame_with_base64() {
    let mut encoder = MessageEncoder::new();
    let expected = b"\x81\x09452-/a,[]\x81\x05bAQI=\x81\x01b";
    assert_eq!(encoded(&mut encoder).to_shared().framed(Framing::WebSocketBase64), &expected[..]);
    assert_eq!(written(encoded(&mut encoder), Framing::WebSocketBase64), expected);
}

#[test]
fn in_revision_3_each_attachment_has_a_type() {
    let mut encoder = MessageEncoder::new();
    for (framing, expected) in [
        (Framing::WebSocketRevision3, &b"\x81\x09452-/a,[]\x82\x03\x04\x01\x02\x82\x01\x04"[..]),
        (Framing::WebSocketRevision3Base64, b"\x81\x09452-/a,[]\x81\x06b4AQI=\x81\x02b4"),
    ] {
        assert_eq!(encoded(&mut encoder).to_shared().framed(framing), expected);
        assert_eq!(written(encoded(&mut encoder), framing), expected);
    }
}

#[test]
fn a_message_without_attachments_is_the_same_memory_for_every_websocket() {
    let mut encoder = MessageEncoder::new();
    encoder.begin();
    encoder.text().extend_from_slice(b"x");
    let shared = encoder.finish().to_shared();
    let websocket = shared.framed(Framing::WebSocket).as_ptr();
    for framing in [Framing::WebSocketBase64, Framing::WebSocketRevision3, Framing::WebSocketRevision3Base64]
    {
        assert_eq!(shared.framed(framing).as_ptr(), websocket, "{framing:?}");
    }
}

#[test]
fn each_receiver_of_a_shared_message_gets_the_same_memory() {
    let mut encoder = MessageEncoder::new();
    let shared = encoded(&mut encoder).to_shared();
    for framing in [
        Framing::WebSocket,
        Framing::WebSocketBase64,
        Framing::WebSocketRevision3,
        Framing::WebSocketRevision3Base64,
        Framing::LengthDelimited,
    ] {
        assert_eq!(shared.framed(framing), &written(encoded(&mut encoder), framing), "{framing:?}");
        assert_eq!(shared.framed(framing).as_ptr(), shared.clone().framed(framing).as_ptr());
    }
}

#[test]
fn the_guard_of_a_framing_is_dropped_with_the_last_reference_to_its_memory() {
    let mut encoder = MessageEncoder::new();
    let shared = encoded(&mut encoder).to_shared();
    let guard = Arc::new(());
    let guarded = |framing| {
        let bytes = shared.framed_with_guard(framing, |length| {
            assert_eq!(length, shared.framed(framing).len());
            Arc::clone(&guard)
        });
        assert_eq!(bytes, shared.framed(framing));
        bytes.clone()
    };
    let held = [Framing::WebSocket, Framing::WebSocket, Framing::LengthDelimited].map(guarded);
    assert_eq!(Arc::strong_count(&guard), 1 + 2, "one for each memory");
    let part = held[0].slice(1..);
    drop(held);
    drop(shared);
    assert_eq!(Arc::strong_count(&guard), 1 + 1, "a slice keeps the memory");
    drop(part);
    assert_eq!(Arc::strong_count(&guard), 1);
}

#[test]
fn a_message_that_must_not_be_compressed_says_so_while_it_waits() {
    let mut encoder = MessageEncoder::new();
    for compress in [true, false] {
        let shared = encoded(&mut encoder).with_compression(compress).to_shared();
        let waiting = written(encoded(&mut encoder).with_compression(compress), Framing::LengthDelimited);
        assert_eq!(shared.framed(Framing::LengthDelimited), &waiting);
        assert_eq!(LengthDelimitedPackets::new(&waiting).allow_compression(), compress);
        assert_eq!(shared.with_body("[7]").allows_compression(), compress);
        let mut reframer = Reframer::new(Framing::WebSocket);
        let mut rest = &waiting[..];
        let messages: Vec<_> = std::iter::from_fn(|| reframer.next_packet(&mut rest)).collect();
        assert_eq!(messages.len(), 3);
        assert!(messages.iter().all(|message| message.compress == compress));
    }
    let mixed = [
        written(encoded(&mut encoder), Framing::LengthDelimited),
        written(encoded(&mut encoder).with_compression(false), Framing::LengthDelimited),
    ];
    assert!(LengthDelimitedPackets::new(&mixed.concat()).allow_compression());
    assert_eq!(
        written(encoded(&mut encoder).with_compression(false), Framing::WebSocket),
        written(encoded(&mut encoder), Framing::WebSocket)
    );
}

#[test]
fn another_form_of_a_shared_message_is_made_once_for_each_converter() {
    let mut encoder = MessageEncoder::new();
    let shared = encoded(&mut encoder).to_shared();
    let batch = |text: &str| {
        let mut batch = crate::MessageBatch::new();
        batch.push_text(text);
        Ok(batch.to_shared())
    };
    let content =
        |batch: Result<SharedBatch, String>| batch.map(|batch| batch.framed(Framing::WebSocket).to_vec());
    let (first, second): (Arc<dyn Any + Send + Sync>, Arc<dyn Any + Send + Sync>) =
        (Arc::new(1), Arc::new(1));
    assert_eq!(content(shared.converted(&first, || batch("a"))), Ok(b"\x81\x024a".to_vec()));
    let again = shared.clone().converted(&first, || panic!("it is made once"));
    assert_eq!(content(again), Ok(b"\x81\x024a".to_vec()));
    assert_eq!(content(shared.converted(&second, || batch("b"))), Ok(b"\x81\x024b".to_vec()));
    let failed = encoded(&mut encoder).to_shared();
    assert_eq!(content(failed.converted(&first, || Err("no".to_owned()))), Err("no".to_owned()));
    assert_eq!(content(failed.converted(&first, || panic!("it is tried once"))), Err("no".to_owned()));
}

#[test]
fn the_limit_of_attachments_is_lifted_for_one_message() {
    let mut encoder = MessageEncoder::new();
    encoder.lift_attachment_limit();
    for expected in [true, false] {
        encoder.begin();
        assert_eq!(encoder.text_and_attachments().1.is_unlimited(), expected);
    }
}

#[test]
fn an_encoder_forgets_the_message_before() {
    let mut encoder = MessageEncoder::new();
    encoded(&mut encoder);
    encoder.begin();
    encoder.text().extend_from_slice(b"x");
    let message = encoder.finish();
    assert_eq!((message.text(), message.attachments().count()), ("x", 0));
    assert_eq!(message.to_shared().body(), "x");
}

#[test]
fn longer_texts_get_longer_headers() {
    for (length, header) in [(125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
        let mut encoder = MessageEncoder::new();
        encoder.begin();
        encoder.text().resize(HEADROOM + length - 1, b'x');
        assert_eq!(written(encoder.finish(), Framing::WebSocket).len(), header + length, "{length}");
    }
}

#[test]
fn what_does_not_fit_the_headroom_is_moved_in() {
    let mut encoder = MessageEncoder::new();
    encoder.begin();
    encoder.begin_body();
    encoder.text().extend_from_slice(b"tail");
    let namespace = "n".repeat(200);
    encoder.prepend(namespace.as_bytes());
    encoder.prepend(b"2");
    let message = encoder.finish();
    assert_eq!(message.text(), format!("2{namespace}tail"));
    assert_eq!(message.to_shared().body(), "tail");
    assert_eq!(&written(message, Framing::WebSocket)[..6], b"\x81\x7e\x00\xce42");
}

#[test]
fn a_large_message_does_not_keep_its_memory() {
    let mut encoder = MessageEncoder::new();
    encoder.begin();
    encoder.text().resize(1_000_000, b'x');
    encoder.finish();
    encoder.begin();
    assert!(encoder.text.capacity() <= RETAINED_CAPACITY);
}
