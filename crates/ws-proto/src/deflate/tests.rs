use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, HeaderValue};

use super::*;
use crate::error::ProtocolError;
use crate::frame::Role;
use crate::handshake::HandshakeError;

const TAKEOVER: DeflateOptions = DeflateOptions {
    level: 6,
    threshold: 0,
    own_context_takeover: true,
    peer_context_takeover: true,
    own_max_window_bits: 15,
    peer_max_window_bits: 15,
};

fn headers(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// Returns the response of a server with these options to these offers.
fn response_to(options: &DeflateOptions, values: &[&str]) -> Option<String> {
    let agreement = options.negotiate(&parse_offers(&headers(values)).unwrap())?;
    Some(agreement.response_header().to_str().unwrap().to_owned())
}

/// Returns the agreements of both endpoints, the client's first.
fn agreed(client: &DeflateOptions, server: &DeflateOptions) -> (DeflateAgreement, DeflateAgreement) {
    let offer = client.offer_header();
    let at_server = server.negotiate(&parse_offers(&headers(&[offer.to_str().unwrap()])).unwrap()).unwrap();
    let response = at_server.response_header();
    let at_client = client.accept_response(&headers(&[response.to_str().unwrap()])).unwrap().unwrap();
    (at_client, at_server)
}

fn inflate(inflater: &mut Inflater, payload: &[u8], limit: usize) -> Result<Vec<u8>, ProtocolError> {
    inflater.inflate(payload, limit, |message| Ok(message.to_vec()))
}

fn without_takeover() -> DeflateAgreement {
    agreed(&DeflateOptions::default(), &DeflateOptions::default()).1
}

fn with_takeover() -> DeflateAgreement {
    agreed(&TAKEOVER, &TAKEOVER).1
}

// RFC 7692 §7.2.3.

#[test]
fn the_examples_of_the_rfc_are_inflated() {
    for (payload, what) in [
        (&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], "one block"),
        (b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "a block without compression"),
        (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "a block with BFINAL"),
        (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "two blocks"),
    ] {
        for agreement in [without_takeover(), with_takeover()] {
            assert_eq!(
                inflate(&mut Inflater::new(&agreement), payload, 5).as_deref(),
                Ok(&b"Hello"[..]),
                "{what}"
            );
        }
    }
}

#[test]
fn a_message_refers_to_the_previous_one_with_context_takeover() {
    let mut inflater = Inflater::new(&with_takeover());
    for payload in [&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], b"\xf2\x00\x11\x00\x00", b"\xf2\x00\x11\x00\x00"] {
        assert_eq!(inflate(&mut inflater, payload, 5).as_deref(), Ok(&b"Hello"[..]));
    }
    let mut inflater = Inflater::new(&without_takeover());
    inflate(&mut inflater, b"\xf2\x48\xcd\xc9\xc9\x07\x00", 5).unwrap();
    assert_eq!(inflate(&mut inflater, b"\xf2\x00\x11\x00\x00", 5), Err(ProtocolError::InvalidCompression));
}

#[test]
fn blocks_after_a_final_block_may_refer_to_earlier_data() {
    // "Hello" in a final block, then a block that repeats it from a distance of five bytes.
    let payload = b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x00\x11\x00\x00";
    assert_eq!(
        inflate(&mut Inflater::new(&without_takeover()), payload, 10).as_deref(),
        Ok(&b"HelloHello"[..])
    );
}

#[test]
fn an_empty_message_is_a_zero() {
    for payload in [&b"\x00"[..], b"\x02\x00", b""] {
        assert_eq!(inflate(&mut Inflater::new(&without_takeover()), payload, 0).as_deref(), Ok(&b""[..]));
    }
}

#[test]
fn invalid_compressed_data_is_rejected() {
    for payload in [&b"\xff\xff\xff\xff"[..], b"Hello", b"\x06", b"\x00\x05\x00\x00\x00Hello"] {
        let refused = inflate(&mut Inflater::new(&without_takeover()), payload, 1_000);
        assert_eq!(refused, Err(ProtocolError::InvalidCompression), "{payload:?}");
    }
}

#[test]
fn a_bomb_is_stopped_exactly_at_the_limit() {
    let limit = 100_000;
    let mut deflater = Deflater::new(&without_takeover());
    let mut inflater = Inflater::new(&without_takeover());
    let mut payload = Vec::new();
    for (length, fits) in [(limit - 1, true), (limit, true), (limit + 1, false), (50_000_000, false)] {
        assert!(deflater.compress(&vec![b'a'; length], &mut payload));
        match inflate(&mut inflater, &payload, limit) {
            Ok(message) => assert!(fits && message.len() == length, "{length}"),
            Err(error) => {
                assert!(!fits, "{length}");
                assert!(matches!(error, ProtocolError::MessageTooBig { limit: 100_000, .. }), "{error}");
            }
        }
    }
}

