//! The seam between the driver and the platform: the transports, the clock and the timer.
//!
//! The target selects the module below. Both have the same items and methods, and nothing above them depends on the
//! target:
//!
//! - `Client`: what the transports of one session share, such as cookies;
//! - `Polling`: at most one GET and one POST at a time;
//! - `OpeningWebSocket`, `WebSocket`: one connection, before and after its handshake;
//! - `Timer`, `now`: time;
//! - `Memory`: the part of a memory budget that a session uses;
//! - `PlatformSettings`, `TransportError`: settings and errors that only this platform has.

#[cfg(target_family = "wasm")]
mod browser;
#[cfg(not(target_family = "wasm"))]
mod native;

#[cfg(target_family = "wasm")]
use browser as platform;
#[cfg(not(target_family = "wasm"))]
use native as platform;

pub use platform::TransportError;
pub(crate) use platform::{
    Client, Memory, OpeningWebSocket, PlatformSettings, Polling, Timer, WebSocket, now,
};

/// How the connection of a transport has ended.
#[derive(Debug)]
pub(crate) enum TransportEnd {
    /// The server has closed it. If it gave an explanation, this has it.
    Closed(Option<TransportError>),
    /// It failed.
    Failed(TransportError),
}
