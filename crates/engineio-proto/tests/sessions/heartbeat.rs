//! The heartbeat between the two state machines, over a slow network.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tidewire_engineio_proto::{
    CloseReason, Packet, Revision, SessionId, Transport, client, open_packet, server,
};
use ws_proto::Time;

const INTERVAL: Duration = Duration::from_secs(25);
const TIMEOUT: Duration = Duration::from_secs(20);

fn seconds(limit: u64) -> impl Strategy<Value = Duration> {
    // Often exactly a deadline, or one microsecond before or after it.
    let near = (0..limit, -1_i64..=1).prop_map(|(seconds, beside)| {
        Duration::from_micros((seconds * 1_000_000).saturating_add_signed(beside))
    });
    prop_oneof![near, (0..limit * 1_000_000).prop_map(Duration::from_micros)]
}

fn reason(session: &mut client::Session, now: Time) -> Option<CloseReason> {
    match session.poll_action(now) {
        Some(client::Action::Close(closed)) => Some(closed.reason),
        Some(other) => panic!("{other:?}"),
        None => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Each round is the time that a ping and its pong spend in flight.
    #[test]
    fn a_late_ping_or_pong_ends_the_session_and_one_in_time_does_not(
        rounds in vec((seconds(25), seconds(25)), 1..12),
    ) {
        let settings = server::Settings { ping_interval: INTERVAL, ping_timeout: TIMEOUT, ..server::Settings::default() };
        let open = open_packet(&SessionId::from_random([0; 15]), Transport::WebSocket, &settings);
        let mut now = Time::ZERO;
        let mut server = server::Session::new(Revision::V4, Transport::WebSocket, &settings, now);
        let mut client = client::Session::new(Transport::WebSocket, &client::Settings::default(), now);
        prop_assert_eq!(client.handle_packet(Packet::parse(&open), now), client::Received::Open);
        let mut last_ping = now;

        for (ping_takes, pong_takes) in rounds {
            now = server.poll_timeout().expect("a ping is due");
            prop_assert_eq!(server.handle_timeout(now), Some(server::TimeoutAction::Ping));
            let server_gives_up = now + TIMEOUT;
            let client_gives_up = last_ping + INTERVAL + TIMEOUT;
            prop_assert_eq!(client.poll_timeout(), Some(client_gives_up));

            // Input comes before timers: a ping that arrives exactly at the deadline is in time.
            let arrives = now + ping_takes;
            if arrives > client_gives_up {
                client.handle_timeout(client_gives_up);
                prop_assert_eq!(reason(&mut client, client_gives_up), Some(CloseReason::PingTimeout));
                return Ok(());
            }
            prop_assert_eq!(client.handle_packet(Ok(Packet::Ping("")), arrives), client::Received::Nothing);
            client.handle_timeout(arrives);
            prop_assert_eq!(reason(&mut client, arrives), None);
            last_ping = arrives;

            let pong = client.poll_transmit([]).and_then(|transmit| transmit.packet).expect("a pong");
            now = arrives + pong_takes;
            if now > server_gives_up {
                let due = server.handle_timeout(server_gives_up);
                prop_assert_eq!(due, Some(server::TimeoutAction::Close(CloseReason::PingTimeout)));
                return Ok(());
            }
            prop_assert_eq!(server.handle_packet(Ok(pong), now), Ok(server::Received::Nothing));
            prop_assert_eq!(server.handle_timeout(now), None);
        }
    }
    /// Revision 3: each round is the time from one ping of the client to the next.
    #[test]
    fn the_end_comes_exactly_when_a_ping_of_the_client_is_overdue(rounds in vec(seconds(60), 1..12)) {
        let settings = server::Settings { ping_interval: INTERVAL, ping_timeout: TIMEOUT, ..server::Settings::default() };
        let mut now = Time::ZERO;
        let mut server = server::Session::new(Revision::V3, Transport::Polling, &settings, now);
        for until_the_ping in rounds {
            let gives_up = now + INTERVAL + TIMEOUT;
            prop_assert_eq!(server.poll_timeout(), Some(gives_up));
            // A message does not replace a ping.
            prop_assert_eq!(
                server.handle_packet(Ok(Packet::Message("x")), now + until_the_ping / 2),
                Ok(server::Received::Text("x"))
            );
            now = now + until_the_ping;
            if now > gives_up {
                let due = server.handle_timeout(gives_up);
                prop_assert_eq!(due, Some(server::TimeoutAction::Close(CloseReason::PingTimeout)));
                return Ok(());
            }
            prop_assert_eq!(server.handle_packet(Ok(Packet::Ping("")), now), Ok(server::Received::SendPong("")));
            prop_assert_eq!(server.handle_timeout(now), None);
        }
    }
}
