//! Sections 5.5 and 7: Ping, Pong, and the close. Tests of when, and by which endpoint, the TCP connection is closed
//! are in the crate `ws`.

use tidewire_ws_proto::{
    CloseCode, CloseFrame, Connection, EofKind, Event, Limits, Opcode, ProtocolError as Error, Role, Time,
};

use super::{ROLES, decode, sent, transmitted};
use crate::support::{assert_refused, feed, payload, seen_at_every_split};

fn connection(role: Role) -> Connection {
    Connection::new(role, &Limits::default())
}

fn close(code: u16) -> (Opcode, Vec<u8>) {
    (Opcode::Close, code.to_be_bytes().to_vec())
}

#[test]
fn section_5_5_1_must_1_the_body_of_a_close_is_nothing_or_a_code_and_a_reason() {
    let cases: &[(&[u8], Error, u16)] = &[
        (b"\x03", Error::CloseTooShort, 1002),
        (b"\x03\xe8\xff\xff", Error::InvalidCloseReason, 1007),
        (b"\x03\xe8cut \xe2\x82", Error::InvalidCloseReason, 1007),
    ];
    for role in ROLES {
        for (body, error, code) in cases {
            assert_refused(role, &Limits::default(), &sent(role, true, Opcode::Close, body), error, *code);
        }
        let reason = "größer €";
        let bodies = [
            (vec![], None),
            (vec![0x03, 0xe8], Some(CloseCode::NORMAL.into())),
            (
                [&[0x03, 0xe9], reason.as_bytes()].concat(),
                Some(CloseFrame::new(CloseCode::GOING_AWAY, reason)),
            ),
        ];
        for (body, frame) in bodies {
            let seen = seen_at_every_split(role, &Limits::default(), &sent(role, true, Opcode::Close, &body));
            assert_eq!((seen.events, seen.error), (vec![Event::Close(frame)], None));
        }
    }
}

