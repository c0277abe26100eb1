//! Compressed messages (RFC 7692) between two endpoints: messages arrive as they were sent, for every compression,
//! fragmentation and split. Also tests compressed frames where they are not allowed.

use http::header::SERVER;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tidewire_ws_proto::{
    Connection, DeflateAgreement, DeflateOptions, Deflater, Event, FrameHeader, Input, Limits, Opcode,
    ProtocolError, Role, Time,
};

use crate::support::{agree, encode, verify_with_header};

fn defaults() -> DeflateAgreement {
    agree(&DeflateOptions::default(), &DeflateOptions::default()).1
}

/// Encodes a frame of a client.
fn frame(fin: bool, rsv1: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let key = [1, 2, 3, 4];
    encode(
        FrameHeader { fin, rsv1, masking_key: Some(key), ..FrameHeader::unfragmented(opcode, payload.len()) },
        payload,
    )
}

/// Returns everything that a server with this agreement receives from these pieces.
fn receive<'a>(
    server: &mut Connection,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Event<'static>>, ProtocolError> {
    let mut events = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = Input::new(&mut piece);
        while let Some(event) = server.decode(&mut input, Time::ZERO)? {
            events.push(event.into_owned());
        }
    }
    Ok(events)
}

fn server(agreement: &DeflateAgreement, limits: &Limits) -> Connection {
    Connection::new(Role::Server, limits).with_deflate(agreement)
}

fn compressed(agreement: &DeflateAgreement, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(Deflater::new(agreement).compress(payload, &mut out));
    out
}

#[test]
fn a_compressor_is_as_large_as_is_written_and_only_there_where_it_is_kept() {
    let kept =
        DeflateOptions { own_context_takeover: true, peer_context_takeover: true, ..Default::default() };
    for (options, least, most) in [(kept, 300 * 1024, 384 * 1024), (DeflateOptions::default(), 0, 0)] {
        let agreement = agree(&options, &options).1;
        let memory = allocation_counter::measure(|| drop(Deflater::new(&agreement))).bytes_max;
        assert!((least..=most).contains(&memory), "{memory}");
    }
}

#[test]
fn rsv1_belongs_to_the_first_frame_of_a_message_and_to_an_agreement() {
    let agreement = defaults();
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let first = frame(false, true, Opcode::Text, &hello[..3]);
    let whole = frame(true, true, Opcode::Text, hello);
    let limits = Limits::default();

    let events = receive(&mut server(&agreement, &limits), [&whole[..]]).unwrap();
    assert_eq!(events, [Event::Text("Hello".into())]);
    let plain = frame(true, false, Opcode::Text, b"Hello");
    let events = receive(&mut server(&agreement, &limits), [&plain[..], &whole]).unwrap();
    assert_eq!(events.len(), 2, "whether a message is compressed is its sender's choice");

    let without = receive(&mut Connection::new(Role::Server, &limits), [&whole[..]]);
    assert_eq!(without, Err(ProtocolError::ReservedBits(0b100)));
    for wrong in [
        frame(true, true, Opcode::Continuation, &hello[3..]),
        frame(true, true, Opcode::Ping, b""),
        frame(true, true, Opcode::Close, b""),
    ] {
        let refused = receive(&mut server(&agreement, &limits), [&first[..], &wrong]);
        assert_eq!(refused, Err(ProtocolError::ReservedBits(0b100)));
    }
    let rest = frame(true, false, Opcode::Continuation, &hello[3..]);
    let ping = frame(true, false, Opcode::Ping, b"");
    let events = receive(&mut server(&agreement, &limits), [&first[..], &ping, &rest]).unwrap();
    assert_eq!(events.last(), Some(&Event::Text("Hello".into())));
}

#[test]
fn inflated_text_is_held_against_utf8() {
    let agreement = defaults();
    let payload = compressed(&agreement, &[b"a".repeat(2_000), b"\xff".to_vec()].concat());
    let refused =
        receive(&mut server(&agreement, &Limits::default()), [&*frame(true, true, Opcode::Text, &payload)]);
    assert_eq!(refused, Err(ProtocolError::InvalidText));
    let binary = frame(true, true, Opcode::Binary, &payload);
    assert!(receive(&mut server(&agreement, &Limits::default()), [&*binary]).is_ok());
}

