//! Bugs of other implementations, and the proof that this one does not have them. Each test is named after its
//! advisory.
//!
//! Tests that need a network connection are in `advisories.rs` of the crate `ws`. These advisories are covered by
//! other tests:
//!
//! | advisory | bug | covered by |
//! |---|---|---|
//! | ws CVE-2016-10518 | a Pong contained memory of the process | `rfc6455`: `section_5_5_2_must_1_…` |
//! | ws CVE-2016-10542 | messages had no size limit | `rfc6455`: `section_10_4_must_1_…` |
//! | ws 8.21, Autobahn 9.3.1 | a limit rejected messages of 65,536 fragments | `split_input.rs`: `autobahns_65536_fragments_…` |
//! | fastwebsockets | frames without a mask are accepted; a Close of 126 bytes gets a reply of the same length; a Pong of 126 bytes is accepted | `rfc6455/framing.rs` |
//! | fastwebsockets, yawc, tokio-websockets | 101 in response to POST, HTTP/1.0, a short key, or no Host | `rfc6455/handshake.rs` |
//! | fastwebsockets #64, tungstenite | a partial or cancelled read loses bytes | `random_messages.rs`; `ws/tests/messages.rs`: `a_receive_that_is_dropped_…` |
//! | undici CVE-2026-1527 | CR and LF in a handshake header | `rfc6455`: `section_4_2_2_must_6_7_…`, `section_4_1_must_30_31_…` |
//! | clients of uWebSockets, tokio-websockets | predictable masking keys | `ws/tests/rfc6455/client.rs`: `section_5_3_must_3_4_section_10_3_must_1_…` |
//! | proxies | a WebSocket is treated as open although the response was not 101 | `rfc6455`: `section_4_1_must_33_39_…` |
//! | clients | bytes in the same segment as the response are lost | `ws/tests/client/connecting.rs`: `what_comes_with_the_answer_is_received` |
//! | CRIME, BREACH | compression reveals a secret next to text that an attacker controls | off by default: `deflate.rs`, `extensions_are_offered_…` in `rfc6455`; for one message: `ws/tests/compression.rs`, `what_is_not_to_be_compressed_is_not` |
//! | tungstenite 0.26.1, tokio-websockets 0.13.1 | undefined behaviour in `unsafe` code | the workspace forbids `unsafe_code` |

use std::time::{Duration, Instant};

use http::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, Method, Uri, Version};
use tidewire_ws_proto::{
    CloseCode, CloseFrame, CloseReason, Connection, DeflateAgreement, DeflateOptions, Deflater, Event,
    FrameHeader, HandshakeError, HandshakeResponseError, Input, Limits, Opcode, ProtocolError, Role, Time,
    VerifiedRequest, verify_upgrade_request,
};

use crate::support::{agree, encode, frame, verify_with_header};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// Verifies a valid handshake with one additional header.
fn handshake(name: HeaderName, value: &str) -> Result<VerifiedRequest, HandshakeError> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.append(name, HeaderValue::from_str(value).expect("a header value"));
    verify_upgrade_request(&Method::GET, &Uri::from_static("/"), Version::HTTP_11, &headers)
}

/// Feeds one read, and returns the error.
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

/// Encodes the header of a data frame with this payload length.
fn announcement(to: Role, opcode: Opcode, payload_len: u64) -> Vec<u8> {
    let mask = (to == Role::Server).then_some([0; 4]);
    FrameHeader { masking_key: mask, payload_len, ..FrameHeader::unfragmented(opcode, 0) }.encode().to_vec()
}

/// ws: a regular expression took quadratic time in the length of a header. This also tests the other headers that are
/// lists.
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
    // Quadratic time would be hours.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// ws, 2017: an extension or a parameter with the name of a property that every JavaScript object has crashed the
/// server.
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

/// ws, twice in 2026, also CVE-2026-48779: each fragment of one byte was an object of its own and took a hundred times
/// its size.
#[test]
fn ghsa_96hv_2xvq_fx4p_a_message_in_the_smallest_fragments_takes_the_memory_of_its_bytes() {
    const FRAGMENTS: usize = 131_071;
    for role in ROLES {
        let mut connection = Connection::new(role, &Limits::default());
        let first = frame(role, false, Opcode::Binary, b"x", [0; 4]);
        let next = frame(role, false, Opcode::Continuation, b"x", [0; 4]);
        let mut wire = [first, next.repeat(FRAGMENTS - 1)].concat();
        let memory = allocation_counter::measure(|| assert_eq!(feed(&mut connection, &mut wire), None));
        // The buffer doubles when it grows, and exists twice while it is moved.
        assert!(memory.bytes_max <= 3 * FRAGMENTS as u64, "{} bytes", memory.bytes_max);
        assert!(memory.bytes_current <= 2 * FRAGMENTS as i64, "{} bytes", memory.bytes_current);
    }
}

