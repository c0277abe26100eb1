//! RFC 7692: permessage-deflate, section by section. The name of a test contains the section and its requirement.
//!
//! Compressed messages are read by a peer that keeps no more than the negotiated window. Messages to inflate are
//! literal bytes where that matters.

use flate2::{Decompress, FlushDecompress};
use http::header::{
    CONNECTION, HOST, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, Method, Uri, Version};
use tidewire_ws_proto::{
    CloseCode, Connection, DeflateAgreement, DeflateOptions, Deflater, Event, FrameHeader,
    HandshakeResponseError, Input, Limits, Opcode, ProtocolError, Role, Time, VerifiedRequest,
    verify_upgrade_request,
};

use crate::support::{agree, encode, verify_with_header};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

const TAKEOVER: DeflateOptions = DeflateOptions {
    level: 6,
    threshold: 0,
    own_context_takeover: true,
    peer_context_takeover: true,
    own_max_window_bits: 15,
    peer_max_window_bits: 15,
};

/// No context takeover.
const BARE: DeflateOptions =
    DeflateOptions { own_context_takeover: false, peer_context_takeover: false, ..TAKEOVER };

/// "Hello", compressed (§7.2.3.1).
const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn extensions(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(value).expect("a header value"));
    headers
}

/// Verifies a handshake with this offer.
fn offered(offer: &str) -> VerifiedRequest {
    let mut headers = extensions(offer);
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    verify_upgrade_request(&Method::GET, &Uri::from_static("/"), Version::HTTP_11, &headers)
        .expect("a handshake")
}

/// Returns the response of a server with these options to this offer.
fn response_to(options: &DeflateOptions, offer: &str) -> Option<String> {
    let accepted = offered(offer);
    let agreement = accepted.deflate(options)?;
    let response = accepted.response(None, Some(&agreement));
    Some(response.headers()[SEC_WEBSOCKET_EXTENSIONS].to_str().expect("text").to_owned())
}

/// Returns the agreement of a client with these options from this response.
fn accepted(options: &DeflateOptions, response: &str) -> Result<DeflateAgreement, HandshakeResponseError> {
    let agreement = verify_with_header(options, SEC_WEBSOCKET_EXTENSIONS, response)?;
    Ok(agreement.expect("an extension"))
}

fn other(role: Role) -> Role {
    if role == Role::Server { Role::Client } else { Role::Server }
}

/// Returns the agreement of one endpoint. Both use the same options.
fn agreement(role: Role, options: &DeflateOptions) -> DeflateAgreement {
    let (client, server) = agree(options, options);
    if role == Role::Client { client } else { server }
}

fn frame(to: Role, fin: bool, rsv1: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let key = (to == Role::Server).then_some([0x12, 0x34, 0x56, 0x78]);
    encode(
        FrameHeader { fin, rsv1, masking_key: key, ..FrameHeader::unfragmented(opcode, payload.len()) },
        payload,
    )
}

/// Returns what an endpoint with this agreement receives from these bytes, at every split.
fn receive(
    role: Role,
    agreement: &DeflateAgreement,
    wire: &[u8],
) -> Result<Vec<Event<'static>>, ProtocolError> {
    let feed = |size: usize| {
        let mut connection = Connection::new(role, &Limits::default()).with_deflate(agreement);
        let mut events = Vec::new();
        for piece in wire.chunks(size) {
            let mut piece = piece.to_vec();
            let mut input = Input::new(&mut piece);
            while let Some(event) = connection.decode(&mut input, Time::ZERO)? {
                events.push(event.into_owned());
            }
        }
        Ok(events)
    };
    let whole = feed(wire.len());
    for size in [1, 2, 3, 7] {
        assert!(feed(size) == whole, "{size} bytes at a time");
    }
    whole
}

/// A peer that keeps no more than the window.
struct Peer {
    window: Vec<u8>,
    size: usize,
}

impl Peer {
    fn new(window_bits: u8) -> Self {
        Self { window: Vec::new(), size: 1 << window_bits }
    }

