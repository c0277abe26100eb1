//! The minimum of HTTP and WebSocket that the generator and the floor server need.

pub mod http;
pub mod websocket;
