//! A future without a result.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future that an adapter returns. It may be dropped, and then the adapter continues what it has begun.
///
/// A `Ready` that does not wait needs no memory.
#[must_use = "what the future waits for may not have happened yet"]
pub struct Ready(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Ready {
    /// Creates a future that is ready.
    pub fn now() -> Self {
        Self(None)
    }

    /// Creates a future that is ready when `future` is.
    pub fn after(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(Box::pin(future)))
    }

    /// Returns whether awaiting the future does not wait. A future that was polled to its end does not wait either.
    #[must_use]
    pub fn is_now(&self) -> bool {
        self.0.is_none()
    }
}

impl Future for Ready {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(future) = &mut self.0 else { return Poll::Ready(()) };
        let polled = future.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").field("is_now", &self.is_now()).finish()
    }
}
