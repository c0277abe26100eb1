//! What a program registers on one socket for its events: handlers for one event, middleware, and listeners.
//!
//! Hot path: the checks whether there is something to call run for every event.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use handlers::{
    EventHandler, EventMiddleware, Handler, HandlerError, HandlerKind, IntoEventMiddlewareResult, IntoReply,
    ObservedEvent, decode_event,
};
use socketio_proto::EncodedEvent;
use socketio_proto::server::DisconnectReason;

use super::{Socket, insert_or_replace};
use crate::handler::{BeforeEvent, CatchAllListener, OnDisconnecting, OnEvent, OnUpgrade, ServerSide};

/// Which extensions of a socket are in use. A flag is never cleared.
#[derive(Default)]
pub(super) struct Used {
    /// Middleware or listeners of received events.
    event_hooks: AtomicBool,
    outgoing_listeners: AtomicBool,
    pub(super) stream: AtomicBool,
}

thread_local! {
    /// Whether a catch-all listener of outgoing events runs on this thread.
    static IS_OBSERVING: Cell<bool> = const { Cell::new(false) };
}

impl Socket {
    /// Registers a handler for the next event with this name on this socket. It takes precedence over
    /// [`on`](Self::on) and over the handlers of the namespace. A second such handler for the same event replaces the
    /// first. The handler is used up even if the arguments do not match its parameters. A missing state is reported as by
    /// [`on`](Self::on).
    pub fn once<M, H>(&self, event: impl Into<String>, handler: H)
    where
        H: Handler<OnEvent, M>,
        H::Output: IntoReply,
    {
        let event = event.into().into_boxed_str();
        self.check_state::<OnEvent, M, H>(Some(&event));
        let handler = EventHandler::new(handler);
        self.update_extensions(|own| insert_or_replace(&mut own.once, event, handler));
    }

    /// Removes the handlers for `event` that [`on`](Self::on) and [`once`](Self::once) registered on this socket. The
    /// handlers of the namespace remain.
    pub fn off(&self, event: impl AsRef<str>) {
        let event = event.as_ref();
        self.update_extensions(|own| {
            let is_removed = |(name, _): &mut (Box<str>, _)| **name == *event;
            let on: Vec<_> = own.handlers.extract_if(.., is_removed).collect();
            let once: Vec<_> = own.once.extract_if(.., is_removed).collect();
            (on, once)
        });
    }

    /// Adds a middleware of events on this socket only. It runs after those of the namespace, see
    /// [`Namespace::event_middleware`](crate::Namespace::event_middleware). A missing state is reported as by
    /// [`on`](Self::on).
    pub fn event_middleware<M, H>(&self, handler: H)
    where
        H: Handler<BeforeEvent, M>,
        H::Output: IntoEventMiddlewareResult,
    {
        self.check_state::<BeforeEvent, M, H>(None);
        let middleware = handlers::event_middleware(handler);
        self.update_extensions(|own| own.event_middleware.push(middleware));
        self.set_used(|used| &used.event_hooks);
    }

    /// Adds a catch-all listener of the events that this socket receives. It is called after those of the namespace, see
    /// [`Namespace::on_any`](crate::Namespace::on_any).
    pub fn on_any(&self, listener: impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static) {
        let listener: CatchAllListener = Arc::new(listener);
        self.update_extensions(|own| own.listeners.push(listener));
        self.set_used(|used| &used.event_hooks);
    }

    /// Adds a catch-all listener of the events that are sent to this socket. It is called after those of the namespace, see
    /// [`Namespace::on_any_outgoing`](crate::Namespace::on_any_outgoing).
    pub fn on_any_outgoing(&self, listener: impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static) {
        let listener: CatchAllListener = Arc::new(listener);
        self.update_extensions(|own| own.outgoing_listeners.push(listener));
        self.set_used(|used| &used.outgoing_listeners);
        self.namespace().set_has_outgoing_listeners();
    }

    /// Removes all listeners that [`on_any`](Self::on_any) added on this socket. Those of the namespace remain.
    pub fn off_any(&self) {
        self.update_extensions(|own| std::mem::take(&mut own.listeners));
    }

    /// Removes all listeners that [`on_any_outgoing`](Self::on_any_outgoing) added on this socket. Those of the
    /// namespace remain.
    pub fn off_any_outgoing(&self) {
        self.update_extensions(|own| std::mem::take(&mut own.outgoing_listeners));
    }

    /// Registers a function that is called when this socket is being disconnected, after that of the namespace, see
    /// [`Namespace::on_disconnecting`](crate::Namespace::on_disconnecting). A second function replaces the first.
    pub fn on_disconnecting(&self, f: impl Fn(&Socket, DisconnectReason) + Send + Sync + 'static) {
        let f: OnDisconnecting = Arc::new(f);
        self.update_extensions(|own| own.disconnecting.replace(f));
    }

