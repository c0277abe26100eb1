//! The bytes that a connection still has to write.
//!
//! Hot path. Small messages are copied into one buffer, so that a poll of the driver that sends many of them needs one
//! `write`. Larger broadcasts, and all broadcasts to a connection that lags, are kept as references to the frame that
//! all receivers share. So a thousand stalled readers share one copy.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use ws_proto::copy::{append, to_vec};

use crate::memory_budget::HeldMemory;

/// Messages for one connection are copied up to this size. Copying 4 KiB costs less than a separate entry in a vectored
/// write.
const MAX_COPIED_SLICE: usize = 4 * 1024;

/// Shared frames are copied up to this size, and only while the queue is short. A frame copied for ten thousand
/// connections takes ten thousand times its memory, and an allocator seldom returns all of it.
const MAX_COPIED_SHARED: usize = 256;

/// If the queue holds at least this many copied bytes, it keeps references to shared frames.
const SHARE_THRESHOLD: usize = 2 * 1024;

/// Written bytes are removed from the front of the copied bytes only when there are more than this many.
const COMPACT_THRESHOLD: usize = 16 * 1024;

/// The maximum number of slices in one vectored write.
const MAX_IO_SLICES: usize = 32;

/// The maximum number of frames that [`WriteQueue::memory`] looks at.
const MAX_MEMORY_SAMPLES: usize = 128;