#[test]
fn the_limit_is_exact_after_larger_messages_on_the_same_thread() {
    // 101 uncompressed bytes, and a block of the reserved type.
    let payload = [&b"\x00\x65\x00\x9a\xff"[..], &[b'x'; 101], b"\x07"].concat();
    let refused = Err(ProtocolError::MessageTooBig { size: 101, limit: 100 });
    let mut inflater = Inflater::new(&without_takeover());
    assert_eq!(inflate(&mut inflater, &payload, 100), refused);
    let mut large = Vec::new();
    assert!(Deflater::new(&without_takeover()).compress(&[0; 50_000], &mut large));
    assert_eq!(inflate(&mut inflater, &large, 50_000), Ok(vec![0; 50_000]));
    assert_eq!(inflate(&mut inflater, &payload, 100), refused);
    assert_eq!(inflate(&mut inflater, &large, 100), refused);
}

#[test]
fn the_number_of_final_blocks_is_limited() {
    let payload = b"\x03\x00".repeat(100_000);
    let refused = inflate(&mut Inflater::new(&with_takeover()), &payload, 1_000);
    assert_eq!(refused, Err(ProtocolError::InvalidCompression));
    assert_eq!(inflate(&mut Inflater::new(&with_takeover()), &payload[..16], 0).as_deref(), Ok(&b""[..]));
}

#[test]
fn a_window_holds_no_more_than_was_agreed_and_no_more_than_has_come() {
    let small = DeflateOptions { own_max_window_bits: 9, peer_max_window_bits: 9, ..TAKEOVER };
    for (options, most) in [(TAKEOVER, 32 * 1024), (small, 512)] {
        let (client, server) = agreed(&options, &options);
        let (mut deflater, mut inflater) = (Deflater::new(&client), Inflater::new(&server));
        let mut payload = Vec::new();
        for round in 0..200_usize {
            let message: Vec<u8> = (0..round * 7).map(|at| (at * at + round) as u8).collect();
            if deflater.compress(&message, &mut payload) {
                assert_eq!(inflate(&mut inflater, &payload, 10_000).unwrap(), message);
            }
            assert!(format!("{inflater:?}").split_once("window: ").is_some_and(|(_, rest)| {
                rest.split(',').next().unwrap().trim().parse::<usize>().unwrap() <= most
            }));
        }
    }
}

#[test]
fn short_or_incompressible_messages_are_sent_uncompressed() {
    let mut deflater = Deflater::new(&without_takeover());
    let mut out = Vec::new();
    assert!(!deflater.compress(&[b'a'; 1_023], &mut out));
    assert!(deflater.compress(&[b'a'; 1_024], &mut out));
    assert!(out.len() < 64, "{}", out.len());
    let mut noise = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    })
    .take(10_000)
    .collect();
    assert!(!deflater.compress(&noise, &mut out));
}

// RFC 7692 §7.1.

#[test]
fn a_server_accepts_the_first_offer_that_it_can_satisfy() {
    let lean = DeflateOptions::default();
    let none = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    for (values, expected) in [
        (&["permessage-deflate"][..], Some(none)),
        (&["permessage-deflate; client_max_window_bits"], Some(none)),
        (&["x-webkit-deflate-frame, permessage-deflate"], Some(none)),
        (&["foo; bar=1", "permessage-deflate"], Some(none)),
        (
            &["permessage-deflate; server_max_window_bits=10"],
            Some(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10",
            ),
        ),
        (
            &["permessage-deflate; server_max_window_bits=\"10\""],
            Some(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10",
            ),
        ),
        (
            &["permessage-deflate; client_max_window_bits=12"],
            Some(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits=12",
            ),
        ),
        // zlib cannot compress with 8, so the next offer is selected.
        (&["permessage-deflate; server_max_window_bits=8"], None),
        (&["permessage-deflate; server_max_window_bits=8, permessage-deflate"], Some(none)),
        // Offers that a server must decline (§7.1).
        (&["permessage-deflate; server_max_window_bits"], None),
        (&["permessage-deflate; server_max_window_bits=16"], None),
        (&["permessage-deflate; server_max_window_bits=7"], None),
        (&["permessage-deflate; server_max_window_bits=09"], None),
        (&["permessage-deflate; client_max_window_bits=0"], None),
        (&["permessage-deflate; client_max_window_bits; client_max_window_bits=9"], None),
        (&["permessage-deflate; client_no_context_takeover; client_no_context_takeover"], None),
        (&["permessage-deflate; client_no_context_takeover=1"], None),
        (&["permessage-deflate; unknown"], None),
        (&["permessage-bzip2"], None),
        (&[], None),
    ] {
        assert_eq!(response_to(&lean, values).as_deref(), expected, "{values:?}");
    }
    assert_eq!(response_to(&TAKEOVER, &["permessage-deflate"]).as_deref(), Some("permessage-deflate"));
    assert_eq!(
        response_to(&TAKEOVER, &["permessage-deflate; server_no_context_takeover; client_max_window_bits"])
            .as_deref(),
        Some("permessage-deflate; server_no_context_takeover")
    );
    let small = DeflateOptions { own_max_window_bits: 10, peer_max_window_bits: 11, ..TAKEOVER };
    assert_eq!(
        response_to(&small, &["permessage-deflate; client_max_window_bits"]).as_deref(),
        Some("permessage-deflate; server_max_window_bits=10; client_max_window_bits=11")
    );
    // If the client has not offered the parameter, the server does not limit the client's window.
    assert_eq!(
        response_to(&small, &["permessage-deflate"]).as_deref(),
        Some("permessage-deflate; server_max_window_bits=10")
    );
}

