//! Plumbing between the state machines and Tokio.
//!
//! One task owns a connection. It reads into the thread's [`ReadBuffer`], writes from its [`WriteQueue`], sleeps on one
//! [`Deadline`]; other tasks reach it through its [`Outbox`] only. [`WebSocketStream`] is those pieces put together
//! around a WebSocket machine; [`Listener`] accepts connections and speaks HTTP until one of them is upgraded; [`Dialer`]
//! and [`exchange`] are the same from the client's side.
//!
//! Nothing here knows Engine.IO or Socket.IO.

mod chain;
mod clock;
mod deadline;
mod dial;
mod exchange;
mod handshake;
mod http2;
mod listener;
mod log_limit;
mod mask_keys;
mod outbox;
mod prompt;
mod read_buffer;
mod served_stream;
mod stream;
mod tls;
mod websocket;
mod write_queue;

pub use chain::Chain;
pub use clock::now;
pub use deadline::Deadline;
pub use dial::{DialError, Dialer, InvalidProxy, Proxy, ProxyError, Target};
pub use exchange::{Answer, ExchangeError, exchange};
pub use handshake::{Upgrading, asks_for_websocket, verify};
pub use http2::{Http2Limits, Http2Stream};
pub use listener::{HttpLimits, Listener, PeerAddress};
pub use log_limit::LogLimit;
pub use outbox::{Attention, Outbox, Outgoing, PushError};
pub use read_buffer::ReadBuffer;
pub use stream::{AnyStream, Stream, Upgraded, upgraded};
pub use tls::TlsError;
#[cfg(feature = "tls")]
pub use tls::{ClientTls, ClientTlsBuilder, ServerTls, ServerTlsBuilder, TlsConfigError};
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
pub use websocket::{Ended, READS_WHILE_CLOSING, WebSocketStream};
pub use write_queue::{Wire, WriteQueue};
