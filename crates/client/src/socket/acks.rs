//! Acknowledgements that the program awaits.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use serde::de::DeserializeOwned;
use socketio_proto::Arguments;
use tokio::sync::oneshot;

use super::Socket;
use crate::error::AckError;
use crate::state::AckResult;

/// A future that resolves to the acknowledgement of an event, see [`Socket::emit_with_ack`]. If it is dropped, a later
/// acknowledgement is ignored; the event is still sent.
#[must_use = "await this future to receive the acknowledgement"]
pub struct AckFuture<R> {
    socket: Socket,
    /// The id to cancel. `None` if the event was not sent, or is in the queue of `retries`.
    id: Option<u64>,
    receiver: Result<oneshot::Receiver<AckResult>, AckError>,
    _response: PhantomData<fn() -> R>,
}

impl<R> AckFuture<R> {
    pub(crate) fn new(
        socket: Socket,
        id: Option<u64>,
        receiver: Result<oneshot::Receiver<AckResult>, AckError>,
    ) -> Self {
        Self { socket, id, receiver, _response: PhantomData }
    }

    /// Waits for the acknowledgement and returns its arguments as they were received, not deserialized. Cancel safe: if
    /// the future is dropped, a later acknowledgement is ignored.
    ///
    /// # Errors
    /// Returns an error if the acknowledgement could not be received.
    pub async fn raw(mut self) -> Result<Arguments<'static>, AckError> {
        std::future::poll_fn(|cx| self.poll_arguments(cx)).await
    }

    fn poll_arguments(&mut self, cx: &mut Context<'_>) -> Poll<AckResult> {
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
        Poll::Ready(AckError::check(&arguments))
    }
}

impl<R> Drop for AckFuture<R> {
    /// Removes the waiter, whether or not the acknowledgement has arrived.
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let waiter = self.socket.inner.client.state().machine[self.socket.inner.key].cancel_ack(id);
            drop(waiter);
        }
    }
}

impl<R> fmt::Debug for AckFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AckFuture").field("id", &self.id).finish_non_exhaustive()
    }
}
