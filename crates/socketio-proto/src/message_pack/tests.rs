//! The bytes that the official parser writes, and messages that are not valid.

use bytes::Bytes;
use engineio_proto::{EncodedMessage, Framing, MessageBatch, MessageEncoder};
use serde::{Deserialize, Serialize};

use super::decode::{MAX_DEPTH, MAX_MEMORY_PER_BYTE, MIN_MEMORY_LIMIT};
use super::*;
use crate::parser::encode_with;
use crate::{Decoder, DecoderLimits, EncodeError, Packet, PacketType, RawJson, Value, encode};

/// Made by `conformance/node/support/messagepack-golden.js`, and compared with the official parser by
/// `messagepack.test.js`.
#[derive(Deserialize)]
struct Golden {
    /// What we must read and write.
    both: Vec<Row>,
    /// What we must only read.
    read: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    r#type: u8,
    nsp: String,
    id: Option<u64>,
    json: Option<String>,
    #[serde(default)]
    attachments: Vec<String>,
    hex: String,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden.json")).unwrap()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn decode_raw(message: &[u8]) -> Result<IncomingPacket<'_>, DecodeError> {
    MessagePackDecoder
        .decode(Message::Binary(message.into()))
        .map(|packet| packet.expect("a packet is one message"))
}

fn decode(message: &[u8]) -> Result<Packet<'static>, DecodeError> {
    let mut decoder = Decoder::with_parser(&MessagePackParser, &DecoderLimits::default());
    decoder.decode_binary(message).map(|packet| packet.expect("a packet is one message"))
}

/// Returns the binary message that the parser makes of a message of the default parser.
fn encoded(message: &EncodedMessage<'_>) -> Vec<u8> {
    let mut batch = MessageBatch::new();
    encode_with(&MessagePackParser, message, &mut batch).unwrap();
    let mut written = Vec::new();
    batch.write(Framing::LengthDelimited, |part| written.extend_from_slice(part));
    // The kind and the length.
    written.split_off(6)
}

/// Returns the message that an event with these arguments becomes.
fn event(arguments: &impl Serialize) -> Vec<u8> {
    let mut encoder = MessageEncoder::new();
    encoder.lift_attachment_limit();
    encoded(&encode::event(&mut encoder, "/", None, "e", arguments).unwrap())
}

