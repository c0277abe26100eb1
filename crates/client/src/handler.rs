//! The handlers of a socket, the client's implementation of [`Side`], and its extractors.

mod extract;

use std::sync::Arc;

use engineio_proto::{EncodedMessage, MessageEncoder};
use handlers::{
    Acknowledge, ErasedHandler, EventHandler, EventTable, HandlerEnv, HandlerError, HandlerKind,
    ObservedEvent, Side, StateMap,
};
use socketio_proto::Excerpt;
use socketio_proto::client::{AckId, DisconnectReason};

use crate::error::ConnectError;
use crate::outgoing::prepare;
use crate::platform::SpawnTask;
use crate::socket::{Socket, SocketInner};

pub use extract::DroppedEvents;

/// The client's implementation of [`Side`], a type parameter of the types that server and client share.
#[derive(Debug)]
pub enum ClientSide {}

impl Side for ClientSide {
    type Socket = ConnectedSocket;
    type Env<'a> = ClientHandlerEnv<'a>;
    type Spawn = SpawnTask;
}

/// The context of one handler call. Extractors read their values from it.
pub type Context<'a> = handlers::HandlerContext<'a, ClientSide>;

/// The kind of event handlers.
pub type OnEvent = handlers::OnEvent<ClientSide>;

/// Sets further options of an event handler that was just registered, see
/// [`concurrent`](handlers::Registration::concurrent).
pub type Registration<'a> = handlers::Registration<'a, ClientSide>;

/// The kind of `on_connect` handlers.
#[derive(Debug)]
pub enum OnConnect {}

impl HandlerKind for OnConnect {
    type Side = ClientSide;
}

/// The kind of `on_connect_error` handlers.
#[derive(Debug)]
pub enum OnConnectError {}

impl HandlerKind for OnConnectError {
    type Side = ClientSide;
}

/// The kind of `on_disconnect` handlers.
#[derive(Debug)]
pub enum OnDisconnect {}

impl HandlerKind for OnDisconnect {
    type Side = ClientSide;
}

/// A function that sees events, see [`Socket::on_any`].
pub(crate) type CatchAllListener = Arc<dyn Fn(&Socket, ObservedEvent<'_>) + Send + Sync>;

/// A handler without an event.
pub(crate) type LifecycleHandler = ErasedHandler<ClientSide, Result<(), HandlerError>>;

/// All handlers of a socket.
#[derive(Clone, Default)]
pub(crate) struct SocketHandlers {
    pub(crate) events: EventTable<ClientSide>,
    pub(crate) connect: Option<LifecycleHandler>,
    pub(crate) connect_error: Option<LifecycleHandler>,
    pub(crate) disconnect: Option<LifecycleHandler>,
    pub(crate) listeners: Vec<CatchAllListener>,
    pub(crate) outgoing_listeners: Vec<CatchAllListener>,
}

/// A change of a socket that a handler is called for.
#[derive(Debug)]
pub(crate) enum Lifecycle {
    Connect,
    ConnectError(ConnectError),
    Disconnect {
        reason: DisconnectReason,
        /// The number of received events whose handlers were not started.
        dropped: usize,
    },
}

impl Lifecycle {
    pub(crate) fn handler<'a>(&self, handlers: &'a SocketHandlers) -> Option<&'a LifecycleHandler> {
        match self {
            Self::Connect => handlers.connect.as_ref(),
            Self::ConnectError(_) => handlers.connect_error.as_ref(),
            Self::Disconnect { .. } => handlers.disconnect.as_ref(),
        }
    }
}

/// A socket during one connection to its namespace. It sends the acknowledgements of the events that were received on
/// that connection.
#[derive(Debug)]
pub struct ConnectedSocket {
    pub(crate) socket: Arc<SocketInner>,
    /// An event that was received on the connection. `None` if no event has requested an acknowledgement.
    pub(crate) connection: Option<AckId>,
}

impl Acknowledge for ConnectedSocket {
    fn namespace(&self) -> &str {
        &self.socket.namespace
    }

    fn prepare_encoder(&self, encoder: &mut MessageEncoder) {
        prepare(self.socket.client.parser.as_ref(), encoder);
    }

    fn send_ack(&self, message: EncodedMessage<'_>) {
        if let Some(connection) = self.connection {
            self.socket.send_ack(connection, message);
        }
    }

    fn map_error(&self, error: HandlerError) -> HandlerError {
        self.socket.client.errors.apply(error)
    }

    fn report_error(self: Arc<Self>, error: &HandlerError, event: Option<&str>) {
        self.socket.report_error(error, event);
    }
}

/// The environment of a handler call of a client, from which extractors read everything but the event.
#[derive(Debug, Clone, Copy)]
pub struct ClientHandlerEnv<'a> {
    pub(crate) socket: &'a Arc<ConnectedSocket>,
    pub(crate) handlers: &'a SocketHandlers,
    /// Set for handlers without an event.
    pub(crate) lifecycle: Option<&'a Lifecycle>,
}

impl std::fmt::Debug for SocketHandlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketHandlers").field("events", &self.events).finish_non_exhaustive()
    }
}

impl ClientHandlerEnv<'_> {
    pub(crate) fn inner(&self) -> &Arc<SocketInner> {
        &self.socket.socket
    }
}

impl HandlerEnv for ClientHandlerEnv<'_> {
    type Side = ClientSide;

    fn reborrow(&self) -> ClientHandlerEnv<'_> {
        *self
    }

    fn socket(&self) -> &Arc<ConnectedSocket> {
        self.socket
    }

    fn states(&self) -> &StateMap {
        &self.inner().client.states
    }

    fn event_table(&self) -> &EventTable<ClientSide> {
        &self.handlers.events
    }

    fn socket_handler(&self, event: &str) -> Option<EventHandler<ClientSide>> {
        self.inner().take_once(event)
    }

    fn socket_fallback(&self) -> Option<EventHandler<ClientSide>> {
        self.inner().stream_handler()
    }

    fn has_event_hooks(&self) -> bool {
        !self.handlers.listeners.is_empty()
    }

    fn observe(&self, event: ObservedEvent<'_>) {
        self.inner().observe(&self.handlers.listeners, event);
    }

    fn is_disconnected(&self) -> bool {
        self.inner().discards_events()
    }

    fn max_concurrent_handlers(&self) -> usize {
        self.inner().client.limits.max_concurrent_handlers
    }

    fn on_unhandled(&self, event: &str) {
        let event = Excerpt(event);
        tracing::debug!(namespace = &*self.inner().namespace, %event, "ignored an event that has no handler");
    }
}
