//! Acknowledgements that the server expects from a client.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use adapter::{AckWaiter, MissingReason};
use engineio::Time;
use serde::de::DeserializeOwned;
use socketio_proto::{AckTable, Arguments, ArgumentsError};
use tokio::sync::oneshot;

use super::{EmitError, Socket};

/// The reason why an acknowledgement could not be received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckError {
    /// The client did not acknowledge before the timeout.
    Timeout,
    /// The socket was disconnected before the client acknowledged.
    Disconnected,
    /// The event could not be sent.
    NotSent(EmitError),
    /// The arguments of the acknowledgement do not fit the requested type.
    Invalid(ArgumentsError),
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("operation has timed out"),
            Self::Disconnected => f.write_str("socket has been disconnected"),
            Self::NotSent(error) => write!(f, "the event was not sent: {error}"),
            Self::Invalid(error) => write!(f, "cannot deserialize the acknowledgement: {error}"),
        }
    }
}

impl std::error::Error for AckError {}

/// A future that resolves to the acknowledgement of an event, see [`Socket::emit_with_ack`]. If it is dropped, a later
/// acknowledgement is ignored.
#[must_use = "await this future to receive the acknowledgement"]
pub struct AckFuture<R> {
    socket: Socket,
    id: u64,
    receiver: Result<oneshot::Receiver<AckResult>, AckError>,
    _response: PhantomData<fn() -> R>,
}

/// Who waits for an acknowledgement.
#[derive(Debug)]
enum Waiter {
    /// An [`AckFuture`].
    Future(oneshot::Sender<AckResult>),
    /// A broadcast.
    Broadcast(AckWaiter),
}

impl Waiter {
    /// Returns `false` if nobody waits any more.
    fn resolve(self, arguments: Arguments<'_>) -> bool {
        match self {
            Self::Future(sender) => sender.send(Ok(arguments.into_owned())).is_ok(),
            Self::Broadcast(waiter) => {
                waiter.acknowledge(arguments);
                true
            }
        }
    }

    fn time_out(self) {
        match self {
            Self::Future(sender) => _ = sender.send(Err(AckError::Timeout)),
            Self::Broadcast(waiter) => waiter.fail(MissingReason::TimedOut),
        }
    }
}

/// The result of a pending acknowledgement. If the socket is disconnected, the sender is dropped without a result.
type AckResult = Result<Arguments<'static>, AckError>;

impl<R> AckFuture<R> {
    /// Starts the timeout. The caller sends the event next.
    pub(crate) fn new(socket: &Socket, id: u64, timeout: Duration) -> Self {
        let (sender, receiver) = oneshot::channel();
        if socket.acks().insert(id, timeout, Waiter::Future(sender)) {
            // The connection's task must update its timer. It must also resume reading if it paused because too many
            // events are queued.
            socket.session().wake();
        }
        Self { socket: socket.clone(), id, receiver: Ok(receiver), _response: PhantomData }
    }

    /// Makes the future fail, because the event was not sent.
    pub(crate) fn failed(mut self, error: AckError) -> Self {
        self.receiver = Err(error);
        self
    }

    /// Waits for the acknowledgement and returns its arguments as they were received, not deserialized. Use it in
    /// programs that relay acknowledgements. Cancel safe: if the future is dropped, a later acknowledgement is ignored.
    ///
    /// # Errors
    /// Returns an error if the acknowledgement could not be received.
    pub async fn raw(mut self) -> Result<Arguments<'static>, AckError> {
        std::future::poll_fn(|cx| self.poll_arguments(cx)).await
    }

    fn poll_arguments(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arguments<'static>, AckError>> {
        Poll::Ready(match &mut self.receiver {
            Ok(receiver) => ready!(Pin::new(receiver).poll(cx)).unwrap_or(Err(AckError::Disconnected)),
            Err(error) => Err(error.clone()),
        })
    }
}

