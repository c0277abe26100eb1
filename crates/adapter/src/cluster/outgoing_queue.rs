//! Messages that wait until a driver sends them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::PublishError;

/// Limits on what waits for the message bus. Each field names the fault that it protects against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutgoingLimits {
    /// The maximum number of messages that wait. At the limit, further ones are refused. Default: 100,000.
    ///
    /// Protects against a bus that is slow or gone, while the server sends many short messages.
    pub max_messages: usize,
    /// The maximum size of the messages that wait together, in bytes. At the limit, further ones are refused. Default:
    /// 64 MiB.
    ///
    /// Protects against the same with long messages.
    pub max_bytes: usize,
}

impl Default for OutgoingLimits {
    fn default() -> Self {
        Self { max_messages: 100_000, max_bytes: 64 * 1024 * 1024 }
    }
}

/// A queue between [`Bus::publish`](super::Bus::publish), which never waits, and the task of a driver. It keeps the order,
/// and is bounded in messages and bytes. It wakes nobody: that is the driver's task.
///
/// ```
/// use tidewire_adapter::cluster::{OutgoingLimits, OutgoingQueue, PublishError};
///
/// let mut limits = OutgoingLimits::default();
/// limits.max_bytes = 10;
/// let queue = OutgoingQueue::new(limits);
/// queue.push("hello", 5)?;
/// queue.push("world", 5)?;
/// assert!(matches!(queue.push("!", 1), Err(PublishError::QueueFull { messages: 2, bytes: 10 })));
/// assert_eq!(queue.pop(), Some("hello"));
/// # Ok::<(), PublishError>(())
/// ```
pub struct OutgoingQueue<T> {
    limits: OutgoingLimits,
    state: Mutex<State<T>>,
}

struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
}

impl<T> OutgoingQueue<T> {
    /// Creates an empty queue.
    #[must_use]
    pub fn new(limits: OutgoingLimits) -> Self {
        Self { limits, state: Mutex::new(State { items: VecDeque::new(), bytes: 0 }) }
    }

    /// Appends a message of this size in bytes.
    ///
    /// # Errors
    /// [`PublishError::QueueFull`] if it does not fit behind those that wait, and [`PublishError::TooLarge`] if it never fits.
    pub fn push(&self, message: T, bytes: usize) -> Result<(), PublishError> {
        let OutgoingLimits { max_messages, max_bytes } = self.limits;
        if bytes > max_bytes {
            return Err(PublishError::TooLarge { size: bytes, max: max_bytes });
        }
        let mut state = self.state();
        if state.items.len() >= max_messages || bytes > max_bytes - state.bytes {
            return Err(PublishError::QueueFull { messages: state.items.len(), bytes: state.bytes });
        }
        state.bytes += bytes;
        state.items.push_back((message, bytes));
        Ok(())
    }

    /// Takes the oldest message.
    #[must_use]
    pub fn pop(&self) -> Option<T> {
        self.state().pop().map(|(message, _)| message)
    }

    /// Moves the oldest messages to `batch`: at least one if there is any, and then as many as fit into `max_bytes`, at most
    /// `max_messages`.
    pub fn pop_batch(&self, max_messages: usize, max_bytes: usize, batch: &mut Vec<T>) {
        let mut state = self.state();
        let mut taken = 0_usize;
        for index in 0..max_messages {
            let Some((_, bytes)) = state.items.front() else { return };
            taken = taken.saturating_add(*bytes);
            if index > 0 && taken > max_bytes {
                return;
            }
            batch.extend(state.pop().map(|(message, _)| message));
        }
    }

    /// Returns the number of messages that wait, and their size in bytes.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        let state = self.state();
        (state.items.len(), state.bytes)
    }

    /// Returns whether no message waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state().items.is_empty()
    }

    // A panic cannot leave the state inconsistent.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn pop(&mut self) -> Option<(T, usize)> {
        let popped = self.items.pop_front()?;
        self.bytes -= popped.1;
        // The memory after a burst returns to what it was.
        if self.items.is_empty() && self.items.capacity() > 64 {
            self.items = VecDeque::new();
        }
        Some(popped)
    }
}

impl<T> fmt::Debug for OutgoingQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (messages, bytes) = self.len();
        f.debug_struct("OutgoingQueue").field("messages", &messages).field("bytes", &bytes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(max_messages: usize, max_bytes: usize) -> OutgoingQueue<u32> {
        OutgoingQueue::new(OutgoingLimits { max_messages, max_bytes })
    }

    #[test]
    fn what_does_not_fit_is_refused_and_what_was_taken_makes_room() {
        let queue = queue(3, 10);
        assert!(matches!(queue.push(0, 11), Err(PublishError::TooLarge { size: 11, max: 10 })));
        queue.push(1, 4).expect("it fits");
        queue.push(2, 6).expect("it fits");
        assert!(matches!(queue.push(3, 1), Err(PublishError::QueueFull { messages: 2, bytes: 10 })));
        queue.push(4, 0).expect("it fits");
        assert!(matches!(queue.push(5, 0), Err(PublishError::QueueFull { messages: 3, .. })));
        assert_eq!([(); 4].map(|()| queue.pop()), [Some(1), Some(2), Some(4), None]);
        queue.push(6, 10).expect("it fits again");
        assert_eq!(queue.len(), (1, 10));
    }

    #[test]
    fn a_batch_has_one_message_or_what_fits() {
        let queue = queue(10, 100);
        for number in 0..5 {
            queue.push(number, 10).expect("it fits");
        }
        for (max_messages, max_bytes, expected) in
            [(9, 1, &[0][..]), (9, 25, &[1, 2]), (1, 100, &[3]), (9, 0, &[4]), (9, 9, &[])]
        {
            let mut batch = Vec::new();
            queue.pop_batch(max_messages, max_bytes, &mut batch);
            assert_eq!(batch, expected);
        }
        assert!(queue.is_empty());
    }
}
