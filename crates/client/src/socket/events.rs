//! What a program registers on a socket for its events.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use handlers::{
    EventHandler, EventRegistry, EventTable, Handler, HandlerError, HandlerKind, IntoHandlerResult,
    IntoReply, ObservedEvent, erase_handler,
};

use super::{Socket, SocketInner};
use crate::handler::{CatchAllListener, ClientSide, LifecycleHandler, OnEvent, SocketHandlers};

thread_local! {
    /// Whether a catch-all listener of outgoing events runs on this thread.
    static IS_OBSERVING: Cell<bool> = const { Cell::new(false) };
}

/// Erases the type of a handler without an event.
pub(crate) fn lifecycle<K, M, H>(handler: H) -> LifecycleHandler
where
    K: HandlerKind<Side = ClientSide>,
    H: Handler<K, M>,
    H::Output: IntoHandlerResult,
{
    erase_handler::<K, _, _, _>(handler, IntoHandlerResult::into_handler_result)
}

impl Socket {
    /// Registers a handler for the next event with this name. It takes precedence over [`on`](Self::on). A second such
    /// handler for the same event replaces the first. The handler is used up even if the arguments do not match its
    /// parameters.
    pub fn once<M, H>(&self, event: impl Into<String>, handler: H)
    where
        H: Handler<OnEvent, M>,
        H::Output: IntoReply,
    {
        let event = event.into().into_boxed_str();
        let handler = EventHandler::new(handler);
        let former = {
            let once = &mut self.inner.extensions().once;
            match once.iter_mut().find(|(known, _)| *known == event) {
                Some((_, former)) => Some(std::mem::replace(former, handler)),
                None => {
                    once.push((event, handler));
                    None
                }
            }
        };
        drop(former);
        self.inner.has_once.store(true, Ordering::Release);
    }

    /// Removes the handlers for `event` that [`on`](Self::on), [`once`](Self::once) and the builder registered.
    pub fn off(&self, event: impl AsRef<str>) {
        let event = event.as_ref();
        let once: Vec<_> =
            self.inner.extensions().once.extract_if(.., |(name, _)| **name == *event).collect();
        drop(once);
        self.inner.update_handlers(|handlers| handlers.events.remove(Some(event)));
    }

    /// Removes the handlers of all events, and the fallback. The handlers of connects and disconnects remain.
    pub fn off_all(&self) {
        let once = std::mem::take(&mut self.inner.extensions().once);
        drop(once);
        self.inner.update_handlers(|handlers| handlers.events.take_all());
    }

    /// Returns whether there is a handler for `event` that [`on`](Self::on), [`once`](Self::once) or the builder has
    /// registered. In JavaScript: `hasListeners`. The fallback and the stream do not count.
    #[must_use]
    pub fn has_handler(&self, event: impl AsRef<str>) -> bool {
        let event = event.as_ref();
        self.inner.extensions().once.iter().any(|(name, _)| **name == *event)
            || self.inner.handlers().0.events.has_handler(event)
    }

    /// Adds a catch-all listener of the events that this socket receives: a function that is called with each event before its
    /// handler. In JavaScript: `onAny`. It must not block.
    pub fn on_any(&self, listener: impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static) {
        let listener: CatchAllListener = Arc::new(listener);
        self.inner.update_handlers(|handlers| handlers.listeners.push(listener));
    }

    /// Adds a catch-all listener like [`on_any`](Self::on_any), which is called before those that were added earlier. In
    /// JavaScript: `prependAny`.
    pub fn prepend_any(&self, listener: impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static) {
        let listener: CatchAllListener = Arc::new(listener);
        self.inner.update_handlers(|handlers| handlers.listeners.insert(0, listener));
    }

    /// Removes all listeners of received events. In JavaScript: `offAny`.
    pub fn off_any(&self) {
        self.inner.update_handlers(|handlers| std::mem::take(&mut handlers.listeners));
    }