    /// Inflates as in §7.2.2, with the tail that the sender left out.
    fn inflate(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let mut zlib = Decompress::new(false);
        if !self.window.is_empty() {
            zlib.set_dictionary(&self.window).expect("it is at the beginning");
        }
        let mut message = Vec::with_capacity(1 << 20);
        for input in [payload, &[0, 0, 0xff, 0xff]] {
            let before = zlib.total_in();
            zlib.decompress_vec(input, &mut message, FlushDecompress::Sync).ok()?;
            assert_eq!(zlib.total_in() - before, input.len() as u64, "all of it is read");
        }
        self.window.extend_from_slice(&message);
        self.window.drain(..self.window.len().saturating_sub(self.size));
        Some(message)
    }
}

/// Generates text that repeats after about this many bytes.
fn repeating(period: usize, length: usize) -> Vec<u8> {
    let mut seed = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    })
    .take(period)
    .collect();
    noise.into_iter().cycle().take(length).collect()
}

fn compress(deflater: &mut Deflater, message: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    deflater.compress(message, &mut out).then_some(out)
}

#[test]
fn section_5_1_what_a_client_has_not_offered_must_fail_the_connection() {
    for response in ["permessage-bzip2", "permessage-deflate, permessage-bzip2", "x-webkit-deflate-frame"] {
        assert_eq!(
            accepted(&TAKEOVER, response),
            Err(HandshakeResponseError::ExtensionNotOffered),
            "{response}"
        );
    }
}

#[test]
fn section_5_2_the_first_offer_that_the_server_can_keep_is_the_one_it_accepts() {
    let offer = "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10, \
                 permessage-deflate";
    assert_eq!(
        response_to(&TAKEOVER, offer).as_deref(),
        Some("permessage-deflate; server_max_window_bits=10")
    );
}

#[test]
fn section_6_1_the_bit_must_not_be_set_on_control_frames_and_later_fragments() {
    for role in ROLES {
        let agreement = agreement(role, &TAKEOVER);
        let first = frame(role, false, true, Opcode::Text, &HELLO[..3]);
        for wrong in [
            frame(role, true, true, Opcode::Continuation, &HELLO[3..]),
            frame(role, false, true, Opcode::Continuation, b""),
            frame(role, true, true, Opcode::Ping, b""),
            frame(role, true, true, Opcode::Pong, b""),
            frame(role, true, true, Opcode::Close, b""),
        ] {
            let refused = receive(role, &agreement, &[&first[..], &wrong].concat()).expect_err("a violation");
            assert_eq!(refused, ProtocolError::ReservedBits(0b100));
            assert_eq!(refused.close_code(), CloseCode::PROTOCOL_ERROR);
        }
        // RSV1 is not set on frames of this endpoint either.
        let mut connection = Connection::new(role, &Limits::default()).with_deflate(&agreement);
        connection.ping(b"still there?").expect("short");
        connection.close(None, Time::ZERO);
        let mut wire = Vec::new();
        while let Some(control) = connection.poll_transmit() {
            wire.clear();
            control.encode_into(&mut wire, (role == Role::Client).then_some([1; 4]));
            assert_eq!(wire[0] & 0x70, 0);
        }
        assert!(!wire.is_empty());
    }
}

#[test]
fn section_6_1_the_other_bits_stay_reserved() {
    for role in ROLES {
        for bits in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
            let mut wire = frame(role, true, false, Opcode::Text, HELLO);
            wire[0] |= bits;
            let refused = receive(role, &agreement(role, &TAKEOVER), &wire);
            assert!(matches!(refused, Err(ProtocolError::ReservedBits(_))), "{bits:#x}: {refused:?}");
        }
    }
}

