//! Checks that the client behaves like `engine.io-client` 6.6, apart from deliberate improvements.

use super::*;
use crate::{SessionId, open_packet};
use ws_proto::Time;

const INTERVAL: Duration = Duration::from_secs(25);
const TIMEOUT: Duration = Duration::from_secs(20);

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

fn open_data(max_payload: usize) -> String {
    let settings = crate::server::Settings { max_payload, ..crate::server::Settings::default() };
    let packet = open_packet(&SessionId::from_random([0; 15]), Transport::Polling, &settings);
    match Packet::parse(&packet) {
        Ok(Packet::Open(data)) => data.to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Returns a session that has been open on `transport` since time zero. Its first GET has completed.
fn open(transport: Transport, settings: &Settings, max_payload: usize) -> Session {
    let mut session = Session::new(transport, settings, Time::ZERO);
    if transport == Transport::Polling {
        assert_eq!(session.poll_action(Time::ZERO), Some(Action::Poll));
    }
    let data = open_data(max_payload);
    assert_eq!(session.handle_packet(Ok(Packet::Open(&data)), Time::ZERO), Received::Open);
    session.handle_poll_finished();
    session
}

/// Returns an open session that does not upgrade.
fn settled(transport: Transport) -> Session {
    open(transport, &Settings { upgrade: false, ..Settings::default() }, 1_000_000)
}

/// Returns a session that polls. Its candidate has connected, and the probe has been sent.
fn probing() -> Session {
    let mut session = open(Transport::Polling, &Settings::default(), 1_000_000);
    assert_eq!(session.poll_action(at(0)), Some(Action::OpenCandidate(Transport::WebSocket)));
    assert_eq!(session.poll_action(at(0)), Some(Action::Poll));
    assert_eq!(session.poll_action(at(0)), None);
    session.handle_candidate_connected();
    assert_eq!(session.poll_action(at(0)), Some(Action::SendToCandidate(Packet::Ping("probe"))));
    assert_eq!(session.poll_action(at(0)), None);
    session
}

/// Returns a session that waits for its GET before it upgrades.
fn pausing() -> Session {
    let mut session = probing();
    session.handle_candidate_packet(&Ok(Packet::Pong("probe")));
    assert_eq!(session.poll_action(at(0)), None, "the GET is in flight");
    session
}

fn closed(reason: CloseReason, packet: Option<Packet<'static>>) -> Action {
    Action::Close(Closed { reason, error: None, close_packet: packet })
}

#[track_caller]
fn expect_end(session: &mut Session, close: Action) {
    assert_eq!(session.poll_action(at(0)), Some(close));
    assert_eq!(session.ready_state(), ReadyState::Closed);
    expect_nothing_more(session);
}

#[track_caller]
fn expect_nothing_more(session: &mut Session) {
    assert_eq!(session.poll_action(at(0)), None);
    assert_eq!(session.poll_timeout(), None);
    assert_eq!(session.poll_transmit([1]), None);
    assert_eq!(session.handle_packet(Ok(Packet::Message("late")), at(0)), Received::Nothing);
    session.close();
    session.handle_transport_failed();
    session.handle_timeout(at(1_000_000));
    assert_eq!(session.poll_action(at(0)), None, "a session ends once");
}

#[test]
fn packets_mean_what_they_mean_to_the_javascript_client() {
    use Transport::{Polling, WebSocket};
    let bytes = || Packet::Binary(Cow::Borrowed(&[1, 2]));
    let goes_on = None;
    let transport_error = |error, packet| {
        let reason = CloseReason::TransportError;
        Some(Action::Close(Closed { reason, error: Some(SessionError::Packet(error)), close_packet: packet }))
    };
    let unknown = ParseError::UnknownType;
    let table = [
        (Polling, Ok(Packet::Message("a")), Received::Text("a"), goes_on.clone()),
        (WebSocket, Ok(Packet::Message("a")), Received::Text("a"), goes_on.clone()),
        (Polling, Ok(bytes()), Received::Binary(Cow::Borrowed(&[1, 2])), goes_on.clone()),
        (Polling, Ok(Packet::Noop), Received::Nothing, goes_on.clone()),
        (Polling, Ok(Packet::Pong("")), Received::Nothing, goes_on.clone()),
        (WebSocket, Ok(Packet::Upgrade), Received::Nothing, goes_on.clone()),
        // JavaScript: `onClose({ description: "transport closed by the server" })`.
        (Polling, Ok(Packet::Close), Received::Nothing, Some(closed(CloseReason::TransportClose, None))),
        (WebSocket, Ok(Packet::Close), Received::Nothing, goes_on.clone()),
        // JavaScript: `_onError(new Error("server error"))`.
        (Polling, Err(unknown), Received::Nothing, transport_error(unknown, Some(Packet::Close))),
        (WebSocket, Err(unknown), Received::Nothing, transport_error(unknown, None)),
    ];
    for (transport, packet, received, end) in table {
        let mut session = settled(transport);
        assert_eq!(session.handle_packet(packet.clone(), at(1)), received, "{transport:?} {packet:?}");
        match end {
            Some(close) => expect_end(&mut session, close),
            None => assert_eq!(session.ready_state(), ReadyState::Open, "{transport:?} {packet:?}"),
        }
    }
}

#[test]
fn nothing_counts_before_the_open_packet() {
    for packet in [Packet::Message("early"), Packet::Ping(""), Packet::Noop, Packet::Close] {
        let mut session = Session::new(Transport::WebSocket, &Settings::default(), Time::ZERO);
        assert_eq!(session.handle_packet(Ok(packet.clone()), at(1)), Received::Nothing);
        assert_eq!(session.ready_state(), ReadyState::Opening, "{packet:?}");
        assert_eq!((session.poll_action(at(1)), session.poll_transmit([1])), (None, None));
        assert_eq!(session.handle_packet(Ok(Packet::Open(&open_data(9))), at(2)), Received::Open);
        assert_eq!(session.poll_transmit([]), None, "no pong is pending");
    }
}

#[test]
fn a_second_open_packet_changes_nothing() {
    let mut session = settled(Transport::WebSocket);
    let other = open_data(7).replace("AAAA", "BBBB");
    assert_eq!(session.handle_packet(Ok(Packet::Open(&other)), at(1)), Received::Nothing);
    assert_eq!(session.id(), Some("AAAAAAAAAAAAAAAAAAAA"));
    assert_eq!(session.handshake().and_then(|handshake| handshake.max_payload), Some(1_000_000));
    assert_eq!(session.poll_timeout(), Some(at(45)));
}

#[test]
fn a_session_that_does_not_open_ends() {
    let new = || {
        let mut session = Session::new(Transport::Polling, &Settings::default(), Time::ZERO);
        assert_eq!(session.poll_timeout(), Some(at(20)));
        assert_eq!(session.poll_action(Time::ZERO), Some(Action::Poll));
        session
    };
    let failed = |error| {
        Action::Close(Closed { reason: CloseReason::TransportError, error: Some(error), close_packet: None })
    };
    let mut late = new();
    late.handle_timeout(at(19));
    assert_eq!(late.poll_action(at(19)), None);
    late.handle_timeout(at(20));
    expect_end(&mut late, failed(SessionError::ConnectTimeout));

    let mut silent = new();
    silent.handle_packet(Ok(Packet::Noop), at(1));
    silent.handle_poll_finished();
    expect_end(&mut silent, failed(SessionError::NoOpenPacket));

    let mut wrong = new();
    wrong.handle_packet(Ok(Packet::Open("{}")), at(1));
    expect_end(&mut wrong, failed(SessionError::Handshake(HandshakeError::SessionId)));

    let mut refused = new();
    refused.handle_transport_failed();
    expect_end(&mut refused, closed(CloseReason::TransportError, None));

    let mut given_up = new();
    given_up.close();
    expect_end(&mut given_up, closed(CloseReason::ForcedClose, None));
}

#[test]
fn a_session_id_of_a_kilobyte_is_taken_and_one_byte_more_is_not() {
    for (length, received) in [(1_024, Received::Open), (1_025, Received::Nothing)] {
        let data = open_data(9).replace("AAAAAAAAAAAAAAAAAAAA", &"x".repeat(length));
        let mut session = Session::new(Transport::WebSocket, &Settings::default(), Time::ZERO);
        assert_eq!(session.handle_packet(Ok(Packet::Open(&data)), at(1)), received, "{length}");
    }
}

#[test]
fn pings_are_answered_and_only_pings_keep_the_session_alive() {
    let mut session = settled(Transport::WebSocket);
    assert_eq!(session.poll_timeout(), Some(at(45)));
    session.handle_packet(Ok(Packet::Message("x")), at(20));
    assert_eq!(session.poll_timeout(), Some(at(45)), "a message is not a ping");
    session.handle_packet(Ok(Packet::Ping("with data")), at(25));
    assert_eq!(session.poll_timeout(), Some(at(25) + INTERVAL + TIMEOUT));
    let pong = Transmit { packet: Some(Packet::Pong("")), messages: 0 };
    assert_eq!(session.poll_transmit([]), Some(pong));
    assert_eq!(session.poll_transmit([]), None);
    session.handle_timeout(at(69));
    assert!(!session.is_ping_overdue(at(70)));
    assert!(session.is_ping_overdue(at(71)), "even before `handle_timeout` is called");
    session.handle_timeout(at(70));
    expect_end(&mut session, closed(CloseReason::PingTimeout, None));
}

#[test]
fn a_server_that_stops_to_ping_a_polling_session_is_told_of_the_end() {
    let mut session = settled(Transport::Polling);
    session.handle_timeout(at(45));
    expect_end(&mut session, closed(CloseReason::PingTimeout, Some(Packet::Close)));
}

#[test]
fn many_pings_are_answered_by_one_pong() {
    let mut session = settled(Transport::WebSocket);
    for _ in 0..1_000 {
        session.handle_packet(Ok(Packet::Ping("")), at(1));
    }
    assert!(session.poll_transmit([]).is_some());
    assert_eq!(session.poll_transmit([]), None);
}

#[test]
fn while_reading_is_paused_a_missing_ping_ends_nothing_and_no_get_begins() {
    let mut session = settled(Transport::Polling);
    session.set_read_paused(true, at(1));
    assert_eq!((session.poll_action(at(1)), session.poll_timeout()), (None, None));
    session.handle_timeout(at(1_000));
    assert!(!session.is_ping_overdue(at(1_000)));
    session.set_read_paused(false, at(1_000));
    assert_eq!(session.poll_action(at(1_000)), Some(Action::Poll));
    assert_eq!(session.poll_timeout(), Some(at(1_045)), "the server gets its whole time");
}

#[test]
fn there_is_one_get_and_one_post_at_a_time() {
    let mut session = settled(Transport::Polling);
    assert_eq!(session.poll_action(at(1)), Some(Action::Poll));
    assert_eq!(session.poll_action(at(1)), None);
    session.handle_poll_finished();
    assert_eq!(session.poll_action(at(1)), Some(Action::Poll));

    assert!(session.can_send());
    assert_eq!(session.poll_transmit([5, 5]), Some(Transmit { packet: None, messages: 2 }));
    assert!(!session.can_send());
    session.handle_packet(Ok(Packet::Ping("")), at(2));
    assert_eq!(session.poll_transmit([5]), None, "the POST is in flight");
    session.handle_post_finished();
    let pong_first = Transmit { packet: Some(Packet::Pong("")), messages: 1 };
    assert_eq!(session.poll_transmit([5]), Some(pong_first));
}

#[test]
fn a_post_takes_what_fits_and_one_packet_in_any_case() {
    // (lengths of the queued packets, how many of them go into a POST of at most 20 bytes)
    for (waiting, messages) in [
        (vec![], 0),
        (vec![20], 1),
        (vec![21], 1),
        (vec![21, 1], 1),
        (vec![10, 9], 2),
        (vec![10, 10], 1),
        (vec![1; 10], 10),
        (vec![1; 11], 10),
        (vec![usize::MAX, usize::MAX], 1),
    ] {
        let mut session = open(Transport::Polling, &Settings { upgrade: false, ..Settings::default() }, 20);
        let taken = session.poll_transmit(waiting.iter().copied()).map_or(0, |transmit| transmit.messages);
        assert_eq!(taken, messages, "{waiting:?}");

        session.handle_post_finished();
        session.handle_packet(Ok(Packet::Ping("")), at(1));
        let after_a_pong = session.poll_transmit([18, 1]).map(|transmit| transmit.messages);
        assert_eq!(after_a_pong, Some(1));
        session.handle_post_finished();
        session.handle_packet(Ok(Packet::Ping("")), at(1));
        assert_eq!(session.poll_transmit([19]).map(|transmit| transmit.messages), Some(0));
    }
}

#[test]
fn bytes_count_as_the_base64_that_they_become() {
    let mut session = open(Transport::Polling, &Settings { upgrade: false, ..Settings::default() }, 11);
    // The JavaScript client counts 1 + ⌈4 × 1.33⌉ + 2 + ⌈1 × 1.33⌉ = 11 bytes here, and sends 15.
    let lengths = [&[0; 4][..], &[0; 1]].map(|bytes| Packet::Binary(bytes.into()).encoded_len());
    assert_eq!(session.poll_transmit(lengths), Some(Transmit { packet: None, messages: 1 }));
}

#[test]
fn without_a_max_payload_a_post_takes_all_and_so_does_a_websocket() {
    let mut session = open(Transport::Polling, &Settings { upgrade: false, ..Settings::default() }, 0);
    assert_eq!(session.handshake().map(|handshake: &Handshake| handshake.max_payload), Some(None));
    let all = session.poll_transmit([1_000_000_000, 1_000_000_000, 1]).map(|transmit| transmit.messages);
    assert_eq!(all, Some(3));

    let mut websocket = open(Transport::WebSocket, &Settings::default(), 5);
    let transmit = websocket.poll_transmit([100, 100]);
    assert_eq!(transmit, Some(Transmit { packet: None, messages: usize::MAX }));
    assert!(websocket.can_send(), "the connection is the only limit");
}

#[test]
fn a_session_moves_when_its_requests_are_back() {
    let mut session = probing();
    assert!(
        session.poll_transmit([1]).is_some(),
        "before the pong to the probe, messages are sent by polling"
    );
    session.handle_candidate_packet(&Ok(Packet::Pong("probe")));
    assert!(!session.can_send());
    session.handle_packet(Ok(Packet::Message("before the move")), at(1));
    session.handle_packet(Ok(Packet::Ping("")), at(1));
    session.handle_poll_finished();
    assert_eq!(session.poll_action(at(1)), None, "the POST is in flight, so no GET starts");
    session.handle_post_finished();
    assert_eq!(session.poll_transmit([1]), None, "nothing is sent before the upgrade packet");
    assert_eq!(session.poll_action(at(1)), Some(Action::SwitchToCandidate(Packet::Upgrade)));
    assert_eq!(session.transport(), Transport::WebSocket);
    let pong_first = Transmit { packet: Some(Packet::Pong("")), messages: usize::MAX };
    assert_eq!(session.poll_transmit([1]), Some(pong_first));
    assert_eq!(session.poll_action(at(1)), None);
    assert_eq!(session.poll_timeout(), Some(at(1) + INTERVAL + TIMEOUT), "the candidate's deadline is gone");
}

#[test]
fn whatever_goes_wrong_on_the_candidate_costs_the_candidate_only() {
    type Wrong = fn(&mut Session);
    let wrongs: [(&str, Wrong, bool); 8] = [
        ("lost", Session::handle_candidate_closed, false),
        ("late", |session| session.handle_timeout(at(10)), true),
        ("silent pong", |session| session.handle_candidate_packet(&Ok(Packet::Pong(""))), true),
        ("ping", |session| session.handle_candidate_packet(&Ok(Packet::Ping("probe"))), true),
        ("message", |session| session.handle_candidate_packet(&Ok(Packet::Message("x"))), true),
        ("open", |session| session.handle_candidate_packet(&Ok(Packet::Open("{}"))), true),
        ("close", |session| session.handle_candidate_packet(&Ok(Packet::Close)), true),
        ("no packet", |session| session.handle_candidate_packet(&Err(ParseError::Empty)), true),
    ];
    for (name, wrong, is_to_close) in wrongs {
        for mut session in [probing(), pausing()] {
            wrong(&mut session);
            let close = is_to_close.then_some(Action::CloseCandidate);
            assert_eq!(session.poll_action(at(10)), close, "{name}");
            assert_eq!(session.poll_action(at(10)), None, "{name}: it is not tried again");
            assert!(session.can_send(), "{name}");
            session.handle_poll_finished();
            assert_eq!(session.poll_action(at(10)), Some(Action::Poll), "{name}: polling goes on");
            assert_eq!(session.poll_timeout(), Some(at(45)), "{name}");
        }
    }
}

#[test]
fn a_candidate_that_answers_before_it_was_asked_is_closed() {
    let mut session = open(Transport::Polling, &Settings::default(), 9);
    assert_eq!(session.poll_action(at(0)), Some(Action::OpenCandidate(Transport::WebSocket)));
    session.handle_candidate_packet(&Ok(Packet::Pong("probe")));
    assert_eq!(session.poll_action(at(0)), Some(Action::CloseCandidate));
}

#[test]
fn only_what_both_ends_want_is_tried() {
    let polling_only = Settings { transports: vec![Transport::Polling], ..Settings::default() };
    let not_at_all = Settings { upgrade: false, ..Settings::default() };
    for (transport, settings) in [
        (Transport::Polling, polling_only),
        (Transport::Polling, not_at_all),
        (Transport::WebSocket, Settings::default()),
    ] {
        let mut session = open(transport, &settings, 9);
        let polls = (transport == Transport::Polling).then_some(Action::Poll);
        assert_eq!(session.poll_action(at(0)), polls);
        assert_eq!(session.poll_action(at(0)), None);
    }
}

#[test]
fn a_close_waits_for_the_messages() {
    for (transport, packet) in [(Transport::Polling, Some(Packet::Close)), (Transport::WebSocket, None)] {
        let mut session = settled(transport);
        session.close();
        assert_eq!(session.ready_state(), ReadyState::Closing);
        assert!(session.poll_transmit([1, 1]).is_some());
        session.handle_post_finished();
        assert_eq!(session.handle_packet(Ok(Packet::Message("x")), at(1)), Received::Text("x"));
        assert_eq!(session.poll_transmit([]), None);
        // The driver's loop may have started a GET in the meantime.
        expect_end(&mut session, closed(CloseReason::ForcedClose, packet));
    }
}

#[test]
fn a_close_waits_for_the_post_in_flight() {
    let mut session = settled(Transport::Polling);
    assert!(session.poll_transmit([1]).is_some());
    session.close();
    assert_eq!(session.poll_transmit([]), None);
    assert_eq!(session.ready_state(), ReadyState::Closing);
    session.handle_post_finished();
    assert_eq!(session.poll_transmit([]), None);
    assert_eq!(session.ready_state(), ReadyState::Closed);
}

#[test]
fn a_close_in_the_middle_of_a_move_waits_until_it_is_done_or_has_failed() {
    let mut done = pausing();
    done.close();
    assert_eq!((done.poll_transmit([1]), done.poll_action(at(1))), (None, None));
    done.handle_poll_finished();
    assert_eq!(done.poll_action(at(1)), Some(Action::SwitchToCandidate(Packet::Upgrade)));
    assert!(done.poll_transmit([1]).is_some(), "queued messages are sent on the new transport");
    assert_eq!(done.poll_transmit([]), None);
    expect_end(&mut done, closed(CloseReason::ForcedClose, None));

    let mut failed = pausing();
    failed.close();
    failed.handle_candidate_closed();
    assert!(failed.poll_transmit([1]).is_some(), "queued messages are sent by polling");
    failed.handle_post_finished();
    assert_eq!(failed.poll_transmit([]), None);
    expect_end(&mut failed, closed(CloseReason::ForcedClose, Some(Packet::Close)));
}

#[test]
fn a_close_before_the_answer_to_the_probe_gives_the_candidate_up() {
    let mut session = probing();
    session.close();
    assert_eq!(session.poll_action(at(0)), Some(Action::CloseCandidate));
    assert_eq!(session.poll_transmit([]), None);
    expect_end(&mut session, closed(CloseReason::ForcedClose, Some(Packet::Close)));
}

#[test]
fn a_session_that_ends_takes_its_candidate_along() {
    type End = fn(&mut Session);
    let ends: [(End, CloseReason, Option<Packet<'static>>); 4] = [
        (Session::handle_transport_closed, CloseReason::TransportClose, Some(Packet::Close)),
        (Session::handle_transport_failed, CloseReason::TransportError, Some(Packet::Close)),
        (|session| session.handle_timeout(at(45)), CloseReason::PingTimeout, Some(Packet::Close)),
        (
            |session| assert_eq!(session.handle_packet(Ok(Packet::Close), at(1)), Received::Nothing),
            CloseReason::TransportClose,
            None,
        ),
    ];
    for (end, reason, packet) in ends {
        for mut session in [probing(), pausing()] {
            end(&mut session);
            assert_eq!(session.poll_action(at(45)), Some(Action::CloseCandidate));
            expect_end(&mut session, closed(reason, packet.clone()));
        }
    }
}

#[test]
fn errors_say_what_the_server_did() {
    for (error, text) in [
        (SessionError::ConnectTimeout, "the server did not send an open packet in time"),
        (
            SessionError::Handshake(HandshakeError::SessionId),
            "`sid` in the open packet is missing, empty, too long or not a string",
        ),
        (
            SessionError::Packet(ParseError::UnknownType),
            "the server sent an invalid packet: unknown packet type",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 200, "{}", size_of::<Session>());
}
