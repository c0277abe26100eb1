//! Checks that no input makes the decoder panic, and that a valid packet is decoded regardless of the messages before
//! it.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use tidewire_socketio_proto::{Decoder, DecoderLimits, Packet};

/// Reads all parts of a packet, as a program would.
fn look_at(packet: &Packet<'_>) {
    let arguments = match packet {
        Packet::Event { event, .. } => {
            let _ = (event.name().len(), event.clone().into_owned());
            event.arguments()
        }
        Packet::Ack { arguments, .. } => arguments,
        _ => return,
    };
    let _ = arguments.json_elements().len();
    let _ = arguments.deserialize::<()>();
    let _ = arguments.deserialize::<Value>();
    let _ = arguments.deserialize::<Bytes>();
    let _ = arguments.deserialize::<Vec<u8>>();
    let _ = arguments.deserialize::<(Option<Bytes>, Vec<Option<Bytes>>, Value)>();
    if let Ok(all) = arguments.deserialize_all::<Vec<Value>>() {
        assert_eq!(all.len(), arguments.len());
    }
}

/// Generates texts that are almost packets, so that they pass the first checks of the decoder.
fn almost_a_packet() -> impl Strategy<Value = String> {
    let header = r"[0-7]?(10|[0-9]{0,21})-?(/[a-zé,]{0,4},?)?[0-9]{0,21}";
    let piece = prop_oneof![
        3 => "[\\[\\]{},:\" \\\\]",
        1 => Just(r#""x""#.to_owned()),
        1 => Just(r#""\ud800""#.to_owned()),
        1 => Just(r#""connect""#.to_owned()),
        1 => Just(r#"{"_placeholder":true,"num":0}"#.to_owned()),
        1 => Just(r#"{"_placeholder":true,"num":9}"#.to_owned()),
        1 => Just("true".to_owned()),
        1 => Just("-1.5e300".to_owned()),
        1 => Just("1e999".to_owned()),
        1 => any::<char>().prop_map(String::from),
    ];
    (header, vec(piece, 0..12)).prop_map(|(header, pieces)| header + &pieces.concat())
}

fn packet() -> impl Strategy<Value = String> {
    let element = prop_oneof![
        Just("1"),
        Just(r#""é☃😀""#),
        Just(r#"{"a":[{"_placeholder":true,"num":0}]}"#),
        Just(r#"{"_placeholder":true,"num":1}"#),
        Just("null"),
        Just(r#""\ud83d""#),
        Just("1e999"),
    ];
    let header = prop_oneof![Just("2"), Just("3/a,7"), Just("52-"), Just("62-/é,1")];
    (header, vec(element, 0..5)).prop_map(|(header, elements)| {
        format!("{header}[\"name\"{}]", elements.iter().map(|e| format!(",{e}")).collect::<String>())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_decoder_panic(texts in vec(prop_oneof![any::<String>(), almost_a_packet(), packet()], 1..6)) {
        let mut decoder = Decoder::new(&DecoderLimits::default());
        for text in &texts {
            let result = decoder.decode_text(text);
            if let Ok(Some(packet)) = &result {
                look_at(packet);
                prop_assert_eq!(decoder.pending_bytes(), 0);
            }
            if decoder.awaited_attachments() > 0 && text.len() % 2 == 0 {
                while decoder.awaited_attachments() > 0 {
                    if let Some(packet) = decoder.decode_binary(text.as_bytes()).unwrap() {
                        look_at(&packet);
                    }
                }
            }
        }
    }

    #[test]
    fn a_truncated_or_modified_packet_does_not_panic(
        packet in packet(), at: prop::sample::Index, character: char, drop: bool
    ) {
        let at = packet.char_indices().map(|(at, _)| at).nth(at.index(packet.chars().count())).unwrap();
        let (before, after) = packet.split_at(at);
        let changed =
            if drop { before.to_owned() } else { format!("{before}{character}{}", &after[after.chars().next().unwrap().len_utf8()..]) };
        let mut decoder = Decoder::new(&DecoderLimits::default());
        if let Ok(Some(packet)) = decoder.decode_text(&changed) {
            look_at(&packet);
        }
    }
}

#[test]
fn deep_nesting_is_a_valid_packet_that_cannot_be_deserialized() {
    let depth = 100_000;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let payload = [&open.repeat(depth), "1", &*close.repeat(depth)].concat();
        let text = format!(r#"2["deep",{payload}]"#);
        let mut decoder = Decoder::new(&DecoderLimits::default());
        let Ok(Some(Packet::Event { event, .. })) = decoder.decode_text(&text) else {
            panic!("the JSON is valid")
        };
        assert_eq!(event.arguments().json_elements(), payload);
        assert!(event.arguments().deserialize::<Value>().is_err());
        assert_eq!(event.arguments().deserialize(), Ok(()));

        let binary = format!(r#"51-["deep",{payload},{{"_placeholder":true,"num":0}}]"#);
        assert_eq!(decoder.decode_text(&binary), Ok(None));
        let Ok(Some(Packet::Event { event, .. })) = decoder.decode_binary(&[1][..]) else {
            panic!("the packet is complete")
        };
        assert!(event.arguments().deserialize::<(Value, Bytes)>().is_err());

        let unclosed = format!(r#"2["deep",{}"#, open.repeat(depth));
        assert!(decoder.decode_text(&unclosed).is_err());
    }
}
