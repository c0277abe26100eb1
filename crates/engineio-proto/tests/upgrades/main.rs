//! Random histories of a session that moves from polling to WebSocket: whatever was sent, asked, broken off or slow
//! at whatever moment, each end gets what the other one sent, once and in order, and no candidate harms the session.

mod client;
mod connection;
mod server;
mod world;

use proptest::collection::vec;
use proptest::prelude::*;
use world::World;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1024, ..ProptestConfig::default() })]

    /// Each step is one of what can happen next, and how: how many messages or bytes, how much time, which candidate.
    #[test]
    fn whatever_an_upgrade_falls_on_nothing_is_lost_doubled_or_reordered(
        steps in vec((any::<u16>(), any::<u8>()), 0..700),
        moves_in_the_end in any::<bool>(),
    ) {
        let mut world = World::new();
        for (choice, how) in steps {
            let moves = world.moves();
            world.make(moves[usize::from(choice) % moves.len()], how);
        }
        world.settle(moves_in_the_end);
        world.expect_the_end_of_a_silent_client();
    }
}
