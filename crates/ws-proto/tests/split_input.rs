//! Conversations in literal frames, each fed whole, byte by byte and split at every two points. The result must
//! always be the same. Violations of the RFC are in `rfc6455`.

use tidewire_ws_proto::{CloseCode, CloseFrame, Event, Limits, Opcode, ProtocolError as Error, Role};

use crate::support::{assert_refused, feed, frame, payload, seen_at_every_split};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Encodes a frame of a client.
fn sent(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    frame(Role::Server, fin, opcode, payload, KEY)
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
        sent(true, Opcode::Pong, b"unsolicited"),
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
        Event::Pong(payload(b"unsolicited")),
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
    // The unmasked examples of RFC 6455 §5.7.
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
fn limits_are_held_alike_at_every_split() {
    let limits = Limits { max_message_size: 10, max_fragments: 3, ..Limits::default() };
    let error = Error::MessageTooBig { size: 11, limit: 10 };
    assert_refused(Role::Server, &limits, &sent(true, Opcode::Binary, &[0; 11]), &error, 1009);
    let fragments =
        [sent(false, Opcode::Binary, &[0; 6]), sent(true, Opcode::Continuation, &[0; 5])].concat();
    assert_refused(Role::Server, &limits, &fragments, &error, 1009);
    // 1 TiB, announced in a header of fourteen bytes.
    let announced = [0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    let error = Error::MessageTooBig { size: 1 << 40, limit: 10 };
    assert_refused(Role::Server, &limits, &announced, &error, 1009);

    let empty = sent(false, Opcode::Continuation, b"");
    let wire = [&sent(false, Opcode::Binary, b"")[..], &empty, &empty, &empty].concat();
    assert_refused(Role::Server, &limits, &wire, &Error::TooManyFragments { limit: 3 }, 1008);
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
