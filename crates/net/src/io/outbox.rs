//! The queue between the program and the task of a connection. Other tasks use no other part of the connection.
//!
//! For a connection that is behind, the outbox may also keep messages beside the queue: the latest one of each
//! [`LatestKey`]. They enter the queue when the transport has accepted everything before them.
//!
//! Hot path. A push holds a mutex and checks a limit in bytes. The first push after the driver went to sleep takes its
//! waker. The driver does not sleep while it runs a handler, so an emit from a handler of the same connection wakes
//! nobody.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::latest_messages::{Frame, LatestKey, LatestMessages};
use super::write_queue::{WireBytes, WriteQueue};
use crate::memory_budget::{HeldMemory, REGISTRATION_THRESHOLD};

/// While the transport accepts nothing, the driver is woken each time that the queue has grown by this many bytes. A
/// power of two.
const MEMORY_REPORT_STEP: usize = 1024 * 1024;

/// The limit is this many times higher while the transport has accepted everything so far and the driver has not run since:
/// then nothing shows yet that the peer reads slowly.
const BURST_FACTOR: usize = 4;

/// If this many bytes wait for the driver, or half of the limit, a message with a [`LatestKey`] is kept beside the queue,
/// although the transport may accept all of them.
const MAX_QUEUED_BEFORE_LATEST: usize = 64 * 1024;

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

    /// Adds the message to the queue in the form of the transport. `is_long` says that the queue is so long that its
    /// connection counts in a [`MemoryBudget`](crate::MemoryBudget).
    fn push(self, framing: F, queue: &mut WriteQueue, is_long: bool);

    /// Returns the message in the form of the transport, to keep it beside the queue.
    fn into_frame(self, framing: F) -> Frame;
}

impl OutboxItem<()> for WireBytes<'_> {
    fn len(&self, (): ()) -> usize {
        match self {
            WireBytes::Slice(slice) => slice.len(),
            WireBytes::Shared(bytes) => bytes.len(),
        }
    }

    fn push(self, (): (), queue: &mut WriteQueue, _is_long: bool) {
        queue.push(self);
    }

    fn into_frame(self, (): ()) -> Frame {
        match self {
            WireBytes::Slice(slice) => Frame::Own(Bytes::copy_from_slice(slice)),
            WireBytes::Shared(bytes) => Frame::Shared(bytes.clone()),
        }
    }
}

/// What happens to a message for a connection that is behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SlowReaderPolicy<'a> {
    /// The message is queued. If the limit is reached, the connection ends.
    #[default]
    Disconnect,
    /// The message is dropped.
    Drop,
    /// The message is kept in the place of an earlier one with this key, and sent when the transport has accepted
    /// everything before it. If the limit is reached, the connection ends.
    KeepLatest(LatestKey<'a>),
}

/// The result of [`Outbox::push`].
#[derive(Debug)]
#[must_use = "the driver sleeps until its waker is woken"]
pub struct Pushed {
    /// What the outbox did with the message.
    pub outcome: PushOutcome,
    /// The caller must wake it. A broadcast wakes it after it has released its own lock.
    pub waker: Option<Waker>,
}

/// What an [`Outbox`] did with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushOutcome {
    /// The message is in the queue.
    Queued,
    /// The message is kept beside the queue.
    Kept,
    /// The message is kept in the place of an earlier one, which was dropped.
    Replaced,
    /// The message was dropped, because the connection is behind.
    Dropped,
    /// The message does not fit, so the driver ends the connection.
    Overflowed,
}

#[derive(Debug)]
struct State<F> {
    queue: WriteQueue,
    framing: F,
    /// The number of bytes that the driver has taken and not yet written.
    in_flight: usize,
    /// The messages that are kept beside the queue, and their bytes.
    latest: Option<Box<LatestMessages>>,
    latest_bytes: usize,
    phase: Phase,
    /// The driver's waker.
    driver_waker: Option<Waker>,
    /// Whether the driver sleeps: from [`Outbox::park`] to [`Outbox::unpark`], or until a caller takes the waker.
    parked: bool,
    /// [`Outbox::notify`] was called.
    notified: bool,
    /// Whether the transport accepted all bytes of the last write.
    writable: bool,
    /// Tasks that wait for capacity. Nearly always there are none, so an idle connection has one pointer.
    #[allow(clippy::box_collection, reason = "a list without a box has three pointers")]
    capacity_waiters: Option<Box<Vec<Waker>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// A push did not fit, so the driver must end the connection.
    Overflowed,
    Closed,
}

