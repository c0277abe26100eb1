//! What hostile peers do to the binary over raw sockets, while somebody else talks to it and notices nothing.

mod clock;
mod floods;
mod http;
mod http2;
mod limits;
mod nesting;
mod packets;
mod polling;
mod slow_readers;
mod stopping;
mod support;
mod websocket;
mod wire;
