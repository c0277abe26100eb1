use proptest::prelude::*;

use super::*;
use crate::framing::Framing;
use crate::handshake::{Settings, Transport, handshake_json};
use crate::id::SessionId;

/// Returns the packets of a payload, in a form that outlives it.
fn decoded(mut payload: Payload) -> Vec<Result<Packet<'static>, ParseError>> {
    let mut packets = Vec::new();
    while let Some(packet) = payload.next_packet() {
        packets.push(packet.map(owned));
    }
    assert_eq!(payload.next_packet(), None, "nothing follows the end");
    packets
}

fn owned(packet: Packet<'_>) -> Packet<'static> {
    match packet {
        Packet::Open(text) => Packet::Open(text.to_owned().leak()),
        Packet::Ping(text) => Packet::Ping(text.to_owned().leak()),
        Packet::Pong(text) => Packet::Pong(text.to_owned().leak()),
        Packet::Message(text) => Packet::Message(text.to_owned().leak()),
        Packet::Binary(data) => Packet::Binary(data.into_owned().into()),
        Packet::Close => Packet::Close,
        Packet::Upgrade => Packet::Upgrade,
        Packet::Noop => Packet::Noop,
    }
}

fn binary(data: &[u8]) -> Packet<'static> {
    Packet::Binary(data.to_vec().into())
}

