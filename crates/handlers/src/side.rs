//! The interface that a side (server or client) implements to run handlers.

use std::fmt;
use std::sync::Arc;

use ws_proto::Time;

use crate::ack::Acknowledge;
use crate::event_table::{EventHandler, EventTable};
use crate::middleware::{EventMiddleware, ObservedEvent};
use crate::spawn::Spawn;
use crate::state::StateMap;

/// A side of the connection (server or client). The implementing type is used as a type parameter only and needs no
/// values.
pub trait Side: Sized + 'static {
    /// The part of a socket that all its clones share. It sends the acknowledgements.
    type Socket: Acknowledge;
    /// The environment of a handler call: everything that extractors can read besides the event.
    type Env<'a>: HandlerEnv<Side = Self>;
    /// Spawns a handler that is not ready at its first poll as a task.
    type Spawn: Spawn;
}

/// The environment of a handler call: the socket, and the values that the side's own extractors read.
pub trait HandlerEnv: fmt::Debug {
    /// The side of this environment.
    type Side: Side;

    /// Returns the same environment with a shorter lifetime.
    fn reborrow(&self) -> <Self::Side as Side>::Env<'_>;

    /// Returns the socket that received the event.
    fn socket(&self) -> &Arc<<Self::Side as Side>::Socket>;

    /// Returns the values that the extractor [`State`](crate::State) reads.
    fn states(&self) -> &StateMap;

    /// Returns the event handlers that the socket shares with others.
    fn event_table(&self) -> &EventTable<Self::Side>;

    /// Returns the handler for `event` that is registered on this socket alone. It takes precedence over
    /// [`event_table`](Self::event_table). The default returns `None`.
    fn socket_handler(&self, event: &str) -> Option<EventHandler<Self::Side>> {
        let _ = event;
        None
    }

    /// Returns the handler that is registered on this socket alone for all events without their own handler. It takes
    /// precedence over the fallback of [`event_table`](Self::event_table). The default returns `None`.
    fn socket_fallback(&self) -> Option<EventHandler<Self::Side>> {
        None
    }

    /// Returns whether [`observe`](Self::observe) and [`event_middleware`](Self::event_middleware) must be called for
    /// the next event. It is called for every event. The default returns `false`.
    fn has_event_hooks(&self) -> bool {
        false
    }

    /// Called with each received event before its middlewares and its handler, if
    /// [`has_event_hooks`](Self::has_event_hooks) is true. The default does nothing.
    fn observe(&self, event: ObservedEvent<'_>) {
        let _ = event;
    }

    /// Returns the middleware of events with this index, counted from 0, or `None` after the last one. The default
    /// returns `None`.
    fn event_middleware(&self, index: usize) -> Option<EventMiddleware<Self::Side>> {
        let _ = index;
        None
    }

    /// Returns whether the socket is disconnected. After that, no event is handled.
    fn is_disconnected(&self) -> bool;

    /// Returns how many handlers registered as [`concurrent`](crate::Registration::concurrent) may run at the same
    /// time, besides the one handler for which the next event waits.
    fn max_concurrent_handlers(&self) -> usize;

    /// Called before a queued event of this size is handled. Returns whether the queue must let other connections run
    /// first. Then the queue polls again later, see [`Spawn::defer_wake`](crate::Spawn::defer_wake). The default returns
    /// `false`.
    fn must_yield_before(&self, bytes: usize) -> bool {
        let _ = bytes;
        false
    }

    /// Called before each handler of an event is called. `address` is its [address](EventHandler::address) in the
    /// [`event_table`](Self::event_table), or `None` if it is not one of the handlers that have an event of their own.
    ///
    /// If this returns the time, [`on_handler_polled`](Self::on_handler_polled) and
    /// [`on_handler_finished`](Self::on_handler_finished) follow. It is called for every event. The default returns
    /// `None`.
    fn on_handler_start(&self, address: Option<usize>) -> Option<Time> {
        let _ = address;
        None
    }

    /// Called before each middleware of events is called. The default does nothing.
    fn on_middleware_start(&self) {}

    /// Called after the first poll of a handler that was called at `started`. The default does nothing.
    fn on_handler_polled(&self, event: &str, started: Time) {
        let _ = (event, started);
    }

    /// Called after the end of a handler that was called at `started`. The default does nothing.
    fn on_handler_finished(&self, event: &str, started: Time, is_failed: bool) {
        let _ = (event, started, is_failed);
    }

    /// Called for an event that has no handler and is ignored. The default does nothing.
    fn on_unhandled(&self, event: &str) {
        let _ = event;
    }
}
