//! Plumbing between the state machines and Tokio.
//!
//! One task owns a connection. It reads into the thread's [`ReadBuffer`], writes from its [`WriteQueue`], sleeps on one
//! [`Deadline`]; other tasks reach it through its [`Outbox`] only. [`WebSocketStream`] is those pieces put together
//! around a WebSocket machine; [`Listener`] accepts connections and speaks HTTP until one of them is upgraded; [`Dialer`]
//! and [`exchange`] are the same from the client's side.
//!
//! Nothing here knows Engine.IO or Socket.IO.

mod chain;
mod http;
mod io;
mod log_limit;
mod tls;

pub use self::http::{
    Answer, DialError, Dialer, ExchangeError, Http2Limits, Http2Stream, HttpLimits, InvalidProxy, Listener,
    PeerAddress, Proxy, ProxyError, Target, Upgrading, asks_for_websocket, exchange, verify,
};
pub use self::io::{
    AnyStream, Attention, Deadline, Ended, Outbox, Outgoing, PushError, READS_WHILE_CLOSING, ReadBuffer,
    Stream, Upgraded, WebSocketStream, Wire, WriteQueue, now, upgraded,
};
pub use chain::Chain;
pub use log_limit::LogLimit;
pub use tls::TlsError;
#[cfg(feature = "tls")]
pub use tls::{ClientTls, ClientTlsBuilder, ServerTls, ServerTlsBuilder, TlsConfigError};
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
