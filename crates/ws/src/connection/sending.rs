//! Hot path. Sends messages, and manages the calls that wait for capacity.

use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use net::{WireBytes, WriteQueue, defer_wake};
use ws_proto::copy::append;
use ws_proto::{CloseCode, CloseFrame, FrameHeader, MAX_HEADER_LEN, Opcode, encode_frame, mask, mask_into};

use super::{COOP_BUDGET_BYTES, Phase, State};
use crate::connection::flush_position::FlushPosition;
use crate::connection::waiters::{PingPayload, Ticket, Waiters};
use crate::message::{Message, PreparedMessage};

/// A payload of at most this many bytes is copied after its header. A longer one is written from its own memory.
const MAX_COPY_LEN: usize = 4 * 1024;

/// With this many bytes in the queue, `send` writes them although the handler has not waited yet. A larger write would
/// hardly be cheaper, and its memory would no longer fit into the cache.
const FLUSH_THRESHOLD: usize = 64 * 1024;

/// The same threshold for long messages, which are written from their own memory. One write of four messages of 64 KiB
/// takes a tenth less time than four writes.
pub(super) const LONG_FLUSH_THRESHOLD: usize = 256 * 1024;

/// A message of at least this length is long. The long messages that are queued below [`LONG_FLUSH_THRESHOLD`] fit into
/// the slices of one vectored write.
pub(super) const LONG_MESSAGE_THRESHOLD: usize = 16 * 1024;

/// A fragment of a message.
#[derive(Debug)]
pub(crate) struct Fragment<'a> {
    /// The opcode of the whole message.
    pub(crate) opcode: Opcode,
    pub(crate) payload: &'a Bytes,
    pub(crate) is_first: bool,
    pub(crate) is_last: bool,
}

/// Why [`State::push`] did not queue a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushError {
    Full,
    Closed,
}

impl State {
    /// Queues a message, compressed if `compress` is set and compression was negotiated. On success, it may take the
    /// payload and leave an empty message. On failure, the message is unchanged.
    pub(crate) fn push(&mut self, message: &mut Message, compress: bool) -> Result<(), PushError> {
        self.reserve_capacity(self.wire_len(message))?;
        self.queue_message(message, compress);
        Ok(())
    }

    /// Queues a message after [`poll_capacity`](Self::poll_capacity) has returned `Ready`, and stores the byte position
    /// after it in `flush_position`. It may take the payload, as [`push`](Self::push) does.
    pub(crate) fn push_reserved(
        &mut self,
        message: &mut Message,
        flush_position: &mut FlushPosition,
    ) -> Result<(), PushError> {
        self.write_early(self.wire_len(message));
        if !self.can_send() {
            return Err(PushError::Closed);
        }
        match &mut self.waiters {
            Some(waiters) if waiters.is_fragmenting() => {
                waiters.hold_back(message.clone(), flush_position.hold_back());
            }
            _ => {
                self.queue_message(message, true);
                flush_position.set(self.end_of_queue());
            }
        }
        Ok(())
    }

    /// Returns the position after the last queued byte, in bytes since the beginning of the connection.
    pub(super) fn end_of_queue(&self) -> u64 {
        self.written + self.stream.buffered() as u64
    }

    /// Returns the length of a message in its frame, without compression.
    pub(super) fn wire_len(&self, message: &Message) -> usize {
        let mask = self.stream.is_masked().then_some([0; 4]);
        FrameHeader { masking_key: mask, ..FrameHeader::unfragmented(message.opcode(), message.len()) }
            .encode()
            .len()
            + message.len()
    }

    pub(super) fn queue_message(&mut self, message: &mut Message, compress: bool) {
        self.stream.meter_mut().message_sent();
        if tracing::enabled!(tracing::Level::TRACE) {
            trace_sent(message.len());
        }
        if compress && let Some(deflater) = &mut self.deflater {
            let mut compressed = Vec::new();
            let shrinks = deflater.compress(message.as_payload(), &mut compressed);
            self.charge_compression(message.len());
            if shrinks {
                // The queue counts the length of a buffer, so the buffer must not have spare capacity.
                compressed.shrink_to_fit();
                let header = FrameHeader::unfragmented(message.opcode(), compressed.len());
                self.queue(FrameHeader { rsv1: true, ..header }, &compressed.into());
                return;
            }
        }
        let header = FrameHeader::unfragmented(message.opcode(), message.len());
        match self.stream.mask_key() {
            Some(key) if message.len() > MAX_COPY_LEN && message.is_unique() => {
                let header = FrameHeader { masking_key: Some(key), ..header }.encode();
                let queue = self.stream.queue_mut();
                queue.push_with(|wire| wire.extend_from_slice(&header));
                queue.push(WireBytes::Shared(&masked(message.take(), key)));
            }
            key => self.queue_with_key(header, key, message.as_payload()),
        }
    }

