//! The queue between the program and the task that polls a driver. Other tasks use no other part of a session.
//!
//! Hot path. A push holds a mutex and checks a limit in bytes. The first push after the driver went to sleep takes its
//! waker. The driver does not sleep while it runs a handler, so a message that a handler sends wakes nobody.
//!
//! It is not the outbox of `net`: that one does not compile for browsers, and it stores what a server writes. A client
//! masks its frames and divides its payloads when it sends them, so it keeps packets.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use engineio_proto::{EncodedMessage, Framing, MessageBatch, Packet};

use crate::packet_queue::PacketQueue;

/// The queue, with its limit.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    max_buffered: usize,
}

#[derive(Debug)]
struct State {
    queue: PacketQueue,
    /// The number of bytes that the driver has taken and not sent yet.
    in_flight: usize,
    phase: Phase,
    /// The driver's waker.
    driver: Option<Waker>,
    /// Whether the driver sleeps: from [`Outbox::park`] until it is woken.
    parked: bool,
    /// [`Outbox::notify`] was called.
    notified: bool,
    /// Whether a message would leave at once.
    writable: bool,
    /// Tasks that wait for capacity.
    capacity_waiters: Vec<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// A push did not fit, so the driver must end the session.
    Overflowed,
    /// The program has closed the session. The queued messages are still sent.
    Closing,
    Closed,
}

/// Why a message was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The queued bytes would exceed [`Limits::max_write_buffer_size`](crate::Limits::max_write_buffer_size).
    #[error("the queue has no capacity for the message")]
    Full,
    /// The session is over or closing.
    #[error("the session is closed")]
    Closed,
}

/// A message to push.
pub(crate) enum Outgoing<'a> {
    Encoded(EncodedMessage<'a>),
    /// Messages that are accepted or refused together.
    Batch(&'a MessageBatch),
    Packet(Packet<'a>),
}

/// What has happened apart from queued messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signals {
    pub(crate) notified: bool,
    pub(crate) overflowed: bool,
    pub(crate) closing: bool,
}

impl State {
    fn take_parked_waker(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.parked) { self.driver.clone() } else { None }
    }
}

