//! A connection of HTTP/2: many requests and WebSockets (RFC 8441) on one stream of bytes.
//!
//! hyper speaks the protocol. What it leaves to others is here: how long a peer may take nothing of an answer, how many
//! requests it may take back, when a connection without requests ends, and the end of a WebSocket that cannot be written.

mod rewind;
mod service;
mod stream;
mod tasks;

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;
use tokio::time::{Instant, sleep};

use self::service::Exchanges;
use self::tasks::Tasks;
use crate::http::listener::{HttpLimits, HttpService, Shutdown};

pub(crate) use self::rewind::Rewind;
pub use self::stream::Http2Stream;
pub(crate) use self::stream::Released;

/// The longest window that there is (RFC 9113 §6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// Bytes of answers that are handed to hyper at a time: the payload of one DATA frame (RFC 9113 §6.5.2).
const CHUNK: usize = 16 * 1024;

/// Bytes of one stream that hyper keeps behind a connection that takes nothing.
const SEND_BUFFER: usize = 64 * 1024;

/// Streams that are reset before we have seen them, in one read; and those that we have to reset because they break
/// the protocol, in the life of a connection. More end the connection with ENHANCE_YOUR_CALM.
const RESET_UNSEEN: usize = 20;
const RESET_BY_US: usize = 128;

/// How long a peer has to answer our Ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// What a peer may ask of one connection of HTTP/2, beside the [`HttpLimits`] that it shares with HTTP/1.1.
#[derive(Debug, Clone)]
pub struct Http2Limits {
    /// Requests and WebSockets at the same time. A further one is refused, and may be tried again. Answers requests
    /// that are begun in masses. Default 100, the least that RFC 9113 recommends.
    pub streams: u32,
    /// Bytes of one stream that may have come and wait to be read; of all streams together, [`streams`](Self::streams)
    /// times as many, so that none of them can stop the others. The peer is told, and one that sends more is
    /// disconnected. Answers sending and not being read. Default 128 KiB.
    pub stream_window: u32,
    /// Requests that the peer may take back (RST_STREAM) before they are answered; each one that is answered makes one
    /// of them good. More end the connection. Answers rapid reset (CVE-2023-44487): requests that are begun at a rate
    /// that [`streams`](Self::streams) does not bound. Default 1,000.
    pub cancelled: u32,
    /// How often a peer is asked by a Ping whether it is still there; it has 20 s to answer. `None`: never. Answers
    /// peers that vanish, or no longer run. Default 60 s.
    pub ping_after: Option<Duration>,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            streams: 100,
            stream_window: 128 * 1024,
            cancelled: 1_000,
            ping_after: Some(Duration::from_secs(60)),
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
    let tasks = Tasks::new(limits.write_timeout);
    let mut counts = tasks.counts();
    let stream_window = http2.stream_window.clamp(1, MAX_WINDOW);
    let window = stream_window.saturating_mul(http2.streams.max(1)).min(MAX_WINDOW);
    let connection = http2::Builder::new(tasks)
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(http2.streams)
        .initial_stream_window_size(stream_window)
        .initial_connection_window_size(window)
        .max_header_list_size(u32::try_from(limits.head_size.max(8 * 1024)).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESET_UNSEEN)
        .max_local_error_reset_streams(RESET_BY_US)
        .keep_alive_interval(http2.ping_after)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(io, Exchanges::new(service, limits.headers));
    let mut connection = pin!(connection);

    let mut stop = Stop::Ahead(shutdown);
    let mut stage = Stage::Unused;
    // Counts while there is no stream.
    let mut silence = pin!(sleep(limits.head_timeout));
    loop {
        let streams = *counts.borrow_and_update();
        let is_silent = streams.exchanges == 0 && streams.websockets == 0;
        if streams.cancelled > http2.cancelled {
            tracing::debug!(cancelled = streams.cancelled, "a peer takes back too many requests");
            return Ok(());
        }
        if matches!(stop, Stop::Told(_)) && streams.exchanges == 0 && streams.websockets > 0 {
            // They are the program's to end: the listener does not wait for them. Without them the connection ends by
            // itself, when its last answers have left.
            stop = Stop::Over;
        }
        let stopped = async {
            match &mut stop {
                Stop::Ahead(shutdown) => shutdown.requested().await,
                Stop::Told(_) | Stop::Over => pending().await,
            }
        };
        tokio::select! {
            result = &mut connection => return result,
            // The other end of it lives in the connection.
            _ = counts.changed() => {
                let limit = if stage == Stage::Leaving {
                    // A request that has crossed our word, and whose answer may still be on its way.
                    limits.write_timeout
                } else {
                    stage = Stage::InUse;
                    limits.head_timeout
                };
                silence.as_mut().reset(Instant::now() + limit);
            }
            () = stopped => {
                stop = stop.tell();
                connection.as_mut().graceful_shutdown();
            }
            () = &mut silence, if is_silent => {
                match stage {
                    // It has asked for nothing, or neither answers nor goes.
                    Stage::Unused | Stage::Leaving => return Ok(()),
                    Stage::InUse => stage = Stage::Leaving,
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
enum Stage {
    /// It has had no request.
    Unused,
    /// It has had some.
    InUse,
    /// It had none for too long, and the peer was told to go.
    Leaving,
}

/// How far the listener's stop has come. The listener waits until its [`Shutdown`] is dropped.
#[derive(Debug)]
enum Stop {
    Ahead(Shutdown),
    /// The peer was told to go, and may still wait for answers.
    Told(Shutdown),
    Over,
}

impl Stop {
    fn tell(self) -> Self {
        match self {
            Self::Ahead(shutdown) | Self::Told(shutdown) => Self::Told(shutdown),
            Self::Over => Self::Over,
        }
    }
}

#[cfg(test)]
mod tests;
