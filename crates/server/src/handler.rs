//! The handlers of a namespace, and the return values of middlewares.

mod extract;
mod side;

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use handlers::{ErasedHandler, EventMiddleware, EventTable, HandlerError, ObservedEvent};
use net::LogRateLimit;
use rustc_hash::FxHashMap;
use serde_json::Value;
use socketio_proto::server::DisconnectReason;

use crate::namespace::ServerSideHandler;
use crate::socket::{DataError, Socket};

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
    /// The handlers of events that other servers of the cluster send.
    pub(crate) server_side: FxHashMap<Box<str>, ServerSideHandler>,
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
    note = "a middleware returns `()` or `Result<(), E>` with `E: Into<ConnectError>`"
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

impl<E: Into<ConnectError> + Send> IntoMiddlewareResult for Result<(), E> {
    fn into_middleware_result(self) -> Result<(), ConnectError> {
        self.map_err(Into::into)
    }
}

/// The reason why a middleware rejects a client. The client's `connect_error` event receives the message and the data.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectError {
    pub(crate) message: Cow<'static, str>,
    pub(crate) data: Option<Value>,
}

impl ConnectError {
    /// Creates an error with a message for the client (`err.message`).
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), data: None }
    }

    /// Sets additional data for the client (`err.data`).
    #[must_use]
    pub fn data(mut self, data: impl Into<Value>) -> Self {
        self.data = Some(data.into());
        self
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ConnectError {}

impl From<&'static str> for ConnectError {
    fn from(message: &'static str) -> Self {
        Self::new(message)
    }
}

impl From<String> for ConnectError {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

/// The client receives `handler failed`, because the error is one of the program. The error is logged.
impl From<DataError> for ConnectError {
    fn from(error: DataError) -> Self {
        static LOG: LogRateLimit = LogRateLimit::new();
        LOG.try_log(|suppressed| tracing::error!(%error, suppressed, "rejected a client"));
        Self::new("handler failed")
    }
}
