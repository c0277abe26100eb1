use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use super::*;

const KIB: usize = 1024;

/// Counts how often a task was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A connection as its budget sees it.
struct Peer {
    usage: MemoryUsage,
    budget: MemoryBudget,
    wakes: Arc<Wakes>,
}

impl Peer {
    fn new(budget: &MemoryBudget) -> Self {
        Self { usage: MemoryUsage::default(), budget: budget.clone(), wakes: Arc::default() }
    }

    fn report(&mut self, bytes: usize) -> bool {
        self.report_held(bytes.into())
    }

    fn report_held(&mut self, held: HeldMemory) -> bool {
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.usage.report(&self.budget, held, &Context::from_waker(&waker), Waker::wake)
    }

    fn is_woken(&self) -> bool {
        self.wakes.0.swap(0, Ordering::SeqCst) > 0
    }
}

#[test]
fn the_largest_ends_and_the_others_go_on() {
    let budget = MemoryBudget::new(1_000 * KIB);
    let mut peers: Vec<_> = (0..5).map(|_| Peer::new(&budget)).collect();
    for (peer, bytes) in peers.iter_mut().zip([100, 200, 500, 150, 20]) {
        assert!(peer.report(bytes * KIB));
    }
    assert!(peers[0].report(200 * KIB), "it is not the largest");
    assert!(peers[2].is_woken());
    assert!(!peers[2].report(500 * KIB));
    peers.remove(2);
    assert!(peers.iter_mut().all(|peer| !peer.is_woken() && peer.report(100 * KIB)));
    drop(peers);
    assert_eq!((budget.used(), budget.0.registered().len()), (0, 0));
}

#[test]
fn exactly_the_limit_passes_and_one_byte_more_does_not() {
    let budget = MemoryBudget::new(100 * KIB);
    let (mut first, mut second) = (Peer::new(&budget), Peer::new(&budget));
    assert!(first.report(60 * KIB) && second.report(40 * KIB));
    assert!(second.report(40 * KIB + 1));
    assert!(first.is_woken() && !first.report(60 * KIB));
}

#[test]
fn the_one_that_grows_ends_itself_if_it_is_the_largest() {
    let budget = MemoryBudget::new(100 * KIB);
    let (mut first, mut second) = (Peer::new(&budget), Peer::new(&budget));
    assert!(first.report(50 * KIB) && second.report(50 * KIB));
    assert!(!second.report(51 * KIB) && !second.is_woken() && !first.is_woken());
}

#[test]
fn bytes_that_are_about_to_be_free_end_no_further_connection() {
    let budget = MemoryBudget::new(1_000 * KIB);
    let mut peers: Vec<_> = (0..3).map(|_| Peer::new(&budget)).collect();
    assert!(peers[0].report(500 * KIB) && peers[1].report(400 * KIB) && peers[2].report(200 * KIB));
    assert!(peers[0].is_woken(), "the largest");
    assert!(peers[2].report(250 * KIB));
    assert!(!peers[1].is_woken() && peers[1].report(400 * KIB));
}

#[test]
fn bytes_that_an_ending_connection_still_holds_end_no_further_connection() {
    let budget = MemoryBudget::new(1_000 * KIB);
    let mut peers: Vec<_> = (0..3).map(|_| Peer::new(&budget)).collect();
    assert!(peers[0].report(500 * KIB) && peers[1].report(400 * KIB) && peers[2].report(200 * KIB));
    assert!(peers[0].is_woken() && !peers[0].report(500 * KIB), "the largest");
    assert!(peers[0].report(450 * KIB), "it has been told");
    assert_eq!(budget.used(), 1_050 * KIB);
    assert!(peers[2].report(210 * KIB));
    assert!(peers.iter_mut().all(|peer| !peer.is_woken()));
}

#[test]
fn while_the_largest_have_not_ended_yet_the_excess_is_a_quarter_at_most() {
    let budget = MemoryBudget::new(1_000 * KIB);
    let mut peers: Vec<_> = (0..1_000).map(|_| Peer::new(&budget)).collect();
    // Each is smaller than the one before, so none of them is the largest. None that must end does.
    for (number, peer) in peers.iter_mut().enumerate() {
        if !peer.report((200 - number.min(180)) * KIB) {
            peer.report(0);
            peer.usage = MemoryUsage::default();
        }
        assert!(budget.used() <= 1_250 * KIB + 200 * KIB, "{} after {number}", budget.used());
    }
}