    /// Counts the bytes that were compressed. Their compressed form may be too short to fill the queue, so without
    /// this, a loop of `send` would never yield.
    fn charge_compression(&mut self, bytes: usize) {
        self.budget_used += bytes;
        if self.budget_used >= COOP_BUDGET_BYTES {
            self.waiters_mut().set_must_yield(true);
        }
    }

    /// Queues a prepared message. A client has to mask it for each connection.
    pub(crate) fn push_prepared(&mut self, prepared: &PreparedMessage) -> Result<(), PushError> {
        if self.stream.is_masked() {
            return self.push(&mut prepared.message().clone(), true);
        }
        let Some(deflater) = &mut self.deflater else {
            let frame = prepared.frame();
            self.reserve_capacity(frame.len())?;
            self.stream.meter_mut().message_sent();
            self.stream.queue_mut().push(WireBytes::Shared(frame));
            return Ok(());
        };
        match deflater.no_takeover_window_bits().and_then(|bits| prepared.compressed_frame(bits, deflater)) {
            Some(frame) => {
                self.reserve_capacity(frame.len())?;
                self.stream.meter_mut().message_sent();
                self.stream.queue_mut().push(WireBytes::Shared(&frame));
                Ok(())
            }
            None => self.push(&mut prepared.message().clone(), true),
        }
    }

    /// Makes sure that `length` more bytes may be queued.
    pub(super) fn reserve_capacity(&mut self, length: usize) -> Result<(), PushError> {
        self.write_early(length);
        if !self.can_send() {
            return Err(PushError::Closed);
        }
        let queued = self.stream.buffered();
        if queued > 0 && queued + length > self.max_write_buffer_size {
            return Err(PushError::Full);
        }
        Ok(())
    }

    /// Writes the queue first if it would become long with `length` more bytes.
    pub(super) fn write_early(&mut self, length: usize) {
        let enough = if length < LONG_MESSAGE_THRESHOLD { FLUSH_THRESHOLD } else { LONG_FLUSH_THRESHOLD };
        if self.stream.buffered() + length > self.max_write_buffer_size.min(enough) && !self.write_blocked {
            self.flush();
        }
    }

    pub(super) fn queue(&mut self, header: FrameHeader, payload: &Bytes) {
        let mask = self.stream.mask_key();
        self.queue_with_key(header, mask, payload);
    }

    fn queue_with_key(&mut self, header: FrameHeader, masking_key: Option<[u8; 4]>, payload: &Bytes) {
        let header = FrameHeader { masking_key, ..header }.encode();
        let queue = self.stream.queue_mut();
        if let Some(key) = masking_key {
            queue_masked(queue, &header, payload, key);
        } else if payload.len() <= MAX_COPY_LEN {
            queue.push_with(|wire| {
                wire.reserve(header.len() + payload.len());
                wire.extend_from_slice(&header);
                append(wire, payload);
            });
        } else {
            queue.push_with(|wire| wire.extend_from_slice(&header));
            queue.push(WireBytes::Shared(payload));
        }
    }

    /// Pushes if there is capacity, without regard to waiting calls, unless a message is being sent piece by piece.
    #[inline]
    pub(crate) fn try_push(
        &mut self,
        push: impl FnOnce(&mut Self) -> Result<(), PushError>,
    ) -> Result<(), PushError> {
        if self.can_send() && self.waiters.as_ref().is_some_and(|waiters| waiters.is_fragmenting()) {
            return Err(PushError::Full);
        }
        push(self)
    }

    /// Pushes if no call is waiting and there is capacity.
    #[inline]
    pub(crate) fn push_fair(
        &mut self,
        push: impl FnOnce(&mut Self) -> Result<(), PushError>,
    ) -> Result<(), PushError> {
        if self.waiters.is_some() { self.push_if_next(None, push) } else { push(self) }
    }

