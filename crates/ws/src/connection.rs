//! The state that the handles and the task of a connection share.
//!
//! Hot path. The mutex is uncontended unless a program moves a handle to another task: the driver does not hold it
//! while it polls the handler, and the handler makes one call at a time.

mod driver;
mod flush_and_close;
pub(crate) mod flush_position;
mod keepalive;
mod receiving;
mod sending;
pub(crate) mod waiters;

use std::future::poll_fn;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use net::metrics::{ConnectionKind, Meter, OpenConnection};
use net::{
    ConnectionSpan, DeadlineTimer, MemoryBudget, MemoryUsage, PeerTimeout, Stream, Upgraded, WebSocketStream,
};
use ws_proto::{CloseCode, CloseFrame, DeflateAgreement, Deflater, Time};

use crate::connection::keepalive::Keepalive;
use crate::connection::waiters::{PingPayload, Waiter, Waiters};
use crate::error::{CloseCause, PingError, TrySendError};
use crate::limits::Limits;
use crate::message::{Message, PreparedMessage};

pub(crate) use driver::Driver;
pub(crate) use sending::{Fragment, PushError};

/// The state of a connection, shared by its handles and its driver.
#[derive(Debug)]
pub(crate) struct Connection {
    state: Mutex<State>,
    span: ConnectionSpan,
}

impl Connection {
    /// The size of a connection in bytes, including the `Arc` around it.
    #[cfg(test)]
    pub(crate) const SIZE: usize = size_of::<Self>() + 2 * size_of::<usize>();

    pub(crate) fn server(
        upgraded: Upgraded,
        limits: &Limits,
        deflate: Option<&DeflateAgreement>,
        budget: MemoryBudget,
        span: ConnectionSpan,
    ) -> Self {
        let protocol = limits.to_proto();
        let kind = ConnectionKind::WebSocket;
        let stream = WebSocketStream::server(upgraded.stream, upgraded.leftover, &protocol)
            .with_meter(Meter::new(kind));
        Self::new(stream, limits, deflate, budget, OpenConnection::new(kind), span)
    }

    pub(crate) fn client(upgraded: Upgraded, limits: &Limits, deflate: Option<&DeflateAgreement>) -> Self {
        let protocol = limits.to_proto();
        let stream = WebSocketStream::client(upgraded.stream, upgraded.leftover, &protocol);
        let budget = MemoryBudget::process().clone();
        Self::new(stream, limits, deflate, budget, OpenConnection::uncounted(), ConnectionSpan::default())
    }

    fn new(
        stream: WebSocketStream<Stream>,
        limits: &Limits,
        deflate: Option<&DeflateAgreement>,
        budget: MemoryBudget,
        open: OpenConnection,
        span: ConnectionSpan,
    ) -> Self {
        let mut stream = stream.with_owned_long_messages();
        if let Some(agreement) = deflate {
            stream = stream.with_deflate(agreement);
        }
        let state = Mutex::new(State {
            stream,
            deflater: deflate.map(|agreement| Box::new(Deflater::new(agreement))),
            max_write_buffer_size: limits.max_write_buffer_size,
            memory_budget: budget,
            memory: MemoryUsage::default(),
            open,
            written: 0,
            last_read_at: Time::ZERO,
            driver: None,
            receiver: None,
            waiters: None,
            close_cause: None,
            write_error: None,
            receiver_dropped: None,
            phase: Phase::Open,
            keepalive: Keepalive::new(limits, net::now()),
            keepalive_timer: KeepaliveTimer::On,
            budget_used: 0,
            in_chunks: false,
            in_driver_poll: false,
            write_blocked: false,
            wake_receiver: false,
        });
        Self { state, span }
    }

    /// Returns the span of the connection.
    pub(crate) fn span(&self) -> &ConnectionSpan {
        &self.span
    }

