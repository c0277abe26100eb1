//! The least of HTTP and WebSocket that a generator and a floor server get by with.

pub mod http;
pub mod websocket;