    /// Pushes if it is this call's turn in the queue and there is capacity. A call that has to wait gets a ticket,
    /// which it has to return with [`cancel_waiter`](Self::cancel_waiter).
    pub(crate) fn poll_push(
        &mut self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
        push: impl FnOnce(&mut Self) -> Result<(), PushError>,
    ) -> Poll<Result<(), ()>> {
        if self.yield_send(cx) {
            // The call gets no place among the waiting senders, because the next write would wake it at once.
            return Poll::Pending;
        }
        match self.push_if_next(*ticket, push) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(PushError::Closed) => Poll::Ready(Err(())),
            Err(PushError::Full) => {
                self.waiters_mut().enqueue_sender(ticket, cx);
                Poll::Pending
            }
        }
    }

    /// If the budget is used up, yields to other tasks and returns `true`. The task is then polled again after the
    /// other tasks.
    fn yield_send(&mut self, cx: &Context<'_>) -> bool {
        let can_send = self.can_send();
        match &mut self.waiters {
            Some(waiters) if can_send && waiters.must_yield() => {
                waiters.set_must_yield(false);
                self.budget_used = 0;
                defer_wake(cx);
                true
            }
            _ => false,
        }
    }

    /// Queues a fragment of a message. The first fragment waits for its turn like a message.
    pub(crate) fn poll_send_fragment(
        &mut self,
        fragment: &Fragment<'_>,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), ()>> {
        if fragment.is_first {
            let pushed = self.poll_push(ticket, cx, |state| {
                state.reserve_capacity(fragment.payload.len() + MAX_HEADER_LEN)?;
                state.queue_fragment(fragment);
                Ok(())
            });
            if pushed == Poll::Ready(Ok(())) && !fragment.is_last {
                self.waiters_mut().begin_fragmented_message();
            }
            return pushed;
        }
        // An empty last fragment is only a header, so it needs no capacity.
        let capacity = match fragment.is_last && fragment.payload.is_empty() {
            true if self.can_send() => Ok(()),
            true => Err(PushError::Closed),
            false => self.reserve_capacity(fragment.payload.len() + MAX_HEADER_LEN),
        };
        match capacity {
            Ok(()) => {
                self.queue_fragment(fragment);
                if fragment.is_last {
                    self.end_fragmented_message();
                }
                Poll::Ready(Ok(()))
            }
            Err(PushError::Full) => {
                self.waiters_mut().wait_fragment_capacity(cx);
                Poll::Pending
            }
            Err(PushError::Closed) => Poll::Ready(Err(())),
        }
    }

    pub(super) fn queue_fragment(&mut self, fragment: &Fragment<'_>) {
        if fragment.is_last {
            self.stream.meter_mut().message_sent();
        }
        let opcode = if fragment.is_first { fragment.opcode } else { Opcode::Continuation };
        let header = FrameHeader {
            fin: fragment.is_last,
            ..FrameHeader::unfragmented(opcode, fragment.payload.len())
        };
        self.queue(header, fragment.payload);
    }

    /// Called when the fragmented message is complete: other messages may begin.
    pub(super) fn end_fragmented_message(&mut self) {
        let held_back = self.waiters_mut().end_fragmented_message();
        for (mut message, position) in held_back {
            self.queue_message(&mut message, true);
            position.set(self.end_of_queue());
        }
        self.notify_capacity();
        self.waiters_mut().wake_sink_ready();
    }

    /// Called when the fragmented message will never be complete. Closes the connection, because no other message can
    /// follow.
    pub(crate) fn abort_message(&mut self) {
        self.close(Some(CloseFrame::new(CloseCode::INTERNAL_ERROR, "a message was not completed")));
    }

    pub(super) fn push_if_next(
        &mut self,
        ticket: Option<Ticket>,
        push: impl FnOnce(&mut Self) -> Result<(), PushError>,
    ) -> Result<(), PushError> {
        if self.waiters.as_ref().is_none_or(|waiters| waiters.is_next(ticket)) {
            return push(self);
        }
        Err(if self.can_send() { PushError::Full } else { PushError::Closed })
    }

    /// Waits until a message of any length may be queued.
    pub(crate) fn poll_capacity(&mut self, cx: &Context<'_>) -> Poll<Result<(), PushError>> {
        if self.can_send() && self.waiters.as_ref().is_some_and(|waiters| waiters.is_fragmenting()) {
            return self.wait_sink_ready(cx);
        }
        if self.yield_send(cx) {
            return Poll::Pending;
        }
        self.poll_buffer_capacity(cx)
    }

    pub(super) fn poll_buffer_capacity(&mut self, cx: &Context<'_>) -> Poll<Result<(), PushError>> {
        match self.reserve_capacity(1) {
            Err(PushError::Full) => self.wait_sink_ready(cx),
            ready => Poll::Ready(ready),
        }
    }

    /// Sends a Ping when there is capacity, and waits for its Pong.
    pub(crate) fn poll_ping(
        &mut self,
        ticket: &mut Option<Ticket>,
        payload: PingPayload,
        cx: &Context<'_>,
    ) -> Poll<Result<Duration, PushError>> {
        if let (Some(ticket), Some(waiters)) = (*ticket, &mut self.waiters)
            && let Poll::Ready(round_trip) = waiters.poll_pong(ticket, cx)
        {
            return Poll::Ready(round_trip.ok_or(PushError::Closed));
        }
        if !self.can_send() {
            return Poll::Ready(Err(PushError::Closed));
        }
        if ticket.is_some() {
            return Poll::Pending;
        }
        ready!(self.poll_buffer_capacity(cx))?;
        let mask = self.stream.mask_key();
        self.stream.queue_mut().push_with(|wire| encode_frame(Opcode::Ping, &payload, mask, wire));
        self.waiters_mut().insert_ping(ticket, payload, net::now(), cx);
        Poll::Pending
    }

    /// Returns how long a peer may take to respond.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.keepalive.idle_timeout()
    }

    /// Waits until everything that a `Sink` has sent was written.
    pub(crate) fn poll_written(
        &mut self,
        flush_position: &FlushPosition,
        cx: &Context<'_>,
    ) -> Poll<Result<(), PushError>> {
        let Some(position) = flush_position.position() else {
            // The message is held back until the end of a fragmented message; only then does it get a position in the
            // queue.
            return if self.can_send() {
                self.wait_sink_ready(cx)
            } else {
                Poll::Ready(Err(PushError::Closed))
            };
        };
        if self.written >= position {
            return Poll::Ready(Ok(()));
        }
        if self.write_error.is_some() || self.phase == Phase::Finished {
            // `written` already includes all bytes that were written. The rest will never be written.
            return Poll::Ready(Err(PushError::Closed));
        }
        if self.stream.buffered() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.waiters_mut().wait_sink_flush(cx);
        Poll::Pending
    }

    /// Begins to close, and waits for the end of the connection.
    pub(crate) fn poll_close(&mut self, frame: CloseFrame, cx: &Context<'_>) -> Poll<()> {
        self.close(Some(frame));
        if self.close_cause.is_some() {
            return Poll::Ready(());
        }
        self.waiters_mut().wait_sink_close(cx);
        Poll::Pending
    }

    pub(super) fn wait_sink_ready<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.waiters_mut().wait_sink_ready(cx);
        Poll::Pending
    }

    /// Called when a call no longer waits. Wakes the next call, which may have waited only for this call.
    pub(crate) fn cancel_waiter(&mut self, ticket: Ticket) {
        if let Some(waiters) = &mut self.waiters {
            waiters.cancel(ticket);
            self.notify_capacity();
        }
    }

    /// Wakes a call that waits for capacity, if at least half of the capacity is free.
    pub(super) fn notify_capacity(&mut self) {
        if let Some(waiters) = &mut self.waiters
            && self.stream.buffered() <= self.max_write_buffer_size / 2
        {
            waiters.wake_next_sender();
        }
    }

    /// Wakes the calls that wait for an event that can no longer happen, and the calls that wait for the end.
    pub(super) fn wake_failed_waiters(&mut self) {
        if self.waiters.is_none() {
            return;
        }
        let (can_send, has_ended) = (self.can_send(), self.close_cause.is_some());
        let can_write = self.write_error.is_none() && self.phase != Phase::Finished;
        let waiters = self.waiters_mut();
        if !can_send {
            waiters.wake_senders();
            waiters.wake_sink_ready();
        }
        if !can_write {
            waiters.wake_sink_flush();
        }
        if has_ended {
            waiters.wake_closed();
        }
    }

    pub(super) fn waiters_mut(&mut self) -> &mut Waiters {
        self.waiters.get_or_insert_default()
    }

    pub(super) fn take_wake_list(&mut self) -> Vec<Waker> {
        let Some(waiters) = &mut self.waiters else { return Vec::new() };
        let woken = waiters.take_wake_list();
        if waiters.is_empty() {
            self.waiters = None;
        }
        woken
    }
}

/// Masks the payload of a client's frame in place, without a second allocation. The payload must not be shared.
fn masked(payload: Bytes, key: [u8; 4]) -> Bytes {
    let mut payload = BytesMut::from(payload);
    mask(&mut payload, key);
    payload.freeze()
}

/// Queues a client's frame, and masks the payload while copying it. A long frame gets its own allocation, which is
/// freed as soon as it is written.
fn queue_masked(queue: &mut WriteQueue, header: &[u8], payload: &[u8], key: [u8; 4]) {
    let length = header.len() + payload.len();
    let write = |wire: &mut Vec<u8>| {
        wire.reserve(length);
        wire.extend_from_slice(header);
        mask_into(payload, key, wire);
    };
    if payload.len() <= MAX_COPY_LEN {
        queue.push_with(write);
    } else {
        let mut frame = Vec::with_capacity(length);
        write(&mut frame);
        queue.push(WireBytes::Shared(&frame.into()));
    }
}

#[cold]
fn trace_sent(bytes: usize) {
    tracing::trace!(bytes, "message sent");
}
