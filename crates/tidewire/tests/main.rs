//! What needs several crates: a custom adapter, our client and our server, the examples, and TLS. One program, because each
//! program is linked by itself.

#[cfg(feature = "server")]
mod adapter;
#[cfg(feature = "server")]
#[path = "../../../examples/chat.rs"]
#[allow(dead_code, reason = "`main` is for `cargo run`")]
mod chat;
#[cfg(all(feature = "client", feature = "server"))]
mod client;
#[cfg(all(feature = "client", feature = "server"))]
mod client_parsers;
#[cfg(all(feature = "engineio", feature = "server"))]
mod examples;
#[cfg(all(feature = "client", feature = "server"))]
mod recovery;
#[cfg(all(feature = "client", feature = "server"))]
mod relay;
#[cfg(all(feature = "server", feature = "tls", feature = "ws"))]
mod tls;
#[cfg(all(feature = "client", feature = "engineio", feature = "server"))]
mod two_servers;