impl<R: DeserializeOwned> Future for AckFuture<R> {
    type Output = Result<R, AckError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let arguments = ready!(self.poll_arguments(cx))?;
        Poll::Ready(arguments.deserialize().map_err(AckError::Invalid))
    }
}

impl<R> Drop for AckFuture<R> {
    /// Removes the entry from the table, whether or not the acknowledgement has arrived.
    fn drop(&mut self) {
        self.socket.acks().remove(self.id);
    }
}

impl<R> fmt::Debug for AckFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AckFuture").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The pending acknowledgements of one socket. Any task may add one. The connection's task resolves them and handles
/// their timeouts. No waiter is woken while the lock is held.
#[derive(Debug, Default)]
pub(crate) struct PendingAcks {
    table: Mutex<AckTable<Waiter>>,
    /// Whether an acknowledgement was pending when the lock was last released. The connection's task reads it in every
    /// poll, and most sockets never have one.
    has_waiters: AtomicBool,
}

impl PendingAcks {
    fn lock(&self) -> LockedAcks<'_> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        LockedAcks { table, has_waiters: &self.has_waiters }
    }

    /// Adds a pending acknowledgement. Returns `true` if its deadline is the earliest one; wake the connection's task
    /// then. After [`close`](Self::close), the waiter is dropped immediately.
    #[must_use]
    fn insert(&self, id: u64, timeout: Duration, waiter: Waiter) -> bool {
        let now = net::now();
        let (first, inserted) = {
            let mut acks = self.lock();
            (acks.table.poll_timeout(), acks.table.insert(id, Some(timeout), waiter, now))
        };
        inserted.is_ok() && first.is_none_or(|first| now + timeout < first)
    }

    /// Adds the acknowledgement of a broadcast, like [`insert`](Self::insert).
    #[must_use]
    pub(crate) fn insert_broadcast(&self, id: u64, timeout: Duration, waiter: AckWaiter) -> bool {
        self.insert(id, timeout, Waiter::Broadcast(waiter))
    }

    /// Returns the number of pending acknowledgements.
    pub(crate) fn len(&self) -> usize {
        if self.has_waiters() { self.lock().table.len() } else { 0 }
    }

    /// Resolves a pending acknowledgement. Ignores an unknown id, and returns `false` then.
    pub(crate) fn resolve(&self, id: u64, arguments: Arguments<'_>) -> bool {
        let waiter = self.lock().table.resolve(id);
        waiter.is_some_and(|waiter| waiter.resolve(arguments))
    }

    /// Removes the pending acknowledgement `id`.
    pub(crate) fn remove(&self, id: u64) {
        let waiter = self.lock().table.remove(id);
        drop(waiter);
    }

    /// Returns whether an acknowledgement is pending.
    pub(crate) fn has_waiters(&self) -> bool {
        self.has_waiters.load(Ordering::Acquire)
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) must be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        if self.has_waiters() { self.lock().table.poll_timeout() } else { None }
    }

    /// Fails the acknowledgements whose deadline has passed, and returns their number. The answer may lie in the socket
    /// still if the process was stopped; the table then awaits it again.
    pub(crate) fn handle_timeout(&self, now: Time) -> usize {
        let mut count = 0;
        while self.has_waiters() {
            let overdue = self.lock().table.handle_timeout(now);
            let Some(waiter) = overdue else { break };
            waiter.time_out();
            count += 1;
        }
        count
    }

    /// Fails all pending acknowledgements and all that are added later.
    pub(crate) fn close(&self) {
        let waiters = self.lock().table.close();
        drop(waiters);
    }
}

/// The table while it is locked.
struct LockedAcks<'a> {
    table: MutexGuard<'a, AckTable<Waiter>>,
    has_waiters: &'a AtomicBool,
}

impl Drop for LockedAcks<'_> {
    fn drop(&mut self) {
        self.has_waiters.store(self.table.has_waiters(), Ordering::Release);
    }
}
