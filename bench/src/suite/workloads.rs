//! The workloads of a run, in the order of the tables.

use crate::host;
use crate::load::Protocol;

#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) protocol: Protocol,
    /// The name for `load`: c connections, k messages in flight on each, s bytes of payload, r messages per second,
    /// e connections that echo beside others.
    pub(super) name: String,
}

const BOTH: [&str; 6] = [
    "echo-c100-k1-s32",
    "echo-c500-k8-s32",
    "echo-c100-k1-s1024",
    "echo-c500-k8-s1024",
    "echo-c4-k1-s1048576",
    "paced-c500-r4000-s128",
];

const RAW: [&str; 12] = [
    "echo-c100-k1-s16384",
    "echo-c20-k1-s65536",
    "echo-c20-k4-s65536",
    "echo-deflate-c100-k1-s1024",
    "echo-deflate-c500-k8-s1024",
    "echo-deflate-c100-k1-s16384",
    "echo-takeover-c100-k1-s1024",
    "echo-takeover-c100-k1-s16384",
    "broadcast-c1000-k1-s1024",
    "broadcast-deflate-c1000-k1-s1024",
    "broadcast-c1000-k4-s1024",
    "broadcast-deflate-c1000-k4-s1024",
];

/// The workloads that measure the client.
const CLIENTS: [&str; 5] = [
    "client-echo-c100-k1-s32",
    "client-echo-c100-k8-s32",
    "client-echo-c100-k1-s1024",
    "client-echo-c20-k1-s65536",
    "client-echo-c4-k1-s1048576",
];

const SOCKET_IO: [&str; 9] = [
    "ack-c100-k1-s32",
    "ack-c500-k8-s32",
    "broadcast-c1000-k1-s128",
    "broadcast-c1000-k4-s128",
    "polling-c100-s32",
    "upgrade-c500",
    "attack-nested-c2-e1-s32",
    "attack-lists-c2-e1-s32",
    "large-room-c5000-e10-s32",
];

/// The memory of 10,000 connections. Each end counts against the descriptor limit of its own process.
const IDLE: &str = "idle-c10000";

/// The room of a burst, if the system allows a process that many descriptors, and the connections beside it.
const ROOM: u64 = 10_000;
const BESIDE_ROOM: u64 = 100;
/// The descriptors that a server needs for itself.
const SPARE: u64 = 200;

/// An event to a large room while others echo.
fn burst() -> String {
    let free = host::descriptor_limit().saturating_sub(BESIDE_ROOM + SPARE);
    let members = if free < ROOM { free / 500 * 500 } else { ROOM };
    format!("burst-c{BESIDE_ROOM}-s32-n{members}")
}

pub(super) fn all() -> Vec<Planned> {
    let burst = burst();
    let of = |protocol: Protocol, names: &[&str]| -> Vec<Planned> {
        names.iter().map(|&name| Planned { protocol, name: name.to_owned() }).collect()
    };
    [
        of(Protocol::Raw, &BOTH),
        of(Protocol::Raw, &RAW),
        of(Protocol::Raw, &CLIENTS),
        of(Protocol::SocketIo, &BOTH),
        of(Protocol::SocketIo, &SOCKET_IO),
        of(Protocol::Raw, &[&burst]),
        of(Protocol::SocketIo, &[&burst]),
        of(Protocol::Raw, &[IDLE]),
        of(Protocol::SocketIo, &[IDLE]),
    ]
    .concat()
}
