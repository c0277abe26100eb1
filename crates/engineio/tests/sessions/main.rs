//! Sessions as clients and programs see them, over loopback.

mod choppy;
mod endings;
mod flow;
mod heartbeat;
mod http2;
mod mounting;
mod polling;
mod support;
mod traffic;
mod upgrade;
mod websocket;
