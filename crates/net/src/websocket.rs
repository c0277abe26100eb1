//! A WebSocket machine on a byte stream.

use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ws_proto::{CloseFrame, Connection, Event, Input, Limits, ProtocolError, Role, Time};

use crate::read_buffer::ReadBuffer;
use crate::write_queue::WriteQueue;

/// How long the stream is still read after our end of it is shut, so that a peer which is sending gets our close frame
/// and not a reset.
const LINGER: Duration = Duration::from_secs(1);

/// One WebSocket connection: the stream, the machine, and what is still to be written.
///
/// Hot path. It does no waiting of its own: the task that owns it polls it.
#[derive(Debug)]
pub struct WebSocketStream<S> {
    stream: S,
    machine: Connection,
    queue: WriteQueue,
    /// What came behind the request that was upgraded, not decoded yet.
    leftover: Bytes,
    ending: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Not,
    /// Our end is shut; the peer may still send until then.
    Lingering { until: Time },
    Done,
}

/// Why nothing more is to be read.
#[derive(Debug)]
pub enum Ended {
    /// The peer has sent a close frame. The reply to it is queued.
    Closed(Option<CloseFrame>),
    /// The stream ended without a close frame.
    Eof,
    /// The peer broke the protocol. The close frame that tells it so is queued.
    Protocol(ProtocolError),
    /// The stream failed.
    Io(io::Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketStream<S> {
    /// The server's end of an upgraded connection.
    pub fn server(stream: S, leftover: Bytes, limits: &Limits) -> Self {
        Self {
            stream,
            machine: Connection::new(Role::Server, limits),
            queue: WriteQueue::new(),
            leftover,
            ending: Ending::Not,
        }
    }

    /// Reads once and hands each event to `each`, until it breaks. Ready when something was read, so call it again
    /// until it is pending.
    ///
    /// # Errors
    /// When the connection has ended. What `each` was given before counts.
    pub fn poll_read(
        &mut self,
        now: Time,
        cx: &mut Context<'_>,
        each: impl FnMut(Event<'_>, &mut Context<'_>) -> ControlFlow<()>,
    ) -> Poll<Result<(), Ended>> {
        if !self.leftover.is_empty() {
            // Happens at most once in a connection's life, so the copy is of no account.
            let mut leftover = Vec::from(std::mem::take(&mut self.leftover));
            return Poll::Ready(self.decode(&mut leftover, now, cx, each));
        }
        let mut buffer = ReadBuffer::take();
        let mut read = ReadBuf::new(&mut buffer);
        match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read)) {
            Ok(()) if read.filled().is_empty() => Poll::Ready(Err(Ended::Eof)),
            Ok(()) => Poll::Ready(self.decode(read.filled_mut(), now, cx, each)),
            Err(error) => Poll::Ready(Err(Ended::Io(error))),
        }
    }

    fn decode(
        &mut self,
        bytes: &mut [u8],
        now: Time,
        cx: &mut Context<'_>,
        mut each: impl FnMut(Event<'_>, &mut Context<'_>) -> ControlFlow<()>,
    ) -> Result<(), Ended> {
        let mut input = Input::new(bytes);
        let result = loop {
            match self.machine.decode(&mut input, now) {
                Ok(Some(Event::Close(frame))) => break Err(Ended::Closed(frame)),
                Ok(Some(event)) => {
                    if each(event, cx).is_break() {
                        break Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(Ended::Protocol(error)),
            }
        };
        self.queue_control();
        result
    }

    /// What waits to be written. Frames are pushed here in wire form.
    pub fn queue_mut(&mut self) -> &mut WriteQueue {
        &mut self.queue
    }

    /// Whether frames may still be sent.
    #[must_use]
    pub fn can_send(&self) -> bool {
        self.machine.can_send()
    }

    /// Writes what waits. Ready when nothing waits any more.
    ///
    /// # Errors
    /// The stream failed.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.queue.poll_write(&mut self.stream, cx)
    }

    /// Starts the close handshake. A second call changes nothing.
    pub fn close(&mut self, frame: Option<CloseFrame>, now: Time) {
        self.machine.close(frame, now);
        self.queue_control();
    }

    /// Drives the end: what waits is written, the peer's close frame awaited as long as the machine says, our end
    /// shut, the rest of the peer's bytes read and dropped for a moment. Ready when the stream may be dropped.
    pub fn poll_close(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.ending {
                Ending::Done => return Poll::Ready(()),
                Ending::Not => {
                    if self.machine.poll_timeout().is_some_and(|deadline| deadline <= now) {
                        // The peer neither reads nor answers.
                        self.ending = Ending::Done;
                    } else if ready!(self.poll_flush(cx)).is_err() {
                        self.ending = Ending::Done;
                    } else if self.machine.is_closed() {
                        let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
                        self.ending = Ending::Lingering { until: now + LINGER };
                    } else {
                        match ready!(self.poll_read(now, cx, |_, _| ControlFlow::Continue(()))) {
                            Ok(()) | Err(Ended::Closed(_) | Ended::Protocol(_)) => {}
                            Err(Ended::Eof | Ended::Io(_)) => self.ending = Ending::Done,
                        }
                    }
                }
                Ending::Lingering { until } if until <= now => self.ending = Ending::Done,
                Ending::Lingering { .. } => {
                    let mut buffer = ReadBuffer::take();
                    let mut read = ReadBuf::new(&mut buffer);
                    let polled = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read));
                    if polled.is_err() || read.filled().is_empty() {
                        self.ending = Ending::Done;
                    }
                }
            }
        }
    }

    /// When the machine or the end of the connection wants to be polled although nothing arrives.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.ending {
            Ending::Lingering { until } => Some(until),
            Ending::Not => self.machine.poll_timeout(),
            Ending::Done => None,
        }
    }

    /// Queues what the machine owes the peer: pongs and close frames.
    fn queue_control(&mut self) {
        while let Some(control) = self.machine.poll_transmit() {
            self.queue.push_with(|wire| control.encode_into(wire, None));
        }
    }
}
