//! The kinds of messages that a session puts into its outbox, in the form of the current transport.
//!
//! Hot path. A message for one session is framed in its encoder's memory. A message for many sessions is framed once
//! for all of them.

use bytes::Bytes;
use engineio_proto::{EncodedMessage, Framing, MessageBatch, Packet, SharedBatch, SharedMessage};
use net::{Frame, MemoryBudget, OutboxItem, WireBytes, WriteQueue};

/// A message for this session only.
pub(crate) struct EncodedItem<'a>(pub(crate) EncodedMessage<'a>);

impl OutboxItem<Framing> for EncodedItem<'_> {
    fn len(&self, framing: Framing) -> usize {
        self.0.framed_len(framing)
    }

    fn push(self, framing: Framing, queue: &mut WriteQueue, _is_long: bool) {
        self.0.write(framing, |part| queue.push(WireBytes::Slice(part)));
    }

    fn into_frame(self, framing: Framing) -> Frame {
        let mut frame = Vec::with_capacity(self.0.framed_len(framing));
        self.0.write(framing, |part| frame.extend_from_slice(part));
        Frame::Own(frame.into())
    }
}

/// A message that many sessions share.
pub(crate) struct SharedItem<'a> {
    pub(crate) message: &'a SharedMessage,
    /// Where the memory counts if the session is behind, once for all sessions that hold it.
    pub(crate) budget: &'a MemoryBudget,
}

impl<'a> SharedItem<'a> {
    fn counted(&self, framing: Framing) -> &'a Bytes {
        self.message.framed_with_guard(framing, |length| self.budget.share(length))
    }
}

impl OutboxItem<Framing> for SharedItem<'_> {
    fn len(&self, framing: Framing) -> usize {
        self.message.framed(framing).len()
    }

    fn push(self, framing: Framing, queue: &mut WriteQueue, is_long: bool) {
        let is_counted = is_long && self.len(framing) > WriteQueue::ALWAYS_COPIED;
        let bytes = if is_counted { self.counted(framing) } else { self.message.framed(framing) };
        queue.push(WireBytes::Shared(bytes));
    }

    fn into_frame(self, framing: Framing) -> Frame {
        Frame::Shared(self.counted(framing).clone())
    }
}

/// Messages for this session only.
pub(crate) struct BatchItem<'a>(pub(crate) &'a MessageBatch);

impl OutboxItem<Framing> for BatchItem<'_> {
    fn len(&self, framing: Framing) -> usize {
        self.0.framed_len(framing)
    }

    fn push(self, framing: Framing, queue: &mut WriteQueue, _is_long: bool) {
        self.0.write(framing, |part| queue.push(WireBytes::Slice(part)));
    }

    fn into_frame(self, framing: Framing) -> Frame {
        let mut frame = Vec::with_capacity(self.0.framed_len(framing));
        self.0.write(framing, |part| frame.extend_from_slice(part));
        Frame::Own(frame.into())
    }
}

/// Messages that many sessions share.
pub(crate) struct SharedBatchItem<'a> {
    pub(crate) messages: &'a SharedBatch,
    /// See [`SharedItem::budget`].
    pub(crate) budget: &'a MemoryBudget,
}

impl<'a> SharedBatchItem<'a> {
    fn counted(&self, framing: Framing) -> &'a Bytes {
        self.messages.framed_with_guard(framing, |length| self.budget.share(length))
    }
}

impl OutboxItem<Framing> for SharedBatchItem<'_> {
    fn len(&self, framing: Framing) -> usize {
        self.messages.framed(framing).len()
    }

    fn push(self, framing: Framing, queue: &mut WriteQueue, is_long: bool) {
        let is_counted = is_long && self.len(framing) > WriteQueue::ALWAYS_COPIED;
        let bytes = if is_counted { self.counted(framing) } else { self.messages.framed(framing) };
        queue.push(WireBytes::Shared(bytes));
    }

    fn into_frame(self, framing: Framing) -> Frame {
        Frame::Shared(self.counted(framing).clone())
    }
}

/// A packet that was not written by an encoder.
pub(crate) struct PacketItem<'a>(pub(crate) Packet<'a>);

impl OutboxItem<Framing> for PacketItem<'_> {
    fn len(&self, framing: Framing) -> usize {
        framing.packet_len(&self.0)
    }

    fn push(self, framing: Framing, queue: &mut WriteQueue, _is_long: bool) {
        queue.push_with(|out| framing.write_packet(&self.0, out));
    }

    fn into_frame(self, framing: Framing) -> Frame {
        let mut frame = Vec::with_capacity(framing.packet_len(&self.0));
        framing.write_packet(&self.0, &mut frame);
        Frame::Own(frame.into())
    }
}
