//! A WebSocket state machine on a byte stream.

mod closing;

use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ws_proto::copy::to_vec;
use ws_proto::{CloseFrame, Connection, DeflateAgreement, Event, Input, Limits, ProtocolError, Role, Time};

use self::closing::CloseState;
pub(crate) use self::closing::LINGER;
pub use self::closing::MAX_CLOSING_READS_PER_POLL;
use super::mask_keys::mask_key;
use super::read_buffer::{DEFAULT_READ_SIZE, MAX_READ_SIZE, ReadBuffer};
use super::stream::Stream;
use super::write_queue::WriteQueue;
use crate::memory_budget::HeldMemory;
use crate::metrics::Meter;

/// The maximum number of events decoded in one call. A read can hold eleven thousand events. If one call handled all of
/// them, a few peers that send only such reads would block the other tasks of the thread for seconds.
const MAX_EVENTS_PER_POLL: usize = 128;

/// After this many bytes of received messages in one poll, a connection that inflates them yields to the other tasks of
/// the thread. A kilobyte of a read may inflate to a megabyte, so the length of the reads limits nothing.
pub const MAX_INFLATED_PER_POLL: usize = 1024 * 1024;

/// A frame is long if at least this many of its bytes are still missing. If fewer are missing, another read would cost
/// more than a copy does.
const LONG_FRAME_THRESHOLD: usize = 16 * 1024;

/// The number of bytes that a read requests after the end of a long frame. A few short messages that follow the frame
/// then need no read of their own. If another long message follows, these bytes are its beginning. The buffer of a
/// message is allocated at once if at least a sixteenth of the message has arrived. 5 KiB are a little more than a
/// sixteenth of 64 KiB.
const READ_AHEAD_AFTER_LONG_FRAME: usize = 5 * 1024;

/// No pong is queued while at least this many bytes are queued.
const MAX_BUFFERED_FOR_PONG: usize = 64 * 1024;

/// One WebSocket connection: the stream, the state machine, and the bytes to write.
///
/// Hot path. It does not wait by itself: the task that owns it polls it.
#[derive(Debug)]
pub struct WebSocketStream<S> {
    stream: S,
    machine: Connection,
    queue: WriteQueue,
    /// The bytes that were read and are not decoded yet start at `buffered_input_start`. They are bytes that came after
    /// the upgrade request, or the rest of a read that [`poll_next`](Self::poll_next) has started to decode. The buffer
    /// holds memory only while there is such a rest.
    buffered_input: Vec<u8>,
    buffered_input_start: usize,
    close_state: CloseState,
    meter: Meter,
}

/// Why nothing more can be read.
#[derive(Debug)]
pub enum StreamEnd {
    /// The peer sent a close frame. The reply is sent after the bytes already queued.
    Closed(Option<CloseFrame>),
    /// The stream ended without a close frame.
    Eof,
    /// The peer violated the protocol. A close frame with the reason is sent after the bytes already queued.
    Protocol(ProtocolError),
    /// The stream failed.
    Io(io::Error),
}

