//! The memory of clients that have left returns to the system. Without the feature `jemalloc`, the system's allocator decides
//! how much of it returns.

use std::time::{Duration, Instant};

use crate::raw_client::Polling;
use crate::support::Server;

/// Each one needs a descriptor, here and in the server. Many systems allow 1,024.
const CLIENTS: usize = 400;

/// The events that wait for each client, of a kilobyte each: together 100 MB.
const EVENTS: usize = 256;

/// What threads and allocators may keep, in megabytes.
const SLACK: usize = 20;

/// By default, jemalloc returns free memory over ten seconds.
const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn the_memory_of_clients_with_full_queues_returns_to_the_system_when_they_leave() {
    let server = Server::start();
    let canary = server.canary();
    let before = server.memory();
    let clients: Vec<_> = (0..CLIENTS).map(|_| Polling::joined(server.address)).collect();
    let event = format!(r#"42["message","{}"]"#, "x".repeat(1_000));
    let events = vec![event; EVENTS].join("\u{1e}");
    for client in &clients {
        client.post(&events).expect(200, "ok");
    }
    let full = server.memory();
    assert!(full > before + CLIENTS * EVENTS / 1_000, "{full} MB, {before} before");
    for client in &clients {
        client.post("1").expect(200, "ok");
    }
    let left = Instant::now();
    while server.memory() > before + SLACK {
        let now = server.memory();
        assert!(left.elapsed() < DEADLINE, "{now} MB, {before} before, {full} with the clients");
        std::thread::sleep(Duration::from_millis(100));
    }
    canary.noticed_nothing();
}
