//! The queue between the program and the task of a connection. Other tasks use no other part of the connection.
//!
//! Hot path. A push holds a mutex and checks a limit in bytes. The first push after the driver went to sleep takes its
//! waker. The driver does not sleep while it runs a handler, so an emit from a handler of the same connection wakes
//! nobody.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::write_queue::{WireBytes, WriteQueue};
use crate::memory_budget::{HeldMemory, REGISTRATION_THRESHOLD};

/// While the transport accepts nothing, the driver is woken each time that the queue has grown by this many bytes. A
/// power of two.
const MEMORY_REPORT_STEP: usize = 1024 * 1024;

/// The queue between the program and the task that owns a connection (its driver).
///
/// `F` is the form in which the transport writes messages. The form may change when the transport changes. A transport
/// with only one form uses `()`.
#[derive(Debug)]
pub struct Outbox<F = ()> {
    state: Mutex<State<F>>,
    max_buffered: usize,
}

/// A message that can be pushed into an [`Outbox`]. Its methods are called under the lock of the outbox, so they must
/// not run user code.
pub trait OutboxItem<F> {
    /// Returns the number of bytes that [`push`](Self::push) will add.
    fn len(&self, framing: F) -> usize;

    /// Adds the message to the queue in the form of the transport.
    fn push(self, framing: F, queue: &mut WriteQueue);

    /// Adds the message to a queue that is so long that its connection counts in a [`MemoryBudget`](crate::MemoryBudget).
    /// Default: [`push`](Self::push).
    fn push_to_long_queue(self, framing: F, queue: &mut WriteQueue)
    where
        Self: Sized,
    {
        self.push(framing, queue);
    }
}

impl OutboxItem<()> for WireBytes<'_> {
    fn len(&self, (): ()) -> usize {
        match self {
            WireBytes::Slice(slice) => slice.len(),
            WireBytes::Shared(bytes) => bytes.len(),
        }
    }

    fn push(self, (): (), queue: &mut WriteQueue) {
        queue.push(self);
    }
}

#[derive(Debug)]
struct State<F> {
    queue: WriteQueue,
    framing: F,
    /// The number of bytes that the driver has taken and not yet written.
    in_flight: usize,
    phase: Phase,
    /// The driver's waker.
    driver_waker: Option<Waker>,
    /// Whether the driver sleeps: from [`Outbox::park`] to [`Outbox::unpark`], or until a caller takes the waker.
    parked: bool,
    /// [`Outbox::notify`] was called.
    notified: bool,
    /// Whether the transport accepted all bytes of the last write.
    writable: bool,
    /// Tasks that wait for capacity.
    capacity_waiters: Vec<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// A push did not fit, so the driver must end the connection.
    Overflowed,
    Closed,
}

impl<F> State<F> {
    /// Takes the waker of a sleeping driver. Only the first caller gets it.
    fn take_parked_waker(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.parked) { self.driver_waker.clone() } else { None }
    }
}

/// Events for the driver, apart from queued bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxSignals {
    /// [`Outbox::notify`] was called since the driver last took the signals.
    pub notified: bool,
    /// A push did not fit. The peer reads too slowly, and the driver must end the connection.
    pub overflowed: bool,
}

/// Why an [`Outbox`] did not accept a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushError {
    /// The queued bytes would exceed the limit.
    Full,
    /// The connection has ended.
    Closed,
}

impl Outbox {
    /// Creates an outbox for a transport that has one form of messages. At most `limit` bytes are queued, see
    /// [`with_framing`](Self::with_framing).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self::with_framing(limit, ())
    }
}

impl<F: Copy> Outbox<F> {
    /// Creates an outbox that queues at most `limit` bytes. An empty outbox accepts a message of any length.
    #[must_use]
    pub fn with_framing(limit: usize, framing: F) -> Self {
        let state = State {
            queue: WriteQueue::new(),
            framing,
            in_flight: 0,
            phase: Phase::Open,
            driver_waker: None,
            parked: false,
            notified: false,
            writable: true,
            capacity_waiters: Vec::new(),
        };
        Self { state: Mutex::new(state), max_buffered: limit }
    }