impl WebSocketStream<Stream> {
    /// Takes the stream out, so that the caller can drop it, and frees the read and the queued bytes. After that the
    /// connection is closed, even if other handles to it still exist. The received part of an incomplete message is
    /// freed too. Otherwise each closed connection could keep such a part in memory.
    pub fn take_stream(&mut self) -> Stream {
        let _ = self.machine.handle_eof();
        self.queue.clear();
        self.buffered_input = Vec::new();
        self.buffered_input_start = 0;
        self.close_state = CloseState::Closed;
        self.meter.flush(0);
        std::mem::replace(&mut self.stream, Stream::Closed)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketStream<S> {
    /// Creates the server's end of an upgraded connection. `leftover` holds the bytes that were read after the request.
    pub fn server(stream: S, leftover: Bytes, limits: &Limits) -> Self {
        Self::new(Role::Server, stream, leftover, limits)
    }

    /// Creates the client's end of an upgraded connection. `leftover` holds the bytes that were read after the
    /// response. The caller must mask each frame that it queues, with a new [`mask_key`](Self::mask_key).
    pub fn client(stream: S, leftover: Bytes, limits: &Limits) -> Self {
        Self::new(Role::Client, stream, leftover, limits)
    }

    fn new(role: Role, stream: S, leftover: Bytes, limits: &Limits) -> Self {
        Self {
            stream,
            machine: Connection::new(role, limits),
            queue: WriteQueue::new(),
            // An empty `Bytes` would still hold the buffer of the HTTP server.
            buffered_input: if leftover.is_empty() { Vec::new() } else { leftover.into() },
            buffered_input_start: 0,
            close_state: CloseState::Open,
            meter: Meter::default(),
        }
    }

    /// Enables permessage-deflate for received messages. The caller compresses the messages that it queues.
    #[must_use]
    pub fn with_deflate(mut self, agreement: &DeflateAgreement) -> Self {
        self.machine = self.machine.with_deflate(agreement);
        self
    }

    /// Counts the bytes of the connection with this meter.
    #[must_use]
    pub fn with_meter(mut self, meter: Meter) -> Self {
        self.meter = meter;
        self
    }

    /// Returns the meter of the connection.
    #[inline]
    pub fn meter_mut(&mut self) -> &mut Meter {
        &mut self.meter
    }

    /// Optimizes for a caller that keeps the messages it receives, see [`Connection::with_owned_long_messages`].
    #[must_use]
    pub fn with_owned_long_messages(mut self) -> Self {
        self.machine = self.machine.with_owned_long_messages();
        self
    }

    /// Reads once and passes each event to `each`, until `each` breaks. Returns `Ready` if something was read.
    ///
    /// Call it again until it returns `Pending`. But if [`has_buffered_input`](Self::has_buffered_input) returns
    /// `true`, first let other tasks of the thread run. A call stops after a break, and after 128 events, so that it
    /// does not block other tasks. The next call decodes the remaining bytes.
    ///
    /// # Errors
    /// The connection has ended. The events passed to `each` before the error are valid.
    pub fn poll_read(
        &mut self,
        now: Time,
        cx: &mut Context<'_>,
        mut each: impl FnMut(Event<'_>, &mut Context<'_>) -> ControlFlow<()>,
    ) -> Poll<Result<(), StreamEnd>> {
        self.poll_next(|| now, cx, |event, cx| each(event, cx).is_break().then_some(())).map_ok(|_| ())
    }

    /// Decodes events up to the first one for which `pick` returns `Some`, and returns that value. Decodes the rest of
    /// the previous read if there is one, and reads once otherwise. Returns `None` if `pick` took no event.
    ///
    /// Call it again until it returns `Pending`. But while [`has_buffered_input`](Self::has_buffered_input) returns
    /// `true`, let other tasks run between two calls.
    ///
    /// This is for callers that take one message at a time. The first call copies the rest of a read, the following
    /// calls decode it in place, and the last of them frees it. `arrived` is called when there are bytes to decode, and
    /// returns the time of their arrival. For the rest of an earlier read, it may return the time of that read. But if
    /// [`is_control_rate_high`](Self::is_control_rate_high) returns `true`, it must return the current time.
    ///
    /// # Errors
    /// The connection has ended. The values picked before the error are valid.
    pub fn poll_next<T>(
        &mut self,
        arrived: impl FnOnce() -> Time,
        cx: &mut Context<'_>,
        mut pick: impl FnMut(Event<'_>, &mut Context<'_>) -> Option<T>,
    ) -> Poll<Result<Option<T>, StreamEnd>> {
        if self.has_buffered_input() {
            let mut backlog = std::mem::take(&mut self.buffered_input);
            let mut input = Input::new(&mut backlog[self.buffered_input_start..]);
            let picked = self.decode(&mut input, arrived(), |event| pick(event, cx));
            let left = input.len();
            if left > 0 && picked.is_ok() {
                self.buffered_input_start = backlog.len() - left;
                self.buffered_input = backlog;
            } else {
                self.buffered_input_start = 0;
            }
            return Poll::Ready(picked);
        }
        let mut buffer = ReadBuffer::take();
        let mut read = ReadBuf::new(&mut buffer[..self.next_read_size()]);
        ready!(self.poll_fill(&mut read, cx))?;
        let mut input = Input::new(read.filled_mut());
        let picked = self.decode(&mut input, arrived(), |event| pick(event, cx));
        if picked.is_ok() && !input.is_empty() {
            self.buffered_input = to_vec(input.into_rest());
        }
        Poll::Ready(picked)
    }

    /// Returns the size of the next read. In the middle of a long message this is little more than the rest of the
    /// message: bytes read after its end are copied twice.
    #[inline]
    fn next_read_size(&self) -> usize {
        match self.machine.frame_remaining() {
            0..LONG_FRAME_THRESHOLD => DEFAULT_READ_SIZE,
            long => MAX_READ_SIZE.min(long + READ_AHEAD_AFTER_LONG_FRAME),
        }
    }

    /// Returns whether bytes were read and not decoded yet. Then the next call of [`poll_next`](Self::poll_next) does
    /// not read.
    #[must_use]
    pub fn has_buffered_input(&self) -> bool {
        !self.buffered_input.is_empty() || self.machine.has_chunk()
    }

    /// See [`Connection::is_control_rate_high`].
    #[inline]
    #[must_use]
    pub fn is_control_rate_high(&self, now: Time) -> bool {
        self.machine.is_control_rate_high(now)
    }

    /// See [`Connection::is_inflating`]. If it returns `true`, let other tasks of the thread run between two reads.
    #[inline]
    #[must_use]
    pub fn is_inflating(&self) -> bool {
        self.machine.is_inflating()
    }

    /// Sets whether messages are returned in chunks as they arrive, see [`Connection::receive_in_chunks`]. Drops the
    /// rest of a message whose chunks have started to arrive.
    pub fn receive_in_chunks(&mut self, in_chunks: bool) {
        self.machine.skip_chunks();
        self.machine.receive_in_chunks(in_chunks);
    }

    /// See [`Connection::set_max_chunked_bytes`].
    pub fn set_max_chunked_bytes(&mut self, bytes: u64) {
        self.machine.set_max_chunked_bytes(bytes);
    }

    fn poll_fill(&mut self, read: &mut ReadBuf<'_>, cx: &mut Context<'_>) -> Poll<Result<(), StreamEnd>> {
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_read(cx, read)) {
            Ok(()) if read.filled().is_empty() => Err(StreamEnd::Eof),
            Ok(()) => {
                self.meter.received(read.filled().len());
                Ok(())
            }
            Err(error) => Err(StreamEnd::Io(error)),
        })
    }

