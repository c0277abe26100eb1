//! Starts a handler: polls it once in place, and spawns it as a task if it is not ready.
//!
//! Hot path.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context as TaskContext, Poll};

use crate::context::HandlerContext;
use crate::error::HandlerError;
use crate::handler::ErasedHandler;
use crate::maybe_send::{BoxFuture, MaybeSend};
use crate::side::Side;

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
    /// The handler was not ready: its task, or its future.
    Pending(Task),
    /// An extractor failed, or the handler panicked.
    Failed(HandlerError),
}

/// Calls a handler and polls its future once. If the future is not ready, spawns it as a task.
pub fn start_handler<S: Side, T: MaybeSend + 'static>(
    handler: &ErasedHandler<S, T>,
    context: &mut HandlerContext<'_, S>,
    cx: &mut TaskContext<'_>,
) -> FirstPoll<T, <S::Spawn as Spawn>::Task<T>> {
    match poll_handler(handler, context, cx) {
        FirstPoll::Ready(value) => FirstPoll::Ready(value),
        FirstPoll::Pending(future) => FirstPoll::Pending(S::Spawn::spawn(future)),
        FirstPoll::Failed(error) => FirstPoll::Failed(error),
    }
}

/// Calls a handler and polls its future once. If the future is not ready, returns it.
#[inline]
pub fn poll_handler<S: Side, T: MaybeSend + 'static>(
    handler: &ErasedHandler<S, T>,
    context: &mut HandlerContext<'_, S>,
    cx: &mut TaskContext<'_>,
) -> FirstPoll<T, BoxFuture<T>> {
    let polled = catch_unwind(AssertUnwindSafe(|| match handler(context) {
        Ok(mut future) => match future.as_mut().poll(cx) {
            Poll::Ready(value) => FirstPoll::Ready(value),
            Poll::Pending => FirstPoll::Pending(future),
        },
        Err(error) => FirstPoll::Failed(error),
    }));
    match polled {
        Ok(polled) => polled,
        Err(panic) => FirstPoll::Failed(HandlerError::from_panic(&*panic)),
    }
}
