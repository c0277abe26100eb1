//! A stream that reads and writes random amounts, and its random numbers.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Pseudo-random numbers, the same for the same seed (SplitMix64).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Returns true about once in `times` calls.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Returns independent dice for another task.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }
}

/// Reads and writes a few bytes, many bytes, or none yet. Some streams end with a reset instead of a clean end.
#[derive(Debug)]
pub(crate) struct Choppy<S> {
    stream: S,
    dice: Dice,
    vectored: bool,
    resets: bool,
}

/// The most bytes of one read or write.
const AT_MOST: usize = 4 * 1024;

impl<S> Choppy<S> {
    pub(crate) fn new(stream: S, mut dice: Dice) -> Self {
        let (vectored, resets) = (dice.once_in(2), dice.once_in(2));
        Self { stream, dice, vectored, resets }
    }

    /// Returns how many bytes to move now. Pending if none.
    fn poll_amount(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        match self.dice.below(8) {
            0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            1 => Poll::Ready(1),
            2..5 => Poll::Ready(1 + self.dice.below(40) as usize),
            _ => Poll::Ready(AT_MOST),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Choppy<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Poll::Ready(amount) = self.poll_amount(cx) else { return Poll::Pending };
        let mut bytes = [0; AT_MOST];
        let mut piece = ReadBuf::new(&mut bytes[..amount.min(buffer.remaining())]);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut piece);
        buffer.put_slice(piece.filled());
        if matches!(polled, Poll::Ready(Ok(()))) && piece.filled().is_empty() && self.resets {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Choppy<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Poll::Ready(amount) = self.poll_amount(cx) else { return Poll::Pending };
        Pin::new(&mut self.stream).poll_write(cx, &bytes[..amount.min(bytes.len())])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut bytes = Vec::with_capacity(AT_MOST);
        for slice in slices {
            bytes.extend_from_slice(&slice[..slice.len().min(AT_MOST - bytes.len())]);
        }
        self.poll_write(cx, &bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