#[test]
fn section_6_each_message_is_compressed_or_not_and_its_opcode_stays() {
    for role in ROLES {
        let wire = [
            frame(role, true, false, Opcode::Text, b"Hello"),
            frame(role, true, true, Opcode::Text, HELLO),
            frame(role, false, true, Opcode::Binary, &HELLO[..2]),
            frame(role, true, false, Opcode::Ping, b"between"),
            frame(role, false, false, Opcode::Continuation, b""),
            frame(role, true, false, Opcode::Continuation, &HELLO[2..]),
        ]
        .concat();
        let expected = [
            Event::Text("Hello".into()),
            Event::Text("Hello".into()),
            Event::Ping(crate::support::payload(b"between")),
            Event::Binary(b"Hello".into()),
        ];
        for options in [BARE, TAKEOVER] {
            assert_eq!(receive(role, &agreement(role, &options), &wire).as_deref(), Ok(&expected[..]));
        }
    }
}

#[test]
fn section_6_2_what_was_compressed_text_must_be_utf_8_after_it_is_inflated_and_not_before() {
    let mut deflater = Deflater::new(&agreement(Role::Client, &TAKEOVER));
    let payload = compress(&mut deflater, b"caf\xe9").expect("compressed");
    for role in ROLES {
        let agreement = agreement(role, &TAKEOVER);
        let refused = receive(role, &agreement, &frame(role, true, true, Opcode::Text, &payload));
        assert_eq!(refused, Err(ProtocolError::InvalidText));
        let taken = receive(role, &agreement, &frame(role, true, true, Opcode::Binary, &payload));
        assert_eq!(taken, Ok(vec![Event::Binary(b"caf\xe9".into())]));
    }
}

#[test]
fn section_7_a_server_must_decline_an_offer_that_is_not_as_defined_or_cannot_be_kept() {
    for parameters in [
        "unknown",
        "unknown=1",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits=10; client_max_window_bits=10",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=010",
        "server_max_window_bits=\"7\"",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=08",
        // This is valid, but zlib has no such window.
        "server_max_window_bits=8",
    ] {
        let offer = format!("permessage-deflate; {parameters}");
        assert_eq!(response_to(&TAKEOVER, &offer), None, "{offer}");
    }
}

#[test]
fn section_7_a_client_must_fail_an_answer_that_is_not_as_defined_or_cannot_be_kept() {
    let smaller = DeflateOptions { peer_max_window_bits: 10, ..TAKEOVER };
    for (options, parameters) in [
        (TAKEOVER, "; unknown"),
        (TAKEOVER, "; server_no_context_takeover=1"),
        (TAKEOVER, "; client_no_context_takeover=1"),
        (TAKEOVER, "; server_no_context_takeover; server_no_context_takeover"),
        (TAKEOVER, "; server_max_window_bits=10; server_max_window_bits=10"),
        (TAKEOVER, "; server_max_window_bits"),
        (TAKEOVER, "; server_max_window_bits=7"),
        (TAKEOVER, "; server_max_window_bits=16"),
        (TAKEOVER, "; client_max_window_bits"),
        (TAKEOVER, "; client_max_window_bits=7"),
        (TAKEOVER, "; client_max_window_bits=16"),
        // The offer requested this, but the response does not grant it (§7.1.1.1, §7.1.2.1).
        (BARE, "; client_no_context_takeover"),
        (smaller, ""),
        (smaller, "; server_max_window_bits=11"),
    ] {
        let response = format!("permessage-deflate{parameters}");
        assert_eq!(
            accepted(&options, &response),
            Err(HandshakeResponseError::ExtensionNotOffered),
            "{response}"
        );
    }
}

#[test]
fn section_7_1_1_1_a_server_that_is_asked_for_it_says_that_it_keeps_no_context() {
    let asked = "permessage-deflate; server_no_context_takeover";
    assert_eq!(response_to(&TAKEOVER, asked).as_deref(), Some(asked));
    // The server may add the parameter although the client did not offer it.
    assert_eq!(
        response_to(&DeflateOptions { own_context_takeover: false, ..TAKEOVER }, "permessage-deflate")
            .as_deref(),
        Some(asked)
    );
    let agreement = accepted(&TAKEOVER, asked).expect("an agreement");
    assert!(!agreement.peer_context_takeover() && agreement.own_context_takeover());
}

