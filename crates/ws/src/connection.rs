//! What the handles and the task of a connection share.
//!
//! Hot path. The mutex is uncontended unless a program moves a handle to another task: the driver does not hold it
//! while it polls the handler, and the handler's calls come one at a time.

mod driver;
mod flush_and_close;
pub(crate) mod flush_position;
mod keepalive;
mod receiving;
mod sending;
pub(crate) mod waiters;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use net::{DeadlineTimer, Stream, Upgraded, WebSocketStream};
use tokio::task::yield_now;
use tokio::time::timeout;
use ws_proto::{CloseCode, CloseFrame, DeflateAgreement, Deflater, Time};

use crate::connection::keepalive::Keepalive;
use crate::connection::waiters::{PingPayload, Waiter, Waiters};
use crate::error::{CloseCause, PingError, TrySendError};
use crate::limits::Limits;
use crate::message::{Message, PreparedMessage};

pub(crate) use driver::Driver;
pub(crate) use sending::{Fragment, PushError};

/// A connection, between its handle and its driver.
#[derive(Debug)]
pub(crate) struct Connection(Mutex<State>);

impl Connection {
    /// Bytes of one, counted with those of the `Arc` around it.
    #[cfg(test)]
    pub(crate) const SIZE: usize = size_of::<Self>() + 2 * size_of::<usize>();

    pub(crate) fn server(upgraded: Upgraded, limits: &Limits, deflate: Option<&DeflateAgreement>) -> Self {
        let protocol = limits.to_proto();
        Self::new(WebSocketStream::server(upgraded.stream, upgraded.leftover, &protocol), limits, deflate)
    }

    pub(crate) fn client(upgraded: Upgraded, limits: &Limits, deflate: Option<&DeflateAgreement>) -> Self {
        let protocol = limits.to_proto();
        Self::new(WebSocketStream::client(upgraded.stream, upgraded.leftover, &protocol), limits, deflate)
    }

    fn new(stream: WebSocketStream<Stream>, limits: &Limits, deflate: Option<&DeflateAgreement>) -> Self {
        let mut stream = stream.with_owned_long_messages();
        if let Some(agreement) = deflate {
            stream = stream.with_deflate(agreement);
        }
        Self(Mutex::new(State {
            stream,
            deflater: deflate.map(|agreement| Box::new(Deflater::new(agreement))),
            max_write_buffer_size: limits.max_write_buffer_size,
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
        }))
    }

    /// A handle's way in. If the driver sleeps and `operation` has left it something to do, it is woken, after the
    /// lock is released, and so are the calls that need not wait any longer. A driver at work does it when it is done.
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

    /// The driver is about to poll the handler: until [`end_driver_poll`](Self::end_driver_poll) nobody needs to wake it.
    pub(crate) fn begin_driver_poll(&self, cx: &Context<'_>) {
        self.lock().begin_driver_poll(cx);
    }

    /// The driver has polled the handler: writes what that has left, and goes on with a close. Ready when the
    /// connection is over. `failed` says that the handler has failed.
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

    /// The driver is gone: the runtime stops.
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
        // No code of a user runs under the lock; a poisoned one still holds a whole state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the handles do alike.
impl Connection {
    /// Pushes at once, or as soon as it is this call's turn and there is room.
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
        let answer = poll_fn(|cx| waiter.with(|state, ticket| state.poll_ping(ticket, payload, cx)));
        let answer = match idle_timeout {
            Some(limit) => timeout(limit, answer).await.map_err(|_| PingError::TimedOut)?,
            None => answer.await,
        };
        answer.map_err(|_| PingError::Closed)
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

/// From this many bytes on that were received, or compressed to be sent, other tasks get their turn before the next message.
const COOP_BUDGET_BYTES: usize = 1024 * 1024;

/// Has the task polled again when others have had their turn: not by waking it, which would keep the runtime from looking at
/// its sockets.
#[cold]
fn defer_wake(cx: &Context<'_>) {
    let _ = pin!(yield_now()).poll(&mut Context::from_waker(cx.waker()));
}

/// Mostly nobody has waited, and then not even a list is walked.
#[inline]
fn wake(woken: Vec<Waker>) {
    if !woken.is_empty() {
        wake_all(woken);
    }
}

#[cold]
fn wake_all(woken: Vec<Waker>) {
    for waker in woken {
        waker.wake();
    }
}

/// What is under the lock.
#[derive(Debug)]
pub(crate) struct State {
    stream: WebSocketStream<Stream>,
    /// Where messages may be compressed.
    deflater: Option<Box<Deflater>>,
    max_write_buffer_size: usize,
    /// Bytes that were written, at least: pongs that joined them on the way are not told apart.
    written: u64,
    /// When the last read brought something. Messages of one read may be taken minutes apart: it is no time to count from what
    /// follows.
    last_read_at: Time,
    /// The driver's waker. It is taken to wake the driver, which puts a new one here.
    driver: Option<Waker>,
    /// The waker of the call that waits for a message.
    receiver: Option<Waker>,
    /// All other calls that wait.
    waiters: Option<Box<Waiters>>,
    /// Boxed, because most of a connection's life has no end.
    close_cause: Option<Box<CloseCause>>,
    /// Nothing can be written any more. What has arrived before can still be received.
    write_error: Option<io::ErrorKind>,
    /// The receiver is dropped: what to close with.
    receiver_dropped: Option<CloseCode>,
    phase: Phase,
    keepalive: Keepalive,
    keepalive_timer: KeepaliveTimer,
    /// Bytes of messages that were received, or compressed, since the last time that other tasks had their turn.
    budget_used: usize,
    /// Messages are received in chunks.
    in_chunks: bool,
    /// The driver is polling the handler, and will look at everything afterwards.
    in_driver_poll: bool,
    /// The stream takes no more bytes now; the driver is woken when it does.
    write_blocked: bool,
    /// The driver is to wake the receiver.
    wake_receiver: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The receiver reads.
    Open,
    /// We close: the driver reads, for the peer's Close, and drops what comes before.
    Draining,
    /// Nothing is left to be done on the stream.
    Finished,
}

/// Whether the driver has a timer for the [`Keepalive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeepaliveTimer {
    On,
    /// It has expired: the call in `recv`, or the next one, reads what the peer has sent meanwhile, and checks.
    Expired,
    /// That call has checked. A sleeping driver has to be woken.
    RestartRequested,
}

#[cfg(test)]
mod tests;