impl<F: Copy> State<F> {
    /// Returns the number of bytes that count for the limit.
    fn buffered(&self) -> usize {
        self.queue.len() + self.in_flight + self.latest_bytes
    }

    /// Returns whether the transport has accepted everything that the driver has taken.
    fn accepts_more(&self) -> bool {
        self.writable && self.in_flight == 0
    }

    /// Takes the waker of a sleeping driver. Only the first caller gets it.
    fn take_parked_waker(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.parked) { self.driver_waker.clone() } else { None }
    }

    /// Returns whether so many bytes may be buffered.
    #[inline]
    fn allows(&self, total: usize, limit: Limit) -> bool {
        total <= limit.always || total <= limit.in_burst && self.accepts_more()
    }

    /// Adds a message to the queue, unless more bytes would be buffered than the limit allows.
    #[inline]
    fn push(&mut self, message: impl OutboxItem<F>, limit: Limit) -> Result<Option<Waker>, PushError> {
        self.check_open()?;
        let framing = self.framing;
        let queued = self.buffered();
        let total = queued + message.len(framing);
        if queued > 0 && !self.allows(total, limit) {
            return Err(PushError::Full);
        }
        message.push(framing, &mut self.queue, total > REGISTRATION_THRESHOLD);
        Ok(self.waker_after_growth(queued, total))
    }

    /// Keeps a message beside the queue. Returns the message if the outbox has no room for another key.
    #[inline(never)]
    fn keep<M: OutboxItem<F>>(
        &mut self,
        message: M,
        key: LatestKey<'_>,
        limit: Limit,
    ) -> Result<Result<Pushed, PushError>, M> {
        let latest = self.latest.get_or_insert_default();
        let former = latest.bytes_of(key);
        if former.is_none() && !latest.accepts_key() {
            return Err(message);
        }
        let queued = self.queue.len() + self.in_flight + self.latest_bytes;
        let others = queued - former.unwrap_or(0);
        let total = others + message.len(self.framing) + key.name.len();
        if others > 0 && !self.allows(total, limit) {
            return Ok(Err(PushError::Full));
        }
        let latest = self.latest.get_or_insert_default();
        let replaced = latest.insert(key, message.into_frame(self.framing));
        self.latest_bytes = latest.bytes();
        let outcome = if replaced { PushOutcome::Replaced } else { PushOutcome::Kept };
        Ok(Ok(Pushed { outcome, waker: self.waker_after_growth(queued, total) }))
    }

    fn check_open(&self) -> Result<(), PushError> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Overflowed => Err(PushError::Full),
            Phase::Closed => Err(PushError::Closed),
        }
    }

    /// Returns the waker if the driver must run because of a message: to send it, or to report the memory to its budget.
    #[inline]
    fn waker_after_growth(&mut self, before: usize, after: usize) -> Option<Waker> {
        let has_grown = (before ^ after) >= MEMORY_REPORT_STEP;
        self.notified |= has_grown;
        if self.writable || has_grown { self.take_parked_waker() } else { None }
    }

    #[inline]
    fn take_signals(&mut self) -> OutboxSignals {
        OutboxSignals {
            notified: std::mem::take(&mut self.notified),
            overflowed: self.phase == Phase::Overflowed,
            latest: self.latest.as_ref().map_or_else(HeldMemory::default, |latest| latest.memory()),
        }
    }

    /// Moves the messages that are kept beside the queue to its end.
    #[cold]
    fn release_latest(&mut self) {
        if let Some(latest) = self.latest.take() {
            self.latest_bytes = 0;
            latest.release_into(&mut self.queue);
        }
    }
}

/// How many bytes may be buffered.
#[derive(Debug, Clone, Copy)]
struct Limit {
    always: usize,
    /// While the transport has accepted everything that the driver has taken.
    in_burst: usize,
}

