//! Plumbing between the state machines and Tokio.
//!
//! | folder | what lives there |
//! |---|---|
//! | `io` | A connection. One task owns it: it reads into the thread's [`ReadBuffer`], writes from its [`WriteQueue`] and sleeps on one [`Deadline`]; other tasks reach it through its [`Outbox`] only. [`WebSocketStream`] is those pieces around a WebSocket machine, on a [`Stream`] of any kind |
//! | `http` | How a connection begins. [`Listener`] accepts connections and speaks HTTP/1.1 and HTTP/2 until one of them is [`upgraded`]; [`Dialer`] and [`exchange`] are the client's side, by proxy too |
//! | `tls` | TLS, for both sides. `http` begins it, a [`Stream`] carries it |
//!
//! Nothing here knows Engine.IO or Socket.IO.

mod http;
mod io;
mod log_limit;
mod tls;

pub use self::http::{
    Answer, DialError, Dialer, ExchangeError, Http2Limits, Http2Stream, HttpLimits, InvalidProxy, Listener,
    PeerAddress, Proxy, ProxyError, Target, Upgraded, Upgrading, asks_for_websocket, exchange, upgraded,
    verify,
};
pub use self::io::{
    AnyStream, Attention, Deadline, Ended, Outbox, Outgoing, PushError, READS_WHILE_CLOSING, ReadBuffer,
    Stream, WebSocketStream, Wire, WriteQueue, now,
};
pub use log_limit::LogLimit;
pub use tls::TlsError;
#[cfg(feature = "tls")]
pub use tls::{ClientTls, ClientTlsBuilder, ServerTls, ServerTlsBuilder, TlsConfigError};
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
pub use ws_proto::Chain;
