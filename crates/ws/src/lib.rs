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
//! [`Connect`] has headers, subprotocols, limits, proxies, trust, and connects over any stream as well;
//! [`Connect::reconnect`] makes it connect again whenever the connection is lost. A server is as short:
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
//! that has one, [`upgrade`] checks the handshake of a request, [`Upgrade::on_connect`] answers it and runs a handler with
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
//! # Rooms
//! | room | what lives there |
//! |---|---|
//! | `message`, `text`, `prepared` | what is received and sent |
//! | `socket`, `sender`, `receiver` | the handles that a program holds |
//! | `calls` | what they have in common |
//! | `futures`, `sunk` | the same as `Stream` and `Sink`, and how far a `Sink` has come |
//! | `writer`, `reader` | a message that is sent or received piece by piece |
//! | `connection` | what the handles and the task share: the stream, the queue, who is to be woken; in `receiving`, `sending` and `driving` what is done with it |
//! | `waiting` | the calls that wait for room or for the end |
//! | `patience` | when a silent peer is asked, and when it is given up |
//! | `driver` | the task: handler, flush, close |
//! | `upgrade`, `extract` | a server's way from an HTTP request to a connection |
//! | `server`, `listen` | the server for programs that have none |
//! | `connect`, `connect_error` | a client's way from a URL to a connection |
//! | `reconnect` | a client that connects again by itself |
//! | `closed`, `error`, `outcome`, `limits` | the ends of things |
//!
//! # Features
//! | feature | default | what it adds |
//! |---|---|---|
//! | `tls` | yes | `wss`, by rustls with the cryptography of ring. Without it nothing of them is built |
//! | `axum` | no | [`Upgrade`] as an extractor of axum |

mod calls;
mod closed;
mod connect;
mod connect_error;
mod connection;
mod driver;
mod error;
#[cfg(feature = "axum")]
mod extract;
mod futures;
mod limits;
mod listen;
mod message;
mod outcome;
mod patience;
mod prepared;
mod reader;
mod receiver;
mod reconnect;
mod sender;
mod server;
mod socket;
mod sunk;
mod text;
mod upgrade;
mod waiting;
mod writer;

pub use closed::Closed;
pub use connect::{Connect, connect};
pub use connect_error::ConnectError;
pub use error::{Interrupted, PingError, SendError, SinkError, TrySendError};
#[cfg(feature = "axum")]
pub use extract::UpgradeRejection;
pub use http;
pub use limits::Limits;
pub use listen::{listen, serve};
pub use message::Message;
#[cfg(feature = "tls")]
pub use net::{ClientTls, ClientTlsBuilder, ServerTls, ServerTlsBuilder, TlsConfigError, rustls};
pub use net::{
    ExchangeError, Http2Limits, HttpLimits, InvalidProxy, PeerAddress, Proxy, ProxyError, TlsError,
};
pub use outcome::Outcome;
pub use prepared::PreparedMessage;
pub use reader::MessageReader;
pub use receiver::Receiver;
pub use reconnect::{Event, Lost, ReconnectingWebSocket, Reconnection};
pub use sender::Sender;
pub use server::{Handler, Server, ServerBuilder};
pub use socket::WebSocket;
pub use text::Text;
pub use upgrade::{Upgrade, upgrade};
pub use writer::MessageWriter;
pub use ws_proto::{
    AnswerError, CloseCode, CloseFrame, CloseReason, DeflateOptions, HandshakeError, InvalidOrigin,
    OfferError, Origins, ProtocolError, UriError,
};
