//! The tests that use only what the crate exports, in one program, because each program is linked by itself.

mod advisories;
mod client;
mod closing;
mod compression;
#[cfg(feature = "axum")]
mod extractor;
mod fragmented_messages;
mod interop;
mod keepalive;
mod loopback;
mod memory_budget;
mod messages;
mod pings;
mod refusal_log;
mod rfc6455;
mod rfc8441;
mod send_sync;
mod server;
mod slow_readers;
mod split;
mod stream_sink;
mod support;