#[test]
fn the_limit_of_a_message_holds_before_and_after_it_is_inflated() {
    let agreement = defaults();
    let limits = Limits { max_message_size: 10_000, ..Limits::default() };
    for (length, fits) in [(10_000, true), (10_001, false), (10_000_000, false)] {
        let wire = frame(true, true, Opcode::Binary, &compressed(&agreement, &vec![7; length]));
        let received = receive(&mut server(&agreement, &limits), [&*wire]);
        assert_eq!(received.is_ok(), fits, "{length}");
        if let Err(error) = received {
            assert!(matches!(error, ProtocolError::MessageTooBig { limit: 10_000, .. }), "{error}");
        }
    }
    let announced = frame(true, true, Opcode::Binary, &[0; 10_001]);
    let refused = receive(&mut server(&agreement, &limits), [&announced[..14]]);
    assert!(matches!(refused, Err(ProtocolError::MessageTooBig { .. })), "{refused:?}");
}

/// Generates bytes that compress to about two thirds of their length.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b' ' + (state >> 24) as u8 % 40
    };
    std::iter::repeat_with(&mut next).take(length).collect()
}

#[test]
fn a_long_message_is_inflated_as_it_comes_and_later_ones_may_refer_to_it() {
    let options = DeflateOptions {
        own_context_takeover: true,
        peer_context_takeover: true,
        ..DeflateOptions::default()
    };
    for options in [DeflateOptions::default(), options] {
        let (client, agreement) = agree(&options, &options);
        let long = noise(400_000);
        for opcode in [Opcode::Text, Opcode::Binary] {
            for (size, reads) in [(usize::MAX, 68_000), (usize::MAX, 65_536), (100_000, 50_000), (10, 9_999)]
            {
                let mut deflater = Deflater::new(&client);
                let mut connection = server(&agreement, &Limits::default());
                // The second message is the end of the first one, and the third begins earlier in the first one.
                for (index, content) in
                    [&long[..], &long[390_000..], &long[380_000..]].into_iter().enumerate()
                {
                    let mut payload = Vec::new();
                    assert!(deflater.compress(content, &mut payload));
                    assert!(index > 0 || payload.len() > 200_000, "{} bytes", payload.len());
                    let mut wire = Vec::new();
                    let mut fragments = payload.chunks(size).enumerate().peekable();
                    while let Some((number, fragment)) = fragments.next() {
                        let opcode = if number == 0 { opcode } else { Opcode::Continuation };
                        wire.extend(frame(fragments.peek().is_none(), number == 0, opcode, fragment));
                    }
                    let received = receive(&mut connection, wire.chunks(reads)).unwrap();
                    let [event] = &received[..] else { panic!("{} events", received.len()) };
                    let bytes = match event {
                        Event::Text(text) => text.as_bytes(),
                        Event::Binary(bytes) => bytes,
                        other => panic!("{other:?}"),
                    };
                    assert!(bytes == content, "{opcode} {index}, fragments of {size}, reads of {reads}");
                }
            }
        }
    }
}

#[test]
fn the_limit_of_a_long_message_holds_while_it_comes_and_so_does_what_deflate_allows() {
    let agreement = defaults();
    let content = noise(300_000);
    let payload = compressed(&agreement, &content);
    let wire = frame(true, true, Opcode::Text, &payload);
    for (max_message_size, fits) in [(300_000, true), (299_999, false)] {
        let limits = Limits { max_message_size, ..Limits::default() };
        let received = receive(&mut server(&agreement, &limits), wire.chunks(60_000));
        assert_eq!(received.is_ok(), fits, "{:?}", received.err());
        if let Err(error) = received {
            let limit = max_message_size as u64;
            assert_eq!(error, ProtocolError::MessageTooBig { size: limit + 1, limit });
        }
    }
    let mut connection = server(&agreement, &Limits::default());
    for (piece, is_inflating) in [(&wire[..60_000], false), (&wire[60_000..120_000], true)] {
        assert_eq!(receive(&mut connection, [piece]), Ok(vec![]));
        assert_eq!(connection.is_inflating(), is_inflating);
    }
    // A block of the reserved type in the middle of the message, long before its end.
    let mut broken = payload.clone();
    broken[90_000..90_100].fill(0xff);
    let wire = frame(true, true, Opcode::Text, &broken);
    let mut connection = server(&agreement, &Limits::default());
    let refused = receive(&mut connection, wire[..wire.len() - 10].chunks(60_000));
    assert!(
        matches!(refused, Err(ProtocolError::InvalidCompression | ProtocolError::InvalidText)),
        "{:?}",
        refused.map(|events| events.len())
    );
    // Text that cannot become UTF-8 is also rejected before the end of the message.
    let mut no_text = content;
    no_text[1_000] = 0xff;
    let wire = frame(true, true, Opcode::Text, &compressed(&agreement, &no_text));
    let mut connection = server(&agreement, &Limits::default());
    assert_eq!(receive(&mut connection, [&wire[..600]]), Ok(vec![]));
    assert!(!connection.is_inflating());
    let refused = receive(&mut connection, wire[600..150_000].chunks(60_000));
    assert_eq!(refused.map(|events| events.len()), Err(ProtocolError::InvalidText));
}

