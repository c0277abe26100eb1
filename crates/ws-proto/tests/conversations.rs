//! Conversations in literal frames, each fed whole, byte by byte and cut at every two points: what is seen must
//! be the same. The invalid ones are the requirements that peers are known to miss.

mod support;

use support::{Seen, feed, frame, payload};
use tidewire_ws_proto::{CloseCode, CloseFrame, Event, Limits, Opcode, ProtocolError as Error, Role};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as a client sends it.
fn sent(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    frame(Role::Server, fin, opcode, payload, KEY)
}

/// Feeds `wire` in every way, and says what is seen in all of them.
fn seen_at_every_split(role: Role, limits: &Limits, wire: &[u8]) -> Seen {
    let whole = feed(role, limits, [wire]);
    assert_eq!(feed(role, limits, wire.chunks(1)), whole, "byte by byte: {wire:02x?}");
    for first in 0..=wire.len() {
        for second in first..=wire.len() {
            let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
            assert_eq!(feed(role, limits, pieces), whole, "cut at {first} and {second}: {wire:02x?}");
        }
    }
    whole
}

/// What is seen when `wire` ends in `error`, and `code` is sent for it.
#[track_caller]
fn assert_refused(role: Role, limits: &Limits, wire: &[u8], error: Error, code: u16) {
    let seen = seen_at_every_split(role, limits, wire);
    assert_eq!(seen.error, Some(error), "{wire:02x?}");
    assert_eq!(seen.sent.last(), Some(&(Opcode::Close, code.to_be_bytes().to_vec())), "{wire:02x?}");
    assert!(seen.is_closed && !seen.can_send, "{wire:02x?}");
}

#[test]
fn messages_pings_and_a_close_are_seen_alike_at_every_split() {
    let wire = [
        sent(true, Opcode::Text, "héllo €".as_bytes()),
        sent(true, Opcode::Binary, b""),
        sent(true, Opcode::Ping, b"first"),
        sent(false, Opcode::Text, &"🦀".as_bytes()[..2]),
        sent(true, Opcode::Ping, b""),
        sent(false, Opcode::Continuation, b""),
        sent(true, Opcode::Pong, b"unasked"),
        sent(true, Opcode::Continuation, &"🦀".as_bytes()[2..]),
        sent(true, Opcode::Close, b"\x03\xe8done"),
        sent(true, Opcode::Text, b"too late"),
    ]
    .concat();
    let seen = seen_at_every_split(Role::Server, &Limits::default(), &wire);
    let events = [
        Event::Text("héllo €".into()),
        Event::Binary(b""[..].into()),
        Event::Ping(payload(b"first")),
        Event::Ping(payload(b"")),
        Event::Pong(payload(b"unasked")),
        Event::Text("🦀".into()),
        Event::Close(Some(CloseFrame::new(CloseCode::NORMAL, "done"))),
    ];
    assert_eq!(seen.events, events);
    let sent = [
        (Opcode::Pong, b"first".to_vec()),
        (Opcode::Pong, vec![]),
        (Opcode::Close, vec![0x03, 0xe8]), // §5.5.1: the code is echoed
    ];
    assert_eq!((&seen.sent[..], seen.error), (&sent[..], None));
    assert!(seen.is_closed && !seen.can_send);
}

#[test]
fn a_client_sees_the_rfc_examples_alike_at_every_split() {
    // RFC 6455 §5.7, those that are not masked.
    let wire = [
        &[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f][..],
        &[0x01, 0x03, 0x48, 0x65, 0x6c],
        &[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f],
        &[0x80, 0x02, 0x6c, 0x6f],
        &[0x88, 0x00],
    ]
    .concat();
    let seen = seen_at_every_split(Role::Client, &Limits::default(), &wire);
    let hello = || Event::Text("Hello".into());
    assert_eq!(seen.events, [hello(), Event::Ping(payload(b"Hello")), hello(), Event::Close(None)]);
    assert_eq!(seen.sent, [(Opcode::Pong, b"Hello".to_vec()), (Opcode::Close, vec![])]);
}

