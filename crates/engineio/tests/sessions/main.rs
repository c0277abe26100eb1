//! Sessions, seen from clients and from the application, over loopback.

mod address_limits;
mod advisories;
mod allow_request;
mod backpressure;
mod choppy_stream;
mod close;
mod compression;
mod connection_errors;
mod headers;
mod heartbeat;
mod http2;
mod jsonp;
mod keep_latest;
mod layer;
mod memory_budget;
mod origins;
mod polling;
mod revision3;
mod server;
mod server_layers;
mod shutdown;
mod support;
mod upgrade;
mod upgrade_random;
mod websocket;
mod websocket_compression;