fn options() -> impl Strategy<Value = DeflateOptions> {
    (1_u8..=9, 0_usize..200, any::<bool>(), any::<bool>(), 9_u8..=15, 9_u8..=15).prop_map(
        |(level, threshold, own, peer, own_bits, peer_bits)| DeflateOptions {
            level,
            threshold,
            own_context_takeover: own,
            peer_context_takeover: peer,
            own_max_window_bits: own_bits,
            peer_max_window_bits: peer_bits,
        },
    )
}

fn message() -> impl Strategy<Value = (bool, Vec<u8>)> {
    prop_oneof![
        "[a-c]{0,3000}".prop_map(|text| (true, text.into_bytes())),
        "(\\PC{0,20}, ){0,30}".prop_map(|text| (true, text.into_bytes())),
        vec(any::<u8>(), 0..3_000).prop_map(|bytes| (false, bytes)),
        (0_usize..200_000, any::<u8>()).prop_map(|(length, byte)| (false, vec![byte; length])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_is_compressed_is_what_arrives(
        client in options(),
        server_options in options(),
        messages in vec((message(), vec(any::<Index>(), 0..4)), 1..8),
        reads in vec(any::<Index>(), 0..30),
    ) {
        let (at_client, at_server) = agree(&client, &server_options);
        prop_assert_eq!(at_client.own_window_bits(), at_server.peer_window_bits());
        prop_assert_eq!(at_client.own_context_takeover(), at_server.peer_context_takeover());
        prop_assert!(at_server.own_window_bits() <= at_client.peer_window_bits());
        let mut deflater = Deflater::new(&at_client);
        let (mut wire, mut expected) = (Vec::new(), Vec::new());
        for ((is_text, content), cuts) in &messages {
            let mut payload = Vec::new();
            let rsv1 = deflater.compress(content, &mut payload);
            let payload = if rsv1 { &payload } else { content };
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
            ends.extend([0, payload.len()]);
            ends.sort_unstable();
            let count = ends.len() - 1;
            for (index, range) in ends.windows(2).enumerate() {
                let opcode = match (index, is_text) {
                    (0, true) => Opcode::Text,
                    (0, false) => Opcode::Binary,
                    _ => Opcode::Continuation,
                };
                wire.extend(frame(index + 1 == count, rsv1 && index == 0, opcode, &payload[range[0]..range[1]]));
            }
            expected.push(match is_text {
                true => Event::Text(String::from_utf8(content.clone()).unwrap().into()),
                false => Event::Binary(content.clone().into()),
            });
        }
        let mut ends: Vec<usize> = reads.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        ends.extend([0, wire.len()]);
        ends.sort_unstable();
        let pieces: Vec<&[u8]> = ends.windows(2).map(|range| &wire[range[0]..range[1]]).collect();
        let events = receive(&mut server(&at_server, &Limits::default()), pieces);
        prop_assert_eq!(events, Ok(expected));
    }

    #[test]
    fn arbitrary_bytes_as_a_compressed_message_do_no_harm(
        takeover: bool,
        payload in vec(any::<u8>(), 0..2_000),
        cut in any::<Index>(),
    ) {
        let options = DeflateOptions { peer_context_takeover: takeover, own_context_takeover: takeover, ..DeflateOptions::default() };
        let limits = Limits { max_message_size: 5_000, ..Limits::default() };
        let wire = frame(true, true, Opcode::Binary, &payload);
        let agreement = agree(&options, &options).1;
        let whole = receive(&mut server(&agreement, &limits), [&wire[..]]);
        let (first, second) = wire.split_at(cut.index(wire.len()));
        prop_assert_eq!(&receive(&mut server(&agreement, &limits), [first, second]), &whole);
    }
}

#[test]
fn headers_of_others_do_not_matter() {
    assert_eq!(verify_with_header(&DeflateOptions::default(), SERVER, "x"), Ok(None));
}
