//! What went wrong in other implementations, and does not here. Each test is named after its advisory.
//!
//! Those that need a connection are in `advisories.rs` of the crate `ws`. These are shown by other tests:
//!
//! | advisory | what it was | shown by |
//! |---|---|---|
//! | ws CVE-2016-10518 | a Pong with memory of the process in it | `rfc6455`: `section_5_5_2_must_1_…` |
//! | ws CVE-2016-10542 | messages of any size | `rfc6455`: `section_10_4_must_1_…` |
//! | ws 8.21, Autobahn 9.3.1 | a limit that breaks messages of 65,536 fragments | `conversations.rs`: `autobahns_65536_fragments_…` |
//! | fastwebsockets | frames without mask are taken; a Close of 126 bytes is answered by one, a Pong of as many is taken | `rfc6455/framing.rs` |
//! | fastwebsockets, yawc, tokio-websockets | 101 to POST, HTTP/1.0, a short key, no Host | `rfc6455/handshake.rs` |
//! | fastwebsockets #64, tungstenite | a read that is cut, or given up, loses bytes | `random_messages.rs`; `ws/tests/messages.rs`: `a_receive_that_is_dropped_…` |
//! | undici CVE-2026-1527 | CR and LF in a header of the handshake | `rfc6455`: `section_4_2_2_must_6_7_…` |
//! | tungstenite 0.26.1, tokio-websockets 0.13.1 | undefined behaviour in `unsafe` code | the workspace forbids `unsafe_code` |

mod support;

use std::time::{Duration, Instant};

use http::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, Method, Uri, Version};
use support::frame;
use tidewire_ws_proto::{
    Accepted, CloseCode, CloseFrame, CloseReason, Connection, FrameHeader, HandshakeError, Input, Limits,
    Opcode, ProtocolError, Role, Time, verify,
};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// A good handshake with one header more.
fn handshake(name: HeaderName, value: &str) -> Result<Accepted, HandshakeError> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.append(name, HeaderValue::from_str(value).expect("a header value"));
    verify(&Method::GET, &Uri::from_static("/"), Version::HTTP_11, &headers)
}

