//! Sessions as clients and programs see them, over loopback.

mod endings;
mod flow;
mod heartbeat;
mod mounting;
mod polling;
mod support;
mod upgrade;
mod websocket;
