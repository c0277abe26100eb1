//! Attacks on the binary over raw sockets, while another client checks that it is not affected.

mod addresses;
mod floods;
#[cfg(feature = "jemalloc")]
mod freed_memory;
mod http;
mod http2;
mod json_nesting;
mod limits;
mod log;
mod memory_budget;
#[cfg(feature = "metrics")]
mod metrics;
mod packets;
mod playground;
mod polling;
mod raw_client;
mod shutdown;
mod slow_readers;
mod stopped_process;
mod storm;
mod support;
mod timeouts;
mod websocket;