/// ws: no limit counted empty fragments.
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

/// ws: a Close could contain memory of the process instead of its reason.
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

/// The crate `websocket` allocated the announced length. tokio-websockets without limits reserves it and aborts.
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

/// gorilla/websocket, and undici CVE-2026-1528: adding to a length close to 2⁶³ overflowed.
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
            let size = (u64::MAX >> 1) + 10;
            assert_eq!(refused, Some(ProtocolError::MessageTooBig { size, limit }));
        }
        // Some implementations read the highest bit as a sign.
        let mut connection = Connection::new(role, &unlimited);
        let mut wire = [&[0x82, if role == Role::Server { 0xff } else { 0x7f }][..], &[0xff; 12]].concat();
        assert_eq!(feed(&mut connection, &mut wire), Some(ProtocolError::LengthOutOfRange));
    }
}

/// Context takeover in both directions, and no threshold.
const TAKEOVER: DeflateOptions = DeflateOptions {
    level: 9,
    threshold: 0,
    own_context_takeover: true,
    peer_context_takeover: true,
    own_max_window_bits: 15,
    peer_max_window_bits: 15,
};

/// The agreements of this role, with and without context takeover.
fn agreements(role: Role) -> [DeflateAgreement; 2] {
    [TAKEOVER, DeflateOptions { threshold: 0, ..DeflateOptions::default() }].map(|options| {
        let (client, server) = agree(&options, &options);
        if role == Role::Client { client } else { server }
    })
}

/// Encodes a compressed message in one frame for this role.
fn compressed_frame(to: Role, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let key = (to == Role::Server).then_some([1, 2, 3, 4]);
    encode(
        FrameHeader { rsv1: true, masking_key: key, ..FrameHeader::unfragmented(opcode, payload.len()) },
        payload,
    )
}

/// Compresses a message that does not refer to earlier ones.
fn compressed(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(Deflater::new(&agreements(Role::Server)[0]).compress(payload, &mut out));
    out
}

/// undici; autobahn-python GHSA-hxp9-w8x3-p566, websocketpp #1191, Apache HttpClient #821, Tornado 2018, centrifugo
/// #1162: the limit was checked against the compressed message, or only after all of it had been inflated.
#[test]
fn cve_2026_1526_a_bomb_takes_no_more_memory_than_the_limit() {
    // A gigabyte: the same megabyte a thousand times. Each compresses to a kilobyte, and needs the end of the flush,
    // which `compress` leaves out.
    let bomb = [compressed(&vec![0; 1 << 20]), vec![0, 0, 0xff, 0xff]].concat().repeat(1_000);
    let limit = bomb.len();
    assert!(limit < 6_000_000, "{limit} bytes");
    let limits = Limits { max_message_size: limit, ..Limits::default() };
    let too_big = ProtocolError::MessageTooBig { size: limit as u64 + 1, limit: limit as u64 };
    for role in ROLES {
        for agreement in agreements(role) {
            let mut connection = Connection::new(role, &limits).with_deflate(&agreement);
            let mut wire = compressed_frame(role, Opcode::Binary, &bomb);
            let memory = allocation_counter::measure(|| {
                assert_eq!(feed(&mut connection, &mut wire), Some(too_big.clone()));
            });
            // The inflated part, which exists twice while its buffer grows.
            assert!(memory.bytes_max <= 3 * limit as u64, "{} bytes of {limit}", memory.bytes_max);
            let close = connection.poll_transmit().expect("a Close");
            assert_eq!(close.payload(), CloseCode::MESSAGE_TOO_BIG.as_u16().to_be_bytes());
        }
    }
}