/// The number of free buffers that a thread keeps for queues that become busy again, and the maximum size of each.
const SPARE_BUFFERS: usize = 32;
const SPARE_CAPACITY: usize = 64 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Encoded frames to push into a queue.
#[derive(Debug, Clone, Copy)]
pub enum WireBytes<'a> {
    /// Frames in the encoder's memory. The queue copies them.
    Slice(&'a [u8]),
    /// Frames in shared memory. The queue copies them if they are very small or if they are small and the queue is
    /// short. Otherwise it keeps a reference.
    Shared(&'a Bytes),
}

impl WireBytes<'_> {
    /// Returns the bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Slice(slice) => slice,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// A queue of bytes to write, in order: runs of copied bytes, with shared frames between them.
#[derive(Debug, Default)]
pub struct WriteQueue {
    /// The copied bytes. The bytes before `copied_start` have been written.
    copied: Vec<u8>,
    copied_start: usize,
    /// Shared frames, each with its position: an index in `copied`. The frame is written before the byte at this index.
    shared: VecDeque<(usize, Bytes)>,
    len: usize,
}

impl WriteQueue {
    /// Shared frames up to this size are always copied. A reference takes forty bytes itself, and the limits count only the
    /// bytes of frames.
    pub const ALWAYS_COPIED: usize = 64;

    /// Creates an empty queue. It holds no memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of queued bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the memory of the queued bytes. Of many frames, only some are looked at to see whether they are shared.
    #[inline]
    #[must_use]
    pub fn memory(&self) -> HeldMemory {
        if self.shared.is_empty() { self.len.into() } else { self.memory_with_frames() }
    }

    #[inline(never)]
    fn memory_with_frames(&self) -> HeldMemory {
        let copied = self.copied.len() - self.copied_start;
        // An estimate from some of the frames: a slow reader may have a hundred thousand, and its driver still runs.
        let step = self.shared.len().div_ceil(MAX_MEMORY_SAMPLES);
        let unique = self.shared.iter().step_by(step).map(|(_, frame)| {
            // A frame that counts as shared is never unique: its memory has an owner.
            if frame.is_unique() { frame.len() } else { 0 }
        });
        let count = self.shared.len().div_ceil(step);
        let in_frames = self.len - copied;
        let own = (unique.sum::<usize>() / count * self.shared.len()).min(in_frames);
        let entries = self.shared.len() * size_of::<(usize, Bytes)>();
        HeldMemory { own: copied + entries + own, shared: in_frames - own }
    }

    /// Returns whether no bytes are queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends encoded frames.
    pub fn push(&mut self, wire: WireBytes<'_>) {
        self.len += wire.as_slice().len();
        match wire {
            WireBytes::Slice(slice) if slice.len() <= MAX_COPIED_SLICE => append(self.copied_mut(), slice),
            WireBytes::Slice(slice) => self.shared.push_back((self.copied.len(), to_vec(slice).into())),
            WireBytes::Shared(frame)
                if frame.len() <= Self::ALWAYS_COPIED
                    || frame.len() <= MAX_COPIED_SHARED
                        && self.copied.len() - self.copied_start < SHARE_THRESHOLD =>
            {
                self.copied_mut().extend_from_slice(frame);
            }
            WireBytes::Shared(frame) => self.shared.push_back((self.copied.len(), frame.clone())),
        }
    }

    /// Calls `write` with a buffer. The bytes that `write` appends to the buffer are queued. The buffer may already
    /// hold other bytes, which `write` must not change.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let copied = self.copied_mut();
        let before = copied.len();
        write(copied);
        self.len += self.copied.len().saturating_sub(before);
    }

    /// Moves all bytes from `other` to the end of this queue.
    pub fn append(&mut self, other: &mut Self) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        let shift = self.copied.len();
        self.len += other.len;
        append(&mut self.copied, &other.copied[other.copied_start..]);
        self.shared.reserve(other.shared.len());
        while let Some((at, frame)) = other.shared.pop_front() {
            self.shared.push_back((at - other.copied_start + shift, frame));
        }
        other.clear();
    }

    /// Returns a copy of all bytes in order, for a transport that is not a byte stream.
    #[must_use]
    pub fn to_contiguous(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        self.for_each_slice(|slice| {
            append(&mut bytes, slice);
            true
        });
        bytes
    }

    /// Calls `each` with each piece of the queued bytes, in order and without a copy: runs of copied bytes, and shared
    /// frames.
    pub fn for_each_chunk(&self, mut each: impl FnMut(WireBytes<'_>)) {
        let mut position = self.copied_start;
        for (at, frame) in &self.shared {
            if position < *at {
                each(WireBytes::Slice(&self.copied[position..*at]));
                position = *at;
            }
            each(WireBytes::Shared(frame));
        }
        if position < self.copied.len() {
            each(WireBytes::Slice(&self.copied[position..]));
        }
    }

    /// Returns the first piece of the queued bytes. `None` if the queue is empty.
    #[must_use]
    pub fn front(&self) -> Option<WireBytes<'_>> {
        let run_end = self.shared.front().map_or(self.copied.len(), |(at, _)| *at);
        if self.copied_start < run_end {
            return Some(WireBytes::Slice(&self.copied[self.copied_start..run_end]));
        }
        self.shared.front().map(|(_, frame)| WireBytes::Shared(frame))
    }

    /// Removes bytes from the front. An empty queue holds no memory.
    ///
    /// # Panics
    /// Panics if the queue has fewer bytes.
    pub fn consume(&mut self, bytes: usize) {
        assert!(bytes <= self.len, "only queued bytes are consumed");
        self.advance(bytes);
        if self.len == 0 {
            self.clear();
        }
    }

    /// Drops all bytes and releases the memory.
    pub fn clear(&mut self) {
        recycle(std::mem::take(&mut self.copied));
        self.copied_start = 0;
        self.shared = VecDeque::new();
        self.len = 0;
    }

    /// Writes until the queue is empty or `stream` accepts no more bytes. An empty queue holds no memory.
    ///
    /// # Errors
    /// The stream failed, or accepted no byte ([`WriteZero`](io::ErrorKind::WriteZero)).
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.len > 0 {
            let written = if self.shared.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(cx, &self.copied[self.copied_start..]))?
            } else {
                let mut slices = [IoSlice::new(&[]); MAX_IO_SLICES];
                let mut count = 0;
                self.for_each_slice(|slice| {
                    slices[count] = IoSlice::new(slice);
                    count += 1;
                    count < MAX_IO_SLICES
                });
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if written == self.len {
                break;
            }
            self.advance(written);
        }
        self.clear();
        Poll::Ready(Ok(()))
    }

    fn copied_mut(&mut self) -> &mut Vec<u8> {
        if self.copied.capacity() == 0 {
            self.copied = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        &mut self.copied
    }

    /// Calls `each` with every run of bytes in order until it returns `false`.
    fn for_each_slice<'a>(&'a self, mut each: impl FnMut(&'a [u8]) -> bool) {
        let mut position = self.copied_start;
        for (at, frame) in &self.shared {
            if position < *at {
                if !each(&self.copied[position..*at]) {
                    return;
                }
                position = *at;
            }
            if !each(frame) {
                return;
            }
        }
        if position < self.copied.len() {
            each(&self.copied[position..]);
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.len -= written;
        while written > 0 {
            let run_end = self.shared.front().map_or(self.copied.len(), |(at, _)| *at);
            let run = (run_end - self.copied_start).min(written);
            self.copied_start += run;
            written -= run;
            if written == 0 {
                break;
            }
            let (_, frame) =
                self.shared.front_mut().expect("bytes written after the copied run belong to a shared frame");
            if written < frame.len() {
                bytes::Buf::advance(frame, written);
                break;
            }
            written -= frame.len();
            self.shared.pop_front();
        }
        self.compact();
    }

    /// Removes written bytes from the front of `copied`. Otherwise the buffer would grow without limit if the peer
    /// always lags a little. Moves at most one byte for each byte written.
    fn compact(&mut self) {
        if self.copied_start > COMPACT_THRESHOLD && self.copied_start * 2 > self.copied.len() {
            self.copied.drain(..self.copied_start);
            for (at, _) in &mut self.shared {
                *at -= self.copied_start;
            }
            self.copied_start = 0;
        }
    }
}

impl Drop for WriteQueue {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Keeps a buffer for the next queue of this thread that needs one.
fn recycle(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > SPARE_CAPACITY {
        return;
    }
    buffer.clear();
    // The list does not exist any more while the thread exits. Then the buffer is freed.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARE_BUFFERS {
            spare.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[test]
    fn the_memory_is_divided_into_what_other_queues_share_and_what_they_do_not() {
        let mut queue = WriteQueue::new();
        queue.push(WireBytes::Slice(&[1; 100]));
        assert_eq!(queue.memory(), 100.into());
        queue.push(WireBytes::Slice(&[2; 10_000]));
        let shared = Bytes::from(vec![3; 50_000]);
        queue.push(WireBytes::Shared(&shared));
        let HeldMemory { own, shared: of_others } = queue.memory();
        assert!((10_100..10_300).contains(&own) && of_others == 50_000, "{own}, {of_others}");
        drop(shared);
        let HeldMemory { own, shared: of_others } = queue.memory();
        assert!(
            (60_100..60_300).contains(&own) && of_others == 0,
            "the last one owns it: {own}, {of_others}"
        );
        for _ in 0..1_000 {
            queue.push(WireBytes::Slice(&[4; 10_000]));
        }
        let error = queue.memory().own.abs_diff(queue.len());
        assert!(error < queue.len() / 10, "an estimate: {error}");
    }

    #[test]
    fn what_is_consumed_at_the_front_is_gone_and_the_rest_stays_in_order() {
        let mut queue = WriteQueue::new();
        let shared = Bytes::from(vec![2; 5_000]);
        queue.push(WireBytes::Slice(&[1; 100]));
        queue.push(WireBytes::Shared(&shared));
        queue.push(WireBytes::Slice(&[3; 100]));
        let expected = queue.to_contiguous();
        let mut consumed = Vec::new();
        while let Some(front) = queue.front() {
            let piece = front.as_slice();
            let piece = piece[..piece.len().min(70)].to_vec();
            queue.consume(piece.len());
            consumed.extend(piece);
            assert_eq!(queue.len(), expected.len() - consumed.len());
        }
        assert_eq!(consumed, expected);
        assert_eq!(queue.copied.capacity(), 0);
    }

    /// Accepts at most `step` bytes in each write.
    struct Reluctant {
        written: Vec<u8>,
        step: usize,
    }

    impl AsyncWrite for Reluctant {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.step);
            self.written.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let mut left = self.step;
            for slice in slices {
                let taken = slice.len().min(left);
                self.written.extend_from_slice(&slice[..taken]);
                left -= taken;
            }
            Poll::Ready(Ok(self.step - left))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Returns a queue of small and large, copied and shared messages, and the bytes of all of them.
    fn mixture() -> (WriteQueue, Vec<u8>) {
        let mut queue = WriteQueue::new();
        let mut expected = Vec::new();
        for round in 0..60_u8 {
            let size = [3, 200, 700, 4096, 4097, 9000][usize::from(round / 2) % 6];
            let message = vec![round; size];
            expected.extend_from_slice(&message);
            if round % 2 == 0 {
                queue.push(WireBytes::Slice(&message));
            } else {
                queue.push(WireBytes::Shared(&Bytes::from(message)));
            }
        }
        (queue, expected)
    }

    #[tokio::test]
    async fn all_bytes_are_written_however_few_the_stream_accepts() {
        for step in [7, 4096, 100_000, 10_000_000] {
            let (mut queue, expected) = mixture();
            assert_eq!(queue.len(), expected.len());
            assert_eq!(queue.to_contiguous(), expected);
            let mut stream = Reluctant { written: Vec::new(), step };
            poll_fn(|cx| queue.poll_write(&mut stream, cx)).await.unwrap();
            assert!(stream.written == expected, "step {step}");
            assert!(queue.is_empty());
            assert_eq!(queue.copied.capacity(), 0, "an empty queue holds no memory");
        }
    }

    #[tokio::test]
    async fn queues_are_appended_in_order_even_when_half_written() {
        let (mut first, mut expected) = mixture();
        first.advance(5_000);
        expected.drain(..5_000);
        let (mut second, more) = mixture();
        second.advance(1_234);
        expected.extend_from_slice(&more[1_234..]);
        first.append(&mut second);
        assert!(second.is_empty());
        let mut stream = Reluctant { written: Vec::new(), step: 999 };
        poll_fn(|cx| first.poll_write(&mut stream, cx)).await.unwrap();
        assert!(stream.written == expected);
    }

    #[test]
    fn a_queue_that_never_empties_does_not_grow() {
        let mut queue = WriteQueue::new();
        queue.push(WireBytes::Slice(&[0; 4_000]));
        for _ in 0..10_000 {
            queue.push(WireBytes::Slice(&[1; 4_000]));
            queue.advance(4_000);
        }
        assert_eq!(queue.len(), 4_000);
        assert!(queue.copied.capacity() <= SPARE_CAPACITY, "{}", queue.copied.capacity());
    }

    #[test]
    fn tiny_frames_take_little_more_memory_than_their_bytes() {
        let frame = Bytes::from_static(b"\x81\x0742[\"a\"]");
        let mut queue = WriteQueue::new();
        for _ in 0..100_000 {
            queue.push(WireBytes::Shared(&frame));
        }
        let entries = queue.shared.capacity() * size_of::<(usize, Bytes)>();
        let memory = queue.copied.capacity() + entries;
        assert!(memory <= 2 * queue.len(), "{memory} bytes for {}", queue.len());
    }

    #[test]
    fn a_lagging_queue_shares_frames_instead_of_copying_them() {
        for size in [100, 1_000] {
            let frame = Bytes::from(vec![1; size]);
            let mut queue = WriteQueue::new();
            for _ in 0..1_000 {
                queue.push(WireBytes::Shared(&frame));
            }
            assert_eq!(queue.len(), 1_000 * size);
            assert!(queue.copied.len() <= SHARE_THRESHOLD + MAX_COPIED_SHARED, "{}", queue.copied.len());
        }
    }
}
