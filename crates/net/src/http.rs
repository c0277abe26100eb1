//! HTTP, for both sides, until a connection is upgraded.

mod dial;
mod exchange;
mod handshake;
mod http2;
mod listener;
mod prompt;
mod served_stream;

pub use dial::{DialError, Dialer, InvalidProxy, Proxy, ProxyError, Target};
pub use exchange::{Answer, ExchangeError, exchange};
pub use handshake::{Upgrading, asks_for_websocket, verify};
pub use http2::{Http2Limits, Http2Stream};
pub use listener::{HttpLimits, Listener, PeerAddress};
pub(crate) use served_stream::ServedStream;
