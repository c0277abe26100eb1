//! The memory of clients that have left returns to the system. Without the feature `jemalloc`, the system's allocator decides
//! how much of it returns.

use std::time::{Duration, Instant};

use crate::raw_client::Polling;
use crate::support::Server;

const CLIENTS: usize = 2_000;

/// The events that wait for each client, of a kilobyte each: together 128 MB. An allocator may return larger blocks at once.
const EVENTS: usize = 64;

/// The clients that connect last and do not leave.
const STAYERS: usize = 20;

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
    let events = vec![event.as_str(); EVENTS].join("\u{1e}");
    for client in &clients {
        client.post(&events).expect(200, "ok");
    }
    // They stay. An allocator that returns only the end of its memory then keeps what lies before theirs.
    let stayers: Vec<_> = (0..STAYERS).map(|_| Polling::joined(server.address)).collect();
    let full = server.memory();
    assert!(full > before + 4 * SLACK, "{full} MB, {before} before");
    for client in &clients {
        client.post("1").expect(200, "ok");
    }
    let left = Instant::now();
    while server.memory() > before + SLACK {
        let now = server.memory();
        assert!(left.elapsed() < DEADLINE, "{now} MB, {before} before, {full} with the clients");
        std::thread::sleep(Duration::from_millis(100));
    }
    for client in &stayers {
        client.post(&event).expect(200, "ok");
    }
    canary.noticed_nothing();
}