#[test]
fn short_messages_are_neither_counted_nor_ended() {
    let budget = MemoryBudget::new(0);
    let mut peer = Peer::new(&budget);
    assert!(peer.report(REGISTRATION_THRESHOLD - 1));
    assert_eq!(budget.used(), 0);
    assert!(!peer.report(REGISTRATION_THRESHOLD));
}

#[test]
fn retained_bytes_may_take_half_of_the_limit() {
    let budget = MemoryBudget::new(1_000);
    let first = budget.try_retain(400).unwrap();
    assert!(budget.try_retain(101).is_none());
    let second = budget.try_retain(100).unwrap();
    assert_eq!((budget.used(), first.bytes()), (500, 400));
    drop((first, second));
    assert_eq!(budget.used(), 0);
    assert!(budget.try_retain(500).is_some());
}

#[test]
fn threads_that_register_and_leave_at_the_same_time_leave_nothing_behind() {
    let budget = MemoryBudget::new(2_000 * KIB);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let budget = &budget;
            scope.spawn(move || {
                for round in 0..300 {
                    let mut peers: Vec<_> = (0..10).map(|_| Peer::new(budget)).collect();
                    for (number, peer) in peers.iter_mut().enumerate() {
                        let _ = peer.report((16 + (number * 7 + round + thread) % 90) * KIB);
                    }
                }
            });
        }
    });
    assert_eq!((budget.used(), budget.0.registered().len()), (0, 0));
}

#[test]
fn the_budget_of_the_process_has_a_limit() {
    let limit = MemoryBudget::process().limit();
    assert!((1 << 20..1 << 45).contains(&limit), "{limit}");
}

fn shared(bytes: usize) -> HeldMemory {
    HeldMemory { own: 0, shared: bytes }
}

#[test]
fn a_message_that_many_connections_hold_counts_once_and_as_long_as_it_lives() {
    let budget = MemoryBudget::new(1_000 * KIB);
    let mut peers: Vec<_> = (0..50).map(|_| Peer::new(&budget)).collect();
    let message = budget.share(900 * KIB);
    assert!(peers.iter_mut().all(|peer| peer.report_held(shared(900 * KIB))));
    assert_eq!(budget.used(), 900 * KIB);
    drop(peers);
    assert_eq!((budget.used(), budget.0.registered().len()), (900 * KIB, 0));
    drop(message);
    assert_eq!(budget.used(), 0);
}

#[test]
fn all_connections_end_that_hold_the_messages_which_exceed_the_limit_and_no_others() {
    let budget = MemoryBudget::new(1_000 * KIB);
    let (mut uploads, mut healthy) = (Peer::new(&budget), Peer::new(&budget));
    let mut stalled: Vec<_> = (0..50).map(|_| Peer::new(&budget)).collect();
    let first = budget.share(900 * KIB);
    assert!(stalled.iter_mut().all(|peer| peer.report_held(shared(900 * KIB))));
    assert!(uploads.report(50 * KIB));
    let second = budget.share(200 * KIB);
    assert!(healthy.report_held(shared(200 * KIB)), "it holds less than the others");
    for peer in &mut stalled {
        assert!(peer.is_woken() && !peer.report_held(shared(1_100 * KIB)));
    }
    drop(stalled);
    drop(first);
    assert!(!uploads.is_woken() && uploads.report(50 * KIB));
    assert!(!healthy.is_woken() && healthy.report_held(shared(200 * KIB)));
    drop(second);
    drop((uploads, healthy));
    assert_eq!(budget.used(), 0);
}

#[test]
fn connections_do_not_end_for_shared_messages_that_are_not_the_problem() {
    let budget = MemoryBudget::new(1_000 * KIB);
    let message = budget.share(100 * KIB);
    let mut readers: Vec<_> = (0..50).map(|_| Peer::new(&budget)).collect();
    assert!(readers.iter_mut().all(|peer| peer.report_held(shared(100 * KIB))));
    let mut uploads: Vec<_> = (0..15).map(|_| Peer::new(&budget)).collect();
    assert!(uploads.iter_mut().all(|peer| peer.report(60 * KIB)));
    assert!(!uploads[0].report(61 * KIB), "it holds the most of its own");
    assert!(readers.iter_mut().all(|peer| !peer.is_woken() && peer.report_held(shared(100 * KIB))));
    drop(message);
}
