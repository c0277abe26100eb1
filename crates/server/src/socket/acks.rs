//! Acknowledgements that a client owes.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use engineio::Time;
use serde::de::DeserializeOwned;
use socketio_proto::{AckTable, Arguments, ArgumentsError};
use tokio::sync::oneshot;

use super::{EmitError, Socket};

/// Why there is no acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The client did not acknowledge in time.
    #[error("operation has timed out")]
    Timeout,
    /// The socket was disconnected before the client acknowledged.
    #[error("socket has been disconnected")]
    Disconnected,
    /// The event could not be sent.
    #[error("the event was not sent: {0}")]
    NotSent(EmitError),
    /// The acknowledgement carries something else than the program asked for.
    #[error("the acknowledgement is not what was asked for: {0}")]
    Invalid(ArgumentsError),
}

/// The acknowledgement of an event that was sent; a future. Dropping it ends the wait: an acknowledgement that comes later
/// is ignored.
#[must_use = "the acknowledgement comes when this is awaited"]
pub struct AckFuture<R> {
    socket: Socket,
    id: u64,
    receiver: Result<oneshot::Receiver<AckResult>, AckError>,
    _response: PhantomData<fn() -> R>,
}

/// What a wait comes to. A table that is dropped with its senders says that the socket is disconnected.
type AckResult = Result<Arguments<'static>, AckError>;

impl<R> AckFuture<R> {
    /// Waits from now on, for an event that is sent next.
    pub(crate) fn new(socket: &Socket, id: u64, timeout: Duration) -> Self {
        let (sender, receiver) = oneshot::channel();
        if socket.acks().insert(id, net::now() + timeout, sender) {
            // The connection's task does not know of the new deadline yet. And if it reads no further because events
            // wait, it must read again now.
            socket.session().wake();
        }
        Self { socket: socket.clone(), id, receiver: Ok(receiver), _response: PhantomData }
    }

    /// The event was not sent.
    pub(crate) fn failed(mut self, error: AckError) -> Self {
        self.receiver = Err(error);
        self
    }

    /// Waits for the acknowledgement and gives it as it came, not read yet: for programs that relay it. Cancel safe in
    /// that dropping it only ends the wait.
    ///
    /// # Errors
    /// There is no acknowledgement.
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
    /// Whatever ends the wait, the entry in the table goes with it.
    fn drop(&mut self) {
        self.socket.acks().remove(self.id);
    }
}

impl<R> fmt::Debug for AckFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AckFuture").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The acknowledgements that one socket waits for. Any task may begin to wait; the connection's task resolves them and
/// minds their deadlines. No waiter is woken under the lock.
#[derive(Debug, Default)]
pub(crate) struct PendingAcks {
    table: Mutex<AckTable<oneshot::Sender<AckResult>>>,
    /// Whether any is awaited, as it was when the lock was last released. The connection's task asks in every turn, and most
    /// sockets never wait for one.
    has_waiters: AtomicBool,
}

impl PendingAcks {
    /// Changes the table.
    fn update<R>(&self, change: impl FnOnce(&mut AckTable<oneshot::Sender<AckResult>>) -> R) -> R {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut table);
        self.has_waiters.store(table.has_waiters(), Ordering::Release);
        result
    }

    /// Waits for an acknowledgement. `true` if its deadline is the first one, so that the connection's task must be told.
    /// After [`close`](Self::close) the sender is dropped at once.
    #[must_use]
    fn insert(&self, id: u64, deadline: Time, sender: oneshot::Sender<AckResult>) -> bool {
        let (first, inserted) =
            self.update(|table| (table.poll_timeout(), table.insert(id, Some(deadline), sender)));
        inserted.is_ok() && first.is_none_or(|first| deadline < first)
    }

    /// An acknowledgement has come. One that nothing waits for is ignored.
    pub(crate) fn resolve(&self, id: u64, arguments: Arguments<'_>) {
        let waiter = self.update(|table| table.resolve(id));
        if let Some(sender) = waiter {
            let _ = sender.send(Ok(arguments.into_owned()));
        }
    }

    /// Nothing waits for `id` any more.
    fn remove(&self, id: u64) {
        let waiter = self.update(|table| table.remove(id));
        drop(waiter);
    }

    /// Whether any is awaited.
    pub(crate) fn has_waiters(&self) -> bool {
        self.has_waiters.load(Ordering::Acquire)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        if self.has_waiters() { self.update(|table| table.poll_timeout()) } else { None }
    }

    /// Fails those whose time is up.
    pub(crate) fn handle_timeout(&self, now: Time) {
        while self.has_waiters()
            && let Some(sender) = self.update(|table| table.handle_timeout(now))
        {
            let _ = sender.send(Err(AckError::Timeout));
        }
    }

    /// Fails all that are awaited and all that will be.
    pub(crate) fn close(&self) {
        let waiters: Vec<_> = self.update(|table| table.close().collect());
        drop(waiters);
    }
}
