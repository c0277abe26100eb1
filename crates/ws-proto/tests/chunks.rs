//! Messages in chunks: they have the same bytes as assembled messages, for every fragmentation, compression and
//! split, and their memory does not grow with their length.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tidewire_ws_proto::{
    CloseCode, Connection, DeflateAgreement, DeflateOptions, Deflater, Event, FrameHeader, Input, Limits,
    Opcode, ProtocolError, Role, Time,
};

use crate::support::{agree, encode};

const SMALL: Limits = Limits {
    max_message_size: 1_000,
    max_fragments: 5,
    max_control_frame_burst: 100,
    close_timeout: std::time::Duration::from_secs(10),
};

/// Encodes a frame of a client.
fn frame(fin: bool, rsv1: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    encode(
        FrameHeader { fin, rsv1, masking_key: Some(key), ..FrameHeader::unfragmented(opcode, payload.len()) },
        payload,
    )
}

/// Encodes a message in fragments with these payloads.
fn message(opcode: Opcode, rsv1: bool, fragments: &[&[u8]]) -> Vec<u8> {
    let mut wire = Vec::new();
    for (index, fragment) in fragments.iter().enumerate() {
        let is_first = index == 0;
        let opcode = if is_first { opcode } else { Opcode::Continuation };
        wire.extend(frame(index + 1 == fragments.len(), rsv1 && is_first, opcode, fragment));
    }
    wire
}

/// The received messages, complete or in chunks.
#[derive(Debug, Default, PartialEq)]
struct Received {
    messages: Vec<(Opcode, Vec<u8>)>,
    /// Whether the last message is incomplete.
    is_open: bool,
    chunks: usize,
    longest_chunk: usize,
    pings: usize,
}

impl Received {
    fn add(&mut self, event: Event<'_>) {
        let (opcode, bytes, last) = match event {
            Event::Text(text) => (Opcode::Text, text.into_owned().into_bytes(), None),
            Event::Binary(bytes) => (Opcode::Binary, bytes.into_owned(), None),
            Event::TextChunk { text, is_last } => {
                (Opcode::Text, text.into_owned().into_bytes(), Some(is_last))
            }
            Event::BinaryChunk { bytes, is_last } => (Opcode::Binary, bytes.into_owned(), Some(is_last)),
            Event::Ping(_) => return self.pings += 1,
            Event::Pong(_) | Event::Close(_) => return,
            other => panic!("{other:?}"),
        };
        if last.is_some() {
            self.chunks += 1;
            self.longest_chunk = self.longest_chunk.max(bytes.len());
        }
        if self.is_open {
            let (begun, content) = self.messages.last_mut().expect("an open message");
            assert_eq!(
                (*begun, last.is_some()),
                (opcode, true),
                "an open message is continued, and no other begun"
            );
            content.extend(bytes);
        } else {
            self.messages.push((opcode, bytes));
        }
        self.is_open = last == Some(false);
    }
}

/// Decodes one read.
fn read(connection: &mut Connection, bytes: &[u8], received: &mut Received) -> Result<(), ProtocolError> {
    let mut bytes = bytes.to_vec();
    let mut input = Input::new(&mut bytes);
    while let Some(event) = connection.decode(&mut input, Time::ZERO)? {
        received.add(event);
    }
    assert!(input.is_empty() && !connection.has_chunk(), "without an event, all of the input is consumed");
    Ok(())
}

fn in_chunks(limits: &Limits) -> Connection {
    let mut server = Connection::new(Role::Server, limits);
    server.receive_in_chunks(true);
    server
}

/// Creates a server that receives in chunks, and a compressor of its client. Both use context takeover if `takeover`.
fn compressed(takeover: bool, limits: &Limits) -> (Connection, Deflater) {
    let options = DeflateOptions {
        threshold: 0,
        own_context_takeover: takeover,
        peer_context_takeover: takeover,
        ..DeflateOptions::default()
    };
    let (client, server): (DeflateAgreement, DeflateAgreement) = agree(&options, &options);
    let mut connection = Connection::new(Role::Server, limits).with_deflate(&server);
    connection.receive_in_chunks(true);
    (connection, Deflater::new(&client))
}