    fn decode<T>(
        &mut self,
        input: &mut Input<'_>,
        now: Time,
        mut pick: impl FnMut(Event<'_>) -> Option<T>,
    ) -> Result<Option<T>, StreamEnd> {
        let mut events = 0;
        let result = loop {
            if events == MAX_EVENTS_PER_POLL {
                break Ok(None);
            }
            events += 1;
            match self.machine.decode(input, now) {
                Ok(Some(Event::Close(frame))) => break Err(StreamEnd::Closed(frame)),
                Ok(Some(event)) => {
                    if let Event::Ping(_) = event {
                        // Each ping of a read gets its own pong. RFC 6455 §5.5.3 also allows a pong to the last ping
                        // only, but peers count pongs. A peer that does not read gets only the last pong.
                        self.queue_control();
                    }
                    if let Some(picked) = pick(event) {
                        break Ok(Some(picked));
                    }
                }
                Ok(None) => break Ok(None),
                Err(error) => break Err(StreamEnd::Protocol(error)),
            }
        };
        if result.is_ok() {
            // On an error the close frame is queued later, by the flush. The owner may still queue responses to the
            // messages before it, and they must not come after a close frame (§5.5.1).
            self.queue_control();
        }
        result
    }

    /// Returns the number of queued bytes.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.queue.len()
    }

    /// Returns the memory that the connection holds for its peer, in bytes: an unfinished message, bytes that are not
    /// decoded yet, and bytes that wait to be written.
    #[inline]
    #[must_use]
    pub fn memory(&self) -> HeldMemory {
        self.queue.memory() + HeldMemory::from(self.machine.message_memory() + self.buffered_input.len())
    }

    /// Returns the queue of bytes to write. Frames are pushed to it in wire form.
    pub fn queue_mut(&mut self) -> &mut WriteQueue {
        &mut self.queue
    }

    /// Returns whether queued frames must be masked. The frames of a client must.
    #[inline]
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.machine.role() == Role::Client
    }

    /// Returns the masking key for the next queued frame, a new one in each call. Returns `None` for a server, whose
    /// frames are not masked.
    #[inline]
    #[must_use]
    pub fn mask_key(&self) -> Option<[u8; 4]> {
        match self.machine.role() {
            Role::Server => None,
            Role::Client => Some(mask_key()),
        }
    }

    /// Returns whether frames may still be sent.
    #[must_use]
    pub fn can_send(&self) -> bool {
        self.machine.can_send()
    }

    /// Writes the queued bytes. Returns `Ready` when nothing is queued any more.
    ///
    /// # Errors
    /// The stream failed.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let before = self.queue.len();
            let written = self.queue.poll_write(&mut self.stream, cx);
            let left = self.queue.len();
            self.meter.sent(before - left);
            if !matches!(written, Poll::Ready(Ok(()))) {
                self.meter.flush(left);
            }
            ready!(written)?;
            self.queue_control();
            if self.queue.is_empty() {
                self.meter.flush(0);
                // A TLS stream may still hold bytes that it has accepted. On TCP this does nothing.
                return Pin::new(&mut self.stream).poll_flush(cx);
            }
        }
    }

    /// Queues an empty Ping.
    pub fn ping(&mut self) {
        // An empty payload is never too long.
        let _ = self.machine.ping(&[]);
        self.queue_control();
    }

    /// Queues the pongs and close frames of the state machine. If the peer does not read, pongs stay in the state
    /// machine, which keeps only the last one. Otherwise a peer that sends pings and reads no pongs would fill our
    /// memory.
    #[inline]
    fn queue_control(&mut self) {
        if self.machine.wants_transmit() {
            self.queue_pending_control();
        }
    }

    /// Returns whether a pong or a close frame waits for capacity in the queue.
    #[inline]
    #[must_use]
    pub fn has_pending_control(&self) -> bool {
        self.machine.wants_transmit()
    }

    #[cold]
    fn queue_pending_control(&mut self) {
        while (self.queue.len() < MAX_BUFFERED_FOR_PONG || !self.machine.can_send())
            && let Some(control) = self.machine.poll_transmit()
        {
            let mask = self.mask_key();
            self.queue.push_with(|wire| control.encode_into(wire, mask));
        }
    }
}

#[cfg(test)]
mod tests;
