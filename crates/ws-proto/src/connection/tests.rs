//! The memory, the limits and the events of a single connection. The requirements of the RFC are tested in
//! `tests/rfc6455`, and sequences of frames at every split in `tests/`.

use std::borrow::Cow;

use super::messages::OWNED_MESSAGE_THRESHOLD;
use super::*;
use crate::frame::FrameHeader;
use crate::mask::mask;
use crate::message_buffer::MessageBuffer;

const NOW: Time = Time::from_micros(1_000_000);
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn server() -> Connection {
    Connection::new(Role::Server, &Limits::default())
}

/// Encodes a frame of a client.
fn frame(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let header =
        FrameHeader { fin, masking_key: Some(KEY), ..FrameHeader::unfragmented(opcode, payload.len()) };
    let mut bytes = header.encode().to_vec();
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    mask(&mut bytes[start..], KEY);
    bytes
}

fn message(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    frame(true, opcode, payload)
}

/// Decodes these bytes to one event or an error.
fn decode(connection: &mut Connection, bytes: &[u8]) -> Result<Option<Event<'static>>, ProtocolError> {
    let mut bytes = bytes.to_vec();
    let mut input = Input::new(&mut bytes);
    let event = connection.decode(&mut input, NOW)?.map(Event::into_owned);
    assert!(event.is_some() || input.is_empty(), "without an event, all of the input is consumed");
    Ok(event)
}

fn transmitted(connection: &mut Connection) -> Vec<(Opcode, Vec<u8>)> {
    std::iter::from_fn(|| connection.poll_transmit())
        .map(|control| (control.opcode(), control.payload().to_vec()))
        .collect()
}

fn close_payload(code: u16) -> Vec<u8> {
    code.to_be_bytes().to_vec()
}

#[test]
fn an_idle_connection_is_small_and_owns_nothing() {
    assert!(size_of::<Connection>() <= 128, "{} bytes", size_of::<Connection>());
    let mut connection = server();
    assert!(connection.control.is_none());
    // After a Ping and a fragmented message that arrived in pieces, the connection owns no memory again.
    for bytes in [
        message(Opcode::Ping, b"are you there"),
        frame(false, Opcode::Text, &[b'x'; 100_000]),
        frame(true, Opcode::Continuation, b"!"),
    ] {
        for piece in bytes.chunks(7) {
            decode(&mut connection, piece).unwrap();
        }
        transmitted(&mut connection);
    }
    assert!(connection.control.is_none() && connection.message.is_none() && connection.frame.is_none());
}

#[test]
fn events_and_results_fit_into_a_few_words() {
    assert!(size_of::<Event<'_>>() <= 32, "{}", size_of::<Event<'_>>());
    let result = size_of::<Result<Option<Event<'_>>, ProtocolError>>();
    assert!(result <= 40, "{result}");
}

#[test]
fn whole_messages_in_one_read_are_borrowed_from_it() {
    let mut bytes = [message(Opcode::Text, b"one"), message(Opcode::Binary, b"two")].concat();
    let buffer = bytes.as_ptr_range();
    let mut input = Input::new(&mut bytes);
    let mut connection = server();
    let first = connection.decode(&mut input, NOW).unwrap();
    let second = connection.decode(&mut input, NOW).unwrap();
    let Some(Event::Text(Cow::Borrowed(text))) = first else { panic!("{first:?}") };
    let Some(Event::Binary(Cow::Borrowed(binary))) = second else { panic!("{second:?}") };
    assert_eq!((text, binary), ("one", &b"two"[..]));
    assert!(buffer.contains(&text.as_ptr()) && buffer.contains(&binary.as_ptr()));
}

#[test]
fn a_message_is_borrowed_even_if_its_header_came_in_an_earlier_read() {
    let mut bytes = message(Opcode::Text, b"hello");
    for header_len in 1..=6 {
        let mut connection = server();
        assert_eq!(decode(&mut connection, &bytes[..header_len]), Ok(None));
        let mut rest = bytes[header_len..].to_vec();
        let event = connection.decode(&mut Input::new(&mut rest), NOW).unwrap();
        assert!(matches!(event, Some(Event::Text(Cow::Borrowed("hello")))), "{event:?}");
    }
    bytes.pop();
    assert_eq!(decode(&mut server(), &bytes), Ok(None));
}

#[test]
fn an_announced_length_takes_no_memory() {
    let limits = Limits { max_message_size: usize::MAX, ..Limits::default() };
    let mut connection = Connection::new(Role::Server, &limits);
    assert_eq!(connection.max_message_size, isize::MAX as u64, "no allocation can be longer");
    // 1 TiB is announced, then one byte arrives.
    let header = FrameHeader {
        masking_key: Some(KEY),
        payload_len: 1 << 40,
        ..FrameHeader::unfragmented(Opcode::Binary, 0)
    };
    assert_eq!(decode(&mut connection, &[&header.encode()[..], b"x"].concat()), Ok(None));
    let Some(Assembly::Uncompressed(MessageBuffer::Binary(bytes))) = &connection.message else {
        panic!("{:?}", connection.message)
    };
    assert!(bytes.capacity() < 64);
}

