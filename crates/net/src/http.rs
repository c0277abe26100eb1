//! HTTP for clients and servers, until a connection is upgraded.

mod accepted;
#[cfg(feature = "client")]
mod dial;
mod eager_service;
#[cfg(feature = "client")]
mod exchange;
mod header_names;
mod http1_service;
mod http1_state;
#[cfg(feature = "http2")]
mod http2;
mod limits;
mod listener;
mod listener_settings;
mod peer;
mod proxy_protocol;
mod request_filter;
mod server_stream;
mod unread_response;
mod upgrade;
mod workers;

#[cfg(feature = "client")]
pub use dial::{DialError, Dialer, InvalidProxy, Proxy, ProxyError, Target};
#[cfg(feature = "client")]
pub use exchange::{ExchangeError, ExchangeResponse, exchange};
#[cfg(feature = "http2")]
pub use http2::{Http2Limits, Http2Stream};
pub use hyper::body::Incoming;
pub use limits::HttpLimits;
pub use listener::{HttpService, Listener};
pub use listener_settings::ListenerSettings;
pub use peer::{PeerAddress, ReceivedOverTls, original_uri};
#[cfg(all(test, feature = "client-tls"))]
pub(crate) use server_stream::ServerStream;
pub use unread_response::count_unread_response;
pub use upgrade::{PendingUpgrade, Upgraded, finish_upgrade, is_websocket_request, verify_handshake};
