//! The events of one socket as a stream, for programs that prefer a loop to handlers.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use handlers::{Ack, EventHandler, ReceivedEvent};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::{Arguments, ArgumentsError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{Socket, SocketInner};
use crate::handler::ClientSide;

/// The received events of one socket that have no handler, see [`Socket::events`].
///
/// It goes on when the socket reconnects, and ends when the client is closed. It implements [`Stream`]. If it is
/// dropped, later events go to [`on_fallback`](Socket::on_fallback), and the events in it are dropped.
#[must_use = "events wait until this stream takes them"]
pub struct EventStream {
    socket: Socket,
    receiver: mpsc::UnboundedReceiver<Queued>,
    capacity: Arc<Semaphore>,
}

/// An event from an [`EventStream`].
///
/// If the server requested an acknowledgement and the event is dropped before [`ack`](Self::ack) is called, the error
/// hook is called.
#[derive(Debug)]
pub struct StreamEvent {
    event: ReceivedEvent,
    ack: Ack,
}

/// The part of a stream that its socket keeps: the handler of the events that go to the stream.
pub(super) struct StreamSender {
    handler: EventHandler<ClientSide>,
    capacity: Arc<Semaphore>,
}

/// An event in the stream. It takes up capacity until the program takes it.
struct Queued {
    event: StreamEvent,
    _permit: OwnedSemaphorePermit,
}

impl StreamEvent {
    /// Returns the name of the event.
    #[must_use]
    pub fn name(&self) -> &str {
        self.event.name()
    }

    /// Returns the arguments.
    #[must_use]
    pub fn arguments(&self) -> &Arguments<'static> {
        self.event.arguments()
    }

    /// Deserializes the arguments as `T`, by the same rules as [`Data`](crate::Data).
    ///
    /// # Errors
    /// Returns an error if an argument is missing or has another type.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, ArgumentsError> {
        self.event.data()
    }

    /// Returns whether the server requested an acknowledgement.
    #[must_use]
    pub fn is_ack_requested(&self) -> bool {
        self.ack.is_requested()
    }

    /// Sends the acknowledgement. A tuple is a list of values, and `()` is an empty list. Does nothing if the server
    /// requested none.
    pub fn ack<T: Serialize>(self, value: T) {
        self.ack.cast::<T>().send(value);
    }
}

impl EventStream {
    /// Waits for the next event. Returns `None` after the client was closed. Cancel safe: if the future is dropped, no
    /// event is lost.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<StreamEvent>> {
        Poll::Ready(ready!(self.receiver.poll_recv(cx)).map(|queued| queued.event))
    }
}

impl Stream for EventStream {
    type Item = StreamEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<StreamEvent>> {
        self.poll_event(cx)
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        // An event that waits for capacity is dropped.
        self.capacity.close();
        let own = {
            let stream = &mut self.socket.inner.extensions().stream;
            stream.take_if(|stream| Arc::ptr_eq(&stream.capacity, &self.capacity))
        };
        drop(own);
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Socket {
    /// Returns the events of this socket that have no handler as a stream, in order. An event whose name has a handler
    /// goes to that handler. The stream takes precedence over [`on_fallback`](Self::on_fallback). A second stream
    /// replaces the first, which then ends. Handlers [start](Self::start).
    ///
    /// ```no_run
    /// # async fn run(socket: tidewire_client::Socket) {
    /// let mut events = socket.events();
    /// while let Some(event) = events.next().await {
    ///     match event.name() {
    ///         "add" => match event.data::<(i64, i64)>() {
    ///             Ok((a, b)) => event.ack(a + b),
    ///             Err(error) => socket.emit("invalid", error.to_string()),
    ///         },
    ///         other => println!("unknown event {other}"),
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// The stream holds events of at most [`Limits::max_stream_bytes`](crate::Limits::max_stream_bytes), or one larger
    /// event. Then the later events of the socket wait, as they do behind a handler, and at last the client stops
    /// reading from the connection. So a program must either take the events or drop the stream.
    pub fn events(&self) -> EventStream {
        let (sender, receiver) = mpsc::unbounded_channel();
        let max_bytes = self.inner.client.limits.max_stream_bytes.clamp(1, Semaphore::MAX_PERMITS);
        let capacity = Arc::new(Semaphore::new(max_bytes));
        let handler = EventHandler::new({
            let capacity = Arc::clone(&capacity);
            move |event: ReceivedEvent, ack: Ack| {
                let (sender, capacity) = (sender.clone(), Arc::clone(&capacity));
                async move {
                    let bytes = (event.size() + size_of::<Queued>()).min(max_bytes);
                    let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
                    // Fails if the stream was dropped.
                    if let Ok(permit) = capacity.acquire_many_owned(permits).await {
                        let _ = sender.send(Queued { event: StreamEvent { event, ack }, _permit: permit });
                    }
                }
            }
        });
        let stream = StreamSender { handler, capacity: Arc::clone(&capacity) };
        let former = self.inner.extensions().stream.replace(stream);
        drop(former);
        self.inner.has_stream.store(true, Ordering::Release);
        if self.inner.client.is_closed() {
            self.inner.end_stream();
        }
        self.start();
        EventStream { socket: self.clone(), receiver, capacity }
    }
}

impl SocketInner {
    /// Returns the handler that passes events to the stream.
    pub(crate) fn stream_handler(&self) -> Option<EventHandler<ClientSide>> {
        if !self.has_stream.load(Ordering::Acquire) {
            return None;
        }
        Some(self.extensions().stream.as_ref()?.handler.clone())
    }

    /// Ends the stream after the events that are in it.
    pub(crate) fn end_stream(&self) {
        let former = self.extensions().stream.take();
        drop(former);
    }
}