#[test]
fn the_size_limit_is_exact_and_shows_at_the_header() {
    let limits = Limits { max_message_size: 1000, ..Limits::default() };
    let header = |len| FrameHeader {
        masking_key: Some(KEY),
        payload_len: len,
        ..FrameHeader::unfragmented(Opcode::Text, 0)
    };
    for (len, refused) in [(999, false), (1000, false), (1001, true), (1 << 40, true), (u64::MAX >> 1, true)]
    {
        let mut connection = Connection::new(Role::Server, &limits);
        let result = decode(&mut connection, &header(len).encode());
        let expected =
            if refused { Err(ProtocolError::MessageTooBig { size: len, limit: 1000 }) } else { Ok(None) };
        assert_eq!(result, expected, "{len}");
        let owed = if refused { vec![(Opcode::Close, close_payload(1009))] } else { vec![] };
        assert_eq!(transmitted(&mut connection), owed);
    }
}

#[test]
fn the_size_limit_counts_all_fragments_together() {
    let limits = Limits { max_message_size: 1000, ..Limits::default() };
    let mut connection = Connection::new(Role::Server, &limits);
    // The euro sign is cut: its first byte counts although it is not a character yet.
    let first = ["x".repeat(599).as_bytes(), &"€".as_bytes()[..1]].concat();
    assert_eq!(decode(&mut connection, &frame(false, Opcode::Text, &first)), Ok(None));
    assert!(decode(&mut connection, &message(Opcode::Ping, &[0; 125])).unwrap().is_some(), "not a fragment");
    let header = |len| {
        FrameHeader { masking_key: Some(KEY), ..FrameHeader::unfragmented(Opcode::Continuation, len) }
            .encode()
    };
    assert_eq!(
        decode(&mut connection, &header(401)),
        Err(ProtocolError::MessageTooBig { size: 1001, limit: 1000 })
    );
}

#[test]
fn control_frames_are_no_part_of_a_messages_size() {
    let limits = Limits { max_message_size: 10, ..Limits::default() };
    let mut connection = Connection::new(Role::Server, &limits);
    assert_eq!(decode(&mut connection, &frame(false, Opcode::Binary, &[0; 10])), Ok(None));
    assert!(matches!(decode(&mut connection, &message(Opcode::Ping, &[0; 125])), Ok(Some(Event::Ping(_)))));
    let whole = decode(&mut connection, &frame(true, Opcode::Continuation, b""));
    assert_eq!(whole, Ok(Some(Event::Binary(vec![0; 10].into()))));
}

#[test]
fn tiny_fragments_are_assembled_without_copying_again_and_again() {
    let mut connection = server();
    decode(&mut connection, &frame(false, Opcode::Binary, b"")).unwrap();
    let (mut moves, mut capacity) = (0, 0);
    for _ in 0..10_000 {
        decode(&mut connection, &frame(false, Opcode::Continuation, b"x")).unwrap();
        let Some(Assembly::Uncompressed(MessageBuffer::Binary(bytes))) = &connection.message else {
            panic!("{:?}", connection.message)
        };
        moves += usize::from(std::mem::replace(&mut capacity, bytes.capacity()) != capacity);
    }
    assert!(moves < 20, "{moves}");
}

#[test]
fn fragments_are_counted_for_each_message_and_empty_ones_too() {
    let limits = Limits { max_fragments: 3, ..Limits::default() };
    let mut connection = Connection::new(Role::Server, &limits);
    for _ in 0..3 {
        assert_eq!(decode(&mut connection, &frame(false, Opcode::Binary, b"")), Ok(None));
        assert_eq!(decode(&mut connection, &frame(false, Opcode::Continuation, b"")), Ok(None));
        let last = decode(&mut connection, &frame(true, Opcode::Continuation, b""));
        assert_eq!(last, Ok(Some(Event::Binary(vec![].into()))));
    }
    decode(&mut connection, &frame(false, Opcode::Binary, b"")).unwrap();
    decode(&mut connection, &frame(false, Opcode::Continuation, b"")).unwrap();
    decode(&mut connection, &frame(false, Opcode::Continuation, b"")).unwrap();
    let fourth = decode(&mut connection, &frame(true, Opcode::Continuation, b""));
    assert_eq!(fourth, Err(ProtocolError::TooManyFragments { limit: 3 }));
    assert_eq!(transmitted(&mut connection), [(Opcode::Close, close_payload(1008))]);
}