/// Events for the driver, apart from queued bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxSignals {
    /// [`Outbox::notify`] was called since the driver last took the signals.
    pub notified: bool,
    /// A push did not fit. The peer reads too slowly, and the driver must end the connection.
    pub overflowed: bool,
    /// The memory of the messages that are kept beside the queue.
    pub latest: HeldMemory,
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
    /// Creates an outbox that holds at most `limit` bytes. An empty outbox accepts a message of any length. A burst may take
    /// four times as many, see [`push`](Self::push).
    #[must_use]
    pub fn with_framing(limit: usize, framing: F) -> Self {
        let state = State {
            queue: WriteQueue::new(),
            framing,
            in_flight: 0,
            latest: None,
            latest_bytes: 0,
            phase: Phase::Open,
            driver_waker: None,
            parked: false,
            notified: false,
            writable: true,
            capacity_waiters: None,
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
        self.state().push(message, self.strict_limit())
    }

    /// Queues a message, or does with it what `policy` says for a connection that is behind. If the message does not fit,
    /// marks the connection as overflowed, so that the driver ends it. The messages queued before are still written as
    /// far as the peer reads. So the peer gets a prefix of the messages without gaps, and then the end.
    ///
    /// While the transport has accepted everything so far and the driver has not run since, four times the limit fits: a
    /// program that sends much at once must not end a peer that reads. Beyond that, the connection ends whatever its driver
    /// does.
    ///
    /// # Errors
    /// The outbox had overflowed before, or the connection has ended. The message that causes the overflow is dropped
    /// without an error.
    #[inline]
    pub fn push(
        &self,
        message: impl OutboxItem<F>,
        policy: SlowReaderPolicy<'_>,
    ) -> Result<Pushed, PushError> {
        let mut state = self.state();
        let pushed = match policy {
            SlowReaderPolicy::Disconnect => state
                .push(message, self.burst_limit())
                .map(|waker| Pushed { outcome: PushOutcome::Queued, waker }),
            policy => self.push_with(&mut state, message, policy, self.burst_limit()),
        };
        if matches!(pushed, Err(PushError::Full)) && state.phase == Phase::Open {
            state.phase = Phase::Overflowed;
            return Ok(Pushed { outcome: PushOutcome::Overflowed, waker: state.take_parked_waker() });
        }
        pushed
    }

    /// Does the same as [`push`](Self::push), but returns an error if the message does not fit.
    ///
    /// # Errors
    /// The message does not fit, or the connection has ended.
    pub fn try_push_with(
        &self,
        message: impl OutboxItem<F>,
        policy: SlowReaderPolicy<'_>,
    ) -> Result<Pushed, PushError> {
        let mut state = self.state();
        match policy {
            SlowReaderPolicy::Disconnect => state
                .push(message, self.strict_limit())
                .map(|waker| Pushed { outcome: PushOutcome::Queued, waker }),
            policy => self.push_with(&mut state, message, policy, self.strict_limit()),
        }
    }

    /// Carries out a policy other than [`SlowReaderPolicy::Disconnect`].
    #[inline(never)]
    fn push_with(
        &self,
        state: &mut State<F>,
        mut message: impl OutboxItem<F>,
        policy: SlowReaderPolicy<'_>,
        limit: Limit,
    ) -> Result<Pushed, PushError> {
        state.check_open()?;
        if let SlowReaderPolicy::KeepLatest(key) = policy
            && (!state.accepts_more()
                || state.queue.len() >= MAX_QUEUED_BEFORE_LATEST.min(self.max_buffered / 2)
                // Another message of the key may be among them, and must not come later.
                || state.latest.is_some())
        {
            match state.keep(message, key, limit) {
                Ok(pushed) => return pushed,
                // Too many keys. The message is sent as any other.
                Err(unkept) => message = unkept,
            }
        }
        let drops = policy == SlowReaderPolicy::Drop;
        if drops && !state.accepts_more() {
            return Ok(Pushed { outcome: PushOutcome::Dropped, waker: None });
        }
        match state.push(message, if drops { self.strict_limit() } else { limit }) {
            Err(PushError::Full) if drops => Ok(Pushed { outcome: PushOutcome::Dropped, waker: None }),
            pushed => pushed.map(|waker| Pushed { outcome: PushOutcome::Queued, waker }),
        }
    }

    fn strict_limit(&self) -> Limit {
        Limit { always: self.max_buffered, in_burst: 0 }
    }

    fn burst_limit(&self) -> Limit {
        Limit { always: self.max_buffered, in_burst: self.max_buffered.saturating_mul(BURST_FACTOR) }
    }

    /// Moves the messages that are kept for keys of this scope to the end of the queue. Call this before a message that ends
    /// what the scope stands for.
    pub fn release_latest(&self, scope: &str) {
        self.remove_latest(scope, |queue| Some(queue));
    }

    /// Drops the messages that are kept for keys of this scope.
    pub fn discard_latest(&self, scope: &str) {
        self.remove_latest(scope, |_| None);
    }

    fn remove_latest(&self, scope: &str, target: impl FnOnce(&mut WriteQueue) -> Option<&mut WriteQueue>) {
        let mut state = self.state();
        let State { latest: Some(latest), latest_bytes, queue, .. } = &mut *state else { return };
        latest.remove_scope(scope, target(queue));
        *latest_bytes = latest.bytes();
    }

    /// Returns whether the transport keeps up: it accepted all bytes of the last write, and the driver holds no
    /// unwritten bytes. Returns `false` after an overflow or after the end of the connection.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let state = self.state();
        state.accepts_more() && state.phase == Phase::Open
    }

    /// Returns the number of bytes that are not written yet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.state().buffered()
    }

    /// For the driver: returns the memory of the queued bytes, see [`WriteQueue::memory`]. That of the messages beside the
    /// queue is in [`OutboxSignals::latest`].
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
        if state.phase == Phase::Open && state.buffered() <= at_most {
            return Poll::Ready(Ok(()));
        }
        let is_first = state.capacity_waiters.is_none();
        let waiters = state.capacity_waiters.get_or_insert_default();
        if !waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiters.push(cx.waker().clone());
        }
        drop(state);
        if is_first {
            self.notify();
        }
        Poll::Pending
    }

    /// Returns whether [`try_push`](Self::try_push) would accept a message of `length` bytes now.
    #[must_use]
    pub fn has_capacity(&self, length: usize) -> bool {
        let state = self.state();
        let queued = state.buffered();
        state.phase == Phase::Open && (queued == 0 || state.allows(queued + length, self.strict_limit()))
    }

    /// For the driver: returns whether a task waits for capacity, or has waited since there was none. The first task that
    /// waits [notifies](Self::notify) the driver.
    #[must_use]
    pub fn has_capacity_waiters(&self) -> bool {
        self.state().capacity_waiters.is_some()
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
        state.take_signals()
    }

    /// For the driver: moves the queued bytes to the end of `queue`, and leaves the signals for a later call.
    pub fn drain_into(&self, queue: &mut WriteQueue) {
        let mut state = self.state();
        queue.append(&mut state.queue);
        state.in_flight = queue.len();
    }

    /// For the driver: does the same as [`drain_into`](Self::drain_into), and adds the messages that are kept beside the
    /// queue. For a transport that sends all of them at once, and before a close.
    pub fn drain_all_into(&self, queue: &mut WriteQueue) {
        let mut state = self.state();
        state.release_latest();
        queue.append(&mut state.queue);
        state.in_flight = queue.len();
    }

    /// For the driver: takes the signals and leaves the queued bytes.
    pub fn take_signals(&self) -> OutboxSignals {
        self.state().take_signals()
    }

    /// For the driver: switches to the form of a new transport, which counts as writable. Moves the bytes queued so
    /// far, in the old form, to the end of `queue`. Later pushes use the new form.
    pub fn change_framing(&self, framing: F, queue: &mut WriteQueue) {
        let mut state = self.state();
        state.release_latest();
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
    /// If everything was accepted, the messages that are kept beside the queue enter it. Returns `false` if there is
    /// something to send now: then the driver must not sleep, and must drain the outbox again.
    pub fn park(&self, left: usize, writable: bool, cx: &Context<'_>) -> bool {
        let (parked, waiting) = {
            let mut state = self.state();
            state.in_flight = left;
            state.writable = writable;
            if writable && left == 0 && state.latest.is_some() {
                state.release_latest();
            }
            let more = writable && !state.queue.is_empty();
            let parked = !state.notified && !more && state.phase != Phase::Overflowed;
            state.parked = parked;
            if parked && !state.driver_waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.driver_waker = Some(cx.waker().clone());
            }
            let has_capacity = state.capacity_waiters.is_some() && state.buffered() <= self.max_buffered / 2;
            (parked, if has_capacity { state.capacity_waiters.take() } else { None })
        };
        waiting.into_iter().flat_map(|waiting| *waiting).for_each(Waker::wake);
        parked
    }

    /// Closes the outbox: drops the queued bytes, refuses further messages, and wakes the tasks that wait for capacity.
    pub fn close(&self) {
        let waiting = {
            let mut state = self.state();
            state.phase = Phase::Closed;
            state.queue.clear();
            state.latest = None;
            state.latest_bytes = 0;
            state.in_flight = 0;
            state.parked = false;
            state.driver_waker = None;
            state.capacity_waiters.take()
        };
        waiting.into_iter().flat_map(|waiting| *waiting).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
