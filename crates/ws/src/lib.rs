//! WebSocket client and server, standalone or in any hyper or axum program.
//!
//! Connecting takes one line. A client and a server use the same [`WebSocket`]:
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut socket = tidewire_ws::connect("wss://example.com/chat").await?;
//! socket.send("hello").await?;
//! let reply = socket.recv().await;
//! # Ok(())
//! # }
//! ```
//!
//! [`Connector`] sets headers, subprotocols, limits, a proxy and TLS certificates, and can connect over any stream.
//! [`Connector::reconnect`] returns a client that connects again whenever the connection is lost. A server is as short:
//!
//! ```no_run
//! use tidewire_ws::{SendError, WebSocket};
//!
//! # async fn run() -> std::io::Result<()> {
//! tidewire_ws::listen("127.0.0.1:9001", async |mut socket: WebSocket| {
//!     while let Some(message) = socket.recv().await {
//!         socket.send(message).await?;
//!     }
//!     Ok::<_, SendError>(())
//! })
//! .await
//! # }
//! ```
//!
//! [`listen`] is for programs that have no HTTP server. [`Server`] adds settings and a graceful shutdown. In a program
//! with an HTTP server, [`upgrade`] checks the handshake of a request; [`Upgrade::on_upgrade`] accepts it and runs a
//! handler with the [`WebSocket`].
//!
//! **What makes it fast.** Each connection has one task. This task polls the handler. When the handler waits, the task
//! writes everything that the handler has sent. If one read delivers several messages, the responses to all of them
//! therefore leave in one write. This needs no timer and no `flush`, and the write takes place in the same poll of the
//! task.
//!
//! A client uses its `WebSocket` from another task, and a server's handler may move its `WebSocket` to another task. In
//! both cases the connection's task writes as soon as the runtime polls it.
//!
//! Text is validated once, when it is received; echoing it does not validate it again. An idle connection holds no
//! buffer.
//!
//! **Limits.** [`Limits`] bounds the memory and the time that one peer can cost.
//!
//! # Modules
//! | file and its folder | contents |
//! |---|---|
//! | `socket` | the handles that a program holds: [`WebSocket`] and its halves, their `Stream` and `Sink` implementations, and messages that are sent or received in pieces |
//! | `message` | the messages that are received and sent |
//! | `connection` | the state that the handles and the task of a connection share, and that task: reading and writing, the calls that wait, the keepalive |
//! | `client` | connecting to a URL, and a client that reconnects by itself |
//! | `server` | upgrading an HTTP request to a connection, and a server for programs that have no HTTP server |
//! | `limits`, `error` | the limits of a connection; the errors |
//!
//! # Features
//! | feature | default | what it adds |
//! |---|---|---|
//! | `tls` | yes | `wss`, through rustls with ring as its crypto provider. Without this feature, neither crate is built |
//! | `compression` | no | compression of messages (permessage-deflate) |
//! | `http2` | no | HTTP/2 on the server's own listener, and WebSockets over HTTP/2 on any |
//! | `axum` | no | [`Upgrade`] as an axum extractor |

mod client;
mod connection;
mod error;
mod limits;
mod message;
mod server;
mod socket;

pub use client::{
    ConnectError, ConnectionFailure, Connector, ReconnectEvent, ReconnectingWebSocket, Reconnection, connect,
};
pub use error::{CloseCause, IncompleteMessage, PingError, SendError, SinkError, TrySendError};
pub use http;
pub use limits::Limits;
pub use message::{Message, PreparedMessage, Text};
#[cfg(feature = "http2")]
pub use net::Http2Limits;
pub use net::{
    AddressLimitError, AddressLimiter, AddressLimits, AddressPermit, ClientAddress, ClientNetwork, ClosePace,
    DialError, ExchangeError, ForwardedHeader, HttpLimits, InvalidNetwork, InvalidProxy, MemoryBudget,
    PeerAddress, Proxy, ProxyError, TlsError, TrustedProxies,
};
#[cfg(feature = "tls")]
pub use net::{ClientTls, ClientTlsBuilder, ServerTls, ServerTlsBuilder, TlsConfigError, rustls};
#[cfg(feature = "axum")]
pub use server::UpgradeRejection;
pub use server::{Handler, HandlerOutput, Server, ServerBuilder, Upgrade, listen, serve, upgrade};
pub use socket::{MessageReader, MessageWriter, Receiver, Sender, WebSocket};
#[cfg(feature = "compression")]
pub use ws_proto::DeflateOptions;
pub use ws_proto::{
    AllowedOrigins, ClientHandshakeError, CloseCode, CloseFrame, CloseReason, HandshakeError,
    HandshakeResponseError, InvalidOrigin, ProtocolError, UriError,
};

/// The metrics of the process, for the recorder of the crate `metrics`. `docs/metrics.md` in the repository lists them.
#[cfg(feature = "metrics")]
pub mod metrics {
    pub use net::metrics::publish;
}
