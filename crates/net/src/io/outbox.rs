//! The one thing of a connection that other tasks touch.
//!
//! Hot path. A mutex held for one push, a limit in bytes, and a waker that is taken by the push that finds the driver
//! asleep. The driver itself never sleeps while it runs a handler, so an emit from inside a handler of the same
//! connection wakes nobody.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::write_queue::{WireBytes, WriteQueue};

/// The queue between the program and the task that owns a connection.
///
/// `F` is the form in which the connection's transport writes messages, where it has more than one. It may change when the
/// transport does.
#[derive(Debug)]
pub struct Outbox<F = ()> {
    state: Mutex<State<F>>,
    max_buffered: usize,
}

/// What can be put into an [`Outbox`]. It is called under the outbox's lock: nothing of the user's may run in it.
pub trait OutboxItem<F> {
    /// Bytes that [`push`](Self::push) adds.
    fn len(&self, framing: F) -> usize;

    /// Adds it to the queue in the form of the transport.
    fn push(self, framing: F, queue: &mut WriteQueue);
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
    /// Bytes that the driver has taken and not yet written.
    in_flight: usize,
    phase: Phase,
    /// The driver's waker.
    driver_waker: Option<Waker>,
    /// Whether the driver sleeps: from [`Outbox::park`] to [`Outbox::unpark`], or until somebody takes on to wake it.
    parked: bool,
    /// Something besides the queue wants the driver's attention.
    notified: bool,
    /// Whether the transport took everything it was offered the last time.
    writable: bool,
    /// Tasks that wait for room.
    capacity_waiters: Vec<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// A push did not fit: the driver is to end the connection.
    Overflowed,
    Closed,
}

impl<F> State<F> {
    /// The waker of a driver that sleeps, for the one caller that wakes it.
    fn take_parked_waker(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.parked) { self.driver_waker.clone() } else { None }
    }
}

/// What wants the driver's attention besides the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxSignals {
    /// [`Outbox::notify`] was called since the last time.
    pub notified: bool,
    /// A push did not fit: the peer is too slow to be kept.
    pub overflowed: bool,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushError {
    /// The bytes that wait would exceed the limit.
    Full,
    /// The connection has ended.
    Closed,
}

impl Outbox {
    /// An outbox of a transport that has one form of message only, see [`with_framing`](Self::with_framing).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self::with_framing(limit, ())
    }
}

