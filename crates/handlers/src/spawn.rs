//! Starts a handler: polls it once in place, and spawns it as a task if it is not ready.
//!
//! Hot path.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context as TaskContext, Poll};

use crate::error::HandlerError;
use crate::maybe_send::{BoxFuture, MaybeSend};

/// Spawns futures as tasks, for instance with the `spawn` function of a runtime.
pub trait Spawn: 'static {
    /// The handle of a task. It resolves to the task's result, or to an error if the task panicked (see
    /// [`HandlerError::from_panic`]). Dropping the handle does not cancel the task.
    type Task<T: MaybeSend + 'static>: Future<Output = Result<T, HandlerError>> + Unpin;

    /// Spawns `future` as a task.
    fn spawn<T: MaybeSend + 'static>(future: BoxFuture<T>) -> Self::Task<T>;

    /// Schedules the current task to be polled again after other tasks. The default wakes it directly. On a runtime that
    /// polls its sockets only when no task is ready, that is not enough.
    fn defer_wake(cx: &TaskContext<'_>) {
        cx.waker().wake_by_ref();
    }
}

/// The outcome of a handler's first poll.
#[derive(Debug)]
pub enum FirstPoll<T, Task> {
    /// The handler has finished.
    Ready(T),
    /// The handler was not ready and now runs as a task.
    Pending(Task),
    /// An extractor failed, or the handler panicked.
    Failed(HandlerError),
}

/// Calls a handler and polls its future once. If the future is not ready, spawns it as a task.
pub fn start_handler<S: Spawn, T: MaybeSend + 'static>(
    call: impl FnOnce() -> Result<BoxFuture<T>, HandlerError>,
    cx: &mut TaskContext<'_>,
) -> FirstPoll<T, S::Task<T>> {
    let polled = catch_unwind(AssertUnwindSafe(|| {
        let mut future = call()?;
        Ok(match future.as_mut().poll(cx) {
            Poll::Ready(value) => Ok(value),
            Poll::Pending => Err(future),
        })
    }));
    match polled {
        Ok(Ok(Ok(value))) => FirstPoll::Ready(value),
        Ok(Ok(Err(future))) => FirstPoll::Pending(S::spawn(future)),
        Ok(Err(error)) => FirstPoll::Failed(error),
        Err(panic) => FirstPoll::Failed(HandlerError::from_panic(&*panic)),
    }
}