#[test]
fn all_three_forms_of_length_are_seen_alike_at_every_split_of_the_headers() {
    for len in [125, 126, 65_535, 65_536] {
        let content: Vec<u8> = (0..len).map(|n| n as u8).collect();
        let wire = [sent(true, Opcode::Binary, &content), sent(true, Opcode::Text, b"next")].concat();
        let whole = feed(Role::Server, &Limits::default(), [&wire[..]]);
        assert_eq!(whole.events, [Event::Binary(content.into()), Event::Text("next".into())]);
        let edges = (0..20).chain(wire.len() - 14..=wire.len()).chain([len / 2, len - 3]);
        for cut in edges {
            let pieces = [&wire[..cut], &wire[cut..]];
            assert_eq!(feed(Role::Server, &Limits::default(), pieces), whole, "length {len} cut at {cut}");
        }
        assert_eq!(feed(Role::Server, &Limits::default(), wire.chunks(1_447)), whole);
    }
}

#[test]
fn every_violation_of_the_framing_is_refused_with_1002_at_every_split() {
    let cases: &[(&[u8], Error)] = &[
        (&[0x81, 0x02, b'h', b'i'], Error::NotMasked), // §5.1
        (&[0x81, 0xfe, 0x00, 0x02, 1, 2, 3, 4, 0, 0], Error::LengthNotMinimal), // §5.2
        (&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 3, 4, 0, 0], Error::LengthNotMinimal), // §5.2
        (&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4], Error::LengthNotMinimal), // §5.2
        (&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], Error::LengthOutOfRange), // §5.2
        (&[0xc1, 0x80, 1, 2, 3, 4], Error::ReservedBits(0b100)), // §5.2
        (&[0xa1, 0x80, 1, 2, 3, 4], Error::ReservedBits(0b010)), // §5.2
        (&[0x99, 0x80, 1, 2, 3, 4], Error::ReservedBits(0b001)), // §5.2
        (&[0x83, 0x80, 1, 2, 3, 4], Error::ReservedOpcode(0x3)), // §5.2
        (&[0x8f, 0x80, 1, 2, 3, 4], Error::ReservedOpcode(0xf)), // §5.2
        (&[0x09, 0x80, 1, 2, 3, 4], Error::FragmentedControl(Opcode::Ping)), // §5.5
        (&[0x89, 0xfe, 0x00, 0x7e, 1, 2, 3, 4], Error::ControlTooLong(Opcode::Ping)), // §5.5
        (&[0x8a, 0xfe, 0x00, 0x7e, 1, 2, 3, 4], Error::ControlTooLong(Opcode::Pong)), // §5.5
        (&[0x88, 0xfe, 0x00, 0x7e, 1, 2, 3, 4], Error::ControlTooLong(Opcode::Close)), // §5.5
        (&[0x80, 0x80, 1, 2, 3, 4], Error::NothingToContinue), // §5.4
        // Two violations in one header: the one in the earlier byte is seen, however it is split.
        (&[0xc3, 0x7e, 0x00, 0x01], Error::ReservedBits(0b100)),
        (&[0x89, 0x7e, 0x00, 0x01], Error::NotMasked),
        (&[0x80, 0xfe, 0x00, 0x01, 1, 2, 3, 4], Error::LengthNotMinimal),
    ];
    let hello = sent(true, Opcode::Text, b"hello");
    for (violation, error) in cases {
        for before in [&b""[..], &hello] {
            let wire = [before, violation, &hello].concat();
            assert_refused(Role::Server, &Limits::default(), &wire, error.clone(), 1002);
            let seen = feed(Role::Server, &Limits::default(), [&wire[..]]);
            assert_eq!(seen.events.len(), usize::from(!before.is_empty()), "what came before is seen");
        }
    }
    assert_refused(Role::Client, &Limits::default(), &hello, Error::Masked, 1002); // §5.1
}

#[test]
fn messages_must_not_be_interleaved() {
    let first = sent(false, Opcode::Text, b"one");
    for (opcode, payload) in [(Opcode::Text, &b"two"[..]), (Opcode::Binary, b"")] {
        let wire = [&first[..], &sent(true, opcode, payload)].concat();
        assert_refused(Role::Server, &Limits::default(), &wire, Error::MessageUnfinished(opcode), 1002); // §5.4
    }
    let wire = [first, sent(true, Opcode::Continuation, b""), sent(true, Opcode::Continuation, b"")].concat();
    assert_refused(Role::Server, &Limits::default(), &wire, Error::NothingToContinue, 1002); // §5.4
}