    /// Runs an operation of a handle under the lock. After the lock is released, wakes the driver if it is waiting and
    /// has work, and wakes the calls that no longer have to wait. During a poll of the driver, this wakes nothing: at
    /// the end of that poll, the driver does the work and wakes the calls.
    pub(crate) fn with<T>(&self, operation: impl FnOnce(&mut State) -> T) -> T {
        let (result, driver, woken) = {
            let mut state = self.lock();
            let result = operation(&mut state);
            if state.in_driver_poll {
                return result;
            }
            let driver = if state.has_work() { state.driver.take() } else { None };
            (result, driver, state.take_wake_list())
        };
        if let Some(driver) = driver {
            driver.wake();
        }
        wake(woken);
        result
    }

    /// Called before the driver polls the handler. Until [`end_driver_poll`](Self::end_driver_poll), no operation wakes
    /// the driver.
    pub(crate) fn begin_driver_poll(&self, cx: &Context<'_>) {
        self.lock().begin_driver_poll(cx);
    }

    /// Called after the driver has polled the handler: writes what was queued, and continues a close. Returns `Ready`
    /// when the connection has ended. `failed` is `true` if the handler has failed.
    pub(crate) fn end_driver_poll(
        &self,
        failed: bool,
        deadline: &mut DeadlineTimer,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let (polled, receiver, woken, _former) = {
            let mut state = self.lock();
            let polled = state.end_driver_poll(failed, deadline, cx);
            let wake = std::mem::take(&mut state.wake_receiver);
            let receiver = if wake { state.receiver.take() } else { None };
            state.wake_failed_waiters();
            (polled, receiver, state.take_wake_list(), state.release_stream())
        };
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        wake(woken);
        polled
    }

