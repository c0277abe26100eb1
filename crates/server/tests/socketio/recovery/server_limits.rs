//! The limits that all namespaces of a server have together. Clients create as many as a pattern accepts.

use std::net::SocketAddr;

use tidewire_server::{KeptForRecovery, Namespace, ParentNamespace};

use super::client::{Recovering, recoverable};
use crate::support::{Client, until};

const NAMESPACES: usize = 40;
const MAX_LOG_BYTES: usize = 100_000;
const MAX_SESSIONS: usize = 40;
const MAX_SESSION_BYTES: usize = 50_000;

/// Connects a client to many namespaces, which exist because of it.
async fn enter_all(address: SocketAddr) -> Client {
    let mut client = Client::open(address).await;
    for number in 0..NAMESPACES {
        enter(&mut client, &format!("/room-{number}")).await;
    }
    client
}

async fn enter(client: &mut Client, namespace: &str) {
    client.send(&format!("40{namespace},")).await;
    let response = client.recv().await.expect("a response");
    assert!(response.starts_with(&format!("40{namespace},{{")), "{response}");
}

/// Three clients connect to many namespaces and lose their connections.
async fn leave_sessions(address: SocketAddr, rooms: &ParentNamespace) {
    for _ in 0..3 {
        drop(enter_all(address).await);
    }
    until(|| rooms.sockets().is_empty()).await;
}

fn fill_log(namespace: &Namespace) {
    let text = "x".repeat(500);
    (0..200).for_each(|number| namespace.to("nobody").emit(&text, number));
}

/// Returns what the namespaces that clients have created keep together.
fn kept(rooms: &ParentNamespace) -> KeptForRecovery {
    let mut sum = KeptForRecovery::default();
    for kept in rooms.children().iter().map(Namespace::kept_for_recovery) {
        sum.events += kept.events;
        sum.event_bytes += kept.event_bytes;
        sum.sessions += kept.sessions;
        sum.session_bytes += kept.session_bytes;
    }
    sum
}

#[tokio::test]
async fn clients_that_create_namespaces_do_not_multiply_the_log() {
    let (io, _program, address) = recoverable(|recovery| recovery.max_log_bytes = MAX_LOG_BYTES).await;
    let rooms = io.of_pattern(|name| name.starts_with("/room-"));
    let _client = enter_all(address).await;
    rooms.children().iter().for_each(fill_log);
    let kept = kept(&rooms);
    assert_eq!(rooms.children().len(), NAMESPACES);
    assert!((MAX_LOG_BYTES / 4..=MAX_LOG_BYTES / 2).contains(&kept.event_bytes), "{kept:?}");
}

#[tokio::test]
async fn clients_that_create_namespaces_do_not_multiply_the_sessions() {
    for (max_sessions, max_session_bytes) in [(MAX_SESSIONS, usize::MAX), (usize::MAX, MAX_SESSION_BYTES)] {
        let (io, _program, address) = recoverable(|recovery| {
            recovery.max_sessions = max_sessions;
            recovery.max_session_bytes = max_session_bytes;
        })
        .await;
        let rooms = io.of_pattern(|name| name.starts_with("/room-"));
        leave_sessions(address, &rooms).await;
        let kept = kept(&rooms);
        assert!(kept.sessions > 0 && kept.sessions <= max_sessions / 2, "{kept:?}");
        assert!(kept.session_bytes <= max_session_bytes / 2, "{kept:?}");
    }
}

#[tokio::test]
async fn clients_of_a_namespace_of_the_program_recover_although_others_fill_those_that_they_create() {
    let (io, _program, address) = recoverable(|recovery| {
        recovery.max_log_bytes = MAX_LOG_BYTES;
        recovery.max_sessions = MAX_SESSIONS;
    })
    .await;
    let rooms = io.of_pattern(|name| name.starts_with("/room-"));
    leave_sessions(address, &rooms).await;
    let _client = enter_all(address).await;
    rooms.children().iter().for_each(fill_log);
    let client = Recovering::new(address).await.cut(address).await;
    until(|| io.kept_for_recovery().sessions == 1).await;
    // About a fifth of the limit.
    let text = "x".repeat(450);
    for number in 0..20 {
        io.emit(&text, number);
        rooms.children().iter().for_each(fill_log);
    }
    let (back, missed) = client.back(address).await;
    assert_eq!((back.recovered, missed.len()), (true, 20));
}

#[tokio::test]
async fn a_namespace_that_is_removed_leaves_room_for_others() {
    let (io, _program, address) = recoverable(|recovery| recovery.max_log_bytes = MAX_LOG_BYTES).await;
    let rooms = io.of_pattern(|name| name.starts_with("/room-"));
    let mut client = enter_all(address).await;
    let mut other = Client::open(address).await;
    enter(&mut other, "/room-new").await;
    let room = io.of("/room-new");
    rooms.children().iter().for_each(fill_log);
    fill_log(&room);
    assert!(room.kept_for_recovery().event_bytes < MAX_LOG_BYTES / 20, "the others leave too much");
    for number in 0..NAMESPACES {
        client.send(&format!("41/room-{number},")).await;
    }
    until(|| rooms.children().len() == 1).await;
    until(|| {
        fill_log(&room);
        room.kept_for_recovery().event_bytes > MAX_LOG_BYTES / 5
    })
    .await;
}
