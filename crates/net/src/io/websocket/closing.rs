//! The end of a WebSocket connection: the close handshake, and the shutdown of the stream.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ws_proto::{CloseFrame, PeerDeadline, Role, Time};

use super::{MAX_INFLATED_PER_POLL, StreamEnd, WebSocketStream};
use crate::io::read_buffer::ReadBuffer;

/// How long the stream reads after our end was shut down. Without this, a peer that is still sending would get a reset
/// instead of our close frame.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// The maximum number of reads in one poll of a closing connection. After that it yields to the other tasks of the
/// thread.
pub const MAX_CLOSING_READS_PER_POLL: usize = 4;

/// How far the end of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseState {
    Open,
    /// The peer may still send until `deadline`. A server has already shut down its end. A client shuts down its end
    /// afterwards.
    Lingering {
        deadline: PeerDeadline,
    },
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketStream<S> {
    /// Ends the connection with this Close frame, because it holds too much memory, or because nobody needs it. Frees what has
    /// been received, and discards what the peer still sends, without waiting for its Close frame. Drive the close with
    /// [`poll_close`](Self::poll_close).
    ///
    /// Returns `false` if the peer does not read what is queued. It would not read the Close frame either, and the queue
    /// may be what takes the memory, so the caller must then drop the stream.
    pub fn abort(&mut self, frame: Option<CloseFrame>, now: Time) -> bool {
        self.machine.abort(frame, now);
        self.buffered_input = Vec::new();
        self.buffered_input_start = 0;
        let is_reading = self.queue.is_empty();
        self.queue_control();
        is_reading
    }

    /// See [`Connection::restart_close_timeout`](ws_proto::Connection::restart_close_timeout).
    pub fn restart_close_timeout(&mut self, now: Time) {
        self.machine.restart_close_timeout(now);
    }

    /// Returns whether the close has timed out at `now`. See
    /// [`Connection::handle_timeout`](ws_proto::Connection::handle_timeout).
    pub fn handle_close_timeout(&mut self, now: Time) -> bool {
        self.machine.handle_timeout(now).is_some()
    }

    /// Starts the close handshake. A second call has no effect.
    pub fn close(&mut self, frame: Option<CloseFrame>, now: Time) {
        self.machine.close(frame, now);
        self.queue_control();
    }

    /// Drives the close of the connection. Writes the queued bytes, waits for the peer's close frame until the deadline
    /// of the state machine, shuts our end down, and then reads and discards what the peer still sends for up to one
    /// second. Returns `Ready` when the stream may be dropped.
    ///
    /// A client waits that second before it shuts down its end, so that the server can close first. The side that
    /// closes first keeps the connection in the state TIME_WAIT for minutes. According to RFC 6455 §7.1.1 the server
    /// should close first, because the state does less harm there.
    pub fn poll_close(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        let mut discarded = 0;
        for _ in 0..MAX_CLOSING_READS_PER_POLL {
            match &mut self.close_state {
                CloseState::Closed => return Poll::Ready(()),
                CloseState::Open => {
                    if self.handle_close_timeout(now) {
                        // The peer neither reads nor responds.
                        self.close_state = CloseState::Closed;
                    } else if ready!(self.poll_flush(cx)).is_err() {
                        self.close_state = CloseState::Closed;
                    } else if self.machine.is_closed() {
                        if self.machine.role() == Role::Server {
                            let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
                        }
                        self.close_state =
                            CloseState::Lingering { deadline: PeerDeadline::new(now + LINGER) };
                    } else {
                        // Nobody gets the messages, so no part of one is kept.
                        self.machine.receive_in_chunks(true);
                        match ready!(self.poll_read_discarding(&mut discarded, now, cx)) {
                            Ok(()) | Err(StreamEnd::Closed(_) | StreamEnd::Protocol(_)) => {}
                            Err(StreamEnd::Eof | StreamEnd::Io(_)) => self.close_state = CloseState::Closed,
                        }
                        if discarded >= MAX_INFLATED_PER_POLL || self.is_inflating() {
                            break;
                        }
                    }
                }
                CloseState::Lingering { deadline } => {
                    if !deadline.expired_or_restart(LINGER, now) && ready!(self.poll_discard(cx)) {
                        continue;
                    }
                    if self.machine.role() == Role::Client {
                        // If the stream cannot be shut down now, it is dropped all the same.
                        let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
                    }
                    self.close_state = CloseState::Closed;
                }
            }
        }
        // A peer that keeps sending must not block the other tasks of the thread.
        crate::io::defer_wake(cx);
        Poll::Pending
    }

    /// Reads once and discards the messages, until all calls in this poll have discarded [`MAX_INFLATED_PER_POLL`]
    /// bytes. `discarded` counts them.
    pub fn poll_read_discarding(
        &mut self,
        discarded: &mut usize,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamEnd>> {
        self.poll_read(now, cx, |event, _| {
            *discarded += event.payload_len();
            if *discarded >= MAX_INFLATED_PER_POLL {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    /// Reads once and discards the bytes. Returns whether there were any.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut buffer = ReadBuffer::take();
        let mut read = ReadBuf::new(&mut buffer);
        let polled = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read));
        Poll::Ready(polled.is_ok() && !read.filled().is_empty())
    }

    /// Returns the deadline at which the connection must be polled even if nothing arrives, to enforce a timeout.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.close_state {
            CloseState::Lingering { deadline } => Some(deadline.time()),
            CloseState::Open => self.machine.poll_timeout(),
            CloseState::Closed => None,
        }
    }
}