/// Feeds one read, and says what went wrong.
fn feed(connection: &mut Connection, wire: &mut [u8]) -> Option<ProtocolError> {
    let mut input = Input::new(wire);
    loop {
        match connection.decode(&mut input, Time::ZERO) {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// The beginning of a binary frame of this length.
fn announcement(to: Role, opcode: Opcode, payload_len: u64) -> Vec<u8> {
    let mask = (to == Role::Server).then_some([0; 4]);
    FrameHeader { mask, payload_len, ..FrameHeader::message(opcode, 0) }.encode().to_vec()
}

/// ws: a regular expression that took the square of a header's length. And its kin in the other headers that are lists.
#[test]
fn cve_2021_32640_a_header_takes_the_time_of_its_length() {
    const LENGTH: usize = 4 << 20;
    let spaces = " ".repeat(LENGTH);
    let commas = ",".repeat(LENGTH);
    let parameters = "; a=\"\\b\"".repeat(LENGTH / 8);
    let began = Instant::now();
    assert_eq!(
        handshake(SEC_WEBSOCKET_PROTOCOL, &format!("b{spaces}x")),
        Err(HandshakeError::InvalidProtocol)
    );
    let two = handshake(SEC_WEBSOCKET_PROTOCOL, &format!("a{spaces},{spaces}b")).expect("two subprotocols");
    assert_eq!(two.protocols(), ["a", "b"]);
    assert_eq!(handshake(SEC_WEBSOCKET_PROTOCOL, &commas), Err(HandshakeError::InvalidProtocol));
    for (name, value) in [
        (CONNECTION, &format!("x{spaces}{commas}")),
        (SEC_WEBSOCKET_EXTENSIONS, &format!("a{commas}{spaces}b")),
        (SEC_WEBSOCKET_EXTENSIONS, &format!("a{parameters}")),
    ] {
        assert!(handshake(name, value).is_ok());
    }
    let unclosed = format!("a{parameters}; b=\"");
    assert_eq!(handshake(SEC_WEBSOCKET_EXTENSIONS, &unclosed), Err(HandshakeError::InvalidExtensions));
    // The square would take hours.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// ws, 2017: an extension, or a parameter, named like a property of every object crashed the server.
#[test]
fn ghsa_5v72_xg48_5rpm_the_names_of_extensions_are_words_like_others() {
    for offer in [
        "constructor",
        ",;constructor",
        "__proto__; __proto__=1",
        "toString; constructor; hasOwnProperty=valueOf",
        "permessage-deflate; constructor; constructor",
    ] {
        match handshake(SEC_WEBSOCKET_EXTENSIONS, offer) {
            Ok(accepted) => {
                assert_eq!(accepted.response(None, None).headers().get(SEC_WEBSOCKET_EXTENSIONS), None);
            }
            Err(error) => assert_eq!((offer, error), (",;constructor", HandshakeError::InvalidExtensions)),
        }
    }
    let accepted = handshake(SEC_WEBSOCKET_PROTOCOL, "constructor, __proto__").expect("tokens");
    assert_eq!(accepted.protocols(), ["constructor", "__proto__"]);
}

/// ws, twice in 2026: fragments of one byte, each an object of its own, took a hundred times their size.
#[test]
fn ghsa_96hv_2xvq_fx4p_a_message_in_the_smallest_fragments_takes_the_memory_of_its_bytes() {
    const FRAGMENTS: usize = 131_071;
    for role in ROLES {
        let mut connection = Connection::new(role, &Limits::default());
        let first = frame(role, false, Opcode::Binary, b"x", [0; 4]);
        let next = frame(role, false, Opcode::Continuation, b"x", [0; 4]);
        let mut wire = [first, next.repeat(FRAGMENTS - 1)].concat();
        let memory = allocation_counter::measure(|| assert_eq!(feed(&mut connection, &mut wire), None));
        // It doubles when it grows, and is there twice while it is moved.
        assert!(memory.bytes_max <= 3 * FRAGMENTS as u64, "{} bytes", memory.bytes_max);
        assert!(memory.bytes_current <= 2 * FRAGMENTS as i64, "{} bytes", memory.bytes_current);
    }
}

/// ws: fragments without a byte counted for no limit.
#[test]
fn ws_issue_2329_empty_fragments_are_counted_and_take_no_memory() {
    for role in ROLES {
        let mut connection = Connection::new(role, &Limits::default());
        let first = frame(role, false, Opcode::Text, b"", [0; 4]);
        let next = frame(role, false, Opcode::Continuation, b"", [0; 4]);
        let mut allowed = [&first[..], &next.repeat(131_071)].concat();
        let memory = allocation_counter::measure(|| assert_eq!(feed(&mut connection, &mut allowed), None));
        assert!(memory.bytes_max < 1_000, "{} bytes", memory.bytes_max);
        let refused = feed(&mut connection, &mut next.clone());
        assert_eq!(refused, Some(ProtocolError::TooManyFragments { limit: 131_072 }));
    }
}

/// ws: a Close could carry memory of the process where its reason should have been.
#[test]
fn cve_2026_45736_a_close_carries_its_code_its_reason_and_nothing_else() {
    for reason in ["", "x", "größer €", &"x".repeat(123), &"€".repeat(41)] {
        assert_eq!(CloseReason::new(reason).as_deref(), Some(reason));
        let mut connection = Connection::new(Role::Server, &Limits::default());
        connection.close(Some(CloseFrame::new(CloseCode::NORMAL, reason)), Time::ZERO);
        let mut wire = Vec::new();
        connection.poll_transmit().expect("a Close").encode_into(&mut wire, None);
        let length = 2 + reason.len() as u8;
        assert_eq!(wire, [&[0x88, length, 0x03, 0xe8], reason.as_bytes()].concat());
        assert_eq!(connection.poll_transmit(), None);
    }
}

/// The crate `websocket` allocated what was announced; tokio-websockets without limits reserves it and aborts.
#[test]
fn rustsec_2022_0035_an_announced_length_takes_no_memory() {
    let limits = Limits { max_message_size: usize::MAX, ..Limits::default() };
    for role in ROLES {
        for length in [1 << 30, 1 << 40, isize::MAX as u64] {
            let mut connection = Connection::new(role, &limits);
            let mut wire =
                [&announcement(role, Opcode::Binary, length)[..], b"and a few bytes of it"].concat();
            let memory = allocation_counter::measure(|| assert_eq!(feed(&mut connection, &mut wire), None));
            assert!(memory.bytes_max < 1_000, "{} bytes for {length}", memory.bytes_max);
        }
    }
}

/// gorilla/websocket, and undici CVE-2026-1528: a length close to 2⁶³ overflowed what was added to it.
#[test]
fn cve_2020_27813_a_length_close_to_its_largest_overflows_nothing() {
    let limit = isize::MAX as u64;
    let unlimited = Limits { max_message_size: usize::MAX, ..Limits::default() };
    for role in ROLES {
        for (limits, limit) in [(Limits::default(), 16 << 20), (unlimited, limit)] {
            let mut connection = Connection::new(role, &limits);
            let mut wire = frame(role, false, Opcode::Binary, b"ten bytes.", [0; 4]);
            assert_eq!(feed(&mut connection, &mut wire), None);
            let refused = feed(&mut connection, &mut announcement(role, Opcode::Continuation, u64::MAX >> 1));
            let announced = (u64::MAX >> 1) + 10;
            assert_eq!(refused, Some(ProtocolError::MessageTooBig { announced, limit }));
        }
        // The highest bit is a sign to some.
        let mut connection = Connection::new(role, &unlimited);
        let mut wire = [&[0x82, if role == Role::Server { 0xff } else { 0x7f }][..], &[0xff; 12]].concat();
        assert_eq!(feed(&mut connection, &mut wire), Some(ProtocolError::LengthOutOfRange));
    }
}