    /// Registers a function that is called when the connection of this socket upgrades to another transport, after that
    /// of the namespace, see [`Namespace::on_upgrade`](crate::Namespace::on_upgrade). A second function replaces the first.
    pub fn on_upgrade(&self, f: impl Fn(&Socket) + Send + Sync + 'static) {
        let f: OnUpgrade = Arc::new(f);
        self.update_extensions(|own| own.upgrade.replace(f));
    }

    /// Reports an error if the builder has no value for a state that a handler of this socket takes. `event` is the event of the
    /// handler.
    pub(super) fn check_state<K: HandlerKind, M, H: Handler<K, M>>(&self, event: Option<&str>) {
        if let Err(missing) = H::check_state(self.namespace().states()) {
            self.namespace().report_error(&HandlerError::internal(missing), self, event);
        }
    }

    /// Returns whether this socket has listeners or middlewares of received events of its own.
    pub(crate) fn has_event_hooks(&self) -> bool {
        self.is_used(|used| &used.event_hooks)
    }

    /// Returns a middleware of this socket by its index.
    pub(crate) fn own_event_middleware(&self, index: usize) -> Option<EventMiddleware<ServerSide>> {
        self.0.extensions.get()?.lists().event_middleware.get(index).cloned()
    }

    /// Calls the listeners of received events.
    pub(crate) fn observe_event(&self, event: ObservedEvent<'_>) {
        let own = self.0.extensions.get().map(|own| own.lists().listeners.clone());
        for listener in self.handlers().listeners.iter().chain(own.iter().flatten()) {
            self.call(Some(event.name()), &|| listener(self, event));
        }
    }

    /// Returns whether events that are sent to this socket must be reported with
    /// [`observe_outgoing`](Self::observe_outgoing).
    pub(crate) fn observes_outgoing(&self) -> bool {
        let has_listeners =
            !self.handlers().outgoing_listeners.is_empty() || self.is_used(|used| &used.outgoing_listeners);
        // A listener that emits would otherwise call itself without end.
        has_listeners && !IS_OBSERVING.get()
    }

    /// Calls the listeners of sent events.
    pub(crate) fn observe_outgoing(&self, event: ObservedEvent<'_>) {
        let own = self.0.extensions.get().map(|own| own.lists().outgoing_listeners.clone());
        IS_OBSERVING.set(true);
        for listener in self.handlers().outgoing_listeners.iter().chain(own.iter().flatten()) {
            self.call(Some(event.name()), &|| listener(self, event));
        }
        IS_OBSERVING.set(false);
    }

    pub(super) fn call_on_disconnecting(&self, reason: DisconnectReason) {
        let own = self.0.extensions.get().and_then(|own| own.lists().disconnecting.clone());
        for f in self.handlers().disconnecting.iter().chain(&own) {
            self.call(None, &|| f(self, reason));
        }
    }

    pub(super) fn call_on_upgrade(&self) {
        let own = self.0.extensions.get().and_then(|own| own.lists().upgrade.clone());
        for f in self.handlers().upgrade.iter().chain(&own) {
            self.call(None, &|| f(self));
        }
    }

    /// Calls a function of the program. If it panics, the error hook is called.
    fn call(&self, event: Option<&str>, f: &dyn Fn()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
            self.namespace().report_error(&HandlerError::from_panic(&*panic), self, event);
        }
    }

    #[inline]
    fn is_used(&self, flag: fn(&Used) -> &AtomicBool) -> bool {
        self.0.extensions.get().is_some_and(|own| flag(&own.used).load(Ordering::Acquire))
    }

    pub(super) fn set_used(&self, flag: fn(&Used) -> &AtomicBool) {
        flag(&self.0.own_extensions().used).store(true, Ordering::Release);
    }

    /// Returns whether [`events`](Self::events) was called.
    pub(crate) fn has_taken_stream(&self) -> bool {
        self.is_used(|used| &used.stream)
    }
}

/// Calls the listeners of sent events of the sockets that have received a broadcast.
pub(crate) fn observe_broadcast(receivers: &[Socket], event: &EncodedEvent) {
    let message = event.message();
    let mut observed = None;
    for socket in receivers.iter().filter(|socket| socket.is_connected() && socket.observes_outgoing()) {
        let observed = observed
            .get_or_insert_with(|| decode_event(message.text(), message.attachments().iter().map(|a| &**a)));
        if let Some(event) = observed {
            socket.observe_outgoing(ObservedEvent::new(event, false));
        }
    }
}