    /// Adds a catch-all listener of the events that the program emits: a function that is called with each event after it was
    /// sent or buffered. In JavaScript: `onAnyOutgoing`. It must not block. What a catch-all listener emits is not observed.
    pub fn on_any_outgoing(&self, listener: impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static) {
        let listener: CatchAllListener = Arc::new(listener);
        self.inner.update_handlers(|handlers| handlers.outgoing_listeners.push(listener));
        self.inner.has_outgoing_listeners.store(true, Ordering::Release);
    }

    /// Adds a catch-all listener like [`on_any_outgoing`](Self::on_any_outgoing), which is called before those that were added
    /// earlier. In JavaScript: `prependAnyOutgoing`.
    pub fn prepend_any_outgoing(
        &self,
        listener: impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static,
    ) {
        let listener: CatchAllListener = Arc::new(listener);
        self.inner.update_handlers(|handlers| handlers.outgoing_listeners.insert(0, listener));
        self.inner.has_outgoing_listeners.store(true, Ordering::Release);
    }

    /// Removes all listeners of emitted events. In JavaScript: `offAnyOutgoing`.
    pub fn off_any_outgoing(&self) {
        self.inner.has_outgoing_listeners.store(false, Ordering::Release);
        self.inner.update_handlers(|handlers| std::mem::take(&mut handlers.outgoing_listeners));
    }
}

impl SocketInner {
    /// Returns the handlers, and the version of the table.
    pub(crate) fn handlers(&self) -> (Arc<SocketHandlers>, u64) {
        let version = self.handlers_version();
        (Arc::clone(&self.handlers.lock().unwrap_or_else(PoisonError::into_inner)), version)
    }

    pub(crate) fn handlers_version(&self) -> u64 {
        self.handlers_version.load(Ordering::Acquire)
    }

    /// Changes the handlers. `change` returns what it removed; that is dropped after the lock is released, because values
    /// that the handlers captured may run code of the program.
    pub(super) fn update_handlers<R>(&self, change: impl FnOnce(&mut SocketHandlers) -> R) {
        let removed = {
            let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
            change(Arc::make_mut(&mut handlers))
        };
        self.handlers_version.fetch_add(1, Ordering::AcqRel);
        drop(removed);
    }

    /// Takes the handler that [`Socket::once`] has registered for `event`.
    pub(crate) fn take_once(&self, event: &str) -> Option<EventHandler<ClientSide>> {
        if !self.has_once.load(Ordering::Acquire) {
            return None;
        }
        let once = &mut self.extensions().once;
        let position = once.iter().position(|(name, _)| **name == *event)?;
        Some(once.swap_remove(position).1)
    }

    /// Calls the listeners of received events.
    pub(crate) fn observe(self: &Arc<Self>, listeners: &[CatchAllListener], event: ObservedEvent<'_>) {
        let Some(socket) = Socket::from_inner(self) else { return };
        for listener in listeners {
            self.call(event.name(), || listener(&socket, event));
        }
    }

    /// Returns whether emitted events must be reported with [`observe_outgoing`](Self::observe_outgoing).
    pub(super) fn observes_outgoing(&self) -> bool {
        // A listener that emits would otherwise call itself without end.
        self.has_outgoing_listeners.load(Ordering::Acquire) && !IS_OBSERVING.get()
    }

    /// Calls the listeners of emitted events.
    pub(super) fn observe_outgoing(self: &Arc<Self>, event: ObservedEvent<'_>) {
        let (handlers, _) = self.handlers();
        IS_OBSERVING.set(true);
        self.observe(&handlers.outgoing_listeners, event);
        IS_OBSERVING.set(false);
    }

    /// Calls a function of the program. If it panics, the error hook is called.
    fn call(self: &Arc<Self>, event: &str, f: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
            self.report_error(&HandlerError::from_panic(&*panic), Some(event));
        }
    }
}

impl EventRegistry<ClientSide> for SocketInner {
    fn update_event_table(&self, change: &mut dyn FnMut(&mut EventTable<ClientSide>)) {
        self.update_handlers(|handlers| change(&mut handlers.events));
    }
}