#[test]
fn at_every_split_the_chunks_of_a_message_are_the_message() {
    let crab = "\u{1f980}".as_bytes();
    let wire = [
        frame(false, false, Opcode::Text, "κόσ".as_bytes()),
        frame(false, false, Opcode::Continuation, b""),
        frame(false, false, Opcode::Continuation, &[&b"\xce\xbc"[..], &crab[..2]].concat()),
        frame(true, false, Opcode::Ping, b"?"),
        frame(true, false, Opcode::Continuation, &crab[2..]),
        message(Opcode::Binary, false, &[b"\xff\x00", b""]),
        message(Opcode::Text, false, &[b""]),
        message(Opcode::Binary, false, &[b"whole"]),
    ]
    .concat();
    let expected = [
        (Opcode::Text, "κόσμ\u{1f980}".as_bytes().to_vec()),
        (Opcode::Binary, b"\xff\x00".to_vec()),
        (Opcode::Text, vec![]),
        (Opcode::Binary, b"whole".to_vec()),
    ];
    for first in 0..=wire.len() {
        for second in first..=wire.len() {
            let mut server = in_chunks(&SMALL);
            let mut received = Received::default();
            for piece in [&wire[..first], &wire[first..second], &wire[second..]] {
                read(&mut server, piece, &mut received).unwrap();
            }
            assert_eq!(received.messages, expected, "at {first} and {second}");
            assert_eq!((received.is_open, received.pings), (false, 1));
        }
    }
}

#[test]
fn a_message_longer_than_any_limit_comes_in_chunks_and_leaves_nothing_behind() {
    let mut server = in_chunks(&SMALL);
    let mut received = 0;
    let fragment = frame(false, false, Opcode::Continuation, &[7; 10_000]);
    let first = frame(false, false, Opcode::Binary, &[7; 10_000]);
    let measured = allocation_counter::measure(|| {
        for number in 0..10_000 {
            let mut bytes = if number == 0 { first.clone() } else { fragment.clone() };
            for piece in bytes.chunks_mut(4_096) {
                let mut input = Input::new(piece);
                while let Some(event) = server.decode(&mut input, Time::ZERO).unwrap() {
                    let Event::BinaryChunk { bytes, is_last: false } = event else { panic!("{event:?}") };
                    received += bytes.len();
                }
            }
        }
    });
    assert_eq!(received, 100_000_000);
    // The test's copy of the frame, and the memory of the connection.
    assert!(measured.bytes_max < 11_000, "{measured:?}");
}

#[test]
fn a_bomb_comes_in_chunks_and_takes_no_more_memory_than_two() {
    const LENGTH: usize = 64 * 1024 * 1024;
    const READ: usize = 16 * 1024;
    let mut payload = Vec::new();
    {
        let (_, mut deflater) = compressed(false, &SMALL);
        assert!(deflater.compress(&vec![0; LENGTH], &mut payload));
    }
    assert!(payload.len() < LENGTH / 100);
    let (mut server, _) = compressed(false, &SMALL);
    let mut wire = frame(true, true, Opcode::Binary, &payload);
    let (mut received, mut longest, mut ended) = (0, 0, false);
    let measured = allocation_counter::measure(|| {
        for read in wire.chunks_mut(READ) {
            let mut input = Input::new(read);
            while let Some(event) = server.decode(&mut input, Time::ZERO).unwrap() {
                let Event::BinaryChunk { bytes, is_last } = event else { panic!("{event:?}") };
                assert!(!ended && bytes.iter().all(|byte| *byte == 0));
                (received, longest, ended) = (received + bytes.len(), longest.max(bytes.len()), is_last);
            }
        }
    });
    assert_eq!((received, longest, ended), (LENGTH, 64 * 1024, true));
    // A decompressor, a window, two chunks, and the bytes of one read.
    assert!(measured.bytes_max < 48_000 + 32_768 + 2 * 65_536 + 2 * READ as u64, "{measured:?}");
    assert!(measured.bytes_current < 1_000, "{measured:?}");
}