/// Returns the arguments of an event with this value in MessagePack.
fn argument(value: &[u8]) -> Result<String, DecodeError> {
    let message = [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e", value].concat();
    match decode(&message)? {
        Packet::Event { event, .. } => Ok(event.arguments().json_elements().to_owned()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_golden_messages_are_read() {
    let Golden { both, read } = golden();
    assert!(both.len() > 80 && read.len() > 10);
    for row in both.iter().chain(&read) {
        let message = from_hex(&row.hex);
        let packet = decode_raw(&message).unwrap();
        assert_eq!(packet.packet_type.number(), row.r#type, "{}", row.hex);
        assert_eq!((&*packet.namespace, packet.id), (&*row.nsp, row.id), "{}", row.hex);
        assert_eq!(packet.data.as_deref(), row.json.as_deref(), "{}", row.hex);
        let attachments: Vec<Vec<u8>> = row.attachments.iter().map(|hex| from_hex(hex)).collect();
        assert_eq!(packet.attachments, attachments, "{}", row.hex);
        assert!(decode(&message).is_ok(), "{}", row.hex);
    }
}

#[test]
fn the_golden_messages_are_written() {
    for row in golden().both {
        let mut encoder = MessageEncoder::new();
        encoder.lift_attachment_limit();
        let decoded = decode(&from_hex(&row.hex)).unwrap();
        let namespace = decoded.namespace().to_owned();
        let message = match decoded {
            Packet::Connect { auth, .. } => {
                encode::connect_request(&mut encoder, &namespace, auth.as_ref(), None, None)
            }
            Packet::Disconnect { .. } => encode::disconnect(&mut encoder, &namespace),
            Packet::Event { ack, event, .. } => {
                encode::event(&mut encoder, &namespace, ack, event.name(), event.arguments()).unwrap()
            }
            Packet::Ack { id, arguments, .. } => {
                encode::ack(&mut encoder, &namespace, id, &arguments).unwrap()
            }
            Packet::ConnectError { data, .. } => {
                let data: Value = data.deserialize().unwrap();
                encode::protocol4::error(&mut encoder, &namespace, &data).unwrap()
            }
        };
        let hex: String = encoded(&message).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, row.hex, "{:?}", row.json);
    }
}

#[test]
fn the_packets_of_a_server_and_a_client_are_written() {
    let encoder = &mut MessageEncoder::new();
    let sid = b"\x83\xa4type\x00\xa4data\x81\xa3sid\xa1x\xa3nsp\xa1/";
    assert_eq!(encoded(&encode::connect(encoder, "/", "x")), sid);
    let auth = RawJson::object(&serde_json::json!({"token": 1})).unwrap();
    let request = encode::connect_request(encoder, "/a", Some(&auth), Some("p"), None);
    let expected = b"\x83\xa4type\x00\xa4data\x82\xa3pid\xa1p\xa5token\x01\xa3nsp\xa2/a";
    assert_eq!(encoded(&request), expected);
    assert_eq!(encoded(&encode::disconnect(encoder, "/a")), b"\x82\xa4type\x01\xa3nsp\xa2/a");
    let refusal = encode::connect_error(encoder, "/a", "no", Some(&7)).unwrap();
    let expected = b"\x83\xa4type\x04\xa4data\x82\xa7message\xa2no\xa4data\x07\xa3nsp\xa2/a";
    assert_eq!(encoded(&refusal), expected);
    let ack = encode::ack(encoder, "/a", 7, &Bytes::from("b")).unwrap();
    assert_eq!(encoded(&ack), b"\x84\xa2id\x07\xa4type\x03\xa4data\x91\xc4\x01b\xa3nsp\xa2/a");
}

#[test]
fn members_are_read_in_any_order_and_others_are_ignored() {
    let message = b"\x86\xa4data\x92\xa1e\xc4\x01b\xa7options\x81\xa8compress\xc3\xc0\x93\x01\x02\x03\
        \xa2id\xcb\x40\x1c\0\0\0\0\0\0\xa3nsp\xa2/a\xa4type\xd0\x02";
    let Ok(Packet::Event { namespace, ack, event }) = decode(message) else { panic!("it is an event") };
    assert_eq!((&*namespace, ack, event.name()), ("/a", Some(7), "e"));
    assert_eq!(event.arguments().attachments(), [&b"b"[..]]);
    // The last of equal members counts.
    let message = b"\x85\xa4type\x02\xa4data\x92\xa1e\xc4\x01b\xa3nsp\xa1/\xa4data\x91\xa1f\xa4type\x02";
    let Ok(Packet::Event { event, .. }) = decode(message) else { panic!("it is an event") };
    assert_eq!((event.name(), event.arguments().len()), ("f", 0));
    assert!(event.arguments().attachments().is_empty());
}

#[test]
fn the_members_of_the_packet_are_checked() {
    use DecodeError as Error;
    use MessagePackError::{InvalidId, InvalidNamespace, InvalidType, NotAMap};
    for (message, error) in [
        (&b"\xc0"[..], Error::MessagePack(NotAMap)),
        (b"\x93\x02\x01\x00", Error::MessagePack(NotAMap)),
        (b"\x80", Error::MessagePack(InvalidType)),
        (b"\x82\xa4type\x05\xa3nsp\xa1/", Error::MessagePack(InvalidType)),
        (b"\x82\xa4type\xff\xa3nsp\xa1/", Error::MessagePack(InvalidType)),
        (b"\x82\xa4type\xa11\xa3nsp\xa1/", Error::MessagePack(InvalidType)),
        (b"\x82\xa4type\xca\x3f\xc0\0\0\xa3nsp\xa1/", Error::MessagePack(InvalidType)),
        (b"\x82\xa4type\x91\x01\xa3nsp\xa1/", Error::MessagePack(InvalidType)),
        (b"\x81\xa4type\x01", Error::MessagePack(InvalidNamespace)),
        (b"\x82\xa4type\x01\xa3nsp\x01", Error::MessagePack(InvalidNamespace)),
        (b"\x82\xa4type\x01\xa3nsp\xc4\x01/", Error::MessagePack(InvalidNamespace)),
        (b"\x82\xa4type\x01\xa3nsp\xa1a", Error::InvalidNamespace),
        (b"\x82\xa4type\x01\xa3nsp\xa4/a,b", Error::InvalidNamespace),
        (b"\x83\xa4type\x01\xa3nsp\xa1/\xa2id\xff", Error::MessagePack(InvalidId)),
        (b"\x83\xa4type\x01\xa3nsp\xa1/\xa2id\xc0", Error::MessagePack(InvalidId)),
        (b"\x83\xa4type\x01\xa3nsp\xa1/\xa2id\xa11", Error::MessagePack(InvalidId)),
        (b"\x83\xa4type\x01\xa3nsp\xa1/\xa4data\x90", Error::InvalidPayload(PacketType::Disconnect)),
        (b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x90", Error::InvalidPayload(PacketType::Connect)),
        (b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\xc0", Error::InvalidPayload(PacketType::Connect)),
        (b"\x82\xa4type\x02\xa3nsp\xa1/", Error::InvalidPayload(PacketType::Event)),
        (b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x80", Error::InvalidPayload(PacketType::Event)),
        (b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x90", Error::InvalidPayload(PacketType::Event)),
        (
            b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xc4\x01a",
            Error::InvalidPayload(PacketType::BinaryEvent),
        ),
        (b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xaadisconnect", Error::ReservedEvent("disconnect")),
        (b"\x83\xa4type\x03\xa3nsp\xa1/\xa4data\x90", Error::MissingAckId),
        (b"\x83\xa4type\x04\xa3nsp\xa1/\xa4data\x90", Error::InvalidPayload(PacketType::ConnectError)),
    ] {
        assert_eq!(decode(message), Err(error), "{message:x?}");
    }
    let mut decoder = Decoder::with_parser(&MessagePackParser, &DecoderLimits::default());
    assert_eq!(decoder.decode_text(r#"2["e"]"#), Err(MessagePackError::UnexpectedText.into()));
}

#[test]
fn values_that_json_does_not_have_become_their_nearest_values() {
    for (value, json) in [
        // Extension types.
        (&b"\xd4\x05\x01"[..], r#"[5,{"_placeholder":true,"num":0}]"#),
        (b"\xd4\xff\x01", r#"[-1,{"_placeholder":true,"num":0}]"#),
        (b"\xd5\x00\x01\x02", r#"[0,{"_placeholder":true,"num":0}]"#),
        (b"\xd6\xff\x39\x45\x79\x80", r#"[-1,{"_placeholder":true,"num":0}]"#),
        (b"\xd7\x01\0\0\0\0\0\0\0\0", r#"[1,{"_placeholder":true,"num":0}]"#),
        (b"\xd8\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", r#"[0,{"_placeholder":true,"num":0}]"#),
        (b"\xc7\x00\x07", r#"[7,{"_placeholder":true,"num":0}]"#),
        (b"\xc8\x00\x01\x07\x01", r#"[7,{"_placeholder":true,"num":0}]"#),
        (b"\xc9\x00\x00\x00\x01\x00\x01", r#"{"_placeholder":true,"num":0}"#),
        (b"\xd7\x00\x7f\xff\xff\xff\xff\xff\xff\xff", "null"),
        // Floats.
        (b"\xca\x3f\x80\x00\x00", "1"),
        (b"\xca\x3d\xcc\xcc\xcd", "0.10000000149011612"),
        (b"\xca\x7f\xc0\x00\x00", "null"),
        // Integers in forms that are longer than necessary.
        (b"\xcf\0\0\0\0\0\0\0\x05", "5"),
        (b"\xd3\0\0\0\0\0\0\0\x05", "5"),
        (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
        (b"\xd3\x80\0\0\0\0\0\0\0", "-9223372036854775808"),
        // Keys.
        (b"\x83\x01\x02\xff\x03\xcb\x3f\xe0\0\0\0\0\0\0\x04", r#"{"1":2,"-1":3,"0.5":4}"#),
        (b"\x84\xc0\x01\xc2\x02\xc3\x03\xc4\x01k\x04", r#"{"null":1,"false":2,"true":3,"k":4}"#),
        (b"\x82\xd4\x00\x00\x01\xca\x7f\xc0\0\0\x02", r#"{"undefined":1,"NaN":2}"#),
        (b"\x82\xca\x7f\x80\0\0\x01\xca\xff\x80\0\0\x02", r#"{"Infinity":1,"-Infinity":2}"#),
        // Text that is not UTF-8.
        (b"\xa3a\xffb", "\"a\u{fffd}b\""),
        (b"\xa2\xe2\x82", "\"\u{fffd}\""),
        (b"\x81\xa1\xff\x01", "{\"\u{fffd}\":1}"),
    ] {
        assert_eq!(argument(value).as_deref(), Ok(json), "{value:x?}");
    }
}

#[test]
fn bytes_in_a_payload_that_is_no_list_of_arguments_are_a_list_of_numbers() {
    let message = b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x82\xa1a\xc4\x02\x00\xff\xa1b\xc4\x00";
    let Ok(Packet::Connect { auth: Some(auth), .. }) = decode(message) else { panic!("it is a request") };
    assert_eq!(auth.as_str(), r#"{"a":[0,255],"b":[]}"#);
}

#[test]
fn messages_that_are_not_message_pack_are_rejected() {
    use MessagePackError::{InvalidKey, ReservedByte, ReservedKey, TrailingBytes, UnexpectedEnd};
    for (value, error) in [
        (&b""[..], UnexpectedEnd),
        (b"\xc1", ReservedByte { offset: 21 }),
        (b"\x01\x02\x03", TrailingBytes { count: 2 }),
        (b"\xa2a", UnexpectedEnd),
        (b"\xdb\xff\xff\xff\xffa", UnexpectedEnd),
        (b"\xc6\xff\xff\xff\xffa", UnexpectedEnd),
        (b"\xc9\xff\xff\xff\xff\x00a", UnexpectedEnd),
        (b"\xdd\xff\xff\xff\xff\x01", UnexpectedEnd),
        (b"\xdf\xff\xff\xff\xff\x01\x01", UnexpectedEnd),
        (b"\x93\x01\x02", UnexpectedEnd),
        (b"\x81\x01", UnexpectedEnd),
        (b"\xcd\x01", UnexpectedEnd),
        (b"\xd7\x00\x01", UnexpectedEnd),
        (b"\x81\x90\x01", InvalidKey),
        (b"\x81\x80\x01", InvalidKey),
        (b"\x81\xd4\x01\x01\x01", InvalidKey),
        (b"\x92\xc4\x01a\x81\xac_placeholder\xc3", ReservedKey),
    ] {
        assert_eq!(argument(value), Err(error.into()), "{value:x?}");
    }
    assert_eq!(decode(b"\x81\x90\x01"), Err(InvalidKey.into()), "also in the packet itself");
    assert_eq!(decode(b""), Err(UnexpectedEnd.into()));
    let placeholder = argument(b"\x82\xac_placeholder\xc3\xa3num\x00");
    assert_eq!(
        placeholder.as_deref(),
        Ok(r#"{"_placeholder":true,"num":0}"#),
        "without bytes, it is an object"
    );
    let reserved = argument(b"\x81\xd9\x1f$serde_json::private::RawValueX\xc0");
    assert!(matches!(reserved, Err(DecodeError::ReservedKey { .. })), "{reserved:?}");
}

#[test]
fn every_prefix_of_a_message_is_rejected() {
    for row in golden().both {
        let message = from_hex(&row.hex);
        for end in 0..message.len() {
            assert!(decode(&message[..end]).is_err(), "{end} bytes of {}", row.hex);
        }
        assert!(decode(&[&message, &b"\xc0"[..]].concat()).is_err(), "{}", row.hex);
    }
}

#[test]
fn the_depth_is_limited() {
    // The list of arguments is a level.
    let nested = |depth: usize| [vec![0x91; depth - 1], vec![0xc0]].concat();
    let json = argument(&nested(MAX_DEPTH)).unwrap();
    assert_eq!(json.len(), 2 * (MAX_DEPTH - 1) + 4);
    let too_deep = Err(MessagePackError::TooDeep { max: MAX_DEPTH }.into());
    assert_eq!(argument(&nested(MAX_DEPTH + 1)), too_deep);
    assert_eq!(argument(&vec![0x91; 1_000_000]), Err(MessagePackError::UnexpectedEnd.into()));
    assert_eq!(argument(&nested(1_000_000)), too_deep);
    assert_eq!(argument(&[b"\x81\xa0".repeat(MAX_DEPTH), vec![0xc0]].concat()), too_deep);
    // What is ignored needs no memory for its depth.
    let ignored = [b"\x83\xa4type\x01\xa3nsp\xa1/\xa1x", &vec![0x91; 1_000_000][..], b"\xc0"].concat();
    assert!(decode(&ignored).is_ok());
}

#[test]
fn the_memory_of_many_binary_values_without_content_is_limited() {
    let list = |count: u32| [b"\xdd", &count.to_be_bytes()[..], &b"\xc4\x00".repeat(count as usize)].concat();
    assert!(argument(&list(10_000)).is_ok());
    let limit = MIN_MEMORY_LIMIT;
    assert_eq!(argument(&list(40_000)), Err(MessagePackError::TooLarge { max: limit }.into()));
    let Err(DecodeError::MessagePack(MessagePackError::TooLarge { max })) = argument(&list(1_000_000)) else {
        panic!("it is too large");
    };
    assert!((MAX_MEMORY_PER_BYTE * 2_000_000..MAX_MEMORY_PER_BYTE * 2_000_100).contains(&max));
    // Everything else is far below the limit.
    for value in [
        &b"\xc2"[..],
        b"\xc0",
        b"\xe0",
        b"\x80",
        b"\x90",
        b"\xa1\x00",
        b"\xcb\xff\xef\xff\xff\xff\xff\xff\xff",
    ] {
        let count = 500_000_u32;
        let list = [b"\xdd", &count.to_be_bytes()[..], &value.repeat(count as usize)].concat();
        assert!(argument(&list).is_ok(), "{value:x?}");
    }
}

#[test]
fn whole_numbers_are_integers_if_64_bits_suffice() {
    for (number, expected) in [
        (1.0, &b"\x01"[..]),
        (-0.0, b"\x00"),
        (-1.0, b"\xff"),
        (1e18, b"\xcf\x0d\xe0\xb6\xb3\xa7\x64\x00\x00"),
        (1.8446744073709552e19, b"\xcb\x43\xf0\0\0\0\0\0\0"),
        (1e20, b"\xcb\x44\x15\xaf\x1d\x78\xb5\x8c\x40"),
        (-9223372036854775808.0, b"\xd3\x80\0\0\0\0\0\0\0"),
        (-1e19, b"\xcb\xc3\xe1\x58\xe4\x60\x91\x3d\0"),
        (1e300, b"\xcb\x7e\x37\xe4\x3c\x88\x00\x75\x9c"),
    ] {
        let message = event(&(number,));
        assert_eq!(
            message,
            [b"\x83\xa4type\x02\xa4data\x92\xa1e", expected, b"\xa3nsp\xa1/"].concat(),
            "{number}"
        );
    }
    let exact = event(&(u64::MAX, i64::MIN, u128::MAX));
    assert!(exact.ends_with(b"\x94\xa1e\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xd3\x80\0\0\0\0\0\0\0\xcb\x47\xf0\0\0\0\0\0\0\xa3nsp\xa1/"));
}

#[test]
fn json_that_is_relayed_may_have_any_form() {
    let raw = serde_json::value::RawValue::from_string(
        " { \"a\\u00e9\\ud83d\" : [ 1.0 , 1e2, -0, 1e999 ] } ".to_owned(),
    )
    .unwrap();
    let message = event(&(&*raw, Bytes::from("b")));
    let data = b"\x93\xa1e\x81\xa6a\xc3\xa9\xef\xbf\xbd\x94\x01\x64\x00\xcb\x7f\xf0\0\0\0\0\0\0\xc4\x01b";
    assert_eq!(message, [b"\x83\xa4type\x02\xa4data", &data[..], b"\xa3nsp\xa1/"].concat());
}

#[test]
fn an_object_that_looks_like_a_placeholder_never_becomes_a_copy_of_a_binary_value() {
    let json = r#"["e",{"_placeholder" : true, "num" : 0},{"_placeholder":true,"num":0}]"#;
    let encoded = from_json(json, &[Bytes::from("b")], Dialect::Notepack2, &mut Vec::new());
    assert_eq!(encoded, Err(EncodeError::PlaceholderLike));
}

/// What `Official` and `Notepack3` write for whole numbers that are not safe in JavaScript, and how they are read.
#[test]
fn whole_numbers_that_a_double_does_not_hold_are_floats_in_the_official_dialect_only() {
    let encode = |json: &str, dialect| {
        let mut message = Vec::new();
        from_json(json, &[], dialect, &mut message).unwrap();
        message
    };
    for (json, is_integer) in [
        ("9007199254740991", true),
        ("-9007199254740991", true),
        ("9007199254740992", false),
        ("-9007199254740992", false),
        ("18446744073709551615", false),
        ("1e18", false),
    ] {
        let marker = encode(json, Dialect::Official)[0];
        assert_eq!(marker != 0xcb, is_integer, "{json}");
        assert_ne!(encode(json, Dialect::Notepack3)[0], 0xcb, "{json}");
    }
    assert_eq!(encode("1.0", Dialect::Official), [1]);
    assert_eq!(encode("-0", Dialect::Official), [0]);
    assert_eq!(encode("1e300", Dialect::Official)[0], 0xcb);
}

#[test]
fn a_timestamp_is_a_date_in_the_dialects_that_write_it() {
    let seconds = [0xd6, 0xff, 0x5f, 0, 0, 0];
    let milliseconds = [0xd7, 0xff, 0x1d, 0xcd, 0x65, 0, 0x5f, 0, 0, 0];
    let before = [0xc7, 12, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let texts =
        [r#""2020-07-04T04:05:20.000Z""#, r#""2020-07-04T04:05:20.125Z""#, r#""1969-12-31T23:59:59.000Z""#];
    for (message, text) in [&seconds[..], &milliseconds, &before].into_iter().zip(texts) {
        for dialect in [Dialect::Notepack3, Dialect::Official] {
            assert_eq!(to_json(message, dialect), Ok((text.to_owned(), vec![])));
        }
        let (other, _) = to_json(message, Dialect::Notepack2).unwrap();
        assert_eq!(other, r#"[-1,{"_placeholder":true,"num":0}]"#);
    }
    assert_eq!(to_json(&[0xd4, 0xff, 1], Dialect::Official).unwrap().1, [&[1][..]]);
}

#[test]
fn a_message_must_be_one_value() {
    assert_eq!(to_json(&[0xd4, 0, 0], Dialect::Notepack3), Ok(("null".to_owned(), vec![])));
    assert_eq!(to_json(&[], Dialect::Official), Err(MessagePackError::UnexpectedEnd));
    assert_eq!(to_json(&[1, 2], Dialect::Official), Err(MessagePackError::TrailingBytes { count: 1 }));
}