#[test]
fn section_7_1_1_2_a_client_that_is_told_so_keeps_no_context() {
    let told = accepted(&TAKEOVER, "permessage-deflate; client_no_context_takeover").expect("an agreement");
    assert!(!told.own_context_takeover() && told.peer_context_takeover());
    // The client has said in its offer that it will not use context takeover. The response need not repeat that,
    // since the parameter is only a hint in an offer.
    let hinted =
        accepted(&DeflateOptions { own_context_takeover: false, ..TAKEOVER }, "permessage-deflate").unwrap();
    assert!(!hinted.own_context_takeover());
}

#[test]
fn section_7_1_2_1_a_server_answers_with_the_window_that_it_was_asked_for_or_a_smaller_one() {
    for asked in 9..=15 {
        for able in 9..=15 {
            let options = DeflateOptions { own_max_window_bits: able, ..TAKEOVER };
            let offer = format!("permessage-deflate; server_max_window_bits={asked}");
            let agreed = asked.min(able);
            let accepted = offered(&offer).deflate(&options).expect("an agreement");
            assert_eq!(accepted.own_window_bits(), agreed);
            let response = response_to(&options, &offer).expect("a response");
            let said = response.split_once("server_max_window_bits=").map(|(_, bits)| bits.parse());
            // Without the parameter the window is 15.
            assert!(said == Some(Ok(agreed)) || (said.is_none() && agreed == 15), "{offer}: {response}");
        }
    }
}

#[test]
fn section_7_1_2_2_an_answer_must_not_limit_a_client_that_has_not_said_that_it_can_be_told() {
    let options = DeflateOptions { peer_max_window_bits: 10, ..TAKEOVER };
    for (offer, expected) in [
        ("permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=10"),
        ("permessage-deflate; client_max_window_bits=12", "permessage-deflate; client_max_window_bits=10"),
        ("permessage-deflate; client_max_window_bits=9", "permessage-deflate; client_max_window_bits=9"),
    ] {
        assert_eq!(response_to(&options, offer).as_deref(), Some(expected), "{offer}");
    }
    // Its messages are then inflated with the maximum window.
    let unlimited = offered("permessage-deflate").deflate(&options).expect("an agreement");
    assert_eq!(unlimited.peer_window_bits(), 15);
}

#[test]
fn section_7_2_1_what_is_sent_is_deflate_without_the_end_of_its_flush() {
    for role in ROLES {
        for options in [BARE, TAKEOVER] {
            let mut deflater = Deflater::new(&agreement(role, &options));
            let mut peer = Peer::new(15);
            for message in [&b"Hello"[..], b"", b"Hello, hello, hello, hello", &[7; 100_000]] {
                let Some(payload) = compress(&mut deflater, message) else { continue };
                assert!(!payload.ends_with(&[0, 0, 0xff, 0xff]), "{payload:02x?}");
                assert!(!payload.is_empty());
                assert!(peer.inflate(&payload).as_deref() == Some(message), "{} bytes", message.len());
            }
        }
    }
}

#[test]
fn section_7_2_1_nothing_must_be_referred_to_beyond_the_window() {
    for role in ROLES {
        for bits in 9..=15 {
            let options = DeflateOptions {
                own_max_window_bits: bits,
                peer_max_window_bits: bits,
                level: 9,
                ..TAKEOVER
            };
            let agreement = agreement(role, &options);
            assert_eq!(agreement.own_window_bits(), bits);
            let (mut deflater, mut peer) = (Deflater::new(&agreement), Peer::new(bits));
            // The messages are short, so that each one refers mostly to the window that the peer keeps.
            let window = 1_usize << bits;
            for period in [window / 2, window - 262, window, window + 100, 2 * window] {
                for message in repeating(period, 3 * period).chunks(50) {
                    let payload = compress(&mut deflater, message).expect("compressed");
                    let inflated = peer.inflate(&payload);
                    assert!(inflated.as_deref() == Some(message), "{bits} bits, every {period} bytes");
                }
            }
        }
    }
}

