//! Packets that wait to be sent, in one buffer and in order.
//!
//! Hot path. A packet is stored with its length ([`Framing::LengthDelimited`]), because its form on the wire is known
//! only when it is sent: a masked frame on WebSocket, a part of a payload on polling.

use std::cell::Cell;

use engineio_proto::{
    EncodedMessage, Framing, LengthDelimitedPackets, MessageBatch, Packet, Reframer, encode_payload,
};
use ws_proto::Opcode;

/// The capacity of a buffer that the thread keeps for the next queue. An idle queue holds no buffer.
const SPARE_CAPACITY: usize = 64 * 1024;

/// Sent packets are removed from the front of the buffer only when they take more than this many bytes.
const COMPACT_THRESHOLD: usize = 16 * 1024;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A queue of packets.
#[derive(Debug, Default)]
pub(crate) struct PacketQueue {
    /// The packets before `start` are sent.
    bytes: Vec<u8>,
    start: usize,
}

impl PacketQueue {
    /// Returns the number of bytes of the packets, with their lengths.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn push_message(&mut self, message: EncodedMessage<'_>) {
        let bytes = self.bytes_mut();
        message.write(Framing::LengthDelimited, |part| bytes.extend_from_slice(part));
    }

    pub(crate) fn push_batch(&mut self, messages: &MessageBatch) {
        let bytes = self.bytes_mut();
        messages.write(Framing::LengthDelimited, |part| bytes.extend_from_slice(part));
    }

    pub(crate) fn push_packet(&mut self, packet: &Packet<'_>) {
        Framing::LengthDelimited.write_packet(packet, self.bytes_mut());
    }

    /// Moves all packets of `other` to the end.
    pub(crate) fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, other);
        } else {
            self.bytes.extend_from_slice(&other.bytes[other.start..]);
        }
        other.clear();
    }

    /// Returns the [lengths](Packet::encoded_len) of the packets in their text form.
    pub(crate) fn text_lens(&self) -> impl Iterator<Item = usize> {
        let mut rest = &self.bytes[self.start..];
        std::iter::from_fn(move || next_packet(&mut rest)).map(|(opcode, data, _)| match opcode {
            Opcode::Binary => Packet::Binary(data.into()).encoded_len(),
            _ => data.len(),
        })
    }

    /// Removes the first packet and passes it to `send`, as the opcode and the content of a WebSocket message, and
    /// whether the message may be compressed. Returns `false` if there is none.
    pub(crate) fn send_next(&mut self, send: impl FnOnce(Opcode, &[u8], bool)) -> bool {
        let mut rest = &self.bytes[self.start..];
        let before = rest.len();
        let Some((opcode, data, compress)) = next_packet(&mut rest) else { return false };
        let sent = before - rest.len();
        send(opcode, data, compress);
        self.consume(sent);
        true
    }

    /// Removes the first `count` packets and appends them to a polling payload.
    pub(crate) fn move_to_payload(&mut self, count: usize, payload: &mut Vec<u8>) {
        let mut rest = &self.bytes[self.start..];
        let before = rest.len();
        for _ in 0..count {
            if next_packet(&mut rest).is_none() {
                break;
            }
        }
        let moved = before - rest.len();
        let packets = &self.bytes[self.start..self.start + moved];
        encode_payload(LengthDelimitedPackets::new(packets), payload);
        self.consume(moved);
    }

    /// Drops all packets and the buffer.
    pub(crate) fn clear(&mut self) {
        self.start = 0;
        let mut buffer = std::mem::take(&mut self.bytes);
        if (1..=SPARE_CAPACITY).contains(&buffer.capacity()) {
            buffer.clear();
            // The thread may be exiting. Then the buffer is freed.
            let _ = SPARE.try_with(|spare| spare.set(buffer));
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        if self.is_empty() {
            self.clear();
        } else if self.start > COMPACT_THRESHOLD && self.start * 2 > self.bytes.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    fn bytes_mut(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.try_with(Cell::take).unwrap_or_default();
        }
        &mut self.bytes
    }
}

/// Removes the first packet of `rest`, which holds whole packets.
fn next_packet<'a>(rest: &mut &'a [u8]) -> Option<(Opcode, &'a [u8], bool)> {
    let piece = *rest;
    let packet = Reframer::new(Framing::WebSocket).next_packet(rest)?;
    // `Framing::WebSocket` changes no data, so it is borrowed. The data ends where the rest begins.
    let end = piece.len() - rest.len();
    Some((packet.opcode, &piece[end - packet.payload.len()..end], packet.compress))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(packets: &[Packet<'_>]) -> PacketQueue {
        let mut queue = PacketQueue::default();
        packets.iter().for_each(|packet| queue.push_packet(packet));
        queue
    }

    fn packets() -> [Packet<'static>; 3] {
        [Packet::Message("hé"), Packet::Binary(vec![1, 2, 3, 4].into()), Packet::Message("")]
    }

    #[test]
    fn packets_leave_in_order_as_messages_or_as_a_payload() {
        let mut messages = Vec::new();
        let mut sent = queue(&packets());
        while sent.send_next(|opcode, data, _| messages.push((opcode, data.to_vec()))) {}
        assert_eq!(
            messages,
            [(Opcode::Text, "4hé".into()), (Opcode::Binary, vec![1, 2, 3, 4]), (Opcode::Text, b"4".to_vec())]
        );
        assert_eq!(sent.bytes.capacity(), 0, "an empty queue holds no memory");

        let mut posted = queue(&packets());
        let mut payload = b"3".to_vec();
        posted.move_to_payload(2, &mut payload);
        assert_eq!(payload, "3\x1e4hé\x1ebAQIDBA==".as_bytes());
        payload.clear();
        posted.move_to_payload(5, &mut payload);
        assert_eq!((payload.as_slice(), posted.len()), (&b"4"[..], 0));
    }

    #[test]
    fn the_lengths_are_those_of_the_text_form() {
        let lens: Vec<_> = queue(&packets()).text_lens().collect();
        assert_eq!(lens, packets().map(|packet| packet.encoded_len()));
    }

    #[test]
    fn a_queue_that_never_empties_does_not_grow() {
        let text = "x".repeat(4_000);
        let mut queue = queue(&[Packet::Message(&text)]);
        for _ in 0..10_000 {
            queue.push_packet(&Packet::Message(&text));
            assert!(queue.send_next(|_, data, _| assert_eq!(data.len(), 4_001)));
        }
        assert!(queue.bytes.capacity() <= 4 * COMPACT_THRESHOLD, "{}", queue.bytes.capacity());
    }

    #[test]
    fn queues_are_appended_in_order() {
        let mut first = queue(&packets()[..2]);
        first.send_next(|_, _, _| {});
        let mut second = queue(&packets());
        second.send_next(|_, _, _| {});
        first.append(&mut second);
        assert!(second.is_empty());
        let mut payload = Vec::new();
        first.move_to_payload(9, &mut payload);
        assert_eq!(payload, b"bAQIDBA==\x1ebAQIDBA==\x1e4");
    }
}
