//! The events of one socket as a stream, for programs that prefer a loop to handlers.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use handlers::{Ack, EventHandler, ReceivedEvent};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::{Arguments, ArgumentsError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Socket;
use crate::handler::ServerSide;
use crate::limits::MAX_STREAM_BYTES;

/// The received events of one socket that have no handler, see [`Socket::events`].
///
/// The stream ends after the socket was disconnected and the events that are already in the stream were taken. It
/// implements [`Stream`]. If it is dropped, later events go to `on_fallback` of the namespace, and the events in it are
/// dropped.
#[must_use = "events wait until this stream takes them"]
pub struct EventStream {
    socket: Socket,
    receiver: mpsc::UnboundedReceiver<Queued>,
    shared: Arc<Shared>,
}

/// An event from an [`EventStream`].
///
/// If the client requested an acknowledgement and the event is dropped before [`ack`](Self::ack) is called, the error
/// hook is called.
#[derive(Debug)]
pub struct StreamEvent {
    event: ReceivedEvent,
    ack: Ack,
}

/// The part of a stream that its socket keeps: the handler of the events that go to the stream.
pub(super) struct StreamSender {
    handler: EventHandler<ServerSide>,
    shared: Arc<Shared>,
}

struct Shared {
    /// The bytes that the stream may still hold.
    capacity: Arc<Semaphore>,
    /// The bytes of the events in the stream.
    bytes: AtomicUsize,
}

/// An event in the stream.
struct Queued {
    event: StreamEvent,
    bytes: usize,
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

    /// Returns whether the client requested an acknowledgement.
    #[must_use]
    pub fn is_ack_requested(&self) -> bool {
        self.ack.is_requested()
    }

    /// Sends the acknowledgement. A tuple is a list of values, and `()` is an empty list. Does nothing if the client
    /// requested none.
    pub fn ack<T: Serialize>(self, value: T) {
        self.ack.cast::<T>().send(value);
    }
}

impl EventStream {
    /// Waits for the next event. Returns `None` after the disconnect. Cancel safe: if the future is dropped, no event
    /// is lost.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<StreamEvent>> {
        Poll::Ready(ready!(self.receiver.poll_recv(cx)).map(|queued| {
            self.shared.bytes.fetch_sub(queued.bytes, Ordering::Relaxed);
            queued.event
        }))
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
        self.shared.capacity.close();
        self.socket
            .update_extensions(|own| own.stream.take_if(|stream| Arc::ptr_eq(&stream.shared, &self.shared)));
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Socket {
    /// Returns the events of this socket that have no handler as a stream. An event whose name has a handler, on this
    /// socket or on its namespace, goes to that handler. The stream takes precedence over
    /// [`on_fallback`](crate::Namespace::on_fallback). A second stream replaces the first, which then ends.
    ///
    /// If the `on_connection` handler calls this, events are handled from then on. The handler itself may thus be the
    /// loop that takes the events:
    ///
    /// ```
    /// # use tidewire_server::{Server, Socket};
    /// # let io = Server::new();
    /// io.on_connection(async |socket: Socket| {
    ///     let mut events = socket.events();
    ///     while let Some(event) = events.next().await {
    ///         match event.name() {
    ///             "add" => match event.data::<(i64, i64)>() {
    ///                 Ok((a, b)) => event.ack(a + b),
    ///                 Err(error) => socket.emit("invalid", error.to_string()),
    ///             },
    ///             other => println!("unknown event {other}"),
    ///         }
    ///     }
    ///     println!("{} has left", socket.id());
    /// });
    /// ```
    ///
    /// The stream holds events of at most 64 KiB, or one larger event. Then the later events of the socket wait, as they
    /// do behind a handler, so a program must either take the events or drop the stream.
    pub fn events(&self) -> EventStream {
        let (sender, receiver) = mpsc::unbounded_channel();
        let capacity = Arc::new(Semaphore::new(MAX_STREAM_BYTES));
        let shared = Arc::new(Shared { capacity, bytes: AtomicUsize::new(0) });
        let handler = EventHandler::new({
            let shared = Arc::clone(&shared);
            move |event: ReceivedEvent, ack: Ack| {
                let (sender, shared) = (sender.clone(), Arc::clone(&shared));
                async move { shared.send(StreamEvent { event, ack }, &sender).await }
            }
        });
        let stream = StreamSender { handler, shared: Arc::clone(&shared) };
        self.update_extensions(|own| own.stream.replace(stream));
        self.set_used(|used| &used.stream);
        if self.disconnect_reason().is_some() {
            self.end_stream();
        }
        // If the `on_connection` handler runs in a task, the connection does not know yet that events may be handled.
        self.session().wake();
        EventStream { socket: self.clone(), receiver, shared }
    }

    /// Returns the handler that passes events to the stream.
    pub(crate) fn stream_handler(&self) -> Option<EventHandler<ServerSide>> {
        Some(self.0.extensions.get()?.lists().stream.as_ref()?.handler.clone())
    }

    /// Ends the stream after the events that are in it.
    pub(super) fn end_stream(&self) {
        let former = self.0.extensions.get().and_then(|own| own.lists().stream.take());
        drop(former);
    }

    /// Returns the bytes of the events in the stream.
    pub(crate) fn stream_bytes(&self) -> usize {
        if !self.has_taken_stream() {
            return 0;
        }
        let own = self.0.extensions.get().map(|own| own.lists());
        own.and_then(|own| Some(own.stream.as_ref()?.shared.bytes.load(Ordering::Relaxed))).unwrap_or(0)
    }
}

impl Shared {
    /// Waits until the stream has capacity, then adds the event. Drops the event if the stream was dropped.
    async fn send(&self, event: StreamEvent, sender: &mpsc::UnboundedSender<Queued>) {
        let bytes = event.event.size() + size_of::<Queued>();
        let permits = u32::try_from(bytes.min(MAX_STREAM_BYTES)).unwrap_or(u32::MAX);
        if let Ok(permit) = Arc::clone(&self.capacity).acquire_many_owned(permits).await {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            let _ = sender.send(Queued { event, bytes, _permit: permit });
        }
    }
}
