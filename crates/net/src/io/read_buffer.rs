//! The read buffer belongs to the thread, not to the connection.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

/// How much is read at once when nobody knows what comes. A read that fills it is followed by another one in the same turn.
///
/// A message of 64 KiB fits with its header, and is one read. With much more room a read would end in the middle of a long
/// message that follows, and that rest would be copied twice.
pub(crate) const DEFAULT_READ_SIZE: usize = 68 * 1024;

/// Bytes of a read buffer: how much is read at once of a message that is known to be long. Each read costs a system call,
/// and an acknowledgement to the peer; a quarter of them saved 3 % of a message of 1 MiB. No more, so that what was read lies
/// in the cache next to the nearest one when it is copied. Memory that no long message has needed is not touched.
pub(crate) const MAX_READ_SIZE: usize = 256 * 1024;

thread_local! {
    static SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// The thread's read buffer, taken for one turn and put back when dropped.
///
/// It is taken, never borrowed: user code that runs in between may poll another connection on the same thread, which
/// then gets a fresh buffer. Idle connections hold none.
#[derive(Debug)]
pub struct ReadBuffer(Box<[u8]>);

impl ReadBuffer {
    /// Takes the buffer of this thread, or a new one while that is in use.
    #[must_use]
    pub fn take() -> Self {
        Self(SPARE.take().unwrap_or_else(|| {
            raise_malloc_trim_threshold();
            vec![0; MAX_READ_SIZE].into_boxed_slice()
        }))
    }
}

/// Long messages come and go at the top of the heap, and glibc gives that back to the system from 128 KiB on, only to ask
/// for it, page by page, with the next message: that took half of the time of an echo of 64 KiB. It does so more seldom, from
/// twice their size on, once it has freed a block that was long enough to have pages of its own. Any program with long
/// messages gets there in time; this is one such block, which nobody writes to. It is of 4 MiB for the sake of messages of
/// 1 MiB, of which one that was received, one that is sent and one that the program makes may come and go together: with a block of
/// 1 MiB, a client took a quarter longer for them. The price is that up to 8 MiB a thread may stay with the process.
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
    fn a_buffer_is_used_again_and_a_nested_turn_gets_its_own() {
        let first = ReadBuffer::take();
        let nested = ReadBuffer::take();
        let address = nested.as_ptr();
        assert_ne!(first.as_ptr(), address);
        drop(first);
        drop(nested);
        assert_eq!(ReadBuffer::take().as_ptr(), address);
    }
}
