//! The table of event handlers, and their registration.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use pin_project_lite::pin_project;
use rustc_hash::FxHashMap;

use crate::ack::{AckSender, Acknowledge};
use crate::context::{HandlerContext, OnEvent};
use crate::error::HandlerError;
use crate::handler::{ErasedHandler, Handler};
use crate::maybe_send::BoxFuture;
use crate::reply::IntoReply;
use crate::side::Side;

/// An event handler with its registration options. Cheap to clone.
pub struct EventHandler<S: Side> {
    pub(crate) call: ErasedHandler<S, Result<(), HandlerError>>,
    /// Whether later events start without waiting for the handler.
    pub(crate) concurrent: bool,
}

impl<S: Side> EventHandler<S> {
    /// Creates a handler. Its return value is sent as the acknowledgement.
    pub fn new<M, H>(handler: H) -> Self
    where
        H: Handler<OnEvent<S>, M>,
        H::Output: IntoReply,
    {
        let call = Arc::new(move |context: &mut HandlerContext<'_, S>| {
            let future = handler.call(context)?;
            // `None` if an `Ack` extractor has taken it.
            let ack_sender = context.take_ack_sender();
            Ok(Box::pin(Replying { future, ack_sender }) as BoxFuture<_>)
        });
        Self { call, concurrent: false }
    }

    /// Returns the address in memory, which identifies the handler as long as it does not move. See
    /// [`EventTable::event_at`].
    #[must_use]
    pub fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl<S: Side> Clone for EventHandler<S> {
    fn clone(&self) -> Self {
        Self { call: Arc::clone(&self.call), concurrent: self.concurrent }
    }
}

impl<S: Side> fmt::Debug for EventHandler<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventHandler").field("concurrent", &self.concurrent).finish_non_exhaustive()
    }
}

pin_project! {
    /// Polls the future of a handler, and sends its return value as the acknowledgement.
    ///
    /// An `async` block would move the handler's future when it is polled first, and take the memory of two of them as long
    /// as a handler waits.
    struct Replying<F, A: Acknowledge> {
        #[pin]
        future: F,
        ack_sender: Option<AckSender<A>>,
    }
}

impl<F: Future<Output: IntoReply>, A: Acknowledge> Future for Replying<F, A> {
    type Output = Result<(), HandlerError>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Held here during the poll: if the handler panics, this is dropped during the panic, and tells the peer.
        let ack_sender = this.ack_sender.take();
        match this.future.poll(cx) {
            Poll::Ready(reply) => Poll::Ready(reply.send_reply(ack_sender)),
            Poll::Pending => {
                *this.ack_sender = ack_sender;
                Poll::Pending
            }
        }
    }
}

/// All event handlers that the sockets of a namespace share.
pub struct EventTable<S: Side> {
    /// The program chooses the names, so the hash need not resist collision attacks.
    handlers: FxHashMap<Box<str>, EventHandler<S>>,
    fallback: Option<EventHandler<S>>,
    concurrency_limit: usize,
}

impl<S: Side> EventTable<S> {
    /// Registers a handler for `event`, or the fallback for all events without a handler if `event` is `None`. Returns
    /// the handler that it replaces. Drop that handler without holding a lock: values that it captured may run code of
    /// the program when they are dropped.
    pub fn insert(&mut self, event: Option<&str>, handler: EventHandler<S>) -> Option<EventHandler<S>> {
        match event {
            Some(event) => self.handlers.insert(event.into(), handler),
            None => self.fallback.replace(handler),
        }
    }

    /// Removes the handler of `event`, or the fallback if `event` is `None`. Returns it; drop it without holding a lock,
    /// as for [`insert`](Self::insert).
    pub fn remove(&mut self, event: Option<&str>) -> Option<EventHandler<S>> {
        match event {
            Some(event) => self.handlers.remove(event),
            None => self.fallback.take(),
        }
    }