/// Follows §7.4.1 and §7.4.2, and the current registry of §11.7.
fn may_be_on_the_wire(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[test]
fn section_5_5_1_must_1_the_code_of_a_close_is_one_that_section_7_4_knows() {
    for role in ROLES {
        for code in 0..=u16::MAX {
            let mut connection = connection(role);
            let result = decode(&mut connection, &sent(role, true, Opcode::Close, &code.to_be_bytes()));
            if may_be_on_the_wire(code) {
                let frame = CloseCode::new(code).expect("it may be sent as well").into();
                assert_eq!(result, Ok(Some(Event::Close(Some(frame)))));
                assert_eq!(transmitted(&mut connection), [close(code)], "the code is echoed");
            } else {
                assert_eq!(result, Err(Error::InvalidCloseCode(code)));
                assert_eq!(transmitted(&mut connection), [close(1002)]);
            }
        }
    }
}

#[test]
fn section_7_4_1_must_1_2_3_codes_that_stand_for_what_was_seen_cannot_be_sent() {
    for code in [1005, 1006, 1015] {
        assert_eq!(CloseCode::new(code), None);
    }
    for code in 0..=u16::MAX {
        assert_eq!(CloseCode::new(code).is_some(), may_be_on_the_wire(code), "{code}");
    }
}

#[test]
fn section_5_5_1_must_3_nothing_is_sent_behind_a_close() {
    for role in ROLES {
        let mut connection = connection(role);
        decode(&mut connection, &sent(role, true, Opcode::Ping, b"before")).unwrap();
        connection.close(Some(CloseFrame::new(CloseCode::GOING_AWAY, "bye")), Time::ZERO);
        assert!(!connection.can_send());
        connection.close(Some(CloseCode::NORMAL.into()), Time::ZERO);
        connection.ping(b"").unwrap();
        let pong = (Opcode::Pong, b"before".to_vec());
        assert_eq!(transmitted(&mut connection), [pong, (Opcode::Close, b"\x03\xe9bye".to_vec())]);
        // The peer may still send messages.
        let late = decode(&mut connection, &sent(role, true, Opcode::Text, b"late"));
        assert_eq!(late, Ok(Some(Event::Text("late".into()))));
        decode(&mut connection, &sent(role, true, Opcode::Close, b"\x03\xe9")).unwrap();
        assert_eq!(transmitted(&mut connection), []);
    }
}

#[test]
fn section_5_5_1_must_4_a_close_is_answered_by_a_close_once_and_with_its_code() {
    for role in ROLES {
        for (body, reply) in [(&b""[..], (Opcode::Close, vec![])), (b"\x0f\xa0going home", close(4000))] {
            let mut connection = connection(role);
            let closed = sent(role, true, Opcode::Close, body);
            let seen =
                decode(&mut connection, &[&closed[..], &sent(role, true, Opcode::Text, b"late")].concat());
            assert!(matches!(seen, Ok(Some(Event::Close(_)))));
            assert_eq!(decode(&mut connection, &closed), Ok(None), "input after the Close is discarded");
            connection.close(Some(CloseCode::NORMAL.into()), Time::ZERO);
            assert_eq!(transmitted(&mut connection), [reply]);
        }
        // The reply to this endpoint's Close gets no reply.
        let mut connection = connection(role);
        connection.close(Some(CloseCode::GOING_AWAY.into()), Time::ZERO);
        assert_eq!(transmitted(&mut connection), [close(1001)]);
        decode(&mut connection, &sent(role, true, Opcode::Close, b"\x03\xe8")).unwrap();
        assert_eq!(transmitted(&mut connection), []);
    }
}

#[test]
fn section_5_5_1_must_5_the_connection_is_closed_when_both_have_sent_a_close() {
    for role in ROLES {
        let peers = sent(role, true, Opcode::Close, b"\x03\xe8");
        let (mut by_us, mut by_the_peer) = (connection(role), connection(role));
        by_us.close(None, Time::ZERO);
        transmitted(&mut by_us);
        assert!(!by_us.is_closed(), "the peer has not replied");
        decode(&mut by_us, &peers).unwrap();
        decode(&mut by_the_peer, &peers).unwrap();
        assert!(!by_the_peer.is_closed(), "this endpoint has not replied");
        transmitted(&mut by_the_peer);
        for mut connection in [by_us, by_the_peer] {
            assert!(connection.is_closed());
            assert_eq!(connection.handle_eof(), EofKind::Clean); // §7.1.4
        }
    }
}

#[test]
fn section_5_5_2_must_1_a_ping_is_answered_by_a_pong_with_the_same_data_unless_a_close_came_before() {
    for role in ROLES {
        for data in [&b""[..], b"\x00\xff", &[7; 125]] {
            let seen = feed(role, &Limits::default(), [&sent(role, true, Opcode::Ping, data)[..]]);
            assert_eq!(seen.events, [Event::Ping(payload(data))]);
            assert_eq!(seen.sent, [(Opcode::Pong, data.to_vec())]); // §5.5.3: "identical"
        }
        // If several Pongs are queued, the last one may stand for all of them (§5.5.3).
        let mut connection = connection(role);
        for n in 0..1000_u16 {
            decode(&mut connection, &sent(role, true, Opcode::Ping, &n.to_be_bytes())).unwrap();
        }
        assert_eq!(transmitted(&mut connection), [(Opcode::Pong, 999_u16.to_be_bytes().to_vec())]);
        // A Pong needs no response (§5.5.3).
        decode(&mut connection, &sent(role, true, Opcode::Pong, b"unsolicited")).unwrap();
        assert_eq!(transmitted(&mut connection), []);

        let after = [sent(role, true, Opcode::Close, b""), sent(role, true, Opcode::Ping, b"?")].concat();
        assert_eq!(feed(role, &Limits::default(), [&after[..]]).sent, [(Opcode::Close, vec![])]);
    }
}

/// A Ping after this endpoint's Close is reported but gets no Pong. §5.5.2 alone would require a Pong until the
/// peer's Close arrives. But an endpoint that has sent a Close need not process further data (§5.5.1), and some peers
/// treat a frame after a Close as an error.
#[test]
fn section_5_5_2_must_1_a_ping_behind_our_close_has_its_answer_in_the_close() {
    for role in ROLES {
        let mut connection = connection(role);
        connection.close(None, Time::ZERO);
        let ping = decode(&mut connection, &sent(role, true, Opcode::Ping, b"?"));
        assert_eq!(ping, Ok(Some(Event::Ping(payload(b"?")))));
        assert_eq!(transmitted(&mut connection), [(Opcode::Close, vec![])]);
    }
}

#[test]
fn section_7_1_2_must_1_a_close_is_begun_with_its_code_and_reason() {
    for role in ROLES {
        let mut connection = connection(role);
        connection.close(Some(CloseFrame::new(CloseCode::GOING_AWAY, "größer")), Time::ZERO);
        let body = [&[0x03, 0xe9], "größer".as_bytes()].concat();
        assert_eq!(transmitted(&mut connection), [(Opcode::Close, body)]);
    }
}

#[test]
fn section_7_1_7_must_1_2_who_fails_a_connection_closes_it_without_waiting_for_the_peer() {
    for role in ROLES {
        let mut failed = connection(role);
        decode(&mut failed, &[0xff]).unwrap_err();
        assert!(!failed.is_closed(), "the peer is told first");
        assert_eq!(transmitted(&mut failed), [close(1002)]);
        assert!(failed.is_closed());
        assert_eq!(failed.handle_eof(), EofKind::Abnormal);
        // If a Close is already queued or sent, no second one follows.
        for taken in [false, true] {
            let mut closing = connection(role);
            closing.close(Some(CloseCode::NORMAL.into()), Time::ZERO);
            let mut sent = if taken { transmitted(&mut closing) } else { vec![] };
            decode(&mut closing, &[0xff]).unwrap_err();
            sent.extend(transmitted(&mut closing));
            assert_eq!(sent, [close(1000)]);
            assert!(closing.is_closed());
        }
    }
}

#[test]
fn section_7_1_7_must_3_nothing_is_processed_after_a_violation_not_even_a_close() {
    for role in ROLES {
        for late in [Opcode::Text, Opcode::Ping, Opcode::Close] {
            let mut connection = connection(role);
            decode(&mut connection, &[0xff]).unwrap_err();
            assert_eq!(decode(&mut connection, &sent(role, true, late, b"")), Ok(None), "{late}");
            assert_eq!(decode(&mut connection, &[0xff]), Ok(None), "the connection fails only once");
            assert_eq!(transmitted(&mut connection), [close(1002)]);
            assert_eq!(connection.handle_eof(), EofKind::Abnormal);
        }
    }
}

#[test]
fn section_7_2_1_must_2_a_stream_that_is_lost_ends_the_connection() {
    for role in ROLES {
        let mut lost = connection(role);
        decode(&mut lost, &sent(role, false, Opcode::Binary, &[0; 5000])).unwrap();
        decode(&mut lost, &sent(role, true, Opcode::Ping, b"")).unwrap();
        assert_eq!(lost.handle_eof(), EofKind::Abnormal); // §7.1.5: 1006
        assert!(lost.is_closed() && !lost.can_send());
        assert_eq!(transmitted(&mut lost), []);
        // Only the peer's Close makes a clean end, not this endpoint's Close. The reply to it may still be sent.
        let mut closing = connection(role);
        closing.close(None, Time::ZERO);
        assert_eq!(closing.handle_eof(), EofKind::Abnormal);
        let mut replying = connection(role);
        decode(&mut replying, &sent(role, true, Opcode::Close, b"")).unwrap();
        assert_eq!(replying.handle_eof(), EofKind::Clean);
        assert_eq!(transmitted(&mut replying), [(Opcode::Close, vec![])]);
        assert!(replying.is_closed());
    }
}