#[test]
fn all_that_a_piece_stands_for_is_handed_out_with_it() {
    for length in 65_500..65_600 {
        let (mut server, mut deflater) = compressed(false, &SMALL);
        let mut payload = Vec::new();
        assert!(deflater.compress(&vec![7; length], &mut payload));
        payload.extend([0, 0, 0xff]);
        let mut received = Received::default();
        read(&mut server, &frame(false, true, Opcode::Binary, &payload), &mut received).unwrap();
        assert_eq!((received.messages[0].1.len(), received.is_open), (length, true));
    }
}

#[test]
fn text_that_cannot_become_utf_8_any_more_fails_in_mid_frame_and_cut_text_at_the_end() {
    let wrong = frame(true, false, Opcode::Text, b"abc\xff and so on");
    let mut server = in_chunks(&SMALL);
    let mut received = Received::default();
    read(&mut server, &wrong[..8], &mut received).unwrap();
    assert_eq!(received.messages, [(Opcode::Text, b"ab".to_vec())]);
    assert_eq!(read(&mut server, &wrong[8..10], &mut received), Err(ProtocolError::InvalidText));

    let cut = message(Opcode::Text, false, &[b"abc", b"\xe2\x82"]);
    assert_eq!(read(&mut in_chunks(&SMALL), &cut, &mut Received::default()), Err(ProtocolError::InvalidText));
}

#[test]
fn what_was_assembled_before_anybody_asked_for_chunks_is_the_first_of_them() {
    let short = "fifty shades of \u{20ac} ".repeat(50);
    // Its compressed length is more than is inflated in one go.
    let long: String = (0..200_000_u64).map(|n| char::from(b' ' + (n * n * n % 89 * 7 % 89) as u8)).collect();
    let kinds = [
        (Opcode::Text, false, &short),
        (Opcode::Binary, false, &short),
        (Opcode::Text, true, &short),
        (Opcode::Text, true, &long),
        (Opcode::Binary, true, &long),
    ];
    for (opcode, rsv1, content) in kinds {
        let (mut server, mut deflater) = compressed(false, &Limits::default());
        let mut payload = content.clone().into_bytes();
        if rsv1 {
            assert!(deflater.compress(content.as_bytes(), &mut payload));
        }
        let wire = message(opcode, rsv1, &[&payload]);
        server.receive_in_chunks(false);
        let mut received = Received::default();
        let half = wire.len() / 2;
        for piece in wire[..half].chunks(60_000) {
            read(&mut server, piece, &mut received).unwrap();
        }
        assert_eq!(received, Received::default());
        server.receive_in_chunks(true);
        assert!(server.has_chunk());
        read(&mut server, &[], &mut received).unwrap();
        assert!(received.is_open && received.messages[0].1.len() > 5, "{received:?}");
        server.receive_in_chunks(false);
        read(&mut server, &wire[half..], &mut received).unwrap();
        assert!(received.messages == [(opcode, content.clone().into_bytes())] && !received.is_open);
    }
}

#[test]
fn a_limit_counts_from_where_it_is_set_and_its_last_byte_passes() {
    for (limit, passes) in [(200, true), (199, false)] {
        let mut server = in_chunks(&SMALL);
        let mut received = Received::default();
        read(&mut server, &frame(false, false, Opcode::Binary, &[1; 50]), &mut received).unwrap();
        server.set_max_chunked_bytes(limit);
        read(&mut server, &frame(false, false, Opcode::Continuation, &[1; 100]), &mut received).unwrap();
        let last = read(&mut server, &frame(true, false, Opcode::Continuation, &[1; 100]), &mut received);
        assert_eq!(last.is_ok(), passes, "{last:?}");
        if let Err(error) = last {
            assert_eq!(error, ProtocolError::MessageTooBig { size: 200, limit: 199 });
            assert_eq!(error.close_code(), CloseCode::MESSAGE_TOO_BIG);
        }
    }
}

