//! The handlers of events: who is registered for which event, and how.

use std::fmt;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::context::{HandlerContext, OnEvent};
use crate::error::HandlerError;
use crate::handler::{ErasedHandler, Handler};
use crate::maybe_send::BoxFuture;
use crate::reply::IntoReply;
use crate::side::Side;

/// The handler of an event, and how it was registered. Cheap to clone.
pub struct EventHandler<S: Side> {
    pub(crate) call: ErasedHandler<S, Result<(), HandlerError>>,
    /// It does not hold up the events behind it.
    pub(crate) concurrent: bool,
}

impl<S: Side> EventHandler<S> {
    /// A handler whose return value is the acknowledgement.
    pub fn new<M, H>(handler: H) -> Self
    where
        H: Handler<OnEvent<S>, M>,
        H::Output: IntoReply,
    {
        let call = Arc::new(move |context: &mut HandlerContext<'_, S>| {
            let future = handler.call(context)?;
            // An `Ack` extractor has taken it if there was one.
            let responder = context.take_ack_sender();
            Ok(Box::pin(async move { future.await.send_reply(responder) }) as BoxFuture<_>)
        });
        Self { call, concurrent: false }
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

/// All handlers of events that the sockets of a namespace share.
pub struct EventTable<S: Side> {
    /// The names are the program's, so their hash needs no defence.
    handlers: FxHashMap<Box<str>, EventHandler<S>>,
    fallback: Option<EventHandler<S>>,
    concurrency_limit: usize,
}

impl<S: Side> EventTable<S> {
    /// Registers the handler of an event, or of all events without a handler where `event` is `None`. Returns the one
    /// that it replaces: what that has captured belongs to the program, so drop it under no lock.
    pub fn insert(&mut self, event: Option<&str>, handler: EventHandler<S>) -> Option<EventHandler<S>> {
        match event {
            Some(event) => self.handlers.insert(event.into(), handler),
            None => self.fallback.replace(handler),
        }
    }

    /// How many handlers of one socket may run at the same time. Default 1; 0 means the same.
    pub fn set_concurrency_limit(&mut self, handlers: usize) {
        self.concurrency_limit = handlers;
    }

    pub(crate) fn concurrency_limit(&self) -> usize {
        self.concurrency_limit.max(1)
    }

    /// The handler of `event`, or the fallback.
    pub(crate) fn find(&self, event: &str) -> Option<&EventHandler<S>> {
        self.handlers.get(event).or(self.fallback.as_ref())
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

/// Who keeps a table of handlers and lets it be changed.
pub trait EventRegistry<S: Side> {
    /// Changes the table. Sockets that exist may go on with the table as it was.
    fn update_event_table(&self, change: &mut dyn FnMut(&mut EventTable<S>));
}

/// The handler of an event, just registered; [`concurrent`](Self::concurrent) says more about it.
pub struct Registration<'a, S: Side> {
    registry: &'a dyn EventRegistry<S>,
    /// `None` for the fallback.
    event: Option<Box<str>>,
}

impl<'a, S: Side> Registration<'a, S> {
    /// Registers the handler of an event, or the fallback.
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
        // Only now is it dropped, under no lock of the registry.
        drop(replaced);
        Self { registry, event }
    }

    /// The events behind this one do not wait until its handler has finished: for a long job and the event that
    /// cancels it.
    ///
    /// As many such handlers run at the same time for one socket as `Limits::concurrent_handlers` says; one more holds
    /// up those behind it.
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