impl Outbox {
    /// Creates an outbox that queues at most `max_buffered` bytes. An empty outbox accepts a message of any length.
    pub(crate) fn new(max_buffered: usize) -> Self {
        let state = State {
            queue: PacketQueue::default(),
            in_flight: 0,
            phase: Phase::Open,
            driver: None,
            parked: false,
            notified: false,
            writable: false,
            capacity_waiters: Vec::new(),
        };
        Self { state: Mutex::new(state), max_buffered }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No user code runs under the lock, so even a poisoned mutex holds a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message, or returns an error if it does not fit.
    pub(crate) fn try_push(&self, message: Outgoing<'_>) -> Result<(), PushError> {
        self.push(message, Phase::Open)
    }

    /// Queues a message. If it does not fit, the driver ends the session, and nothing more is queued. So the server
    /// gets a prefix of the messages without gaps.
    pub(crate) fn push_or_overflow(&self, message: Outgoing<'_>) {
        let _ = self.push(message, Phase::Overflowed);
    }

    /// `when_full` is the phase after a message that does not fit.
    fn push(&self, message: Outgoing<'_>, when_full: Phase) -> Result<(), PushError> {
        let (pushed, driver) = {
            let mut state = self.state();
            match state.phase {
                Phase::Open => {}
                Phase::Overflowed => return Err(PushError::Full),
                Phase::Closing | Phase::Closed => return Err(PushError::Closed),
            }
            let queued = state.queue.len() + state.in_flight;
            if queued > 0 && queued.saturating_add(message.len()) > self.max_buffered {
                state.phase = when_full;
                let driver = (when_full == Phase::Overflowed).then(|| state.take_parked_waker()).flatten();
                (Err(PushError::Full), driver)
            } else {
                match message {
                    Outgoing::Encoded(message) => state.queue.push_message(message),
                    Outgoing::Batch(messages) => state.queue.push_batch(messages),
                    Outgoing::Packet(packet) => state.queue.push_packet(&packet),
                }
                (Ok(()), if state.writable { state.take_parked_waker() } else { None })
            }
        };
        if let Some(driver) = driver {
            driver.wake();
        }
        pushed
    }

    /// Returns whether a message would leave at once.
    pub(crate) fn is_writable(&self) -> bool {
        let state = self.state();
        state.writable && state.in_flight == 0 && state.phase == Phase::Open
    }

    /// Returns the number of bytes that are not sent yet.
    pub(crate) fn buffered(&self) -> usize {
        let state = self.state();
        state.queue.len() + state.in_flight
    }

    /// Waits until a message of `length` bytes fits and at most half of the limit is used, or until the session has
    /// ended. A message that exceeds the limit fits when nothing is queued.
    pub(crate) fn poll_capacity(&self, length: usize, cx: &mut Context<'_>) -> Poll<Result<(), PushError>> {
        let at_most = self.max_buffered.saturating_sub(length).min(self.max_buffered / 2);
        let mut state = self.state();
        match state.phase {
            Phase::Closing | Phase::Closed => return Poll::Ready(Err(PushError::Closed)),
            Phase::Open if state.queue.len() + state.in_flight <= at_most => return Poll::Ready(Ok(())),
            // After an overflow nothing fits any more, so the caller waits for the end.
            Phase::Open | Phase::Overflowed => {}
        }
        if !state.capacity_waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.capacity_waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Wakes the driver for something that is not in the queue.
    pub(crate) fn notify(&self) {
        let driver = {
            let mut state = self.state();
            state.notified = true;
            state.take_parked_waker()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Accepts no more messages. The driver sends the queued ones and then ends the session.
    pub(crate) fn start_closing(&self) {
        let (driver, waiting) = {
            let mut state = self.state();
            if state.phase != Phase::Open {
                return;
            }
            state.phase = Phase::Closing;
            state.notified = true;
            (state.take_parked_waker(), std::mem::take(&mut state.capacity_waiters))
        };
        waiting.into_iter().chain(driver).for_each(Waker::wake);
    }

    /// For the driver: moves the queued packets to the end of `queue`, and takes the signals.
    pub(crate) fn drain(&self, queue: &mut PacketQueue) -> Signals {
        let mut state = self.state();
        // The driver counts these bytes as its own when it goes to sleep.
        state.in_flight += state.queue.len();
        queue.append(&mut state.queue);
        Signals {
            notified: std::mem::take(&mut state.notified),
            overflowed: state.phase == Phase::Overflowed,
            closing: state.phase == Phase::Closing,
        }
    }

    /// For the driver: records that the driver is awake. Pushes from now on wake nobody, because the driver sees them
    /// before it sleeps again.
    pub(crate) fn unpark(&self) {
        self.state().parked = false;
    }

    /// For the driver: prepares to sleep. `unsent` is the number of bytes that the driver holds. `writable` tells
    /// whether it would send a message at once. If not, later pushes wake nobody. Returns `false` if something arrived in
    /// the meantime: then the driver must not sleep.
    pub(crate) fn park(&self, unsent: usize, writable: bool, cx: &Context<'_>) -> bool {
        let (parked, waiting) = {
            let mut state = self.state();
            state.in_flight = unsent;
            state.writable = writable;
            let more = writable && !state.queue.is_empty();
            let parked = !state.notified && !more && state.phase != Phase::Overflowed;
            state.parked = parked;
            if parked && !state.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.driver = Some(cx.waker().clone());
            }
            let has_capacity =
                !state.capacity_waiters.is_empty() && state.queue.len() + unsent <= self.max_buffered / 2;
            (parked, if has_capacity { std::mem::take(&mut state.capacity_waiters) } else { Vec::new() })
        };
        waiting.into_iter().for_each(Waker::wake);
        parked
    }

    /// Drops the queued messages, refuses others, and wakes the tasks that wait for capacity.
    pub(crate) fn close(&self) {
        let waiting = {
            let mut state = self.state();
            state.phase = Phase::Closed;
            state.queue.clear();
            state.in_flight = 0;
            state.writable = false;
            std::mem::take(&mut state.capacity_waiters)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Outgoing<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Encoded(message) => message.framed_len(Framing::LengthDelimited),
            Self::Batch(messages) => messages.framed_len(Framing::LengthDelimited),
            Self::Packet(packet) => Framing::LengthDelimited.packet_len(packet),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn text(text: &str) -> Outgoing<'_> {
        Outgoing::Packet(Packet::Message(text))
    }

    #[test]
    fn only_the_first_push_wakes_a_sleeping_driver() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        let outbox = Outbox::new(100);
        outbox.push_or_overflow(text("before it slept"));
        assert!(!outbox.park(0, true, &cx), "something is queued");
        outbox.drain(&mut PacketQueue::default());
        assert!(outbox.park(0, true, &cx));
        outbox.push_or_overflow(text("a"));
        outbox.push_or_overflow(text("b"));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        outbox.drain(&mut PacketQueue::default());
        assert!(outbox.park(10, false, &cx));
        outbox.push_or_overflow(text("the transport accepts nothing"));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        outbox.notify();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn the_limit_counts_what_the_driver_holds_and_an_empty_queue_accepts_any_message() {
        let outbox = Outbox::new(30);
        assert_eq!(outbox.try_push(text(&"x".repeat(1_000))), Ok(()));
        let mut queue = PacketQueue::default();
        outbox.drain(&mut queue);
        assert_eq!(outbox.try_push(text("x")), Err(PushError::Full), "the driver has sent nothing yet");
        let cx = Context::from_waker(Waker::noop());
        assert!(outbox.park(0, true, &cx));
        // Each takes 6 bytes for the length, one for the type, and 8 of text.
        assert_eq!(outbox.try_push(text("12345678")), Ok(()));
        assert_eq!(outbox.try_push(text("12345678")), Ok(()));
        assert_eq!(outbox.try_push(text("")), Err(PushError::Full));
        assert!(!outbox.drain(&mut queue).overflowed);
        outbox.push_or_overflow(text(""));
        assert!(outbox.drain(&mut queue).overflowed);
        assert_eq!(outbox.try_push(text("")), Err(PushError::Full));
    }

    #[test]
    fn a_task_that_waits_for_capacity_is_woken_at_half_of_the_limit_and_at_the_end() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let outbox = Outbox::new(20);
        outbox.push_or_overflow(text("12345678"));
        assert!(outbox.poll_capacity(1, &mut cx).is_pending());
        let driver = Context::from_waker(Waker::noop());
        outbox.park(11, false, &driver);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        outbox.drain(&mut PacketQueue::default());
        outbox.park(10, false, &driver);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(outbox.poll_capacity(1, &mut cx), Poll::Ready(Ok(())));
        assert!(outbox.poll_capacity(11, &mut cx).is_pending());
        outbox.close();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert_eq!(outbox.poll_capacity(1, &mut cx), Poll::Ready(Err(PushError::Closed)));
    }
}