/// Python's websockets: messages that were one or two bytes too long were truncated without an error.
#[test]
fn websockets_issue_1715_a_message_is_whole_or_refused() {
    const LIMIT: usize = 70_000;
    let limits = Limits { max_message_size: LIMIT, ..Limits::default() };
    for role in ROLES {
        for agreement in agreements(role) {
            for length in LIMIT - 2..=LIMIT + 3 {
                let mut connection = Connection::new(role, &limits).with_deflate(&agreement);
                let mut wire = compressed_frame(role, Opcode::Binary, &compressed(&vec![7; length]));
                let mut input = Input::new(&mut wire);
                match connection.decode(&mut input, Time::ZERO) {
                    Ok(Some(Event::Binary(message))) => assert!(message.len() == length && length <= LIMIT),
                    Err(ProtocolError::MessageTooBig { .. }) => assert!(length > LIMIT, "{length}"),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

/// undici accepted any number as a window size and threw an exception when it used the window.
#[test]
fn cve_2026_2229_a_window_that_there_is_none_of_is_refused_in_the_handshake() {
    let name = SEC_WEBSOCKET_EXTENSIONS;
    for bits in
        ["", "=", "=0", "=7", "=16", "=1000", "=-9", "=+9", "=09", "=9.0", "=99999999999999999999", "=x"]
    {
        let offer = format!("permessage-deflate; server_max_window_bits{bits}");
        let declined = handshake(name.clone(), &offer).map(|accepted| accepted.deflate(&TAKEOVER));
        assert!(
            matches!(declined, Ok(None) | Err(HandshakeError::InvalidExtensions)),
            "{offer}: {declined:?}"
        );
        for parameter in ["server_max_window_bits", "client_max_window_bits"] {
            let response = format!("permessage-deflate; {parameter}{bits}");
            let refused = verify_with_header(&TAKEOVER, name.clone(), &response);
            assert_eq!(refused, Err(HandshakeResponseError::ExtensionNotOffered), "{response}");
        }
    }
}

/// zlib accepts a window of 8 bits but compresses with 9. faye crashed because of this; Bun accepted the window and
/// failed later.
#[test]
fn zlib_issue_171_nothing_is_compressed_with_a_window_of_8_bits() {
    let offer = "permessage-deflate; server_max_window_bits=8";
    let accepted = handshake(SEC_WEBSOCKET_EXTENSIONS, offer).expect("a handshake");
    assert_eq!(accepted.deflate(&TAKEOVER), None);
    let response = "permessage-deflate; client_max_window_bits=8";
    let agreement =
        verify_with_header(&TAKEOVER, SEC_WEBSOCKET_EXTENSIONS, response).expect("a valid response");
    let agreement = agreement.expect("an agreement");
    assert!(!Deflater::new(&agreement).compress(&[0; 100_000], &mut Vec::new()));
}

/// uWebSockets (also #1650) and CivetWeb CVE-2026-29035: the tail that is needed to inflate a message was written
/// after the message, over the bytes that followed.
#[test]
fn uwebsockets_issue_1164_inflating_leaves_alone_what_stands_behind_the_message() {
    let messages: [(bool, &[u8]); 6] =
        [(true, b"one"), (false, b"two"), (true, &[7; 10_000]), (true, b""), (false, b""), (true, b"last")];
    for role in ROLES {
        for agreement in agreements(role) {
            let mut wire = Vec::new();
            let mut expected = Vec::new();
            for (is_compressed, message) in messages {
                if is_compressed {
                    let payload = if message.is_empty() { &[0][..] } else { &compressed(message) };
                    wire.extend(compressed_frame(role, Opcode::Binary, payload));
                } else {
                    wire.extend(frame(role, true, Opcode::Binary, message, [9, 8, 7, 6]));
                }
                expected.push(Event::Binary(message.into()));
            }
            for size in [1, 2, 3, 5, 7, 13, wire.len()] {
                let mut connection = Connection::new(role, &Limits::default()).with_deflate(&agreement);
                let mut seen = Vec::new();
                for piece in wire.chunks(size) {
                    let mut piece = piece.to_vec();
                    let mut input = Input::new(&mut piece);
                    while let Some(event) = connection.decode(&mut input, Time::ZERO).expect("a valid frame")
                    {
                        seen.push(event.into_owned());
                    }
                }
                assert!(seen == expected, "{role:?}, {size} bytes at a time");
            }
        }
    }
}

/// ws may run ten compressors at once, because each message used its own, and memory became fragmented.
#[test]
fn node_issue_8871_a_message_takes_no_compressor_and_no_decompressor_of_its_own() {
    let text = b"{\"symbol\":\"TIDE\",\"price\":1.25},".repeat(64);
    let wire = compressed_frame(Role::Server, Opcode::Binary, &compressed(&text));
    for agreement in agreements(Role::Server) {
        let mut connection = Connection::new(Role::Server, &Limits::default()).with_deflate(&agreement);
        let (mut deflater, mut out) = (Deflater::new(&agreement), Vec::with_capacity(text.len()));
        let mut exchange = || {
            assert_eq!(feed(&mut connection, &mut wire.clone()), None);
            assert!(deflater.compress(&text, &mut out));
        };
        // The first exchanges allocate the memory that the thread and the connection keep.
        (0..20).for_each(|_| exchange());
        let memory = allocation_counter::measure(exchange);
        assert!(memory.bytes_max <= 3 * text.len() as u64, "{} bytes", memory.bytes_max);
        assert!(memory.bytes_current <= 0, "{} bytes", memory.bytes_current);
    }
}
