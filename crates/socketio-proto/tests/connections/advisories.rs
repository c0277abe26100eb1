//! Bugs of other implementations of Socket.IO, and the proof that this one does not have them. Each test is named after
//! its advisory.
//!
//! Tests that need a server with handlers are in `server/tests/socketio/advisories.rs`. The advisories of Engine.IO are in
//! `engineio/tests/sessions/advisories.rs`, those of WebSocket in `advisories.rs` of `ws-proto` and `ws`.

use std::time::{Duration, Instant};

use tidewire_socketio_proto::server::{self, Protocol, Received, Violation};
use tidewire_socketio_proto::{
    AckTable, DecodeError, Decoder, DecoderLimits, MessagePackError, MessagePackParser, Packet, PacketType,
    Value,
};
use ws_proto::Time;

fn decoder() -> Decoder {
    Decoder::new(&DecoderLimits::default())
}

/// Returns the error of a text. It leaves nothing in the decoder.
fn refusal(text: &str) -> DecodeError {
    let mut decoder = decoder();
    let error = decoder.decode_text(text).expect_err(text);
    assert_eq!((decoder.awaited_attachments(), decoder.pending_bytes()), (0, 0), "{text}");
    error
}

/// socket.io-parser: the header was put together character by character, so a header of a megabyte took gigabytes.
#[test]
fn cve_2020_36049_a_long_header_takes_the_time_of_its_length() {
    const LENGTH: usize = 1_000_000;
    let (digits, name) = ("9".repeat(LENGTH), "n".repeat(LENGTH));
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(refusal(&format!(r#"5{digits}-["a"]"#)), DecodeError::TooManyAttachments { max: 10 });
        assert_eq!(refusal(&format!(r#"5{digits}"#)), DecodeError::InvalidAttachmentCount);
        assert_eq!(refusal(&format!("2{digits}")), DecodeError::InvalidPayload(PacketType::Event));
        assert_eq!(refusal(&format!("2/{name}")), DecodeError::InvalidPayload(PacketType::Event));
        let text = format!(r#"2/{name},{digits}["a"]"#);
        match decoder().decode_text(&text) {
            Ok(Some(Packet::Event { namespace, ack, .. })) => {
                assert_eq!((namespace.len(), ack), (LENGTH + 1, Some(u64::MAX)));
            }
            other => panic!("{other:?}"),
        }
    }
    // Quadratic time would be hours.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// socket.io-parser, also GHSA-qm95-pgcg-qqfq: the number of a placeholder could be the name of a method, and the
/// handler got a function in place of its bytes.
#[test]
fn cve_2022_2421_a_placeholder_refers_to_an_attachment_by_its_index_and_by_nothing_else() {
    for num in [
        r#""splice""#,
        r#""constructor""#,
        r#""length""#,
        r#""0""#,
        "-1",
        "0.5",
        "1",
        "1e0",
        "4294967296",
        "18446744073709551616",
        "null",
        "true",
        "[0]",
        r#"{"num":0}"#,
    ] {
        let placeholder = format!(r#"{{"_placeholder":true,"num":{num}}}"#);
        for text in [
            format!(r#"51-["a",{placeholder}]"#),
            format!(r#"51-["a",[{{"b":{placeholder}}}]]"#),
            format!("61-/a,0[{placeholder}]"),
        ] {
            assert_eq!(refusal(&text), DecodeError::InvalidPlaceholder { attachments: 1 }, "{text}");
        }
        // Without attachments it is an object like others.
        let text = format!(r#"2["a",{placeholder}]"#);
        let Ok(Some(Packet::Event { event, .. })) = decoder().decode_text(&text) else { panic!("{text}") };
        let object: Value = event.arguments().deserialize().expect("an object");
        assert_eq!(object.get("_placeholder").and_then(Value::as_bool), Some(true), "{text}");
    }
}

/// socket.io-parser: the name of an event could be an object, whose `toString` was then called.
#[test]
fn cve_2023_32695_an_event_is_named_by_a_text_or_a_number() {
    for name in [
        r#"{"toString":"foo"}"#,
        r#"{"toString":1,"valueOf":1}"#,
        "{}",
        "[]",
        r#"["a"]"#,
        "null",
        "true",
        r#"{"_placeholder":true,"num":0}"#,
    ] {
        for (header, kind) in
            [("2", PacketType::Event), ("2/a,7", PacketType::Event), ("51-", PacketType::BinaryEvent)]
        {
            let text = format!("{header}[{name},1]");
            assert_eq!(refusal(&text), DecodeError::InvalidPayload(kind), "{text}");
        }
    }
    // The names of the properties of every JavaScript object are names like others.
    for name in ["toString", "constructor", "__proto__", "hasOwnProperty", "error"] {
        let text = format!(r#"2["{name}"]"#);
        match decoder().decode_text(&text) {
            Ok(Some(Packet::Event { event, .. })) => assert_eq!(event.name(), name),
            other => panic!("{other:?}"),
        }
    }
}

/// socket.io-parser, also GHSA-677m-j7p3-52f9: a packet could announce any number of attachments, and the parser stored
/// them all.
#[test]
fn cve_2026_33151_a_packet_has_at_most_ten_attachments_and_ten_megabytes() {
    for count in ["11", "0011", "100", "4294967297", "18446744073709551617"] {
        for text in [format!(r#"5{count}-["a"]"#), format!("6{count}-1[]")] {
            assert_eq!(refusal(&text), DecodeError::TooManyAttachments { max: 10 }, "{text}");
        }
    }
    let text = r#"510-["a"]"#;
    let mut decoder = decoder();
    assert_eq!(decoder.decode_text(text), Ok(None));
    for received in 0..10 {
        assert_eq!(decoder.pending_bytes(), text.len() + received * 1_000_000);
        let complete = decoder.decode_binary(vec![0; 1_000_000]).expect("ten megabytes").is_some();
        assert_eq!(complete, received == 9);
    }
    assert_eq!(decoder.decode_text(text), Ok(None));
    for _ in 0..9 {
        assert_eq!(decoder.decode_binary(vec![0; 1_000_000]), Ok(None));
    }
    let error = decoder.decode_binary(vec![0; 1_000_001]).expect_err("one byte more");
    assert_eq!(error, DecodeError::AttachmentsTooLarge { max: 10_000_000 });
    assert_eq!(decoder.pending_bytes(), 0);
}

/// socket.io-parser, also GHSA-2m8v-j782-fhvr: a binary packet that announced no attachments was never complete, and
/// stored every later message.
#[test]
fn cve_2026_69185_a_binary_packet_without_attachments_is_refused_and_stores_nothing() {
    for text in [r#"50-["a"]"#, r#"5000-["a"]"#, r#"5-["a"]"#, r#"5["a"]"#, "60-1[]", "6-1[]", "61[]"] {
        assert_eq!(refusal(text), DecodeError::InvalidAttachmentCount, "{text}");
        let mut decoder = decoder();
        for _ in 0..3 {
            assert!(decoder.decode_text(text).is_err());
            assert_eq!(decoder.decode_binary(vec![0; 1_000]), Err(DecodeError::UnexpectedBinary));
            assert_eq!(decoder.pending_bytes(), 0);
        }
    }
}

/// socketioxide, two issues: a malformed binary packet was read forever, and a packet that was cut off, or that had
/// characters of several bytes, was a panic.
#[test]
fn socketioxide_issues_357_and_794_a_packet_that_is_cut_off_or_changed_is_decoded_or_refused() {
    let packets = [
        r#"0/admin,{"token":"é"}"#,
        "1/é☃,",
        r#"2/é☃,456["x☃",-1.5e+3,{"a":[true,null,"é☃😀\ud83d"]}]"#,
        r#"3/admin,13["bar",[]]"#,
        r#"52-/a,1["baz",{"_placeholder":true,"num":0},[{"num":1,"_placeholder":true}]]"#,
        r#"61-7[{"_placeholder":true,"num":0}]"#,
    ];
    for packet in packets {
        for (start, character) in packet.char_indices() {
            let (before, after) = (&packet[..start], &packet[start + character.len_utf8()..]);
            read_whole(before);
            for other in ["", "é", "☃", "😀", "\0", "-", "\\", "\"", "[", "}", "0"] {
                read_whole(&[before, other, after].concat());
            }
        }
    }
}

/// Decodes a text, and exactly as many attachments as it then waits for.
fn read_whole(text: &str) {
    let mut decoder = decoder();
    let mut packet = decoder.decode_text(text).map(|packet| packet.map(Packet::into_owned));
    for awaited in (0..decoder.awaited_attachments()).rev() {
        assert_eq!(packet, Ok(None), "{text}");
        packet = decoder.decode_binary(&b"\xff"[..]);
        assert_eq!(decoder.awaited_attachments(), awaited, "{text}");
    }
    if let Ok(packet) = &packet {
        assert!(packet.is_some(), "{text}");
    }
    if let Ok(Some(Packet::Event { event, .. })) = &packet {
        let _ = event.arguments().deserialize_all::<Vec<Value>>();
    }
    assert_eq!(decoder.pending_bytes(), 0, "{text}");
}

/// socketioxide: MessagePack that was nested deeply overflowed the stack.
#[test]
fn ghsa_c6g7_r2mf_pf5g_nested_message_pack_is_refused_and_does_not_overflow_the_stack() {
    // The list of the name and the arguments is a level.
    let nested = |list: &[u8], levels: usize| {
        let packet = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e";
        [&packet[..], &list.repeat(levels - 1), b"\xc0"].concat()
    };
    let too_deep = DecodeError::MessagePack(MessagePackError::TooDeep { max: 1_024 });
    // A list, and a map whose key is an empty text.
    for list in [&b"\x91"[..], b"\x81\xa0"] {
        assert!(decode_message_pack(&nested(list, 1_024)).is_ok());
        for levels in [1_025, 1_000_000] {
            assert_eq!(decode_message_pack(&nested(list, levels)), Err(too_deep.clone()), "{levels}");
        }
        // Without the value inside.
        let message = nested(list, 1_000_000);
        let cut_off = decode_message_pack(&message[..message.len() - 1]);
        assert_eq!(cut_off, Err(MessagePackError::UnexpectedEnd.into()));
    }
}

/// socketioxide: MessagePack that was cut off or changed was a panic.
#[test]
fn ghsa_7xpx_rcqc_8qjh_message_pack_that_is_cut_off_or_changed_is_decoded_or_refused() {
    let packets = [
        // A request with credentials, a disconnect, and an acknowledgement with an id of nine bytes.
        &b"\x83\xa4type\x00\xa3nsp\xa6/admin\xa4data\x81\xa5token\xc3"[..],
        b"\x82\xa4type\x01\xa3nsp\xa1/",
        b"\x84\xa4type\x03\xa3nsp\xa1/\xa2id\xcf\0\0\0\0\0\0\0\x07\xa4data\x91\xcb\x3f\xe0\0\0\0\0\0\0",
        // An event with text, bytes, an extension, a date and `undefined`; and one with long forms of lengths.
        b"\x84\xa4data\x96\xa1e\xa3\xe2\x98\x83\xc4\x02\0\xff\xd4\x05\x01\xd7\0\0\0\0\xdf\xb5\xb2\x38\0\xd4\0\0\
            \xa2id\x05\xa3nsp\xa1/\xa4type\x02",
        b"\x83\xa4type\x02\xa3nsp\xd9\x01/\xa4data\xdd\0\0\0\x03\xda\0\x01e\xdf\0\0\0\x01\xdb\0\0\0\x01k\xd3\
            \xff\xff\xff\xff\xff\xff\xff\xff\xc8\0\x01\x07\x01",
    ];
    for packet in packets {
        assert!(decode_message_pack(packet).is_ok(), "{packet:x?}");
        for position in 0..packet.len() {
            assert!(decode_message_pack(&packet[..position]).is_err(), "{position} bytes of {packet:x?}");
            for other in 0..=u8::MAX {
                let mut changed = packet.to_vec();
                changed[position] = other;
                let _ = decode_message_pack(&changed);
                changed.insert(position, packet[position]);
                let _ = decode_message_pack(&changed);
            }
        }
    }
}

/// Decodes a message, and reads all arguments of an event.
fn decode_message_pack(message: &[u8]) -> Result<(), DecodeError> {
    let mut decoder = Decoder::with_parser(&MessagePackParser, &DecoderLimits::default());
    let packet = decoder.decode_binary(message.to_vec());
    assert_eq!((decoder.awaited_attachments(), decoder.pending_bytes()), (0, 0), "{message:x?}");
    match packet?.expect("each message is a packet") {
        Packet::Event { event, .. } => drop(event.arguments().deserialize_all::<Vec<Value>>()),
        Packet::Ack { arguments, .. } => drop(arguments.deserialize_all::<Vec<Value>>()),
        _ => {}
    }
    Ok(())
}

/// socketioxide: the number of attachments and their size had no limit. The limit of a message on a WebSocket is in
/// `engineio/tests/sessions/advisories.rs`.
#[test]
fn ghsa_55mf_67qm_4wpg_attachments_are_limited_in_number_and_in_size() {
    let mut limits = DecoderLimits::default();
    limits.max_attachments = 3;
    limits.max_attachment_bytes = 1_000;
    let mut decoder = Decoder::new(&limits);
    for count in ["4", "10", "4294967296", "99999999999999999999999"] {
        let refused = decoder.decode_text(&format!(r#"5{count}-["a"]"#)).map(drop);
        assert_eq!(refused, Err(DecodeError::TooManyAttachments { max: 3 }), "{count}");
    }
    // The sum counts, whatever the size of each one.
    for sizes in [[1_000, 0, 0], [0, 500, 500], [333, 333, 334]] {
        assert_eq!(decoder.decode_text(r#"53-["a"]"#), Ok(None));
        let complete = sizes.map(|size| decoder.decode_binary(vec![0; size]).expect("it fits").is_some());
        assert_eq!(complete, [false, false, true], "{sizes:?}");
    }
    for sizes in [&[1_001][..], &[1_000, 1], &[500, 500, 1]] {
        assert_eq!(decoder.decode_text(r#"53-["a"]"#), Ok(None));
        let (last, fitting) = sizes.split_last().expect("one at least");
        for size in fitting {
            assert_eq!(decoder.decode_binary(vec![0; *size]), Ok(None), "{sizes:?}");
        }
        let refused = decoder.decode_binary(vec![0; *last]);
        assert_eq!(refused, Err(DecodeError::AttachmentsTooLarge { max: 1_000 }), "{sizes:?}");
        assert_eq!((decoder.awaited_attachments(), decoder.pending_bytes()), (0, 0), "{sizes:?}");
    }
}

#[derive(Debug)]
struct Member;

impl server::Socket for Member {
    fn namespace(&self) -> &str {
        "/"
    }

    fn is_disconnected(&self) -> bool {
        false
    }
}

/// A connection whose client is in the main namespace.
fn joined() -> server::Connection<Member> {
    let limits = server::Limits::default();
    let mut connection =
        server::Connection::new(Protocol::V5, &limits, &DecoderLimits::default(), Time::ZERO);
    match connection.handle_text("0", Time::ZERO) {
        Ok(Some(Received::Connect(request))) => assert!(request.insert(Member).accept()),
        other => panic!("{other:?}"),
    }
    connection
}

/// socketioxide: a second request for a namespace replaced the socket that was connected.
#[test]
fn socketioxide_issue_801_a_second_request_for_a_namespace_replaces_no_socket() {
    for second in ["0", r#"0{"token":"other"}"#, "0/", "0/,"] {
        let mut connection = joined();
        let violation = connection.handle_text(second, Time::ZERO).expect_err("it is connected");
        assert_eq!(violation, Violation::DuplicateConnect, "{second}");
        assert_eq!(connection.sockets().count(), 1);
    }
}

/// socketioxide: a text in place of an attachment was handled, and the attachments went to the wrong packet.
#[test]
fn socketioxide_issue_811_a_text_between_attachments_ends_the_connection() {
    for arrived in 0..2 {
        let mut connection = joined();
        assert!(matches!(connection.handle_text(r#"52-["a"]"#, Time::ZERO), Ok(None)));
        for _ in 0..arrived {
            assert!(matches!(connection.handle_binary(&[1][..], Time::ZERO), Ok(None)));
        }
        let violation = connection.handle_text(r#"2["b"]"#, Time::ZERO).expect_err("an attachment is due");
        assert_eq!(violation, Violation::Decode(DecodeError::UnexpectedText { awaited: 2 - arrived }));
        assert_eq!(connection.attachment_bytes(), 0);
    }
}

/// socketioxide: the waiter of an acknowledgement stayed in memory after its timeout.
#[test]
fn socketioxide_issue_820_an_acknowledgement_that_times_out_leaves_no_waiter() {
    let mut acks = AckTable::new();
    for round in 0..100_u32 {
        let now = Time::ZERO + round * Duration::from_secs(60);
        for number in 0..100 {
            let id = u64::from(round) * 100 + number;
            assert_eq!(acks.insert(id, Some(Duration::from_secs(10)), id, now), Ok(()));
        }
        let mut ended = 0;
        while let Some(due) = acks.poll_timeout() {
            let Some(id) = acks.handle_timeout(due) else { continue };
            ended += 1;
            assert_eq!(acks.resolve(id), None, "it is too late");
        }
        assert_eq!((ended, acks.len(), acks.is_empty()), (100, 0, true));
    }
}
