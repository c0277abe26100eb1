//! The order of events that several senders send through a cluster, whatever the delays of its messages.

use std::collections::HashMap;

use adapter::cluster::LocalDelivery;
use tidewire_server::{Namespace, Socket};

use crate::cluster::Cluster;
use crate::support::Client;

const EVENTS: u32 = 300;

/// A generator of pseudorandom numbers (SplitMix64). The same seed always gives the same delays.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

/// Sends an event with the name of the sender and its number to the room.
enum Sender {
    Server(Namespace),
    /// A socket sends to all others in the room, so its own client receives nothing.
    Socket(Socket),
}

impl Sender {
    fn send(&self, name: usize, number: u32) {
        match self {
            Self::Server(namespace) => namespace.to("room").emit("n", (name, number)),
            Self::Socket(socket) => socket.to("room").emit("n", (name, number)),
        }
    }
}

/// Receives the given number of events. Returns the sender and the number of each.
async fn receive(client: &mut Client, count: u32) -> Vec<(usize, u32)> {
    let mut received = Vec::new();
    for _ in 0..count {
        let packet = client.recv().await.expect("an event");
        let arguments =
            packet.strip_prefix("42[\"n\",").and_then(|rest| rest.strip_suffix(']')).expect(&packet);
        let mut numbers = arguments.split(',');
        let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok()).expect(&packet);
        received.push((next() as usize, next()));
    }
    received
}

/// Asserts that the events of each sender are complete and in their order.
fn check(received: &[(usize, u32)], senders: &[usize], what: &str) {
    let mut next: HashMap<usize, u32> = HashMap::new();
    for (place, (sender, number)) in received.iter().enumerate() {
        let expected = next.entry(*sender).or_default();
        assert_eq!(number, expected, "{what}: event {place}, of sender {sender}");
        *expected += 1;
    }
    assert_eq!(next.len(), senders.len(), "{what}");
    assert!(senders.iter().all(|sender| next[sender] == EVENTS), "{what}: {next:?}");
}

async fn events_keep_their_order(local_delivery: LocalDelivery, seed: u64) {
    let mut cluster = Cluster::start(local_delivery).await;
    let ((mut a, ann), (mut b, bob)) = (cluster.join(0).await, cluster.join(1).await);
    let ((_c, carl), (_d, dora)) = (cluster.join(0).await, cluster.join(1).await);
    for socket in [&ann, &bob] {
        socket.join("room").await.expect("it may join");
    }
    // Two programs, two sockets outside of the room, and two in it.
    let [one, two] = [0, 1].map(|server| Sender::Server((*cluster.servers[server]).clone()));
    let senders =
        [one, two, Sender::Socket(carl), Sender::Socket(dora), Sender::Socket(ann), Sender::Socket(bob)];
    let mut random = Random(seed);
    let mut sent = [0; 6];
    while sent.iter().any(|count| *count < EVENTS) {
        // Each step is a sender that sends, or a message that moves on: from a server to the bus, or to one server.
        match random.below(9) {
            sender @ 0..6 if sent[sender] < EVENTS => {
                senders[sender].send(sender, sent[sender]);
                sent[sender] += 1;
            }
            6 => {
                let _ = cluster.bus.accept_one();
            }
            server @ 7..9 => {
                let _ = cluster.attached[server - 7].deliver_one();
            }
            _ => {}
        }
        if random.below(50) == 0 {
            tokio::task::yield_now().await;
        }
    }
    cluster.bus.settle();
    // Ann and Bob do not receive their own events.
    for (client, others, name) in [(&mut a, [0, 1, 2, 3, 5], "Ann"), (&mut b, [0, 1, 2, 3, 4], "Bob")] {
        let received = receive(client, 5 * EVENTS).await;
        check(&received, &others, &format!("{name}, {local_delivery:?}, seed {seed}"));
    }
}

#[tokio::test]
async fn the_events_of_each_sender_reach_a_room_on_two_servers_in_their_order() {
    for seed in 0..10 {
        events_keep_their_order(LocalDelivery::AtOnce, seed).await;
    }
}

#[tokio::test]
async fn a_log_keeps_the_order_of_each_sender_too() {
    for seed in 0..10 {
        events_keep_their_order(LocalDelivery::InLogOrder, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_on_several_threads_keep_their_order() {
    let mut cluster = Cluster::start(LocalDelivery::AtOnce).await;
    let ((mut a, ann), (mut b, bob)) = (cluster.join(0).await, cluster.join(1).await);
    for socket in [&ann, &bob] {
        socket.join("room").await.expect("it may join");
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|sender| {
                let namespace = (*cluster.servers[sender % 2]).clone();
                scope.spawn(move || {
                    for number in 0..EVENTS {
                        namespace.to("room").emit("n", (sender, number));
                    }
                })
            })
            .collect();
        while !threads.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            cluster.bus.settle();
        }
    });
    cluster.bus.settle();
    for (client, name) in [(&mut a, "Ann"), (&mut b, "Bob")] {
        let received = receive(client, 4 * EVENTS).await;
        check(&received, &[0, 1, 2, 3], name);
    }
}