#[test]
fn of_two_limits_the_one_that_ends_earlier_holds() {
    // 100 bytes arrive between the two limits.
    for (first, second, further, limit) in [(150, 100, 50, 150), (150, 10, 10, 10), (100, 5_000, 0, 100)] {
        let mut server = in_chunks(&SMALL);
        let mut received = Received::default();
        read(&mut server, &frame(false, false, Opcode::Binary, &[1; 50]), &mut received).unwrap();
        server.set_max_chunked_bytes(first);
        read(&mut server, &frame(false, false, Opcode::Continuation, &[1; 100]), &mut received).unwrap();
        server.set_max_chunked_bytes(second);
        let rest = frame(false, false, Opcode::Continuation, &vec![1; further]);
        read(&mut server, &rest, &mut received).unwrap();
        let one_more = read(&mut server, &frame(true, false, Opcode::Continuation, &[1]), &mut received);
        assert_eq!(one_more, Err(ProtocolError::MessageTooBig { size: limit + 1, limit }));
    }
}

#[test]
fn what_is_left_of_a_message_can_be_dropped_up_to_the_size_of_a_message() {
    for takeover in [None, Some(false), Some(true)] {
        for (left, passes) in [(1_000, true), (1_001, false)] {
            let (mut server, mut deflater) = compressed(takeover == Some(true), &SMALL);
            let mut content = b"begun".repeat(10);
            content.extend((0..left).map(|n: u32| (n * n / 7) as u8));
            let mut first = content[..50].to_vec();
            let mut rest = content[50..].to_vec();
            if takeover.is_some() {
                // A flush after the first half, so that it inflates to its fifty bytes without the second half.
                let mut half = Vec::new();
                assert!(deflater.compress(&content[..50], &mut half));
                half.extend([0, 0, 0xff, 0xff]);
                first = half;
                if takeover == Some(true) {
                    let mut half = Vec::new();
                    assert!(deflater.compress(&content[50..], &mut half));
                    rest = half;
                }
            }
            let mut received = Received::default();
            let rsv1 = takeover.is_some();
            read(&mut server, &frame(false, rsv1, Opcode::Binary, &first), &mut received).unwrap();
            assert_eq!((received.messages[0].1.len(), received.is_open), (50, true), "{takeover:?}");
            server.skip_chunks();
            server.skip_chunks();
            let skipped = read(&mut server, &frame(true, false, Opcode::Continuation, &rest), &mut received);
            assert_eq!(skipped.is_ok(), passes, "{takeover:?} {left}: {skipped:?}");
            assert_eq!((received.messages.len(), received.messages[0].1.len()), (1, 50));
            if passes {
                // The next message is received normally, even if it refers to the discarded data.
                received.is_open = false;
                let mut next = b"next".to_vec();
                if takeover == Some(true) {
                    next = content[60..300].to_vec();
                    let mut payload = Vec::new();
                    assert!(deflater.compress(&next, &mut payload));
                    read(&mut server, &frame(true, true, Opcode::Binary, &payload), &mut received).unwrap();
                } else {
                    read(&mut server, &frame(true, false, Opcode::Binary, &next), &mut received).unwrap();
                }
                assert_eq!(received.messages[1].1, next);
            }
        }
    }
}

