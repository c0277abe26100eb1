//! Sections 5.4 to 6, 8 and 10: messages and their fragments.

use tidewire_ws_proto::{
    CloseCode, Connection, Event, Limits, MAX_CONTROL_PAYLOAD, Opcode, ProtocolError as Error, Role, Time,
    encode_frame,
};

use super::{KEY, ROLES, assert_protocol_error, decode, raw, sent, transmitted};
use crate::support::{assert_refused, feed, payload, seen_at_every_split};

/// Returns the events of `frames`, which are the same in both roles and at every split.
fn events(frames: &[(bool, Opcode, &[u8])]) -> Vec<Event<'static>> {
    let [client, server] = ROLES.map(|role| {
        let wire: Vec<_> =
            frames.iter().flat_map(|(fin, opcode, payload)| sent(role, *fin, *opcode, payload)).collect();
        let seen = seen_at_every_split(role, &Limits::default(), &wire);
        assert_eq!(seen.error, None);
        seen.events
    });
    assert_eq!(client, server);
    client
}

#[test]
fn section_5_4_must_2_fragments_are_delivered_in_their_order() {
    let frames = [
        (false, Opcode::Binary, &[1, 2][..]),
        (false, Opcode::Continuation, &[3]),
        (false, Opcode::Continuation, &[]),
        (true, Opcode::Continuation, &[4, 5]),
    ];
    assert_eq!(events(&frames), [Event::Binary(vec![1, 2, 3, 4, 5].into())]);
}

#[test]
fn section_5_4_must_3_a_message_between_the_fragments_of_another_fails_the_connection() {
    for role in ROLES {
        let first = sent(role, false, Opcode::Text, b"one");
        for opcode in [Opcode::Text, Opcode::Binary] {
            for (fin, payload) in [(true, &b"two"[..]), (true, b""), (false, b"two")] {
                let wire = [&first[..], &sent(role, fin, opcode, payload)].concat();
                assert_protocol_error(role, &wire, &Error::ExpectedContinuation(opcode));
            }
        }
        // A continuation without a message is rejected as well.
        let last = sent(role, true, Opcode::Continuation, b"");
        assert_protocol_error(role, &last, &Error::UnexpectedContinuation);
        assert_protocol_error(
            role,
            &sent(role, false, Opcode::Continuation, b"x"),
            &Error::UnexpectedContinuation,
        );
        let seen = feed(role, &Limits::default(), [&[&first[..], &last, &last].concat()[..]]);
        assert_eq!((seen.events.len(), seen.error), (1, Some(Error::UnexpectedContinuation)));
    }
}

#[test]
fn section_5_4_must_4_control_frames_are_handled_in_the_middle_of_a_message() {
    let frames = [
        (false, Opcode::Text, &b"one "[..]),
        (true, Opcode::Ping, b"are you there"),
        (true, Opcode::Pong, b""),
        (true, Opcode::Continuation, b"message"),
    ];
    let control = [Event::Ping(payload(b"are you there")), Event::Pong(payload(b""))];
    assert_eq!(events(&frames), [&control[..], &[Event::Text("one message".into())]].concat());

    let close = [(false, Opcode::Text, &b"unfinished"[..]), (true, Opcode::Close, b"\x03\xe8")];
    assert_eq!(events(&close), [Event::Close(Some(CloseCode::NORMAL.into()))]);
}

#[test]
fn section_5_4_must_5_a_message_is_the_same_in_one_frame_and_in_many() {
    let text = "größer €";
    let fragments: Vec<_> = text.as_bytes().chunks(1).collect();
    let mut frames = vec![(false, Opcode::Text, &b""[..])];
    frames.extend(fragments.iter().map(|byte| (false, Opcode::Continuation, *byte)));
    frames.push((true, Opcode::Continuation, b""));
    assert_eq!(events(&frames), events(&[(true, Opcode::Text, text.as_bytes())]));
}

#[test]
fn section_5_4_must_10_section_6_2_must_3_the_first_fragment_says_what_the_message_is() {
    for (opcode, message) in
        [(Opcode::Text, Event::Text("ab".into())), (Opcode::Binary, Event::Binary(b"ab".into()))]
    {
        let frames = [(false, opcode, &b"a"[..]), (true, Opcode::Continuation, b"b")];
        assert_eq!(events(&frames), [message]);
    }
}

#[test]
fn section_5_6_must_1_section_8_1_must_1_text_that_is_not_utf_8_fails_the_connection() {
    let cases: &[&[&[u8]]] = &[
        &[b"caf\xe9"],
        &[b"\xc0\x80"],            // overlong
        &[b"\xed\xa0\x80"],        // a surrogate
        &[b"\xf4\x90\x80\x80"],    // beyond U+10FFFF
        &[b"cut \xe2\x82"],        // ends in the middle of a character
        &[b"\xe2", b"\x82"],       // the same, in two fragments
        &[b"\xe2\x82", b"", b"x"], // not continued
        &[b"fine", b"\xff never sent on"],
    ];
    for role in ROLES {
        for fragments in cases {
            let mut wire = Vec::new();
            for (index, fragment) in fragments.iter().enumerate() {
                let opcode = if index == 0 { Opcode::Text } else { Opcode::Continuation };
                wire.extend(sent(role, index + 1 == fragments.len(), opcode, fragment));
            }
            assert_refused(role, &Limits::default(), &wire, &Error::InvalidText, 1007);
        }
    }
    // A frame may end inside a character if the message does not. Binary messages may contain any bytes.
    let euro = [(false, Opcode::Text, &b"\xe2\x82"[..]), (true, Opcode::Continuation, b"\xac")];
    assert_eq!(events(&euro), [Event::Text("€".into())]);
    assert_eq!(events(&[(true, Opcode::Binary, b"\xff")]), [Event::Binary(b"\xff".into())]);
}

