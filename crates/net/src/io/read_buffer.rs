//! The read buffer of a thread. Connections do not have read buffers of their own.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

/// The size of a read when the length of the next message is not known. A read that fills this size is followed by
/// another one in the same poll of the driver.
///
/// A message of 64 KiB fits with its header and takes one read. With a much larger size, a read would end in the middle
/// of a long message that follows, and that part would be copied twice.
pub(crate) const DEFAULT_READ_SIZE: usize = 68 * 1024;

/// The size of a read buffer in bytes, and of a read in the middle of a long message. Each read costs a system call and
/// an acknowledgement to the peer: reads four times as long saved 3 % of the time of a message of 1 MiB. With a larger
/// size, the bytes would leave the second-level cache before they are copied. The last pages of the buffer are not
/// written to until a long message needs them.
pub(crate) const MAX_READ_SIZE: usize = 256 * 1024;

thread_local! {
    static SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// The thread's read buffer. A task takes it for one poll, and dropping it puts it back.
///
/// It is taken, not borrowed: user code that runs in between may poll another connection on the same thread, which then
/// gets a new buffer. Idle connections hold no buffer.
#[derive(Debug)]
pub struct ReadBuffer(Box<[u8]>);

impl ReadBuffer {
    /// Takes the buffer of this thread. Allocates a new one if that buffer is in use.
    #[must_use]
    pub fn take() -> Self {
        Self(SPARE.take().unwrap_or_else(|| {
            raise_malloc_trim_threshold();
            vec![0; MAX_READ_SIZE].into_boxed_slice()
        }))
    }
}

/// Makes glibc keep freed memory instead of returning it to the system. Long messages are allocated and freed at the
/// top of the heap. If at least 128 KiB (the trim threshold) are free there, glibc returns them to the system. For the
/// next message, it requests the memory again, page by page. This took half of the time of an echo of 64 KiB.
///
/// A block of 128 KiB or more has pages of its own. When glibc frees such a block, it raises the trim threshold to
/// twice the size of the block. A program with long messages raises the threshold sooner or later; this function does
/// so at once. It allocates and frees one such block and never writes to it. The block has 4 MiB because of messages of
/// 1 MiB: a received message, a queued message and a message that the program builds may be allocated and freed
/// together. With a block of 1 MiB, a client took a quarter longer for them. The price: up to 8 MiB for each thread may
/// stay with the process.
fn raise_malloc_trim_threshold() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(4 * 1024 * 1024)));
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        SPARE.set(Some(std::mem::take(&mut self.0)));
    }
}

impl Deref for ReadBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for ReadBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_reused_and_a_nested_poll_gets_its_own() {
        let first = ReadBuffer::take();
        let nested = ReadBuffer::take();
        let address = nested.as_ptr();
        assert_ne!(first.as_ptr(), address);
        drop(first);
        drop(nested);
        assert_eq!(ReadBuffer::take().as_ptr(), address);
    }
}
