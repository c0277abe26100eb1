//! What hostile peers do to the binary over raw sockets, while somebody else talks to it and notices nothing.

mod floods;
mod http;
mod http2;
mod json_nesting;
mod limits;
mod packets;
mod polling;
mod raw_client;
mod shutdown;
mod slow_readers;
mod support;
mod timeouts;
mod websocket;