#[test]
fn the_number_of_offers_is_limited() {
    let many = "permessage-deflate, ".repeat(1_000) + "permessage-deflate";
    assert_eq!(parse_offers(&headers(&[&many])).unwrap().len(), MAX_OFFERS_KEPT);
}

const MAX_OFFERS_KEPT: usize = 16;

#[test]
fn an_offer_says_what_the_client_wants() {
    assert_eq!(TAKEOVER.offer_header(), "permessage-deflate; client_max_window_bits");
    assert_eq!(
        DeflateOptions::default().offer_header(),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"
    );
    let small = DeflateOptions { own_max_window_bits: 10, peer_max_window_bits: 11, ..TAKEOVER };
    assert_eq!(
        small.offer_header(),
        "permessage-deflate; server_max_window_bits=11; client_max_window_bits=10"
    );
}

#[test]
fn a_client_rejects_invalid_responses() {
    let small = DeflateOptions { peer_max_window_bits: 11, ..TAKEOVER };
    let lean = DeflateOptions::default();
    for (options, response) in [
        (&TAKEOVER, "permessage-deflate; server_max_window_bits=16"),
        (&TAKEOVER, "permessage-deflate; server_max_window_bits=7"),
        (&TAKEOVER, "permessage-deflate; server_max_window_bits"),
        (&TAKEOVER, "permessage-deflate; client_max_window_bits"),
        (&TAKEOVER, "permessage-deflate; client_max_window_bits=7"),
        (&TAKEOVER, "permessage-deflate; server_max_window_bits=1000000000000"),
        (&TAKEOVER, "permessage-deflate; unknown"),
        (&TAKEOVER, "permessage-deflate, permessage-deflate"),
        (&TAKEOVER, "permessage-deflate, foo"),
        (&TAKEOVER, "foo"),
        (&TAKEOVER, "permessage-deflate;"),
        // The response allows the server more than the offer requested.
        (&small, "permessage-deflate"),
        (&small, "permessage-deflate; server_max_window_bits=12"),
        (&lean, "permessage-deflate"),
    ] {
        let taken = options.accept_response(&headers(&[response]));
        assert_eq!(taken, Err(HandshakeError::InvalidExtensions), "{response}");
    }
    assert_eq!(TAKEOVER.accept_response(&headers(&[])), Ok(None));
    let agreement = TAKEOVER
        .accept_response(&headers(&[
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=10; server_max_window_bits=8",
        ]))
        .unwrap()
        .unwrap();
    assert_eq!((agreement.own_context_takeover(), agreement.own_window_bits()), (true, 10));
    assert_eq!((agreement.peer_context_takeover(), agreement.peer_window_bits()), (false, 8));
    assert_eq!(agreement.role, Role::Client);
}

#[test]
fn a_window_of_8_bits_turns_compression_off() {
    for (options, response) in [
        (TAKEOVER, "permessage-deflate; client_max_window_bits=8"),
        (
            DeflateOptions { threshold: 0, ..DeflateOptions::default() },
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits=8",
        ),
    ] {
        let agreement = options.accept_response(&headers(&[response])).unwrap().unwrap();
        assert_eq!((agreement.own_window_bits(), agreement.peer_window_bits()), (8, 15));
        let mut deflater = Deflater::new(&agreement);
        let mut out = Vec::new();
        assert!(!deflater.compress(&[b'a'; 10_000], &mut out));
        assert_eq!(
            deflater.no_takeover_window_bits(),
            None,
            "nothing is compressed, so there is nothing to share"
        );
        // Messages of the server are inflated normally.
        let mut inflater = Inflater::new(&agreement);
        assert_eq!(inflate(&mut inflater, b"\xf2\x48\xcd\xc9\xc9\x07\x00", 5).as_deref(), Ok(&b"Hello"[..]));
    }
}
