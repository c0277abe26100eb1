//! Whole sessions on real sockets: against our own server, and against scripted servers that break the rules.

mod choppy_relay;
mod close;
mod compression;
mod cookies;
mod faults;
mod heartbeat;
mod limits;
mod memory;
mod polling;
mod proxy;
mod real_server;
mod rust_socketio;
mod scripted_server;
mod settings;
mod support;
#[cfg(feature = "tls")]
mod tls;
mod upgrade;