    fn state(&self) -> MutexGuard<'_, State<F>> {
        // No user code runs under the lock, so even a poisoned mutex holds a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message, or returns an error if it does not fit. If this returns a waker, the caller must wake it. A
    /// broadcast wakes it after it has released its own lock.
    ///
    /// # Errors
    /// The message does not fit, or the connection has ended.
    pub fn try_push(&self, message: impl OutboxItem<F>) -> Result<Option<Waker>, PushError> {
        let mut state = self.state();
        match state.phase {
            Phase::Open => {}
            Phase::Overflowed => return Err(PushError::Full),
            Phase::Closed => return Err(PushError::Closed),
        }
        let framing = state.framing;
        let length = message.len(framing);
        let queued = state.queue.len() + state.in_flight;
        if queued > 0 && queued + length > self.max_buffered {
            return Err(PushError::Full);
        }
        if queued + length > REGISTRATION_THRESHOLD {
            message.push_to_long_queue(framing, &mut state.queue);
        } else {
            message.push(framing, &mut state.queue);
        }
        // Wakes the driver of a slow reader too, so that it reports the memory to its budget.
        let has_grown = (queued ^ (queued + length)) >= MEMORY_REPORT_STEP;
        state.notified |= has_grown;
        Ok(if state.writable || has_grown { state.take_parked_waker() } else { None })
    }

    /// Queues a message. If it does not fit, marks the connection as overflowed, so that the driver ends it. The
    /// messages queued before are still written as far as the peer reads. So the peer gets a prefix of the messages
    /// without gaps, and then the end.
    ///
    /// If this returns a waker, the caller must wake it.
    ///
    /// # Errors
    /// The outbox had overflowed before, or the connection has ended. The message that causes the overflow is dropped
    /// without an error.
    pub fn push_or_overflow(&self, message: impl OutboxItem<F>) -> Result<Option<Waker>, PushError> {
        let pushed = self.try_push(message);
        if matches!(pushed, Err(PushError::Full)) {
            let mut state = self.state();
            if state.phase == Phase::Open {
                state.phase = Phase::Overflowed;
                return Ok(state.take_parked_waker());
            }
        }
        pushed
    }

