//! The handlers of a namespace, and the return values of middlewares.

mod extract;
mod side;

use std::sync::Arc;

use handlers::{ErasedHandler, EventMiddleware, EventTable, HandlerError, ObservedEvent};
use socketio_proto::server::DisconnectReason;

use crate::namespace::ServerSideHandler;
use crate::socket::Socket;

pub use extract::{Auth, DroppedEvents, Extension};
pub use side::{BeforeEvent, Context, OnConnection, OnDisconnect, OnEvent, Registration, ServerSide};
pub(crate) use side::{Disconnect, ServerHandlerEnv, TokioSpawn, TokioTask};

/// All handlers of a namespace. A socket uses the table as it was when the client requested to connect.
#[derive(Clone, Default)]
pub(crate) struct NamespaceHandlers {
    pub(crate) middleware: Vec<ErasedHandler<ServerSide, Result<(), ConnectError>>>,
    pub(crate) connection: Option<ErasedHandler<ServerSide, Result<(), HandlerError>>>,
    pub(crate) disconnect: Option<ErasedHandler<ServerSide, Result<(), HandlerError>>>,
    pub(crate) disconnecting: Option<OnDisconnecting>,
    pub(crate) upgrade: Option<OnUpgrade>,
    pub(crate) events: EventTable<ServerSide>,
    pub(crate) event_middleware: Vec<EventMiddleware<ServerSide>>,
    pub(crate) listeners: Vec<CatchAllListener>,
    pub(crate) outgoing_listeners: Vec<CatchAllListener>,
    /// The handlers of events that other servers of the cluster send, in no particular order. They are few.
    pub(crate) server_side: Vec<(Box<str>, ServerSideHandler)>,
}

/// A function that sees events, see [`Namespace::on_any`](crate::Namespace::on_any).
pub(crate) type CatchAllListener = Arc<dyn Fn(&Socket, ObservedEvent<'_>) + Send + Sync>;

/// A function that is called when a socket disconnects, while it is still in its rooms.
pub(crate) type OnDisconnecting = Arc<dyn Fn(&Socket, DisconnectReason) + Send + Sync>;

/// A function that is called when the connection of a socket upgrades to another transport.
pub(crate) type OnUpgrade = Arc<dyn Fn(&Socket) + Send + Sync>;

impl NamespaceHandlers {
    /// Returns whether received events have listeners or middlewares.
    pub(crate) fn has_event_hooks(&self) -> bool {
        !self.event_middleware.is_empty() || !self.listeners.is_empty()
    }
}

/// A type that a middleware may return. `()` accepts every client.
#[diagnostic::on_unimplemented(
    message = "a middleware cannot return `{Self}`",
    note = "a middleware returns `()` or `Result<(), E>` with `E: Into<HandlerError>`",
    note = "for a text that the client may read, return `Err(ConnectError::new(text))`"
)]
pub trait IntoMiddlewareResult: Send {
    #[doc(hidden)]
    fn into_middleware_result(self) -> Result<(), ConnectError>;
}

impl IntoMiddlewareResult for () {
    fn into_middleware_result(self) -> Result<(), ConnectError> {
        Ok(())
    }
}

#[diagnostic::do_not_recommend]
impl<E: Into<HandlerError> + Send> IntoMiddlewareResult for Result<(), E> {
    fn into_middleware_result(self) -> Result<(), ConnectError> {
        self.map_err(Into::into)
    }
}

/// The reason why a middleware rejects a client. It is the same type as the error of a handler: `?` converts errors of
/// any type into it, whose texts the client does not receive, and [`Builder::map_errors`](crate::Builder::map_errors)
/// applies.
///
/// The `connect_error` event of the client has the message (`err.message`) and the data (`err.data`).
///
/// ```
/// use tidewire_server::{Auth, ConnectError, Server};
///
/// let io = Server::new();
/// io.middleware(async |Auth(token): Auth<serde_json::Value>| {
///     if token["token"] != "secret" {
///         return Err(ConnectError::new("not authorized").data(serde_json::json!({ "retry": false })));
///     }
///     Ok(())
/// });
/// ```
pub type ConnectError = HandlerError;
