//! The kinds of messages that a session puts into its outbox, in the form of the current transport.
//!
//! Hot path. A message for one session is framed in its encoder's memory. A message for many sessions is framed once
//! for all of them.

use engineio_proto::{EncodedMessage, Framing, Packet, SharedMessage};
use net::{OutboxItem, WireBytes, WriteQueue};

/// A message for this session only.
pub(crate) struct EncodedItem<'a>(pub(crate) EncodedMessage<'a>);

impl OutboxItem<Framing> for EncodedItem<'_> {
    fn len(&self, framing: Framing) -> usize {
        self.0.framed_len(framing)
    }

    fn push(self, framing: Framing, queue: &mut WriteQueue) {
        self.0.write(framing, |part| queue.push(WireBytes::Slice(part)));
    }
}

/// A message that many sessions share.
pub(crate) struct SharedItem<'a>(pub(crate) &'a SharedMessage);

impl OutboxItem<Framing> for SharedItem<'_> {
    fn len(&self, framing: Framing) -> usize {
        self.0.framed(framing).len()
    }

    fn push(self, framing: Framing, queue: &mut WriteQueue) {
        queue.push(WireBytes::Shared(self.0.framed(framing)));
    }
}

/// A packet that was not written by an encoder.
pub(crate) struct PacketItem<'a>(pub(crate) Packet<'a>);

impl OutboxItem<Framing> for PacketItem<'_> {
    fn len(&self, framing: Framing) -> usize {
        framing.packet_len(&self.0)
    }

    fn push(self, framing: Framing, queue: &mut WriteQueue) {
        queue.push_with(|out| framing.write_packet(&self.0, out));
    }
}
