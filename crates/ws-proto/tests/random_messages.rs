//! Random messages in random fragments, with control frames between them, in random pieces: one endpoint decodes what
//! the other encodes. Also arbitrary bytes in random pieces: they cause no panic, and the result does not depend on
//! the pieces.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tidewire_ws_proto::{CloseCode, CloseFrame, Connection, Event, Limits, Opcode, Role};

use crate::support::{feed, feed_to, frame, payload};

/// A message or control frame that a peer sends, and where it is split into fragments.
#[derive(Clone, Debug)]
enum Sent {
    Text(String, Vec<Index>),
    Binary(Vec<u8>, Vec<Index>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let cuts = || vec(any::<Index>(), 0..5);
    // Characters of all four lengths. The texts are short, so that splits often fall inside characters.
    let text = vec(prop_oneof![Just('a'), Just('é'), Just('€'), Just('🦀'), any::<char>()], 0..100);
    let bytes = prop_oneof![vec(any::<u8>(), 0..300), (65_530_usize..65_540).prop_map(|len| vec![7; len])];
    let repeated = prop_oneof![4 => Just(1_usize), 1 => 100..800_usize];
    prop_oneof![
        (text, repeated, cuts()).prop_map(|(text, times, cuts)| {
            Sent::Text(text.into_iter().collect::<String>().repeat(times), cuts)
        }),
        (bytes, cuts()).prop_map(|(bytes, cuts)| Sent::Binary(bytes, cuts)),
    ]
}

/// Control frames between fragments: whether each is a Ping, and its payload.
fn controls() -> impl Strategy<Value = Vec<Option<(bool, Vec<u8>)>>> {
    vec(proptest::option::weighted(0.3, (any::<bool>(), vec(any::<u8>(), 0..=125))), 64)
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

/// Splits `bytes` into pieces that end at these positions.
fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.extend([0, bytes.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|range| &bytes[range[0]..range[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_what_is_decoded(
        role in role(),
        messages in vec(sent(), 0..6),
        controls in controls(),
        keys in vec(any::<[u8; 4]>(), 16),
        close in proptest::option::of("[ -~]{0,123}"),
        reads in vec(any::<Index>(), 0..40),
    ) {
        let mut wire = Vec::new();
        let mut expected = Vec::new();
        let mut pongs = Vec::new();
        let mut controls = controls.into_iter().cycle();
        let mut keys = keys.into_iter().cycle();
        let mut key = || keys.next().unwrap_or_default();
        for message in &messages {
            let (opcode, content, cuts, event) = match message {
                Sent::Text(text, cuts) => (Opcode::Text, text.as_bytes(), cuts, Event::Text(text.into())),
                Sent::Binary(bytes, cuts) => (Opcode::Binary, &bytes[..], cuts, Event::Binary(bytes.into())),
            };
            let fragments = pieces(content, cuts);
            for (index, fragment) in fragments.iter().enumerate() {
                let fin = index + 1 == fragments.len();
                let opcode = if index == 0 { opcode } else { Opcode::Continuation };
                if let Some((is_ping, bytes)) = controls.next().flatten() {
                    let opcode = if is_ping { Opcode::Ping } else { Opcode::Pong };
                    wire.extend(frame(role, true, opcode, &bytes, key()));
                    if is_ping {
                        expected.push(Event::Ping(payload(&bytes)));
                        pongs.push((Opcode::Pong, bytes));
                    } else {
                        expected.push(Event::Pong(payload(&bytes)));
                    }
                }
                wire.extend(frame(role, fin, opcode, fragment, key()));
            }
            expected.push(event.into_owned());
        }
        let mut sent = pongs;
        if let Some(reason) = &close {
            let close = [&1001_u16.to_be_bytes()[..], reason.as_bytes()].concat();
            wire.extend(frame(role, true, Opcode::Close, &close, key()));
            wire.extend(b"whatever follows is discarded");
            expected.push(Event::Close(Some(CloseFrame::new(CloseCode::GOING_AWAY, reason))));
            sent.push((Opcode::Close, 1001_u16.to_be_bytes().to_vec()));
        }

        for owned in [false, true] {
            let mut connection = Connection::new(role, &Limits::default());
            if owned {
                connection = connection.with_owned_long_messages();
            }
            let seen = feed_to(connection, pieces(&wire, &reads));
            prop_assert_eq!(seen.error, None);
            prop_assert_eq!(seen.events, expected.as_slice());
            prop_assert_eq!(seen.sent, sent.as_slice());
            prop_assert_eq!(seen.is_closed, close.is_some());
        }
    }

    #[test]
    fn arbitrary_bytes_are_seen_alike_in_any_pieces(
        role in role(),
        wire in vec(prop_oneof![any::<u8>(), 0x80_u8..0x90, Just(0), Just(1)], 0..300),
        reads in vec(any::<Index>(), 0..20),
    ) {
        let limits = Limits { max_message_size: 200, max_fragments: 5, ..Limits::default() };
        let whole = feed(role, &limits, [&wire[..]]);
        prop_assert_eq!(&feed(role, &limits, pieces(&wire, &reads)), &whole);
        prop_assert_eq!(&feed(role, &limits, wire.chunks(1)), &whole);
        // Every error is reported to the peer.
        if let Some(error) = &whole.error {
            let close = (Opcode::Close, error.close_code().as_u16().to_be_bytes().to_vec());
            prop_assert_eq!(whole.sent.last(), Some(&close));
        }
    }
}
