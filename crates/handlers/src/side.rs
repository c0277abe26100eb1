//! What each side of the wire adds to the handlers that both share.

use std::fmt;
use std::sync::Arc;

use crate::ack::Acknowledge;
use crate::event_table::{EventHandler, EventTable};
use crate::spawn::Spawn;
use crate::state::StateMap;

/// A side of the wire, as a type without values.
pub trait Side: Sized + 'static {
    /// What all clones of a socket share. It sends the acknowledgements.
    type Socket: Acknowledge;
    /// What a handler is called with besides the event.
    type Env<'a>: HandlerEnv<Side = Self>;
    /// How a handler that is not ready at once becomes a task.
    type Spawn: Spawn;
}

/// What a handler is called with besides the event: the socket, and where the side's own extractors take their values.
pub trait HandlerEnv: fmt::Debug {
    /// The side that it belongs to.
    type Side: Side;

    /// The same for a shorter time.
    fn reborrow(&self) -> <Self::Side as Side>::Env<'_>;

    /// The socket that the event has come for.
    fn socket(&self) -> &Arc<<Self::Side as Side>::Socket>;

    /// The values that [`State`](crate::State) gives to handlers.
    fn states(&self) -> &StateMap;

    /// The handlers that the socket uses.
    fn event_table(&self) -> &EventTable<Self::Side>;

    /// A handler that this socket alone has. It comes before those of [`event_table`](Self::event_table). By default none.
    fn socket_handler(&self, event: &str) -> Option<EventHandler<Self::Side>> {
        let _ = event;
        None
    }

    /// Whether the socket is disconnected. From then on no event is handled any more.
    fn is_disconnected(&self) -> bool;

    /// How many handlers that are registered as [`concurrent`](crate::Registration::concurrent) may run at the same
    /// time, besides the one that the next event waits for.
    fn max_concurrent_handlers(&self) -> usize;

    /// An event has no handler and is ignored. By default this does nothing.
    fn on_unhandled(&self, event: &str) {
        let _ = event;
    }
}
