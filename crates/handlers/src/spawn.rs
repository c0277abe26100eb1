//! The start of a handler: it is polled once in place, and becomes a task only if it is not ready then.
//!
//! Hot path.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context as TaskContext, Poll};

use crate::error::HandlerError;
use crate::maybe_send::{BoxFuture, MaybeSend};

/// Makes tasks of futures, for instance with the `spawn` of a runtime.
pub trait Spawn: 'static {
    /// A task: the future of its result, or of an error that says how it panicked (see [`HandlerError::from_panic`]).
    /// The task goes on when this is dropped.
    type Task<T: MaybeSend + 'static>: Future<Output = Result<T, HandlerError>> + Unpin;

    /// Runs `future` to its end.
    fn spawn<T: MaybeSend + 'static>(future: BoxFuture<T>) -> Self::Task<T>;
}

/// A handler after its first poll.
#[derive(Debug)]
pub enum FirstPoll<T, Task> {
    /// It has finished.
    Ready(T),
    /// It goes on as a task.
    Pending(Task),
    /// An extractor failed, or the handler panicked.
    Failed(HandlerError),
}

/// Calls a handler and polls its future once, here. If the future is not ready, a task goes on with it.
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