#[test]
fn invalid_text_fails_in_the_middle_of_a_frame() {
    // Autobahn 6.4.4, strict: U+110000 is impossible from its second byte on.
    let bytes = message(Opcode::Text, b"ab\xf4\x90\x80\x80cd");
    let mut connection = server();
    let header_and_first = 6 + 3;
    assert_eq!(decode(&mut connection, &bytes[..header_and_first]), Ok(None));
    let second = decode(&mut connection, &bytes[header_and_first..=header_and_first]);
    assert_eq!(second, Err(ProtocolError::InvalidText));
    assert_eq!(transmitted(&mut connection), [(Opcode::Close, close_payload(1007))]);
}

#[test]
fn after_an_error_input_is_discarded_and_memory_is_free() {
    let mut connection = server();
    decode(&mut connection, &frame(false, Opcode::Text, &[b'x'; 5000])).unwrap();
    decode(&mut connection, &message(Opcode::Ping, b"owed")).unwrap();
    assert!(decode(&mut connection, &message(Opcode::Text, b"too early")).is_err());
    assert!(connection.message.is_none());
    assert_eq!(decode(&mut connection, &message(Opcode::Text, b"ignored")), Ok(None));
    assert!(!connection.can_send() && !connection.is_closed());
    assert_eq!(transmitted(&mut connection), [(Opcode::Close, close_payload(1002))], "and no Pong");
    assert!(connection.is_closed());
    assert_eq!(connection.handle_eof(), EofKind::Abnormal);
}

#[test]
fn a_message_cut_off_by_the_end_of_the_stream_is_dropped() {
    let mut connection = server();
    decode(&mut connection, &message(Opcode::Text, &[b'x'; 5000])[..4000]).unwrap();
    assert!(connection.message.is_some() && connection.frame_remaining() > 0);
    assert_eq!(connection.handle_eof(), EofKind::Abnormal);
    assert!(connection.message.is_none() && connection.frame_remaining() == 0);
}

#[test]
fn our_ping_goes_out_and_its_pong_comes_back() {
    let mut connection = server();
    connection.ping(b"1").unwrap();
    assert_eq!(connection.ping(&[0; 126]), Err(ControlTooLong { len: 126 }));
    assert_eq!(transmitted(&mut connection), [(Opcode::Ping, b"1".to_vec())]);
    let pong = decode(&mut connection, &message(Opcode::Pong, b"1"));
    assert_eq!(pong, Ok(Some(Event::Pong(ControlPayload::new(b"1").unwrap()))));
    connection.close(None, NOW);
    connection.ping(b"2").unwrap();
    assert_eq!(transmitted(&mut connection), [(Opcode::Close, vec![])]);
}

#[test]
fn a_close_whose_deadline_is_long_overdue_gets_its_whole_time_again() {
    let mut connection = Connection::new(Role::Server, &Limits::default());
    connection.close(None, NOW);
    let late = NOW + Duration::from_secs(60);
    assert_eq!(connection.handle_timeout(late), None, "the peer's close frame may not be read yet");
    assert_eq!(connection.poll_timeout(), Some(late + Duration::from_secs(10)));
    assert_eq!(connection.handle_timeout(late + Duration::from_secs(10)), Some(Event::CloseTimedOut));
}

#[test]
fn a_close_whose_deadline_is_long_overdue_twice_times_out() {
    let mut connection = Connection::new(Role::Server, &Limits::default());
    connection.close(None, NOW);
    let late = NOW + Duration::from_secs(60);
    assert_eq!(connection.handle_timeout(late), None);
    assert_eq!(connection.handle_timeout(late + Duration::from_secs(60)), Some(Event::CloseTimedOut));
}

#[test]
fn a_close_by_either_endpoint_has_a_deadline() {
    let by_us = |connection: &mut Connection| connection.close(None, NOW);
    let by_the_peer = |connection: &mut Connection| {
        decode(connection, &message(Opcode::Close, b"")).unwrap();
    };
    let by_an_error = |connection: &mut Connection| {
        decode(connection, &[0xff]).unwrap_err();
    };
    let ways: [&dyn Fn(&mut Connection); 3] = [&by_us, &by_the_peer, &by_an_error];
    for begin in ways {
        let mut connection = server();
        assert_eq!(connection.poll_timeout(), None);
        assert_eq!(connection.handle_timeout(Time::from_micros(u64::MAX)), None);
        begin(&mut connection);
        let deadline = NOW + Duration::from_secs(10);
        assert_eq!(connection.poll_timeout(), Some(deadline));
        assert_eq!(connection.handle_timeout(Time::from_micros(deadline.as_micros() - 1)), None);
        transmitted(&mut connection);
        connection.close(None, deadline);
        assert_eq!(connection.poll_timeout(), Some(deadline), "the deadline does not move");
        assert_eq!(connection.handle_timeout(deadline), Some(Event::CloseTimedOut));
        assert!(connection.is_closed());
        assert_eq!((connection.poll_timeout(), connection.handle_timeout(deadline)), (None, None));
        assert_eq!(transmitted(&mut connection), []);
    }
}