impl<F: Copy> Outbox<F> {
    /// An outbox in which at most `max_write_buffer_size` bytes wait. A message that alone exceeds the limit is still taken while
    /// nothing else waits.
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
        // No code of a user runs under the lock; a poisoned one still holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message or refuses it. The waker, if there is one, must be woken; a broadcast does so after it has
    /// released its own lock.
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
        message.push(framing, &mut state.queue);
        Ok(if state.writable { state.take_parked_waker() } else { None })
    }

    /// Takes a message; where there is no room, marks the connection as too slow to be kept. What was taken before is
    /// still written as far as the peer reads, so the peer sees a prefix without gaps and then the end.
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

    /// Whether the transport keeps up: all that was sent has been taken by the kernel.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let state = self.state();
        state.writable && state.in_flight == 0 && state.phase == Phase::Open
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub fn buffered(&self) -> usize {
        let state = self.state();
        state.queue.len() + state.in_flight
    }

    /// Ready when there is room for a message of `length` bytes and no more than half of the limit waits, or the
    /// connection has ended. For a message that exceeds the limit there is room when nothing waits.
    pub fn poll_capacity(&self, length: usize, cx: &mut Context<'_>) -> Poll<Result<(), PushError>> {
        let at_most = self.max_buffered.saturating_sub(length).min(self.max_buffered / 2);
        let mut state = self.state();
        if state.phase == Phase::Closed {
            return Poll::Ready(Err(PushError::Closed));
        }
        // After an overflow nothing fits any more: the end is what is waited for.
        if state.phase == Phase::Open && state.queue.len() + state.in_flight <= at_most {
            return Poll::Ready(Ok(()));
        }
        if !state.capacity_waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.capacity_waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Wakes the driver for something that is not in the queue.
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

    /// Driver: moves what waits behind what `queue` still holds, and tells what else wants attention.
    pub fn drain_and_take_signals(&self, queue: &mut WriteQueue) -> OutboxSignals {
        let mut state = self.state();
        queue.append(&mut state.queue);
        state.in_flight = queue.len();
        OutboxSignals {
            notified: std::mem::take(&mut state.notified),
            overflowed: state.phase == Phase::Overflowed,
        }
    }

    /// Driver: moves what waits behind what `queue` still holds, and leaves everything else for another call.
    pub fn drain_into(&self, queue: &mut WriteQueue) {
        let mut state = self.state();
        queue.append(&mut state.queue);
        state.in_flight = queue.len();
    }

    /// Driver: tells what else wants attention, and takes nothing.
    pub fn take_signals(&self) -> OutboxSignals {
        let mut state = self.state();
        OutboxSignals {
            notified: std::mem::take(&mut state.notified),
            overflowed: state.phase == Phase::Overflowed,
        }
    }

    /// Driver: another transport has become the current one, and takes everything. What waits is moved behind what
    /// `queue` still holds, in the form of the transport before; what is pushed from now on has the new form.
    pub fn change_framing(&self, framing: F, queue: &mut WriteQueue) {
        let mut state = self.state();
        queue.append(&mut state.queue);
        state.framing = framing;
        state.writable = true;
    }

    /// Driver: is awake, for whatever reason. What is pushed from now on wakes nobody: it is seen before the driver
    /// sleeps again.
    pub fn unpark(&self) {
        self.state().parked = false;
    }

    /// Driver: goes to sleep with `left` bytes in its own queue, on a transport that took all it was offered
    /// (`writable`) or did not. `false` when something came in the meantime: then the driver must look again. While
    /// the transport is not writable, what is pushed waits here and wakes nobody.
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
            let room =
                !state.capacity_waiters.is_empty() && state.queue.len() + left <= self.max_buffered / 2;
            (parked, if room { std::mem::take(&mut state.capacity_waiters) } else { Vec::new() })
        };
        waiting.into_iter().for_each(Waker::wake);
        parked
    }

    /// Ends the outbox: nothing is taken any more, what waits is forgotten, those who wait for room are told.
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

    /// Writes everything, as a driver with a willing transport does.
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
    fn after_an_overflow_a_task_that_waits_for_room_waits_for_the_end() {
        let outbox = Outbox::new(10);
        let mut cx = Context::from_waker(Waker::noop());
        wake(outbox.try_push(WireBytes::Slice(&[1; 2])));
        wake(outbox.push_or_overflow(WireBytes::Slice(&[2; 9])));
        assert!(outbox.poll_capacity(1, &mut cx).is_pending(), "what fits is refused all the same");
        outbox.close();
        assert_eq!(outbox.poll_capacity(1, &mut cx), Poll::Ready(Err(PushError::Closed)));
    }

    #[test]
    fn a_push_wakes_a_driver_that_sleeps_and_no_other() {
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
        assert!(!outbox.park(0, true, &cx), "what was pushed meanwhile keeps it awake");
    }

    #[test]
    fn taking_the_bytes_alone_loses_no_notice() {
        let outbox = Outbox::new(10);
        outbox.notify();
        outbox.drain_into(&mut WriteQueue::new());
        assert!(outbox.take_signals().notified);
        assert!(!outbox.take_signals().notified);
    }

    #[test]
    fn while_the_transport_takes_nothing_a_push_wakes_nobody_and_a_notice_does() {
        let outbox = Outbox::new(1_000);
        let cx = Context::from_waker(Waker::noop());
        assert!(outbox.park(5, false, &cx));
        assert!(outbox.try_push(WireBytes::Slice(&[1])).unwrap().is_none());
        outbox.notify();
        assert!(!outbox.park(5, false, &cx));
    }

    #[tokio::test]
    async fn a_task_that_waits_for_room_is_woken_when_there_is_some() {
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
    fn room_is_what_a_message_of_this_length_needs_and_never_more_than_half_of_the_limit() {
        for (waits, length, room) in [
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
            wake(outbox.try_push(WireBytes::Slice(&vec![0; waits])));
            let ready = outbox.poll_capacity(length, &mut Context::from_waker(Waker::noop())).is_ready();
            assert_eq!(ready, room, "{length} bytes behind {waits}");
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
