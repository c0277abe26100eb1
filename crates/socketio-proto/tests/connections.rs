//! Runs the client and the server against each other in virtual time, over a link that delays messages and breaks. Tests
//! that are named after advisories are here too.

mod advisories;
mod simulation;

use std::time::Duration;

use proptest::prelude::*;
use simulation::{MAX_BUFFERED, NAMESPACES, Namespace, Simulation, Step};
use tidewire_socketio_proto::client::Overflow;

fn namespace() -> impl Strategy<Value = Namespace> {
    0..NAMESPACES.len()
}

fn step() -> impl Strategy<Value = Step> {
    let seconds = |range: std::ops::Range<u64>| range.prop_map(Duration::from_secs);
    prop_oneof![
        4 => Just(Step::Open),
        1 => (0..5_usize).prop_map(Step::Cut),
        12 => (1..6_usize).prop_map(Step::Up),
        12 => (1..6_usize).prop_map(Step::Down),
        2 => seconds(1..20).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Stall),
        3 => namespace().prop_map(Step::ClientConnects),
        2 => namespace().prop_map(Step::ClientDisconnects),
        6 => (namespace(), any::<bool>()).prop_map(|(namespace, binary)| Step::ClientEmits { namespace, binary }),
        2 => (namespace(), any::<bool>()).prop_map(|(namespace, is_writable)| Step::ClientEmitsVolatile { namespace, is_writable }),
        4 => (namespace(), proptest::option::of(seconds(1..30))).prop_map(|(namespace, timeout)| Step::ClientEmitsWithAck { namespace, timeout }),
        2 => (namespace(), any::<prop::sample::Index>()).prop_map(|(namespace, which)| Step::ClientAcks { namespace, which }),
        1 => Just(Step::ClientReconnectFails),
        6 => (namespace(), prop::bool::weighted(0.8)).prop_map(|(namespace, admit)| Step::ServerMiddlewareFinishes { namespace, admit }),
        2 => namespace().prop_map(Step::ServerDisconnects),
        4 => (namespace(), any::<bool>()).prop_map(|(namespace, binary)| Step::ServerEmits { namespace, binary }),
        3 => (namespace(), proptest::option::of(seconds(1..30))).prop_map(|(namespace, timeout)| Step::ServerEmitsWithAck { namespace, timeout }),
        3 => any::<prop::sample::Index>().prop_map(|which| Step::ServerAcks { which }),
        2 => Just(Step::ServerFinishes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn no_event_is_lost_duplicated_or_reordered_and_every_waiter_is_returned_once(
        steps in proptest::collection::vec(step(), 0..160),
        overflow in prop_oneof![Just(Overflow::RejectNewest), Just(Overflow::DropOldest)],
    ) {
        let mut world = Simulation::new(overflow);
        for step in steps {
            world.step(&step);
        }
        world.finish();
    }
}

#[test]
fn the_send_buffers_of_the_simulation_become_full() {
    for overflow in [Overflow::RejectNewest, Overflow::DropOldest] {
        let mut world = Simulation::new(overflow);
        for _ in 0..MAX_BUFFERED {
            world.step(&Step::ClientEmits { namespace: 0, binary: false });
            world.step(&Step::ClientEmitsWithAck { namespace: 0, timeout: None });
        }
        assert_eq!(world.overflowed, MAX_BUFFERED, "{overflow:?}");
        world.finish();
    }
}