#[test]
fn text_that_is_not_utf8_is_refused_with_1007_at_every_split() {
    let cases: &[&[&[u8]]] = &[
        &[b"caf\xe9"],             // §8.1
        &[b"\xed\xa0\x80"],        // a surrogate
        &[b"\xf4\x90\x80\x80"],    // beyond U+10FFFF
        &[b"cut \xe2\x82"],        // ends in the middle of a character
        &[b"\xe2", b"\x82"],       // the same, over two fragments
        &[b"\xe2\x82", b"", b"x"], // Autobahn 6.4: not continued
        &[b"fine", b"\xff never sent on"],
    ];
    for fragments in cases {
        let mut wire = Vec::new();
        for (index, fragment) in fragments.iter().enumerate() {
            let opcode = if index == 0 { Opcode::Text } else { Opcode::Continuation };
            wire.extend(sent(index + 1 == fragments.len(), opcode, fragment));
        }
        assert_refused(Role::Server, &Limits::default(), &wire, Error::InvalidText, 1007);
    }
}

#[test]
fn a_close_that_says_nothing_valid_is_refused_at_every_split() {
    let cases: &[(&[u8], Error, u16)] = &[
        (b"\x03", Error::CloseTooShort, 1002),                  // §5.5.1
        (b"\x00\x00", Error::InvalidCloseCode(0), 1002),        // §7.4.2
        (b"\x03\xe7", Error::InvalidCloseCode(999), 1002),      // §7.4.2
        (b"\x03\xec", Error::InvalidCloseCode(1004), 1002),     // §7.4.1
        (b"\x03\xed", Error::InvalidCloseCode(1005), 1002),     // §7.4.1
        (b"\x03\xee", Error::InvalidCloseCode(1006), 1002),     // §7.4.1
        (b"\x03\xf7", Error::InvalidCloseCode(1015), 1002),     // §7.4.1
        (b"\x03\xf8", Error::InvalidCloseCode(1016), 1002),     // §7.4.2
        (b"\x0b\xb7", Error::InvalidCloseCode(2999), 1002),     // §7.4.2
        (b"\x13\x88", Error::InvalidCloseCode(5000), 1002),     // §7.4.2
        (b"\x03\xe8\xff\xff", Error::InvalidCloseReason, 1007), // §5.5.1
    ];
    for (payload, error, code) in cases {
        let wire = sent(true, Opcode::Close, payload);
        assert_refused(Role::Server, &Limits::default(), &wire, error.clone(), *code);
    }
}

#[test]
fn limits_are_held_alike_at_every_split() {
    let limits = Limits { max_message_size: 10, max_fragments: 3, ..Limits::default() };
    let error = Error::MessageTooBig { announced: 11, limit: 10 };
    assert_refused(Role::Server, &limits, &sent(true, Opcode::Binary, &[0; 11]), error.clone(), 1009);
    let fragments =
        [sent(false, Opcode::Binary, &[0; 6]), sent(true, Opcode::Continuation, &[0; 5])].concat();
    assert_refused(Role::Server, &limits, &fragments, error, 1009);
    // 1 TiB, announced in fourteen bytes.
    let announced = [0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    let error = Error::MessageTooBig { announced: 1 << 40, limit: 10 };
    assert_refused(Role::Server, &limits, &announced, error, 1009);

    let empty = sent(false, Opcode::Continuation, b"");
    let wire = [&sent(false, Opcode::Binary, b"")[..], &empty, &empty, &empty].concat();
    assert_refused(Role::Server, &limits, &wire, Error::TooManyFragments { limit: 3 }, 1008);
}

#[test]
fn autobahns_65536_fragments_pass_the_default_limits() {
    let mut wire = sent(false, Opcode::Text, b"x");
    for _ in 0..65_534 {
        wire.extend(sent(false, Opcode::Continuation, b"x"));
    }
    wire.extend(sent(true, Opcode::Continuation, b"x"));
    let seen = feed(Role::Server, &Limits::default(), wire.chunks(4096));
    assert_eq!(seen.events, [Event::Text("x".repeat(65_536).into())]);
}