#[test]
fn section_7_2_1_without_context_each_message_must_begin_with_an_empty_window() {
    for role in ROLES {
        let mut deflater = Deflater::new(&agreement(role, &BARE));
        let message = b"the same text, the same text, the same text".repeat(10);
        let first = compress(&mut deflater, &message).expect("compressed");
        for _ in 0..3 {
            let payload = compress(&mut deflater, &message).expect("compressed");
            assert_eq!(payload, first);
            assert!(Peer::new(15).inflate(&payload).as_deref() == Some(&message[..]));
        }
        // With context takeover the second message is shorter, and cannot be read alone.
        let mut deflater = Deflater::new(&agreement(role, &TAKEOVER));
        let first = compress(&mut deflater, &message).expect("compressed");
        let second = compress(&mut deflater, &message).expect("compressed");
        assert!(second.len() < first.len());
        assert!(Peer::new(15).inflate(&second).is_none_or(|alone| alone != message));
    }
}

#[test]
fn section_7_2_2_with_context_messages_must_be_inflated_with_all_of_the_largest_window() {
    // A message that repeats three bytes from 32,768 bytes ago, the maximum distance of DEFLATE: fixed codes (RFC
    // 1951 §3.2.6), length 3, distance code 29 with all of its 13 extra bits, end of block, and then the block of the
    // flush.
    let far = from_bits("0 10 0000001 11101 1111111111111 0000000 000");
    let context = repeating(32_768, 32_768);
    for role in ROLES {
        for messages in [vec![&context[..]], context.chunks(1_000).collect::<Vec<_>>()] {
            let mut deflater = Deflater::new(&agreement(other(role), &TAKEOVER));
            let mut wire = Vec::new();
            for message in &messages {
                let payload = compress(&mut deflater, message).expect("compressed");
                wire.extend(frame(role, true, true, Opcode::Binary, &payload));
            }
            // Uncompressed messages do not enter the window.
            wire.extend(frame(role, true, false, Opcode::Binary, b"between"));
            wire.extend(frame(role, true, true, Opcode::Binary, &far));
            let events = receive(role, &agreement(role, &TAKEOVER), &wire).expect("in order");
            let expected = Event::Binary(context[..3].to_vec().into());
            assert_eq!(events.last(), Some(&expected), "in {} messages", messages.len());
        }
        // Without context takeover there is nothing to refer to.
        let refused = receive(role, &agreement(role, &BARE), &frame(role, true, true, Opcode::Binary, &far));
        assert_eq!(refused, Err(ProtocolError::InvalidCompression));
    }
}

#[test]
fn section_7_2_3_the_examples_are_read() {
    for role in ROLES {
        let agreement = agreement(role, &TAKEOVER);
        for (payload, what) in [
            (HELLO, "7.2.3.1"),
            (&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], "7.2.3.3"),
            (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], "7.2.3.4"),
            (&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00], "7.2.3.5"),
        ] {
            let events = receive(role, &agreement, &frame(role, true, true, Opcode::Text, payload));
            assert_eq!(events, Ok(vec![Event::Text("Hello".into())]), "{what}");
        }
        let shared = [
            frame(role, true, true, Opcode::Text, HELLO),
            frame(role, true, true, Opcode::Text, &[0xf2, 0x00, 0x11, 0x00, 0x00]),
        ];
        let events = receive(role, &agreement, &shared.concat());
        assert_eq!(events, Ok(vec![Event::Text("Hello".into()); 2]), "7.2.3.2");
        let empty = receive(role, &agreement, &frame(role, true, true, Opcode::Text, &[0x00]));
        assert_eq!(empty, Ok(vec![Event::Text("".into())]), "7.2.3.6");
    }
}

/// Packs bits in the order of DEFLATE: the first bit is the lowest bit of the first byte.
fn from_bits(bits: &str) -> Vec<u8> {
    let bits: Vec<u8> = bits.bytes().filter(|bit| *bit != b' ').map(|bit| bit - b'0').collect();
    bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |byte, bit| byte << 1 | bit)).collect()
}
