//! An HTTP/2 connection: many requests and WebSockets (RFC 8441) on one byte stream.
//!
//! hyper implements the protocol. This module adds what hyper leaves to its user: a timeout for responses that the peer
//! does not read, a limit on cancelled requests, the end of a connection without requests, and a timeout for WebSockets
//! that have ended but whose last bytes the peer does not read.

mod executor;
mod rewind;
mod service;
mod stream;

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http2;

use self::executor::StreamExecutor;
use self::service::Http2Service;
use crate::http::limits::HttpLimits;
use crate::http::listener::{HttpService, Shutdown};
use crate::io::{PeerTimeout, PeerTimer};

pub(crate) use self::rewind::Rewind;
pub use self::stream::Http2Stream;
pub(crate) use self::stream::StreamDropSignal;

/// The maximum flow-control window (RFC 9113 §6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// The number of response bytes passed to hyper at a time: the payload of one DATA frame (RFC 9113 §6.5.2).
const MAX_DATA_FRAME_SIZE: usize = 16 * 1024;

/// The number of bytes of one stream that hyper buffers while the connection accepts no writes.
const MAX_SEND_BUF_SIZE: usize = 64 * 1024;

/// Two limits on reset streams: streams that the peer resets before the server has accepted them, counted in one read;
/// and streams that the server resets because they violate the protocol, counted over the life of the connection. If a
/// count exceeds its limit, the connection ends with ENHANCE_YOUR_CALM.
const MAX_PENDING_ACCEPT_RESET_STREAMS: usize = 20;
const MAX_LOCAL_ERROR_RESET_STREAMS: usize = 128;

/// How long a peer may take to acknowledge a PING.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Limits on one HTTP/2 connection, in addition to the [`HttpLimits`] that apply to HTTP/1.1 too.
#[derive(Debug, Clone)]
pub struct Http2Limits {
    /// The maximum number of concurrent requests and WebSockets on one connection. A further request is refused, and
    /// the client may retry it. Protects against floods of requests. Default 100, the minimum that RFC 9113 recommends.
    pub max_concurrent_streams: u32,
    /// The flow-control window of one stream: the maximum number of received bytes that have not been read yet. The
    /// window of the connection is [`max_concurrent_streams`](Self::max_concurrent_streams) times as large, so that no
    /// stream can block the others. The server announces the window, and disconnects a peer that exceeds it. Protects
    /// against peers that send faster than the server reads. Default 128 KiB.
    pub initial_stream_window_size: u32,
    /// The maximum number of requests that the peer cancels (RST_STREAM) before their response. Each request that gets
    /// a response lowers the count by one. A count above the limit ends the connection. Protects against rapid reset
    /// (CVE-2023-44487): the peer opens and cancels requests at a rate that
    /// [`max_concurrent_streams`](Self::max_concurrent_streams) does not limit. Default 1,000.
    pub max_reset_streams: u32,
    /// The interval between the PINGs that check whether the peer is alive. A peer that does not acknowledge a PING
    /// within 20 s is disconnected. Protects against peers that vanish or hang. `None` disables the PINGs. Default 60
    /// s.
    pub keep_alive_interval: Option<Duration>,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            max_concurrent_streams: 100,
            initial_stream_window_size: 128 * 1024,
            max_reset_streams: 1_000,
            keep_alive_interval: Some(Duration::from_secs(60)),
        }
    }
}

/// Serves one connection until it ends.
pub(crate) async fn serve<S: HttpService>(
    io: Rewind,
    service: S,
    limits: &HttpLimits,
    http2: &Http2Limits,
    shutdown: Shutdown,
) -> hyper::Result<()> {
    let tasks = StreamExecutor::new(limits.write_timeout);
    let mut counts = tasks.subscribe();
    let stream_window = http2.initial_stream_window_size.clamp(1, MAX_WINDOW);
    let window = stream_window.saturating_mul(http2.max_concurrent_streams.max(1)).min(MAX_WINDOW);
    let connection = http2::Builder::new(tasks)
        .timer(PeerTimer)
        .enable_connect_protocol()
        .max_concurrent_streams(http2.max_concurrent_streams)
        .initial_stream_window_size(stream_window)
        .initial_connection_window_size(window)
        .max_header_list_size(u32::try_from(limits.max_head_size.max(8 * 1024)).unwrap_or(u32::MAX))
        .max_send_buf_size(MAX_SEND_BUF_SIZE)
        .max_pending_accept_reset_streams(MAX_PENDING_ACCEPT_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESET_STREAMS)
        .keep_alive_interval(http2.keep_alive_interval)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(io, Http2Service::new(service, limits.max_headers));
    let mut connection = pin!(connection);

    let mut stop = ShutdownState::Running(shutdown);
    let mut stage = ConnectionState::Fresh;
    // Runs while the connection has no stream.
    let mut silence = pin!(PeerTimeout::new(limits.header_read_timeout));
    loop {
        let streams = *counts.borrow_and_update();
        let is_silent = streams.requests == 0 && streams.websockets == 0;
        if streams.resets > http2.max_reset_streams {
            tracing::debug!(
                cancelled = streams.resets,
                "closing an HTTP/2 connection: the peer cancelled too many requests"
            );
            return Ok(());
        }
        if matches!(stop, ShutdownState::Draining(_)) && streams.requests == 0 && streams.websockets > 0 {
            // The program ends the WebSockets, so the listener does not wait for them. A connection without WebSockets
            // ends by itself after the last responses are sent.
            stop = ShutdownState::Done;
        }
        let stopped = async {
            match &mut stop {
                ShutdownState::Running(shutdown) => shutdown.requested().await,
                ShutdownState::Draining(_) | ShutdownState::Done => pending().await,
            }
        };
        tokio::select! {
            result = &mut connection => return result,
            // This cannot fail: `connection` holds the sender.
            _ = counts.changed() => {
                let limit = if stage == ConnectionState::GoAwaySent {
                    // This request crossed our GOAWAY. The peer may still be reading the response.
                    limits.write_timeout
                } else {
                    stage = ConnectionState::Active;
                    limits.header_read_timeout
                };
                silence.as_mut().reset(limit);
            }
            () = stopped => {
                stop = stop.start_draining();
                connection.as_mut().graceful_shutdown();
            }
            () = &mut silence, if is_silent => {
                match stage {
                    // The peer sent no request, or neither reads its last responses nor closes the connection.
                    ConnectionState::Fresh | ConnectionState::GoAwaySent => return Ok(()),
                    ConnectionState::Active => stage = ConnectionState::GoAwaySent,
                }
                connection.as_mut().graceful_shutdown();
                // The peer may still be reading the last responses.
                silence.as_mut().reset(limits.write_timeout);
            }
        }
    }
}

/// The state of a connection, apart from a shutdown of the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionState {
    /// There was no request yet.
    Fresh,
    /// There was at least one request.
    Active,
    /// The connection was without a request for too long, and the server sent GOAWAY.
    GoAwaySent,
}

/// The state of the listener's shutdown. The listener waits until its [`Shutdown`] is dropped.
#[derive(Debug)]
enum ShutdownState {
    Running(Shutdown),
    /// The server sent GOAWAY. The peer may still wait for responses.
    Draining(Shutdown),
    Done,
}

impl ShutdownState {
    fn start_draining(self) -> Self {
        match self {
            Self::Running(shutdown) | Self::Draining(shutdown) => Self::Draining(shutdown),
            Self::Done => Self::Done,
        }
    }
}

#[cfg(test)]
mod tests;
