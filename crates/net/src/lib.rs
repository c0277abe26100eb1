//! Plumbing between the state machines and Tokio.
//!
//! | folder | what lives there |
//! |---|---|
//! | `io` | A connection. One task owns it: it reads into the thread's [`ReadBuffer`], writes from its [`WriteQueue`] and sleeps on one [`DeadlineTimer`]; other tasks reach it through its [`Outbox`] only. [`WebSocketStream`] is those pieces around a WebSocket machine, on a [`Stream`] of any kind |
//! | `http` | How a connection begins. [`Listener`] accepts connections and speaks HTTP/1.1 and HTTP/2 until one of them is [upgraded](`finish_upgrade`); [`Dialer`] and [`exchange`] are the client's side, by proxy too |
//! | `tls` | TLS, for both sides. `http` begins it, a [`Stream`] carries it |
//!
//! Nothing here knows Engine.IO or Socket.IO.

mod http;
mod io;
mod log_rate_limit;
mod tls;

pub use self::http::{
    DialError, Dialer, ExchangeError, ExchangeResponse, Http2Limits, Http2Stream, HttpLimits, InvalidProxy,
    Listener, PeerAddress, PendingUpgrade, Proxy, ProxyError, Target, Upgraded, exchange, finish_upgrade,
    is_websocket_request, verify_handshake,
};
pub use self::io::{
    BoxedIo, DeadlineTimer, MAX_CLOSING_READS_PER_POLL, Outbox, OutboxItem, OutboxSignals, PushError,
    ReadBuffer, Stream, StreamEnd, WebSocketStream, WireBytes, WriteQueue, now,
};
pub use log_rate_limit::LogRateLimit;
pub use tls::TlsError;
#[cfg(feature = "tls")]
pub use tls::{ClientTls, ClientTlsBuilder, ServerTls, ServerTlsBuilder, TlsConfigError};
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
pub use ws_proto::ErrorChain;