    /// Removes all handlers and the fallback. Drop them without holding a lock.
    pub fn take_all(&mut self) -> Vec<EventHandler<S>> {
        self.handlers.drain().map(|(_, handler)| handler).chain(self.fallback.take()).collect()
    }

    /// Returns whether `event` has a handler. The fallback does not count.
    #[must_use]
    pub fn has_handler(&self, event: &str) -> bool {
        self.find(event).is_some()
    }

    /// Sets how many handlers of one socket may run at the same time. Default 1; 0 means 1.
    pub fn set_concurrency_limit(&mut self, handlers: usize) {
        self.concurrency_limit = handlers;
    }

    pub(crate) fn concurrency_limit(&self) -> usize {
        self.concurrency_limit.max(1)
    }

    /// Returns the handler of `event`, without the fallback.
    pub(crate) fn find(&self, event: &str) -> Option<&EventHandler<S>> {
        self.handlers.get(event)
    }

    pub(crate) fn fallback(&self) -> Option<&EventHandler<S>> {
        self.fallback.as_ref()
    }

    /// Returns the event whose handler has this [address](EventHandler::address). This searches the whole table.
    #[must_use]
    pub fn event_at(&self, address: usize) -> Option<&str> {
        let found = self.handlers.iter().find(|(_, handler)| handler.address() == address);
        found.map(|(event, _)| &**event)
    }

    fn registered_mut(&mut self, event: Option<&str>) -> Option<&mut EventHandler<S>> {
        match event {
            Some(event) => self.handlers.get_mut(event),
            None => self.fallback.as_mut(),
        }
    }
}

impl<S: Side> Default for EventTable<S> {
    fn default() -> Self {
        Self { handlers: FxHashMap::default(), fallback: None, concurrency_limit: 1 }
    }
}

impl<S: Side> Clone for EventTable<S> {
    fn clone(&self) -> Self {
        Self {
            handlers: self.handlers.clone(),
            fallback: self.fallback.clone(),
            concurrency_limit: self.concurrency_limit,
        }
    }
}

impl<S: Side> fmt::Debug for EventTable<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventTable").field("events", &self.handlers.keys()).finish_non_exhaustive()
    }
}

/// An owner of an [`EventTable`] that allows changes to it.
pub trait EventRegistry<S: Side> {
    /// Changes the table. Existing sockets may continue to use the unchanged table.
    fn update_event_table(&self, change: &mut dyn FnMut(&mut EventTable<S>));
}

/// Sets further options of a handler that was just registered, see [`concurrent`](Self::concurrent).
pub struct Registration<'a, S: Side> {
    registry: &'a dyn EventRegistry<S>,
    /// `None` for the fallback.
    event: Option<Box<str>>,
}

impl<'a, S: Side> Registration<'a, S> {
    /// Registers a handler for `event`, or the fallback if `event` is `None`.
    pub fn register(
        registry: &'a dyn EventRegistry<S>,
        event: Option<Box<str>>,
        handler: EventHandler<S>,
    ) -> Self {
        let mut handler = Some(handler);
        let mut replaced = None;
        registry.update_event_table(&mut |table| {
            replaced = handler.take().and_then(|handler| table.insert(event.as_deref(), handler));
        });
        // The registry's lock is released here: values that the replaced handler captured may run code of the program.
        drop(replaced);
        Self { registry, event }
    }

    /// Marks the handler as concurrent: later events do not wait until it has finished. Use it for a long job that a
    /// later event can cancel.
    ///
    /// `Limits::max_concurrent_handlers` limits the number of such handlers of one socket. While this many run, the
    /// next concurrent handler still starts, but all later events wait until one of these handlers has finished.
    pub fn concurrent(self) {
        self.registry.update_event_table(&mut |table| {
            if let Some(handler) = table.registered_mut(self.event.as_deref()) {
                handler.concurrent = true;
            }
        });
    }
}

impl<S: Side> fmt::Debug for Registration<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("event", &self.event).finish_non_exhaustive()
    }
}
