//! A connection of HTTP/2: many requests and WebSockets (RFC 8441) on one stream of bytes.
//!
//! hyper speaks the protocol. What it leaves to others is here: how long a peer may take nothing of an answer, how many
//! requests it may take back, when a connection without requests ends, and the end of a WebSocket that cannot be written.

mod executor;
mod rewind;
mod service;
mod stream;

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;
use tokio::time::{Instant, sleep};

use self::executor::StreamExecutor;
use self::service::Http2Service;
use crate::http::listener::{HttpLimits, HttpService, Shutdown};

pub(crate) use self::rewind::Rewind;
pub use self::stream::Http2Stream;
pub(crate) use self::stream::StreamDropSignal;

/// The longest window that there is (RFC 9113 §6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// Bytes of answers that are handed to hyper at a time: the payload of one DATA frame (RFC 9113 §6.5.2).
const MAX_DATA_FRAME_SIZE: usize = 16 * 1024;

/// Bytes of one stream that hyper keeps behind a connection that takes nothing.
const MAX_SEND_BUF_SIZE: usize = 64 * 1024;

/// Streams that are reset before we have seen them, in one read; and those that we have to reset because they break
/// the protocol, in the life of a connection. More end the connection with ENHANCE_YOUR_CALM.
const MAX_PENDING_ACCEPT_RESET_STREAMS: usize = 20;
const MAX_LOCAL_ERROR_RESET_STREAMS: usize = 128;

/// How long a peer has to answer our Ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// What a peer may ask of one connection of HTTP/2, beside the [`HttpLimits`] that it shares with HTTP/1.1.
#[derive(Debug, Clone)]
pub struct Http2Limits {
    /// Requests and WebSockets at the same time. A further one is refused, and may be tried again. Answers requests
    /// that are begun in masses. Default 100, the least that RFC 9113 recommends.
    pub max_concurrent_streams: u32,
    /// Bytes of one stream that may have come and wait to be read; of all streams together, [`max_concurrent_streams`](Self::max_concurrent_streams)
    /// times as many, so that none of them can stop the others. The peer is told, and one that sends more is
    /// disconnected. Answers sending and not being read. Default 128 KiB.
    pub initial_stream_window_size: u32,
    /// Requests that the peer may take back (RST_STREAM) before they are answered; each one that is answered makes one
    /// of them good. More end the connection. Answers rapid reset (CVE-2023-44487): requests that are begun at a rate
    /// that [`max_concurrent_streams`](Self::max_concurrent_streams) does not bound. Default 1,000.
    pub max_reset_streams: u32,
    /// How often a peer is asked by a Ping whether it is still there; it has 20 s to answer. `None`: never. Answers
    /// peers that vanish, or no longer run. Default 60 s.
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

/// Serves one connection to its end.
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
        .timer(TokioTimer::new())
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
    // Counts while there is no stream.
    let mut silence = pin!(sleep(limits.header_read_timeout));
    loop {
        let streams = *counts.borrow_and_update();
        let is_silent = streams.requests == 0 && streams.websockets == 0;
        if streams.resets > http2.max_reset_streams {
            tracing::debug!(cancelled = streams.resets, "a peer takes back too many requests");
            return Ok(());
        }
        if matches!(stop, ShutdownState::Draining(_)) && streams.requests == 0 && streams.websockets > 0 {
            // They are the program's to end: the listener does not wait for them. Without them the connection ends by
            // itself, when its last answers have left.
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
            // The other end of it lives in the connection.
            _ = counts.changed() => {
                let limit = if stage == ConnectionState::GoAwaySent {
                    // A request that has crossed our word, and whose answer may still be on its way.
                    limits.write_timeout
                } else {
                    stage = ConnectionState::Active;
                    limits.header_read_timeout
                };
                silence.as_mut().reset(Instant::now() + limit);
            }
            () = stopped => {
                stop = stop.start_draining();
                connection.as_mut().graceful_shutdown();
            }
            () = &mut silence, if is_silent => {
                match stage {
                    // It has asked for nothing, or neither answers nor goes.
                    ConnectionState::Fresh | ConnectionState::GoAwaySent => return Ok(()),
                    ConnectionState::Active => stage = ConnectionState::GoAwaySent,
                }
                connection.as_mut().graceful_shutdown();
                // The last answers may still be on their way.
                silence.as_mut().reset(Instant::now() + limits.write_timeout);
            }
        }
    }
}

/// How far a connection has come by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionState {
    /// It has had no request.
    Fresh,
    /// It has had some.
    Active,
    /// It had none for too long, and the peer was told to go.
    GoAwaySent,
}

/// How far the listener's stop has come. The listener waits until its [`Shutdown`] is dropped.
#[derive(Debug)]
enum ShutdownState {
    Running(Shutdown),
    /// The peer was told to go, and may still wait for answers.
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
