//! Acknowledgements that a client owes.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use socketio_proto::{Arguments, ArgumentsError};
use tokio::sync::oneshot;
use tokio::time::{Instant, Timeout};

use crate::emit::EmitError;
use crate::socket::Socket;

/// Why there is no acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The client did not answer in time.
    #[error("operation has timed out")]
    Timeout,
    /// The socket was disconnected before the client answered.
    #[error("socket has been disconnected")]
    Disconnected,
    /// The event could not be sent.
    #[error("the event was not sent: {0}")]
    NotSent(EmitError),
    /// The client answered something else than the program asked for.
    #[error("the acknowledgement is not what was asked for: {0}")]
    Invalid(ArgumentsError),
}

/// The acknowledgement of an event that was sent; a future. Dropping it means that the answer is of no interest any
/// more.
#[must_use = "the answer comes when this is awaited"]
pub struct Answer<R> {
    socket: Socket,
    id: u64,
    /// Why there will be no answer, where that is known already.
    failed: Option<AckError>,
    answer: Pin<Box<Timeout<oneshot::Receiver<Arguments<'static>>>>>,
    read_as: PhantomData<fn() -> R>,
}

impl<R> Answer<R> {
    pub(crate) fn expect(socket: &Socket, id: u64, timeout: Duration) -> Self {
        let first = !socket.acks().is_waiting();
        let answer = Box::pin(tokio::time::timeout(timeout, socket.acks().expect(id, timeout)));
        if first {
            // A connection that is read no further because events wait must be read again now: nothing else would
            // tell its task.
            socket.session().wake();
        }
        Self { socket: socket.clone(), id, failed: None, answer, read_as: PhantomData }
    }

    pub(crate) fn failed(mut self, error: AckError) -> Self {
        self.failed = Some(error);
        self
    }
}

impl<R> Answer<R> {
    /// Waits for the acknowledgement and gives it as it came, not read yet: for programs that relay it. Cancel safe in
    /// that dropping it only ends the wait.
    ///
    /// # Errors
    /// There is no acknowledgement.
    pub async fn raw(mut self) -> Result<Arguments<'static>, AckError> {
        std::future::poll_fn(|cx| self.poll_arguments(cx)).await
    }

    fn poll_arguments(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arguments<'static>, AckError>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(match ready!(self.answer.as_mut().poll(cx)) {
            Ok(Ok(arguments)) => Ok(arguments),
            Ok(Err(_)) => Err(AckError::Disconnected),
            Err(_) => {
                // It may be kept for long; what comes for it is of no interest from now on.
                self.socket.acks().forget(self.id);
                Err(AckError::Timeout)
            }
        })
    }
}

impl<R: DeserializeOwned> Future for Answer<R> {
    type Output = Result<R, AckError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let arguments = ready!(self.poll_arguments(cx))?;
        Poll::Ready(arguments.deserialize().map_err(AckError::Invalid))
    }
}

impl<R> Drop for Answer<R> {
    /// Whatever ends the wait, the entry in the table goes with it.
    fn drop(&mut self) {
        self.socket.acks().forget(self.id);
    }
}

impl<R> fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The acknowledgements that one socket waits for. An idle socket has no table.
#[derive(Debug, Default)]
pub(crate) struct Acks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    pending: Option<Box<Pending>>,
    closed: bool,
}

#[derive(Debug)]
struct Pending {
    answers: FxHashMap<u64, oneshot::Sender<Arguments<'static>>>,
    /// When the time of all of them is up, even if a program keeps an [`Answer`] that it never polls: the latest of
    /// their ends. `None` if one has no end.
    until: Option<Instant>,
}

impl Acks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Expects an acknowledgement with `id`. After [`close`](Self::close) the receiver fails at once.
    pub(crate) fn expect(&self, id: u64, timeout: Duration) -> oneshot::Receiver<Arguments<'static>> {
        let (sender, receiver) = oneshot::channel();
        let now = Instant::now();
        let mut state = self.state();
        if !state.closed {
            let pending = state
                .pending
                .get_or_insert_with(|| Box::new(Pending { answers: FxHashMap::default(), until: Some(now) }));
            pending.answers.insert(id, sender);
            pending.until = pending.until.zip(now.checked_add(timeout)).map(|(one, other)| one.max(other));
        }
        receiver
    }

    /// An acknowledgement has come. One that nobody waits for, or no more, is ignored.
    pub(crate) fn resolve(&self, id: u64, arguments: Arguments<'_>) {
        if let Some(sender) = self.remove(id) {
            let _ = sender.send(arguments.into_owned());
        }
    }

    /// Nobody waits for `id` any more.
    pub(crate) fn forget(&self, id: u64) {
        self.remove(id);
    }

    fn remove(&self, id: u64) -> Option<oneshot::Sender<Arguments<'static>>> {
        let mut state = self.state();
        let pending = state.pending.as_mut()?;
        let sender = pending.answers.remove(&id);
        if pending.answers.is_empty() {
            state.pending = None;
        }
        sender
    }

    /// Whether any is awaited.
    pub(crate) fn is_waiting(&self) -> bool {
        let state = self.state();
        let Some(pending) = &state.pending else { return false };
        pending.until.is_none_or(|until| Instant::now() < until)
    }

    /// Fails all that are awaited and all that will be.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let pending = state.pending.take();
        drop(state);
        drop(pending);
    }
}
