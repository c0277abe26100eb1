//! Bugs of other implementations of Engine.IO that the state machines and codecs show. Each test is named after its
//! advisory. The full list is in `engineio/tests/sessions/advisories.rs`.

use std::time::{Duration, Instant};

use tidewire_engineio_proto::server::{Received, Session, Settings, TimeoutAction};
use tidewire_engineio_proto::{Packet, ParseError, Payload, Revision, Transport, revision3};
use ws_proto::Time;

/// Counts the packets of a payload, which are all pongs.
macro_rules! pongs {
    ($payload:expr) => {{
        let mut payload = $payload;
        let memory = payload.memory();
        let mut count = 0;
        while let Some(packet) = payload.next_packet() {
            assert_eq!(packet, Ok(Packet::Pong("")));
            count += 1;
        }
        assert_eq!(payload.memory(), memory, "nothing is stored but the body");
        count
    }};
}

/// engine.io: a POST took many times the memory of its bytes.
#[test]
fn cve_2020_36048_a_payload_takes_the_time_and_the_memory_of_its_bytes() {
    const COUNT: usize = 300_000;
    let began = Instant::now();
    assert_eq!(pongs!(Payload::new("3\x1e".repeat(COUNT) + "3")), COUNT + 1);
    assert_eq!(pongs!(revision3::Payload::text("1:3".repeat(COUNT))), COUNT);
    assert_eq!(pongs!(revision3::Payload::text("0:".repeat(COUNT) + "1:3")), 1);
    assert_eq!(pongs!(revision3::Payload::binary(b"\x00\x01\xff3".repeat(COUNT))), COUNT);
    let numbers = [
        revision3::Payload::text("9".repeat(3 * COUNT)),
        revision3::Payload::text("1".repeat(3 * COUNT) + ":3"),
        revision3::Payload::binary([vec![0], vec![9; 3 * COUNT]].concat()),
        revision3::Payload::binary([vec![1], vec![0; 3 * COUNT], vec![1, 255, 4]].concat()),
    ];
    for mut payload in numbers {
        assert_eq!(payload.next_packet(), Some(Err(ParseError::Length)));
        assert_eq!(payload.next_packet(), None);
    }
    // Quadratic time would be hours.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// socketioxide, two issues: the first ping was sent twice, and a pong too many became a timeout.
#[test]
fn socketioxide_issues_390_and_817_there_is_one_ping_for_each_interval_however_many_pongs_come() {
    const SECOND: Duration = Duration::from_secs(1);
    for transport in [Transport::Polling, Transport::WebSocket] {
        let mut now = Time::ZERO;
        let mut session = Session::new(Revision::V4, transport, &Settings::default(), now);
        for pongs in [1, 2, 10] {
            now = now + 25 * SECOND;
            assert_eq!(session.poll_timeout(), Some(now));
            assert_eq!(session.handle_timeout(now), Some(TimeoutAction::Ping));
            assert_eq!(session.handle_timeout(now), None, "one ping");
            assert_eq!(session.poll_timeout(), Some(now + 20 * SECOND));
            for _ in 0..pongs {
                now = now + SECOND;
                assert_eq!(session.handle_packet(Ok(Packet::Pong("")), now), Ok(Received::Nothing));
                assert_eq!(session.handle_timeout(now), None);
            }
        }
    }
}
