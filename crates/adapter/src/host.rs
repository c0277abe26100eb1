//! The interface between an adapter and its namespace.

use std::fmt;
use std::sync::Arc;

use socketio_proto::{Arguments, EncodedEvent};
use ws_proto::Time;

use crate::cluster::{Message, PublishError};

/// A namespace of a server, as its adapter sees it. The adapter calls it while it holds no lock.
pub trait Host: Send + Sync {
    /// Returns a new acknowledgement id. All sockets of the namespace share the counter.
    fn next_ack_id(&self) -> u64;

    /// Prepares an event for its delivery to the clients of this server. An adapter calls it for each event that differs
    /// from the one that the server passed to it. Returns `false` if the event cannot be sent to clients. Default: does
    /// nothing.
    ///
    /// A server with a parser of its own converts the event here, because no code of the program may run while the
    /// adapter holds its lock.
    fn prepare_delivery(&self, event: &EncodedEvent) -> bool {
        let _ = event;
        true
    }

    /// Handles an event that another server has sent to this server. With a `responder`, the other server waits for a
    /// response.
    fn on_server_side_emit(self: Arc<Self>, event: &EncodedEvent, responder: Option<ServerSideResponder>);

    /// Is called when the link between this server and the others changes.
    fn on_link(&self, change: LinkChange);

    /// Is called when other servers do not get a message of this server, or perhaps do not: the message bus has refused it,
    /// or has not returned an event. What the message does on this server is not affected. Default: does nothing.
    fn on_publish_error(&self, message: &Message, error: &PublishError) {
        let _ = (message, error);
    }

    /// Returns the time. An adapter with [`Recovery`](crate::Recovery) calls it for each event that it logs.
    fn now(&self) -> Time;

    /// Arranges that [`Recovery::handle_timeout`](crate::Recovery::handle_timeout) is called at the times that
    /// [`Recovery::poll_timeout`](crate::Recovery::poll_timeout) returns, or somewhat later, as long as it returns one.
    /// Returns `false` if this is not possible now. The adapter then calls it again later.
    fn start_recovery_timer(self: Arc<Self>) -> bool;
}

/// A change of the link between a server and the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkChange {
    /// This server has lost its link to the others.
    Lost,
    /// The link works again.
    Restored {
        /// Whether messages of other servers may have been lost meanwhile.
        gap: bool,
    },
}

/// Sends the response to an event of another server. If it is dropped, there is no response.
pub struct ServerSideResponder(Box<dyn FnOnce(Arguments<'static>) + Send>);

impl ServerSideResponder {
    /// Creates a responder that passes the response to `send`.
    #[must_use]
    pub fn new(send: impl FnOnce(Arguments<'static>) + Send + 'static) -> Self {
        Self(Box::new(send))
    }

    /// Sends the response. As in Node, only its first argument is sent.
    pub fn respond(self, response: Arguments<'static>) {
        (self.0)(response.into_first());
    }
}

impl fmt::Debug for ServerSideResponder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSideResponder").finish_non_exhaustive()
    }
}