/// A message: whether it is text, its content, where it is split into fragments, and whether it is compressed.
fn sent() -> impl Strategy<Value = (bool, Vec<u8>, Vec<Index>, bool)> {
    let text = vec(prop_oneof![Just('a'), Just('é'), Just('€'), Just('🦀'), any::<char>()], 0..100)
        .prop_map(|text| (true, text.into_iter().collect::<String>().into_bytes()));
    let bytes = prop_oneof![vec(any::<u8>(), 0..300), (65_500_usize..200_000).prop_map(|len| vec![7; len])]
        .prop_map(|bytes| (false, bytes));
    let content = prop_oneof![text, bytes];
    (content, vec(any::<Index>(), 0..5), any::<bool>())
        .prop_map(|((is_text, content), cuts, compress)| (is_text, content, cuts, compress))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_is_what_arrives_whole_or_in_chunks(
        takeover in any::<bool>(),
        sent in vec(sent(), 0..6),
        reads in vec((any::<Index>(), any::<bool>()), 0..40),
    ) {
        let (mut server, mut deflater) = compressed(takeover, &Limits::default());
        let mut wire = Vec::new();
        let mut expected = Vec::new();
        for (is_text, content, cuts, compress) in &sent {
            let opcode = if *is_text { Opcode::Text } else { Opcode::Binary };
            let mut payload = Vec::new();
            let rsv1 = *compress && deflater.compress(content, &mut payload);
            if !rsv1 {
                payload.clone_from(content);
            }
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
            ends.extend([0, payload.len()]);
            ends.sort_unstable();
            let fragments: Vec<&[u8]> = ends.windows(2).map(|range| &payload[range[0]..range[1]]).collect();
            wire.extend(message(opcode, rsv1, &fragments));
            expected.push((opcode, content.clone()));
        }
        let mut ends: Vec<(usize, bool)> =
            reads.iter().map(|(end, chunked)| (end.index(wire.len() + 1), *chunked)).collect();
        ends.push((wire.len(), true));
        ends.sort_unstable();
        let mut received = Received::default();
        let mut start = 0;
        for (end, chunked) in ends {
            server.receive_in_chunks(chunked);
            let result = read(&mut server, &wire[start..end], &mut received);
            prop_assert_eq!(result, Ok(()));
            start = end;
        }
        prop_assert!(received.messages == expected, "{} of {}", received.messages.len(), expected.len());
        prop_assert!(!received.is_open);
        prop_assert!(received.longest_chunk <= 200_000);
    }

    #[test]
    fn arbitrary_bytes_are_seen_alike_in_any_pieces(
        wire in vec(prop_oneof![any::<u8>(), 0x80_u8..0x90, 0xc0_u8..0xc3, Just(0), Just(1)], 0..300),
        reads in vec(any::<Index>(), 0..20),
        skip in any::<bool>(),
    ) {
        let mut ends: Vec<usize> = reads.iter().map(|end| end.index(wire.len() + 1)).collect();
        ends.extend([0, wire.len()]);
        ends.sort_unstable();
        let cut = ends.windows(2).map(|range| &wire[range[0]..range[1]]);
        let seen = |pieces: &mut dyn Iterator<Item = &[u8]>, skip: bool| {
            let (mut server, _) = compressed(true, &SMALL);
            let mut received = Received::default();
            let mut error = None;
            for piece in pieces {
                error = error.or(read(&mut server, piece, &mut received).err());
                if skip {
                    server.skip_chunks();
                    received = Received::default();
                }
            }
            // How much of an invalid message is received before the error depends on the splits.
            if received.is_open {
                received.messages.pop();
            }
            // If a message has two errors, the splits also decide which one is found first.
            (received.messages, error.map(|error| error.close_code()))
        };
        let whole = seen(&mut [&wire[..]].into_iter(), false);
        prop_assert_eq!(&seen(&mut cut.clone(), false), &whole);
        prop_assert_eq!(&seen(&mut wire.chunks(1), false), &whole);
        if skip {
            let (_, error) = seen(&mut cut.clone(), true);
            prop_assert_eq!(error, whole.1);
        }
    }
}
