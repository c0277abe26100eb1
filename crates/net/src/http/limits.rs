//! The limits on HTTP connections.

use std::time::Duration;

#[cfg(feature = "http2")]
use crate::http::http2::Http2Limits;

/// Limits on the HTTP connections of a [`Listener`](crate::Listener), until they become WebSockets.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// How long a client may take to send a complete request head. The time starts when the connection is ready for a
    /// request. The TLS handshake has a timeout of the same length. An HTTP/2 connection is ready for a request while
    /// it has no open request and no WebSocket. Protects against connections that send a byte now and then (slow loris)
    /// or nothing at all. Default 10 s.
    pub header_read_timeout: Duration,
    /// The maximum size of a request head in bytes. Protects against heads that do not end. Values below 8 KiB count as
    /// 8 KiB. A byte of the query that is percent-encoded for hyper (`"`, `<`, `>`, and bytes that are not ASCII) counts
    /// as three. Default 16 KiB.
    pub max_head_size: usize,
    /// The maximum number of header fields of a request. Default 100.
    pub max_headers: usize,
    /// How long the server waits if the peer reads nothing of a response or of the end of the connection. Each time that
    /// the peer reads, the time starts again. After this time the server closes an HTTP/1.1 connection. Over HTTP/2 it
    /// resets the stream of the response. If the peer reads nothing at all, the server closes the connection. Protects
    /// against clients that send requests and do not read the responses. Does not apply to WebSockets. Default 30 s.
    pub write_timeout: Duration,
    /// The maximum number of concurrent connections that are not upgraded to WebSockets. Further connections wait in
    /// the system's accept queue until one of these ends or is upgraded, and the server logs a warning. Protects
    /// against floods of connections. Default 100,000.
    ///
    /// A client that uses polling holds one connection, and a second one during each POST. An HTTP/2 connection counts
    /// until it ends, even if it carries only WebSockets, because it can always send another request. If more clients
    /// than this use WebSockets over HTTP/2, raise the limit.
    pub max_connections: usize,
    /// The maximum number of connections that the operating system has established and the server has not accepted yet.
    /// The system drops the first packet of a further one, and its client tries again after a second. The system may
    /// have a lower maximum (`net.core.somaxconn` on Linux). Default 4,096, which is the maximum of Linux by default; a
    /// socket has 128 if its program sets nothing.
    pub backlog: u32,
    /// The time without traffic after which the system starts to send TCP keepalive probes, one every 15 s, to check
    /// that the peer's machine still responds. If four probes fail, the system closes the connection. Protects against
    /// peers that vanish while the server has nothing to send. Applies to WebSockets too. `None` disables keepalive.
    /// Default 60 s.
    pub tcp_keepalive: Option<Duration>,
    /// How long open connections may continue after the server was asked to stop. Default 5 s.
    pub shutdown_timeout: Duration,
    /// Additional limits on HTTP/2 connections. `None` disables HTTP/2: the server speaks only HTTP/1.1.
    /// Without the feature `http2` there is no HTTP/2, and this does not exist.
    #[cfg(feature = "http2")]
    pub http2: Option<Http2Limits>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(10),
            max_head_size: 16 * 1024,
            max_headers: 100,
            write_timeout: Duration::from_secs(30),
            max_connections: 100_000,
            backlog: 4_096,
            tcp_keepalive: Some(Duration::from_secs(60)),
            shutdown_timeout: Duration::from_secs(5),
            #[cfg(feature = "http2")]
            http2: Some(Http2Limits::default()),
        }
    }
}
