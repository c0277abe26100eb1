//! Compresses the messages of a WebSocket session that has negotiated permessage-deflate.
//!
//! The outbox of such a session holds packets without frames. The packets are compressed only when the
//! connection accepts more bytes. Until then they are shared with other sessions. So a client that reads slowly costs no
//! compression and no copy, and sessions without compression still share their frames.

use std::borrow::Cow;

use engineio_proto::{Framing, ReframedPacket, Reframer};
use net::{HeldMemory, Outbox, WireBytes, WriteQueue};
use ws_proto::{DeflateAgreement, Deflater, FrameHeader, Opcode};

/// After about this many bytes, which take a few milliseconds, other tasks of the thread run.
const MAX_COMPRESSED_PER_TURN: usize = 256 * 1024;

/// A longer message is sent uncompressed. It would be compressed without a pause, and a broadcast would take this time
/// once for each receiver.
const MAX_COMPRESSED_MESSAGE: usize = 1024 * 1024;

/// While more frames than this wait to be written, no further ones are made.
const MAX_QUEUED_FRAMES: usize = 64 * 1024;

/// The messages between the outbox and the frames.
pub(super) struct CompressedOutput {
    deflater: Deflater,
    /// Packets that were taken from the outbox and are not compressed yet.
    packets: WriteQueue,
    reframer: Reframer,
}

impl CompressedOutput {
    pub(super) fn new(agreement: &DeflateAgreement, framing: Framing) -> Self {
        Self {
            deflater: Deflater::new(agreement),
            packets: WriteQueue::new(),
            reframer: Reframer::new(framing),
        }
    }

    /// Returns the number of bytes that were taken from the outbox and are not in a frame yet.
    pub(super) fn waiting(&self) -> usize {
        self.packets.len()
    }

    /// Returns the memory of the packets that are not in a frame yet.
    pub(super) fn memory(&self) -> HeldMemory {
        self.packets.memory()
    }

    /// Drops these packets.
    pub(super) fn clear(&mut self) {
        self.packets.clear();
    }

    /// Takes packets that were queued for another transport.
    pub(super) fn append(&mut self, packets: &mut WriteQueue) {
        self.packets.append(packets);
    }

    /// Moves messages from the outbox to `frames`, as long as few frames wait there and the turn is not over.
    pub(super) fn drain(&mut self, outbox: &Outbox<Framing>, frames: &mut WriteQueue) {
        if frames.len() >= MAX_QUEUED_FRAMES {
            return;
        }
        if self.packets.is_empty() {
            outbox.drain_into(&mut self.packets);
        }
        self.frame_packets(frames, self.packets.len().saturating_sub(MAX_COMPRESSED_PER_TURN), true);
    }

    /// Moves all messages from the outbox to `frames`, before the connection closes. What is more than the work of one
    /// turn is not compressed.
    pub(super) fn drain_all(&mut self, outbox: &Outbox<Framing>, frames: &mut WriteQueue) {
        outbox.drain_all_into(&mut self.packets);
        self.frame_packets(frames, self.packets.len().saturating_sub(MAX_COMPRESSED_PER_TURN), true);
        self.frame_packets(frames, 0, false);
    }

    /// Moves packets to `frames` until at most `left` bytes of them are left.
    fn frame_packets(&mut self, frames: &mut WriteQueue, left: usize, compress: bool) {
        let mut compressed = Vec::new();
        while self.packets.len() > left
            && let Some(front) = self.packets.front()
        {
            let piece = front.as_slice();
            let mut rest = piece;
            // A piece holds whole packets, or ends after a header. So without a packet, it is used up.
            let Some(ReframedPacket { opcode, payload: message, compress: allowed }) =
                self.reframer.next_packet(&mut rest)
            else {
                let used = piece.len();
                self.packets.consume(used);
                continue;
            };
            let used = piece.len() - rest.len();
            let compresses = compress && allowed && message.len() <= MAX_COMPRESSED_MESSAGE;
            if compresses && self.deflater.compress(&message, &mut compressed) {
                push(frames, opcode, true, WireBytes::Slice(&compressed));
            } else {
                match (front, &message) {
                    (WireBytes::Shared(all), Cow::Borrowed(data)) => {
                        push(frames, opcode, false, WireBytes::Shared(&all.slice_ref(data)));
                    }
                    _ => push(frames, opcode, false, WireBytes::Slice(&message)),
                }
            }
            self.packets.consume(used);
        }
    }
}

fn push(frames: &mut WriteQueue, opcode: Opcode, is_compressed: bool, payload: WireBytes<'_>) {
    let header = FrameHeader::unfragmented(opcode, payload.as_slice().len());
    frames.push(WireBytes::Slice(&FrameHeader { rsv1: is_compressed, ..header }.encode()));
    frames.push(payload);
}