#[test]
fn section_6_1_must_1_2_3_nothing_is_sent_in_a_state_that_is_not_open() {
    type End = fn(&mut Connection);
    let ends: [(&str, End); 4] = [
        ("our Close", |connection| connection.close(None, Time::ZERO)),
        ("the peer's", |connection| {
            decode(connection, &sent(Role::Server, true, Opcode::Close, b"")).unwrap();
        }),
        ("a violation", |connection| {
            decode(connection, &[0xff]).unwrap_err();
        }),
        ("the end of the stream", |connection| {
            let _ = connection.handle_eof();
        }),
    ];
    for (what, end) in ends {
        let mut connection = Connection::new(Role::Server, &Limits::default());
        assert!(connection.can_send());
        end(&mut connection);
        assert!(!connection.can_send(), "{what}");
        connection.ping(b"").unwrap();
        assert!(transmitted(&mut connection).iter().all(|(opcode, _)| *opcode == Opcode::Close), "{what}");
    }
}

#[test]
fn section_6_1_must_4_5_6_a_message_is_sent_in_one_frame_with_its_type_and_the_last_bit() {
    for (opcode, first) in [(Opcode::Text, 0x81), (Opcode::Binary, 0x82)] {
        let mut wire = Vec::new();
        encode_frame(opcode, b"Hello", None, &mut wire);
        assert_eq!(wire, [&[first, 5][..], b"Hello"].concat());
    }
}

#[test]
fn section_6_2_must_1_2_4_frames_are_taken_one_by_one_and_each_message_begins_anew() {
    let frames = [
        (false, Opcode::Text, &b"on"[..]),
        (true, Opcode::Continuation, b"e"),
        (true, Opcode::Binary, b"two"),
        (true, Opcode::Ping, b"2"),
        (true, Opcode::Text, b""),
        (true, Opcode::Text, b"four"),
    ];
    let binary = Event::Binary(b"two".into());
    let expected = [
        Event::Text("one".into()),
        binary,
        Event::Ping(payload(b"2")),
        Event::Text("".into()),
        Event::Text("four".into()),
    ];
    assert_eq!(events(&frames), expected);
}

#[test]
fn section_6_2_must_5_a_server_takes_the_mask_off() {
    // §5.7, and then other keys, with a fragment that ends at every position in the key.
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let seen = seen_at_every_split(Role::Server, &Limits::default(), &hello);
    assert_eq!(seen.events, [Event::Text("Hello".into())]);
    for (first, second) in (0..9).map(|end| b"masked it".split_at(end)) {
        let mut wire = crate::support::frame(Role::Server, false, Opcode::Text, first, KEY);
        wire.extend(crate::support::frame(Role::Server, true, Opcode::Continuation, second, [0, 0xff, 1, 2]));
        let seen = feed(Role::Server, &Limits::default(), wire.chunks(3));
        assert_eq!(seen.events, [Event::Text("masked it".into())]);
    }
}

#[test]
fn section_10_4_must_1_a_message_beyond_a_limit_is_refused_before_it_takes_memory() {
    let limits = Limits { max_message_size: 10, max_fragments: 3, ..Limits::default() };
    for role in ROLES {
        let too_big = Error::MessageTooBig { size: 1 << 60, limit: 10 };
        // The RFC's own example: a frame of 2**60 bytes, announced in its header.
        let announced = raw(role, 0x82, &[127, 0x10, 0, 0, 0, 0, 0, 0, 0], b"");
        assert_refused(role, &limits, &announced, &too_big, 1009);
        // The RFC's other example: a long stream of small frames.
        let first = sent(role, false, Opcode::Binary, b"123456");
        let wire = [first, sent(role, true, Opcode::Continuation, b"78901")].concat();
        assert_refused(role, &limits, &wire, &Error::MessageTooBig { size: 11, limit: 10 }, 1009);
        let wire =
            [sent(role, false, Opcode::Binary, b""), sent(role, false, Opcode::Continuation, b"").repeat(3)]
                .concat();
        assert_refused(role, &limits, &wire, &Error::TooManyFragments { limit: 3 }, 1008);
    }
}

/// Checks every two bytes that a header can begin with against a literal implementation of the RFC.
#[test]
fn section_10_7_must_1_every_beginning_of_a_frame_is_validated() {
    for role in ROLES {
        for (first, second) in
            (0..=u8::MAX).flat_map(|first| (0..=u8::MAX).map(move |second| (first, second)))
        {
            let (reserved, opcode, control) = (first >> 4 & 7, first & 15, first & 8 != 0);
            let valid = reserved == 0
                && matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10)
                && !(control && first & 0x80 == 0)
                && (second & 0x80 != 0) == (role == Role::Server)
                && !(control && usize::from(second & 0x7f) > MAX_CONTROL_PAYLOAD)
                // No message has begun, but only a complete header proves that.
                && !(opcode == 0 && (second & 0x7f) < 126 && role == Role::Client);
            let mut connection = Connection::new(role, &Limits::default());
            let result = decode(&mut connection, &[first, second]);
            assert_eq!(result.is_ok(), valid, "{first:#04x} {second:#04x} to a {role:?}: {result:?}");
            if let Err(error) = result {
                assert_eq!(error.close_code(), CloseCode::PROTOCOL_ERROR, "{first:#04x} {second:#04x}");
                assert_eq!(transmitted(&mut connection), [(Opcode::Close, vec![0x03, 0xea])]);
            }
        }
    }
}
