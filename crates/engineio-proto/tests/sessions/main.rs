//! Random histories of a session between the server's state machine and the client's. Messages, closes, failures,
//! pauses and delays happen at random moments. Each end must receive what the other end has sent, once and in order,
//! and no candidate may harm the session. Tests that are named after advisories are here too.

mod advisories;
mod client;
mod connection;
mod heartbeat;
mod misbehaving_client;
mod server;
mod simulation;
mod wire;

use proptest::collection::vec;
use proptest::prelude::*;
use simulation::{Rules, World};
use tidewire_engineio_proto::Revision;

/// Each step chooses one of the possible next events and its size: a number of messages or bytes, a time, a candidate.
fn steps() -> impl Strategy<Value = Vec<(u16, u8)>> {
    vec((any::<u16>(), any::<u8>()), 0..700)
}

/// The revision, and whether the client asks for base64.
fn format() -> impl Strategy<Value = (Revision, bool)> {
    prop_oneof![2 => Just((Revision::V4, false)), 1 => Just((Revision::V3, false)), 1 => Just((Revision::V3, true))]
}

fn run(rules: Rules, steps: Vec<(u16, u8)>) -> World {
    let mut world = World::new(rules);
    for (choice, how) in steps {
        let moves = world.moves();
        world.make(moves[usize::from(choice) % moves.len()], how);
    }
    world.settle();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn whatever_an_upgrade_falls_on_nothing_is_lost_doubled_or_reordered(
        steps in steps(),
        strangers in prop_oneof![Just(0), Just(20), 0..20_usize],
        candidate_breaks in any::<bool>(),
        format in format(),
    ) {
        let mut world = run(Rules { strangers, candidate_breaks, ends: false, format }, steps);
        world.expect_the_end_of_a_silent_client();
        world.expect_the_end_of_a_silent_server();
    }

    #[test]
    fn whenever_a_session_is_closed_or_fails_it_ends_once_and_a_close_waits_for_the_messages(
        steps in steps(),
        strangers in 0..3_usize,
        candidate_breaks in any::<bool>(),
        format in format(),
    ) {
        run(Rules { strangers, candidate_breaks, ends: true, format }, steps);
    }
}