    /// Returns whether the transport keeps up: it accepted all bytes of the last write, and the driver holds no
    /// unwritten bytes. Returns `false` after an overflow or after the end of the connection.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let state = self.state();
        state.writable && state.in_flight == 0 && state.phase == Phase::Open
    }

    /// Returns the number of bytes that are not written yet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        let state = self.state();
        state.queue.len() + state.in_flight
    }

    /// For the driver: returns the memory of the queued bytes, see [`WriteQueue::memory`].
    #[must_use]
    pub fn memory(&self) -> HeldMemory {
        self.state().queue.memory()
    }

    /// Waits until a message of `length` bytes fits and at most half of the limit is used, or until the connection has
    /// ended. A message that exceeds the limit fits when nothing is queued.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn poll_capacity(&self, length: usize, cx: &mut Context<'_>) -> Poll<Result<(), PushError>> {
        let at_most = self.max_buffered.saturating_sub(length).min(self.max_buffered / 2);
        let mut state = self.state();
        if state.phase == Phase::Closed {
            return Poll::Ready(Err(PushError::Closed));
        }
        // After an overflow nothing fits any more, so the caller waits for the end.
        if state.phase == Phase::Open && state.queue.len() + state.in_flight <= at_most {
            return Poll::Ready(Ok(()));
        }
        let is_first = state.capacity_waiters.is_empty();
        if !state.capacity_waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.capacity_waiters.push(cx.waker().clone());
        }
        drop(state);
        if is_first {
            self.notify();
        }
        Poll::Pending
    }

    /// For the driver: returns whether a task waits for capacity, or has waited since there was none. The first task that
    /// waits [notifies](Self::notify) the driver.
    #[must_use]
    pub fn has_capacity_waiters(&self) -> bool {
        !self.state().capacity_waiters.is_empty()
    }

    /// Sets [`OutboxSignals::notified`] and wakes the driver, for an event that is not in the queue.
    pub fn notify(&self) {
        let driver = {
            let mut state = self.state();
            state.notified = true;
            state.take_parked_waker()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// For the driver: moves the queued bytes to the end of `queue`, and takes the signals.
    pub fn drain_and_take_signals(&self, queue: &mut WriteQueue) -> OutboxSignals {
        let mut state = self.state();
        queue.append(&mut state.queue);
        state.in_flight = queue.len();
        OutboxSignals {
            notified: std::mem::take(&mut state.notified),
            overflowed: state.phase == Phase::Overflowed,
        }
    }

    /// For the driver: moves the queued bytes to the end of `queue`, and leaves the signals for a later call.
    pub fn drain_into(&self, queue: &mut WriteQueue) {
        let mut state = self.state();
        queue.append(&mut state.queue);
        state.in_flight = queue.len();
    }

    /// For the driver: takes the signals and leaves the queued bytes.
    pub fn take_signals(&self) -> OutboxSignals {
        let mut state = self.state();
        OutboxSignals {
            notified: std::mem::take(&mut state.notified),
            overflowed: state.phase == Phase::Overflowed,
        }
    }

    /// For the driver: switches to the form of a new transport, which counts as writable. Moves the bytes queued so
    /// far, in the old form, to the end of `queue`. Later pushes use the new form.
    pub fn change_framing(&self, framing: F, queue: &mut WriteQueue) {
        let mut state = self.state();
        queue.append(&mut state.queue);
        state.framing = framing;
        state.writable = true;
    }

    /// For the driver: records that the driver is awake. Pushes from now on wake nobody, because the driver sees them
    /// before it sleeps again.
    pub fn unpark(&self) {
        self.state().parked = false;
    }

    /// For the driver: prepares to sleep. `left` is the number of bytes in the driver's own queue. `writable` tells
    /// whether the transport accepted all bytes of the last write. If not, later pushes are queued and wake nobody.
    /// Returns `false` if something arrived in the meantime: then the driver must not sleep, and must drain the outbox
    /// again.
    pub fn park(&self, left: usize, writable: bool, cx: &Context<'_>) -> bool {
        let (parked, waiting) = {
            let mut state = self.state();
            state.in_flight = left;
            state.writable = writable;
            let more = writable && !state.queue.is_empty();
            let parked = !state.notified && !more && state.phase != Phase::Overflowed;
            state.parked = parked;
            if parked && !state.driver_waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.driver_waker = Some(cx.waker().clone());
            }
            let has_capacity =
                !state.capacity_waiters.is_empty() && state.queue.len() + left <= self.max_buffered / 2;
            (parked, if has_capacity { std::mem::take(&mut state.capacity_waiters) } else { Vec::new() })
        };
        waiting.into_iter().for_each(Waker::wake);
        parked
    }

    /// Closes the outbox: drops the queued bytes, refuses further messages, and wakes the tasks that wait for capacity.
    pub fn close(&self) {
        let waiting = {
            let mut state = self.state();
            state.phase = Phase::Closed;
            state.queue.clear();
            state.in_flight = 0;
            state.parked = false;
            state.driver_waker = None;
            std::mem::take(&mut state.capacity_waiters)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use super::*;

    fn wake(pushed: Result<Option<Waker>, PushError>) {
        if let Some(waker) = pushed.unwrap() {
            waker.wake();
        }
    }

    /// Writes everything, as a driver whose transport accepts all bytes.
    fn write_all(outbox: &Outbox, cx: &Context<'_>) -> Vec<u8> {
        let mut queue = WriteQueue::new();
        outbox.drain_and_take_signals(&mut queue);
        let written = queue.to_contiguous();
        outbox.park(0, true, cx);
        written
    }

    #[test]
    fn a_push_beyond_the_limit_is_refused_and_a_lone_large_one_is_not() {
        let outbox = Outbox::new(10);
        wake(outbox.try_push(WireBytes::Slice(&[0; 50])));
        assert_eq!(outbox.try_push(WireBytes::Slice(&[0])).map(|_| ()), Err(PushError::Full));
        assert!(!outbox.take_signals().overflowed);
        assert_eq!(outbox.buffered(), 50);
    }

    #[test]
    fn bytes_count_until_the_driver_has_written_them() {
        let outbox = Outbox::new(10);
        wake(outbox.try_push(WireBytes::Slice(&[0; 8])));
        let mut queue = WriteQueue::new();
        outbox.drain_and_take_signals(&mut queue);
        assert_eq!(outbox.try_push(WireBytes::Slice(&[0; 8])).map(|_| ()), Err(PushError::Full));
        assert!(outbox.park(1, false, &Context::from_waker(Waker::noop())));
        assert!(!outbox.is_writable());
        wake(outbox.try_push(WireBytes::Slice(&[0; 8])));
    }

    #[test]
    fn after_an_overflow_nothing_more_is_taken_so_that_there_is_no_gap() {
        let outbox = Outbox::new(10);
        wake(outbox.push_or_overflow(WireBytes::Slice(&[1; 8])));
        wake(outbox.push_or_overflow(WireBytes::Slice(&[2; 8])));
        assert!(outbox.take_signals().overflowed);
        assert_eq!(outbox.push_or_overflow(WireBytes::Slice(&[3])).map(|_| ()), Err(PushError::Full));
        assert_eq!(write_all(&outbox, &Context::from_waker(Waker::noop())), [1; 8]);
    }

    #[test]
    fn after_an_overflow_a_task_that_waits_for_capacity_waits_for_the_end() {
        let outbox = Outbox::new(10);
        let mut cx = Context::from_waker(Waker::noop());
        wake(outbox.try_push(WireBytes::Slice(&[1; 2])));
        wake(outbox.push_or_overflow(WireBytes::Slice(&[2; 9])));
        assert!(outbox.poll_capacity(1, &mut cx).is_pending(), "a message that would fit is refused too");
        outbox.close();
        assert_eq!(outbox.poll_capacity(1, &mut cx), Poll::Ready(Err(PushError::Closed)));
    }

    #[test]
    fn a_push_wakes_only_a_driver_that_sleeps() {
        let outbox = Outbox::new(1_000);
        let cx = Context::from_waker(Waker::noop());
        let wakes = || outbox.try_push(WireBytes::Slice(&[1])).unwrap().is_some();
        assert!(!wakes(), "it has not slept yet");
        write_all(&outbox, &cx);
        assert!(wakes(), "it sleeps");
        assert!(!wakes(), "it is being woken");
        write_all(&outbox, &cx);
        outbox.unpark();
        assert!(!wakes(), "something else has woken it");
        assert!(!outbox.park(0, true, &cx), "the push in the meantime keeps it awake");
    }

    #[test]
    fn draining_the_bytes_keeps_the_signals() {
        let outbox = Outbox::new(10);
        outbox.notify();
        outbox.drain_into(&mut WriteQueue::new());
        assert!(outbox.take_signals().notified);
        assert!(!outbox.take_signals().notified);
    }

    #[test]
    fn while_the_transport_is_not_writable_only_a_notification_wakes_the_driver() {
        let outbox = Outbox::new(1_000);
        let cx = Context::from_waker(Waker::noop());
        assert!(outbox.park(5, false, &cx));
        assert!(outbox.try_push(WireBytes::Slice(&[1])).unwrap().is_none());
        outbox.notify();
        assert!(!outbox.park(5, false, &cx));
    }

    #[tokio::test]
    async fn a_task_that_waits_for_capacity_is_woken_when_there_is_some() {
        let outbox = Arc::new(Outbox::new(10));
        wake(outbox.try_push(WireBytes::Slice(&[0; 10])));
        let waiting = tokio::spawn({
            let outbox = Arc::clone(&outbox);
            async move { poll_fn(|cx| outbox.poll_capacity(1, cx)).await }
        });
        tokio::task::yield_now().await;
        write_all(&outbox, &Context::from_waker(Waker::noop()));
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }

    #[test]
    fn there_is_capacity_if_the_message_fits_and_at_most_half_of_the_limit_is_used() {
        for (queued, length, has_capacity) in [
            (5, 5, true),
            (6, 1, false),
            (4, 7, false),
            (3, 7, true),
            (1, 10, false),
            (0, 10, true),
            (1, 50, false),
            (0, 50, true),
        ] {
            let outbox = Outbox::new(10);
            wake(outbox.try_push(WireBytes::Slice(&vec![0; queued])));
            let ready = outbox.poll_capacity(length, &mut Context::from_waker(Waker::noop())).is_ready();
            assert_eq!(ready, has_capacity, "{length} bytes after {queued}");
            assert!(!ready || outbox.try_push(WireBytes::Slice(&vec![0; length])).is_ok());
        }
    }

    #[tokio::test]
    async fn no_message_is_lost_between_many_pushing_threads_and_one_driver() {
        const THREADS: u32 = 4;
        const MESSAGES: u32 = 2_000;
        let outbox = Arc::new(Outbox::new(usize::MAX));
        let pushing: Vec<_> = (0..THREADS)
            .map(|_| {
                let outbox = Arc::clone(&outbox);
                std::thread::spawn(move || {
                    (0..MESSAGES).for_each(|_| wake(outbox.try_push(WireBytes::Slice(&[7]))));
                })
            })
            .collect();
        let mut received = 0;
        poll_fn(|cx| {
            loop {
                let mut queue = WriteQueue::new();
                outbox.drain_and_take_signals(&mut queue);
                received += queue.len();
                if received == (THREADS * MESSAGES) as usize {
                    return Poll::Ready(());
                }
                if outbox.park(0, true, cx) {
                    return Poll::Pending;
                }
            }
        })
        .await;
        pushing.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
