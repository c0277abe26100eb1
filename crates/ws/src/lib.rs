//! WebSocket for programs: client and server, alone or in any hyper or axum program.
//!
//! A client is one line, and the same [`WebSocket`] as a server's:
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut socket = tidewire_ws::connect("wss://example.com/chat").await?;
//! socket.send("hello").await?;
//! let answer = socket.recv().await;
//! # Ok(())
//! # }
//! ```
//!
//! [`Connector`] has headers, subprotocols, limits, proxies, trust, and connects over any stream as well;
//! [`Connector::reconnect`] makes it connect again whenever the connection is lost. A server is as short:
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
//! [`listen`] is for programs that have no HTTP server; [`Server`] is the same with settings and a clean stop. In a program
//! that has one, [`upgrade`] checks the handshake of a request, [`Upgrade::on_upgrade`] answers it and runs a handler with
//! the [`WebSocket`].
//!
//! **What makes it fast.** One task owns a connection: it polls the handler, and writes what the handler has sent
//! when the handler goes to sleep; for a client, and where a handler has given its WebSocket to another task, it writes when
//! that task goes to sleep. So everything that is sent while the messages of one read are handled leaves in one
//! write, without a timer and without `flush`: what is sent never waits for anything but the end of that poll. Text is
//! validated once, when it comes in, and echoing it validates nothing again. A connection that waits holds no buffer.
//!
//! **What a peer can make us hold** is in [`Limits`].
//!
//! # Where things are
//! | file and its folder | what lives there |
//! |---|---|
//! | `socket` | the handles that a program holds: [`WebSocket`] and its halves, the same as `Stream` and `Sink`, and messages in pieces |
//! | `message` | what is received and sent |
//! | `connection` | what the handles and the task of a connection share, and that task: what is done with the stream, who waits for it, when a silent peer is given up |
//! | `client` | a client's way from a URL to a connection, and a client that connects again by itself |
//! | `server` | a server's way from an HTTP request to a connection, and a server for programs that have none |
//! | `limits`, `error` | what a peer can make us hold; why a call has failed |
//!
//! # Features
//! | feature | default | what it adds |
//! |---|---|---|
//! | `tls` | yes | `wss`, by rustls with the cryptography of ring. Without it nothing of them is built |
//! | `axum` | no | [`Upgrade`] as an extractor of axum |

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
#[cfg(feature = "tls")]
pub use net::{ClientTls, ClientTlsBuilder, ServerTls, ServerTlsBuilder, TlsConfigError, rustls};
pub use net::{
    DialError, ExchangeError, Http2Limits, HttpLimits, InvalidProxy, PeerAddress, Proxy, ProxyError, TlsError,
};
#[cfg(feature = "axum")]
pub use server::UpgradeRejection;
pub use server::{Handler, HandlerOutput, Server, ServerBuilder, Upgrade, listen, serve, upgrade};
pub use socket::{MessageReader, MessageWriter, Receiver, Sender, WebSocket};
pub use ws_proto::{
    AllowedOrigins, ClientHandshakeError, CloseCode, CloseFrame, CloseReason, DeflateOptions, HandshakeError,
    HandshakeResponseError, InvalidOrigin, ProtocolError, UriError,
};
