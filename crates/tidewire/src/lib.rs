//! Tidewire is a real-time stack for Rust: Socket.IO and Engine.IO servers for the official JavaScript clients, a Socket.IO
//! client, and plain WebSocket clients and servers.
//!
//! ```no_run
//! # #[cfg(feature = "server")]
//! use tidewire::server::{Cors, Data, Server, Socket};
//!
//! # #[cfg(feature = "server")]
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let io = Server::builder().cors(Cors::any()).build();
//!     io.on("message", async |socket: Socket, Data(text): Data<String>| {
//!         socket.emit("message", format!("Echo: {text}"))
//!     });
//!     io.listen("0.0.0.0:3000").await
//! }
//! # #[cfg(not(feature = "server"))]
//! # fn main() {}
//! ```
//!
//! | module | contents |
//! |---|---|
//! | [`server`] | a Socket.IO server |
//! | [`client`] | a Socket.IO client |
//! | [`engineio`] | Engine.IO without Socket.IO: a server of messages over long-polling and WebSocket |
//! | [`ws`] | WebSocket without Socket.IO, client and server |
//! | `redis` | clusters of servers over Redis or Valkey; with the feature `redis` |
//! | `postgres` | clusters of servers over PostgreSQL; with the feature `postgres` |
//! | `testing` | clients in the process of the server, for tests; with the feature `testing` |
//! | `metrics` | what the servers of the process count; with the feature `metrics` |
//!
//! The root exports [`Server`], [`Client`] and the types that handlers use on both sides (server and client). Types of one side
//! (its `Socket`, `Auth`, `ConnectError`) are in the module of that side. This crate only re-exports other crates, for
//! instance `tidewire-server` and `tidewire-ws`. You can also use those directly. The examples in the documentation of a
//! module import from the crate of the module: for `tidewire_server`, write `tidewire::server`.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `server` | yes | [`server`] |
//! | `client` | no | [`client`] |
//! | `engineio` | yes | [`engineio`] |
//! | `ws` | no | [`ws`] |
//! | `tls` | no | `wss` and `https`, with rustls and its `ring` crypto provider |
//! | `http2` | no | HTTP/2 for servers, and WebSockets over HTTP/2 |
//! | `compression` | no | permessage-deflate, and gzip and deflate for the responses to polling requests |
//! | `proxy-protocol` | no | the PROXY protocol, for servers behind proxies of TCP connections |
//! | `msgpack` | no | `MessagePackParser`, for peers that use the npm package `socket.io-msgpack-parser` |
//! | `cluster` | no | `server::adapter::cluster::ClusterAdapter`, for clusters over a message bus of your own |
//! | `redis` | no | `cluster`, and `redis`, the adapter of a server in a cluster over Redis or Valkey, and an emitter |
//! | `postgres` | no | `cluster`, and `postgres`, the adapter of a server in a cluster over PostgreSQL |
//! | `testing` | no | `testing`, for the `dev-dependencies` of a program |
//! | `axum` | no | `ws::Upgrade` as an axum extractor |
//! | `metrics` | no | counts for the facade of the crate `metrics`, and `metrics` |

#[cfg(feature = "server")]
pub use self::server::{Ack, Data, EventName, HandlerError, RawArguments, Reply, Server, State, Value};

#[cfg(feature = "client")]
pub use self::client::Client;
#[cfg(all(feature = "client", not(feature = "server")))]
pub use self::client::{Ack, Data, EventName, HandlerError, RawArguments, Reply, State, Value};

/// A Socket.IO client.
#[cfg(feature = "client")]
pub mod client {
    // What a feature adds has its own line, so that the compiler names the missing feature: it does not look through `*`.
    #[cfg(all(feature = "compression", not(target_family = "wasm")))]
    pub use client::DeflateOptions;
    #[cfg(feature = "msgpack")]
    pub use client::MessagePackParser;
    pub use client::*;
    #[cfg(all(feature = "tls", not(target_family = "wasm")))]
    pub use client::{ClientTls, ClientTlsBuilder, TlsConfigError};
}

/// A Socket.IO server.
#[cfg(feature = "server")]
pub mod server {
    // As in `client`.
    #[cfg(feature = "http2")]
    pub use server::Http2Limits;
    #[cfg(feature = "msgpack")]
    pub use server::MessagePackParser;
    pub use server::*;
    #[cfg(feature = "compression")]
    pub use server::{DeflateOptions, HttpCompression};
    #[cfg(feature = "tls")]
    pub use server::{ServerTls, ServerTlsBuilder, TlsConfigError};
}

/// Engine.IO without Socket.IO.
#[cfg(feature = "engineio")]
pub mod engineio {
    #[cfg(feature = "http2")]
    pub use engineio::Http2Limits;
    pub use engineio::server::*;
    pub use engineio::{
        AddressLimitError, AddressLimits, AllowRequest, AllowedOrigins, ClientAddress, ClientNetwork,
        ClosePace, CloseReason, ConnectionError, ConnectionErrorHook, Cookie, CookiePriority, Cors,
        EngineLayer, EngineService, ForwardedHeader, HeadersHook, HttpLimits, HttpService, Incoming,
        InitialPacket, InvalidCookie, InvalidNetwork, InvalidOrigin, Listener, MemoryBudget, Options,
        PeerAddress, RequestError, SameSite, SessionRefusal, SessionRefusedHook, Settings, Transport,
        TrustedProxies, http,
    };
    #[cfg(feature = "compression")]
    pub use engineio::{DeflateOptions, HttpCompression};
    #[cfg(feature = "tls")]
    pub use engineio::{ServerTls, ServerTlsBuilder, TlsConfigError};
}

/// WebSocket without Socket.IO.
#[cfg(feature = "ws")]
pub mod ws {
    // As in `client`.
    #[cfg(feature = "compression")]
    pub use ws::DeflateOptions;
    #[cfg(feature = "http2")]
    pub use ws::Http2Limits;
    pub use ws::*;
    #[cfg(feature = "tls")]
    pub use ws::{ClientTls, ClientTlsBuilder, ServerTls, ServerTlsBuilder, TlsConfigError, rustls};
}

/// Clusters of Socket.IO servers over Redis or Valkey.
#[cfg(feature = "redis")]
pub mod redis {
    pub use adapter_redis::*;
}

/// Clusters of Socket.IO servers over PostgreSQL.
#[cfg(feature = "postgres")]
pub mod postgres {
    pub use adapter_postgres::*;
}

/// The metrics of the process: connections, bytes, events, refusals and more, for the recorder of the crate [`metrics`].
/// `docs/metrics.md` in the repository lists them.
///
/// The program installs a recorder, for instance with `metrics-exporter-prometheus`. The counts reach it every five
/// seconds, and at each call of [`publish`](self::metrics::publish).
///
/// [`metrics`]: https://docs.rs/metrics
#[cfg(feature = "metrics")]
pub mod metrics {
    pub use net::metrics::publish;
}

/// Tests of Socket.IO and WebSocket servers in one process, without a port.
#[cfg(feature = "testing")]
pub mod testing {
    pub use testing::*;
}