#[test]
fn the_longest_control_frame_arrives_byte_by_byte_and_between_fragments() {
    let mut connection = server();
    assert_eq!(decode(&mut connection, &frame(false, Opcode::Text, b"a")), Ok(None));
    let payload: Vec<u8> = (0..125).collect();
    let mut events = Vec::new();
    for byte in message(Opcode::Ping, &payload) {
        events.extend(decode(&mut connection, &[byte]).unwrap());
    }
    assert_eq!(events, [Event::Ping(ControlPayload::new(&payload).unwrap())]);
    let text = decode(&mut connection, &frame(true, Opcode::Continuation, b"b"));
    assert_eq!(text, Ok(Some(Event::Text("ab".into()))));
}

#[test]
fn control_frames_may_arrive_in_a_burst_up_to_the_limit_and_then_at_its_rate() {
    for opcode in [Opcode::Ping, Opcode::Pong] {
        for limit in [1, 3, 1_000, u16::MAX] {
            let limits = Limits { max_control_frame_burst: limit, ..Limits::default() };
            let mut connection = Connection::new(Role::Server, &limits);
            let send = |connection: &mut Connection, now| {
                let mut bytes = message(opcode, b"");
                connection.decode(&mut Input::new(&mut bytes), now).map(drop)
            };
            let share = Duration::from_micros(10_000_000 / u64::from(limit));
            for _ in 0..limit {
                send(&mut connection, NOW).unwrap();
            }
            // After each share of the time, one more is allowed.
            let mut now = NOW;
            for _ in 0..10 {
                now = now + share;
                send(&mut connection, now).unwrap();
            }
            // After a long pause, as many are allowed as at the start, and no more.
            now = now + Duration::from_secs(1_000_000);
            for _ in 0..limit {
                send(&mut connection, now).unwrap();
            }
            let error = send(&mut connection, now + share.saturating_sub(Duration::from_micros(1)));
            assert_eq!(error, Err(ProtocolError::TooManyControlFrames { limit }));
            assert_eq!(transmitted(&mut connection), [(Opcode::Close, close_payload(1008))]);
        }
    }
}

#[test]
fn a_close_does_not_count_as_a_limited_control_frame() {
    let limits = Limits { max_control_frame_burst: 0, ..Limits::default() };
    let mut connection = Connection::new(Role::Server, &limits);
    decode(&mut connection, &message(Opcode::Ping, b"")).unwrap();
    assert_eq!(decode(&mut connection, &message(Opcode::Close, b"")), Ok(Some(Event::Close(None))));
}

#[test]
fn complete_long_messages_are_owned_if_requested() {
    let is_owned = |event: &Event<'_>| match event {
        Event::Text(text) => matches!(text, Cow::Owned(_)),
        Event::Binary(bytes) => matches!(bytes, Cow::Owned(_)),
        _ => false,
    };
    for opcode in [Opcode::Text, Opcode::Binary] {
        for len in
            [0, 1, OWNED_MESSAGE_THRESHOLD - 1, OWNED_MESSAGE_THRESHOLD, 5 * OWNED_MESSAGE_THRESHOLD + 3]
        {
            let mut borrowing = server();
            let mut owning = server().with_owned_long_messages();
            let payload = vec![b'x'; len];
            let (mut first, mut second) = (message(opcode, &payload), message(opcode, &payload));
            let first = borrowing.decode(&mut Input::new(&mut first), NOW).unwrap().unwrap();
            let second = owning.decode(&mut Input::new(&mut second), NOW).unwrap().unwrap();
            assert_eq!(
                (is_owned(&first), is_owned(&second)),
                (false, len >= OWNED_MESSAGE_THRESHOLD),
                "{len} bytes"
            );
            assert!(first == second, "{len} bytes");
            assert_eq!(owning.message.as_ref().map(Assembly::len), None);
        }
    }
}

#[test]
fn a_long_text_is_validated_at_every_position() {
    let mut text = vec![b'x'; 2 * OWNED_MESSAGE_THRESHOLD];
    for at in [0, 2047, 2048, OWNED_MESSAGE_THRESHOLD, text.len() - 1] {
        for fault in [0xff, 0x80, 0xc3] {
            text[at] = fault;
            let mut connection = server().with_owned_long_messages();
            let result = decode(&mut connection, &message(Opcode::Text, &text));
            assert_eq!(result, Err(ProtocolError::InvalidText), "{fault:02x} at {at}");
            text[at] = b'x';
        }
    }
}