fn encoded(packets: &[Packet<'_>], base64: bool) -> (PayloadForm, Vec<u8>) {
    let mut waiting = Vec::new();
    for packet in packets {
        Framing::LengthDelimited.write_packet(packet, &mut waiting);
    }
    let mut payload = Vec::new();
    let form = encode_payload(LengthDelimitedPackets::new(&waiting), base64, &mut payload);
    (form, payload)
}

const EVENT: &str = r#"51-["back",{"_placeholder":true,"num":0},"€"]"#;

/// Packets, and their text form and binary form. There is a binary form only if a packet is binary.
type Row = (Vec<Packet<'static>>, &'static str, Option<&'static [u8]>);

/// The output of `encodePayload(packets, supportsBinary, callback)` of engine.io-parser 2.2.1, which engine.io 6.6.13
/// contains too.
fn written_by_node() -> Vec<Row> {
    vec![
        (vec![Packet::Open(r#"{"sid":"x"}"#)], r#"12:0{"sid":"x"}"#, None),
        (vec![Packet::Message("€")], "2:4€", None),
        (vec![Packet::Message("a😀b"), Packet::Ping("")], "5:4a😀b1:2", None),
        (vec![Packet::Message("")], "1:4", None),
        (vec![], "0:", None),
        (
            vec![Packet::Message("€😀"), binary(&[1, 2, 3, 4]), Packet::Noop, Packet::Pong("probe")],
            "4:4€😀10:b4AQIDBA==1:66:3probe",
            Some(
                b"\x00\x08\xff4\xe2\x82\xac\xf0\x9f\x98\x80\x01\x05\xff\x04\x01\x02\x03\x04\
                \x00\x01\xff6\x00\x06\xff3probe",
            ),
        ),
        (
            vec![Packet::Message(EVENT), binary(&[1, 2, 3, 4])],
            "46:451-[\"back\",{\"_placeholder\":true,\"num\":0},\"€\"]10:b4AQIDBA==",
            Some(
                b"\x00\x04\x08\xff451-[\"back\",{\"_placeholder\":true,\"num\":0},\"\xe2\x82\xac\"]\
                \x01\x05\xff\x04\x01\x02\x03\x04",
            ),
        ),
        (vec![binary(&[])], "2:b4", Some(b"\x01\x01\xff\x04")),
        (
            vec![binary(&[7; 9]), Packet::Message("x")],
            "14:b4BwcHBwcHBwcH2:4x",
            Some(b"\x01\x01\x00\xff\x04\x07\x07\x07\x07\x07\x07\x07\x07\x07\x00\x02\xff4x"),
        ),
    ]
}

#[test]
fn payloads_are_written_and_read_as_node_writes_them() {
    for (packets, text, bytes) in written_by_node() {
        let expected: Vec<_> = packets.iter().cloned().map(Ok).collect();

        assert_eq!(encoded(&packets, true), (PayloadForm::Text, text.as_bytes().to_vec()));
        assert_eq!(decoded(Payload::text(text.into())), expected, "{text}");
        assert_eq!(
            decoded(Payload::text_from_bytes(text.into(), text.len()).expect("it is short")),
            expected
        );

        let written = match bytes {
            Some(bytes) => {
                assert_eq!(decoded(Payload::binary(bytes.to_vec())), expected, "{bytes:x?}");
                (PayloadForm::Binary, bytes.to_vec())
            }
            None => (PayloadForm::Text, text.as_bytes().to_vec()),
        };
        assert_eq!(encoded(&packets, false), written);
    }
}

/// The response of engine.io 6.6.13 to `?EIO=3&transport=polling`, with another session id.
#[test]
fn the_response_to_a_handshake_is_that_of_node() {
    let json = handshake_json(&SessionId::from_random([0; 15]), Transport::Polling, &Settings::default());
    let (form, payload) = encoded(&[Packet::Open(&json)], false);
    let expected = r#"118:0{"sid":"AAAAAAAAAAAAAAAAAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
    assert_eq!((form, String::from_utf8(payload).as_deref()), (PayloadForm::Text, Ok(expected)));
}

/// Where a comment does not say otherwise, `decodePayload` of engine.io 6.6.13 returns the same.
#[test]
fn a_text_payload_is_read_as_node_reads_it() {
    use ParseError::{Empty, Length, UnknownType};
    let message = |text| Ok(Packet::Message(text));
    let ping = Ok(Packet::Ping(""));
    for (body, packets) in [
        ("1:2", vec![ping.clone()]),
        ("2:4€", vec![message("€")]),
        ("4:4😀x1:2", vec![message("😀x"), ping.clone()]),
        ("4:4a😀", vec![message("a😀")]),
        // The characters of the length and the separator may also be data.
        (r#"9:4[":"]1:2"#, vec![message(r#"[":"]1:2"#)]),
        ("6:b4AQID", vec![Ok(binary(&[1, 2, 3]))]),
        ("2:b4", vec![Ok(binary(&[]))]),
        ("6:b2AQID", vec![ping.clone()]),
        ("01:2", vec![ping.clone()]),
        // The packets before an error count.
        ("2:4a3:4b", vec![message("a"), Err(Length)]),
        ("2:4a1", vec![message("a"), Err(Length)]),
        ("2:4a1:9", vec![message("a"), Err(UnknownType)]),
        ("2:4a1:91:2", vec![message("a"), Err(UnknownType)]),
        ("1:7", vec![Err(UnknownType)]),
        ("x", vec![Err(Length)]),
        (":4", vec![Err(Length)]),
        ("12:4", vec![Err(Length)]),
        ("-1:4", vec![Err(Length)]),
        ("1", vec![Err(Length)]),
        ("1:", vec![Err(Length)]),
        ("99999999999999999999:4", vec![Err(Length)]),
        ("999999999999999999999:4", vec![Err(Length)]),
        ("", vec![Err(Empty)]),
        // Payloads without packets.
        ("0:", vec![]),
        ("0:0:1:20:", vec![ping.clone()]),
        // Node delivers half a surrogate pair, and then fails.
        ("2:4😀", vec![Err(Length)]),
        ("3:4a😀", vec![Err(Length)]),
        // Node ignores these packets in silence.
        ("1:b", vec![Err(Empty)]),
        ("6:b9AQID", vec![Err(UnknownType)]),
        // Node takes everything for a number that JavaScript does. No client writes such lengths.
        ("0x1:2", vec![Err(Length)]),
        ("1:2 1:2", vec![ping, Err(Length)]),
        ("000000000000000000001:2", vec![Err(Length)]),
    ] {
        assert_eq!(decoded(Payload::text(body.into())), packets, "{body}");
    }
}

#[test]
fn invalid_utf8_in_a_text_payload_becomes_a_replacement_character_of_one_code_unit() {
    let payload = Payload::text_from_bytes(b"3:4\xffa".to_vec(), 100).expect("it is short");
    assert_eq!(decoded(payload), [Ok(Packet::Message("\u{fffd}a"))]);
    assert!(Payload::text_from_bytes(b"3:4\xffa".to_vec(), 6).is_none());
}

/// Where a comment does not say otherwise, `decodePayload` of engine.io 6.6.13 returns the same.
#[test]
fn a_binary_payload_is_read_as_node_reads_it() {
    use ParseError::{Empty, Length, UnknownType, Utf8};
    let message = |text| Ok(Packet::Message(text));
    for (body, packets) in [
        (&b"\x00\x02\xff4a"[..], vec![message("a")]),
        (b"\x00\x04\xff4\xe2\x82\xac", vec![message("€")]),
        (b"\x01\x05\xff\x04\x01\x02\x03\x04", vec![Ok(binary(&[1, 2, 3, 4]))]),
        (
            b"\x00\x02\xff4a\x01\x05\xff\x04\x01\x02\x03\x04\x00\x01\xff2",
            vec![message("a"), Ok(binary(&[1, 2, 3, 4])), Ok(Packet::Ping(""))],
        ),
        (b"\x00\x06\xffb4AQID", vec![Ok(binary(&[1, 2, 3]))]),
        (b"\x01\x02\xff\x02\x01", vec![Ok(Packet::Ping(""))]),
        (b"", vec![]),
        (b"\x00\xff4", vec![Err(Length)]),
        (b"\x00\x00\xff", vec![Err(Empty)]),
        (b"\x00\x01\xff7", vec![Err(UnknownType)]),
        (b"\x00\x02\xff4\xff", vec![Err(Utf8)]),
        (b"\x00\x02\xff4a\x00\x02\xff4\xff", vec![message("a"), Err(Utf8)]),
        // Node delivers what is there.
        (b"\x00\x09\xff4", vec![Err(Length)]),
        (b"\x01\x09\xff\x04", vec![Err(Length)]),
        // Node waits for the 255 beyond the end of the body, and gives up after more than 300 digits.
        (b"\x00", vec![Err(Length)]),
        (b"\x00\x01", vec![Err(Length)]),
        (
            b"\x00\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\xff4",
            vec![Err(Length)],
        ),
        // Node ignores these packets in silence.
        (b"\x01\x00\xff", vec![Err(Empty)]),
        (b"\x01\x01\xff\x09", vec![Err(UnknownType)]),
        // Node takes 10 for the two digits of 10.
        (b"\x00\x0a\xff4aaaaaaaaa", vec![Err(Length)]),
        // Node takes every byte but 0 for 1.
        (b"\x02\x02\xff\x04a", vec![Err(UnknownType)]),
        // Node takes a surrogate that is encoded as if it were a character for U+FFFD. No client encodes one.
        (b"\x00\x04\xff4\xed\xa0\x80", vec![Err(Utf8)]),
    ] {
        assert_eq!(decoded(Payload::binary(body.to_vec())), packets, "{body:x?}");
    }
}

/// Splits the text form as JavaScript does: as an array of UTF-16 code units.
fn naive_split(body: &str) -> Vec<String> {
    let units: Vec<u16> = body.encode_utf16().collect();
    let mut rest = &units[..];
    let mut packets = Vec::new();
    while let Some(colon) = rest.iter().position(|unit| *unit == u16::from(b':')) {
        let length: usize = String::from_utf16(&rest[..colon]).unwrap().parse().unwrap();
        packets.push(String::from_utf16(&rest[colon + 1..colon + 1 + length]).unwrap());
        rest = &rest[colon + 1 + length..];
    }
    packets
}

proptest! {
    #[test]
    fn what_is_encoded_is_what_is_decoded_and_a_naive_reader_finds_the_same_lengths(
        messages in proptest::collection::vec(
            prop_oneof![
                "\\PC{0,300}".prop_map(Ok),
                proptest::collection::vec(any::<u8>(), 0..300).prop_map(Err),
            ],
            1..8,
        )
    ) {
        let packets: Vec<_> = messages
            .iter()
            .map(|message| match message {
                Ok(text) => Packet::Message(text),
                Err(data) => Packet::Binary(data.into()),
            })
            .collect();
        let expected: Vec<_> = packets.iter().cloned().map(Ok).collect();

        let (form, text) = encoded(&packets, true);
        prop_assert_eq!(form, PayloadForm::Text);
        let text = String::from_utf8(text).unwrap();
        let split = naive_split(&text);
        prop_assert_eq!(split.len(), packets.len());
        for (text, packet) in split.iter().zip(&packets) {
            prop_assert_eq!(&parse_text(text).unwrap(), packet);
        }
        prop_assert_eq!(&decoded(Payload::text(text)), &expected);

        let (form, body) = encoded(&packets, false);
        let has_binary = messages.iter().any(Result::is_err);
        prop_assert_eq!(form == PayloadForm::Binary, has_binary);
        if has_binary {
            prop_assert_eq!(&decoded(Payload::binary(body)), &expected);
        }
    }

    #[test]
    fn no_body_makes_the_decoder_panic(
        body in proptest::collection::vec(
            prop_oneof![0..=9_u8, b'0'..=b':', Just(255), any::<u8>()],
            0..60,
        )
    ) {
        decoded(Payload::binary(body.clone()));
        decoded(Payload::text_from_bytes(body, 1_000).expect("it is short"));
    }
}