    /// Called when the driver is dropped, because the connection has ended or the runtime shuts down.
    pub(crate) fn driver_dropped(&self) {
        let (receiver, woken, _former) = {
            let mut state = self.lock();
            state.finish();
            state
                .close_cause
                .get_or_insert_with(|| Box::new(CloseCause::Io(io::ErrorKind::ConnectionAborted)));
            state.in_driver_poll = false;
            state.wake_failed_waiters();
            (state.receiver.take(), state.take_wake_list(), state.release_stream())
        };
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        wake(woken);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No user code runs under the lock, so a poisoned lock still holds a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The operations that all handles share.
impl Connection {
    /// Pushes at once, or waits until it is this call's turn in the queue and there is capacity.
    #[inline]
    pub(crate) async fn push(
        &self,
        mut push: impl FnMut(&mut State) -> Result<(), PushError>,
    ) -> Result<(), ()> {
        match self.with(|state| state.push_fair(&mut push)) {
            Ok(()) => Ok(()),
            Err(PushError::Closed) => Err(()),
            Err(PushError::Full) => {
                let mut waiter = Waiter::new(self);
                poll_fn(|cx| waiter.with(|state, ticket| state.poll_push(ticket, cx, &mut push))).await
            }
        }
    }

    pub(crate) fn try_send(&self, mut message: Message, compress: bool) -> Result<(), TrySendError> {
        match self.with(|state| state.try_push(|state| state.push(&mut message, compress))) {
            Ok(()) => Ok(()),
            Err(PushError::Full) => Err(TrySendError::Full(message)),
            Err(PushError::Closed) => Err(TrySendError::Closed(message)),
        }
    }

    pub(crate) fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), TrySendError> {
        match self.with(|state| state.try_push(|state| state.push_prepared(message))) {
            Ok(()) => Ok(()),
            Err(PushError::Full) => Err(TrySendError::Full(message.message().clone())),
            Err(PushError::Closed) => Err(TrySendError::Closed(message.message().clone())),
        }
    }

    pub(crate) async fn ping(&self) -> Result<Duration, PingError> {
        let mut payload = PingPayload::default();
        getrandom::fill(&mut payload).map_err(|_| PingError::NoRandomness)?;
        let idle_timeout = self.with(|state| state.idle_timeout());
        let mut waiter = Waiter::new(self);
        let pong = poll_fn(|cx| waiter.with(|state, ticket| state.poll_ping(ticket, payload, cx)));
        let round_trip = match idle_timeout {
            Some(limit) => PeerTimeout::limit(limit, pong).await.ok_or(PingError::TimedOut)?,
            None => pong.await,
        };
        round_trip.map_err(|_| PingError::Closed)
    }

    pub(crate) fn buffered(&self) -> usize {
        self.with(|state| state.buffered())
    }

    pub(crate) async fn close(&self, frame: Option<CloseFrame>) -> CloseCause {
        self.with(|state| state.close(frame));
        self.closed().await
    }

    pub(crate) async fn closed(&self) -> CloseCause {
        let mut waiter = Waiter::new(self);
        poll_fn(|cx| waiter.with(|state, ticket| state.poll_closed(ticket, cx))).await
    }

    pub(crate) fn close_cause(&self) -> Option<CloseCause> {
        self.with(|state| state.close_cause().cloned())
    }
}

/// After this many bytes that were received, or compressed for sending, the call yields to other tasks before the next
/// message.
const COOP_BUDGET_BYTES: usize = 1024 * 1024;

/// Most calls wake no waiter, so the common path is inlined and skips the loop.
#[inline]
fn wake(wakers: Vec<Waker>) {
    if !wakers.is_empty() {
        wake_all(wakers);
    }
}

#[cold]
fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

/// The state under the lock.
#[derive(Debug)]
pub(crate) struct State {
    stream: WebSocketStream<Stream>,
    /// Present if compression was negotiated.
    deflater: Option<Box<Deflater>>,
    max_write_buffer_size: usize,
    memory_budget: MemoryBudget,
    /// What the driver has reported to the budget.
    memory: MemoryUsage,
    open: OpenConnection,
    /// A lower bound of the bytes that were written: Pongs that are queued during a write are not counted.
    written: u64,
    /// The time at which the last read returned bytes. Do not use it as the current time: the program may take the
    /// messages of one read minutes apart.
    last_read_at: Time,
    /// The driver's waker. Waking the driver takes it; the driver stores a new one at its next poll.
    driver: Option<Waker>,
    /// The waker of the call that waits for a message.
    receiver: Option<Waker>,
    /// All other waiting calls.
    waiters: Option<Box<Waiters>>,
    /// Boxed, because it is empty for most of a connection's life.
    close_cause: Option<Box<CloseCause>>,
    /// Set when writing has failed. Bytes that arrived before can still be received.
    write_error: Option<io::ErrorKind>,
    /// Set when the receiver was dropped: the code to close with.
    receiver_dropped: Option<CloseCode>,
    phase: Phase,
    keepalive: Keepalive,
    keepalive_timer: KeepaliveTimer,
    /// Bytes of messages that were received, or compressed, since the task last yielded to other tasks.
    budget_used: usize,
    /// Whether messages are received in chunks.
    in_chunks: bool,
    /// Whether the driver is polling the handler. Operations then wake nothing, because the driver checks everything
    /// after that poll.
    in_driver_poll: bool,
    /// Whether the stream accepts no more bytes at the moment. The driver is woken when the stream accepts bytes again.
    write_blocked: bool,
    /// Whether the driver has to wake the receiver.
    wake_receiver: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Open: calls of the receiver read the stream.
    Open,
    /// This endpoint is closing the connection: the driver reads until the peer's Close, and drops all messages before
    /// it.
    Draining,
    /// Nothing is left to do on the stream.
    Finished,
}

/// The state of the driver's timer for the [`Keepalive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeepaliveTimer {
    On,
    /// The timer has expired. The call in `recv`, or the next one, first reads what the peer has sent, and then checks
    /// the keepalive.
    Expired,
    /// That call has checked the keepalive. If the driver is waiting, it must be woken to restart the timer.
    RestartRequested,
}

#[cfg(test)]
mod tests;
