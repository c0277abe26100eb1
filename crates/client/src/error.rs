//! The errors of a client. There is one type for each operation.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use handlers::HandlerError;
use serde::de::DeserializeOwned;
use socketio_proto::client::{
    AckError as MachineAckError, ConnectError as MachineConnectError, DisconnectReason,
};
use socketio_proto::{Arguments, ArgumentsError, EncodeError, RawJson, Value};
use ws_proto::ErrorChain;

/// The reason why the client or a socket could not connect.
///
/// Only a rejection by the server ends the attempts of a socket, and only an invalid setting those of a client. After
/// every other error the client tries again, as often as
/// [`reconnection_attempts`](crate::Builder::reconnection_attempts) allows. In particular, no status of an HTTP response
/// ends the attempts.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server has rejected the connection to the namespace, usually in a middleware. The socket does not try again
    /// until [`Socket::connect`](crate::Socket::connect) is called.
    #[error("{message}")]
    Rejected {
        /// The message of the server.
        message: String,
        /// Details for the program, if the server sent any: `data.deserialize::<T>()`. A server of Tidewire sends the data of
        /// its error, or `{"code": …, "data": …}` if the error has a code.
        data: Option<RawJson<'static>>,
    },
    /// The connection could not be opened.
    #[error("{0}")]
    Transport(TransportError),
    /// The connection was not open in time, see [`timeout`](crate::Builder::timeout).
    #[error("timeout")]
    Timeout,
    /// The credentials could not be obtained or encoded. The socket tries again after a delay.
    #[error("cannot obtain the credentials: {0}")]
    Auth(AuthError),
    /// A setting of the builder is not valid, for instance the URL. The text says which. The client does not try again.
    #[error("{0}")]
    InvalidSetting(String),
    /// The connection was lost, and the client does not reconnect. Only [`connected`](crate::Socket::connected) returns
    /// it; handlers are told by `on_disconnect`.
    #[error("{0}")]
    ConnectionLost(DisconnectReason),
    /// The client was closed.
    #[error("the client was closed")]
    Closed,
    /// The server sent no socket id. It uses an older protocol. The socket does not try again.
    #[error(
        "the server sent no socket id: it is a Socket.IO v2 server, but this client requires v3 or newer"
    )]
    UnsupportedServerVersion,
    /// The server sent a socket id that is too long. The socket does not try again.
    #[error("the server sent a socket id of more than {max} bytes")]
    IdTooLong {
        /// The maximum length in bytes.
        max: usize,
    },
}

impl From<MachineConnectError> for ConnectError {
    fn from(error: MachineConnectError) -> Self {
        match error {
            MachineConnectError::Rejected { message, data } => Self::Rejected { message, data },
            MachineConnectError::IdTooLong { max } => Self::IdTooLong { max },
            _ => Self::UnsupportedServerVersion,
        }
    }
}

/// The error of a transport, for instance a refused TCP connection, or the status of an HTTP response.
#[derive(Clone)]
pub struct TransportError(Arc<dyn Error + Send + Sync>);

impl TransportError {
    pub(crate) fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into().into())
    }

    /// Returns the error of the transport.
    #[must_use]
    pub fn inner(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ErrorChain(&*self.0).fmt(f)
    }
}

impl fmt::Debug for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The error of the function that supplies the credentials, see [`auth_with`](crate::Builder::auth_with).
#[derive(Clone)]
pub struct AuthError(Arc<dyn Error + Send + Sync>);

impl AuthError {
    pub(crate) fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into().into())
    }

    pub(crate) fn from_panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let error = HandlerError::from_panic(panic);
        Self::new(error.source().map_or_else(|| error.to_string(), ToString::to_string))
    }

    /// Returns the error of the function.
    #[must_use]
    pub fn inner(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ErrorChain(&*self.0).fmt(f)
    }
}

impl fmt::Debug for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The reason why an event was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The buffer is full: the write buffer of the connection, or the send buffer of a socket that is not connected.
    #[error("the send buffer is full")]
    Full,
    /// The event is volatile, and the connection was not ready to send it. Only the future of
    /// [`emit_with_ack`](crate::Emitter::emit_with_ack) returns it.
    #[error("the event is volatile, and the connection was not ready to send it")]
    NotReady,
    /// The client was closed, see [`Client::close`](crate::Client::close).
    #[error("the client was closed")]
    Closed,
    /// The event cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// The reason why an acknowledgement could not be received.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The server did not acknowledge before the timeout. If the event was still buffered, it is not sent any more.
    #[error("operation has timed out")]
    Timeout,
    /// The connection ended after the event was sent, the program disconnected the socket, or the last attempt to
    /// reconnect has failed.
    #[error("socket has been disconnected")]
    Disconnected,
    /// The send buffer was full, and the event was dropped for a newer event, see
    /// [`Overflow::DropOldest`](crate::Overflow::DropOldest).
    #[error("the event was dropped from the full send buffer")]
    Dropped,
    /// The event could not be sent.
    #[error("the event was not sent: {0}")]
    NotSent(EmitError),
    /// The handler of the server has failed: the acknowledgement is an object with the member `error`, a text, as servers
    /// of Tidewire send it. This error is returned if the object does not fit the requested type, or if the requested type
    /// is `()`, which holds nothing.
    ///
    /// ```
    /// use tidewire_client::{AckError, Socket};
    ///
    /// async fn join(socket: &Socket) -> Result<Vec<String>, AckError> {
    ///     match socket.emit_with_ack("join", "sailing").await {
    ///         Err(AckError::Failed { code: Some(code), .. }) if code == "no_such_room" => Ok(Vec::new()),
    ///         history => history,
    ///     }
    /// }
    /// ```
    #[error("the handler of the server failed: {message}{}", .code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Failed {
        /// The message of the server for people: the member `error`.
        message: String,
        /// What programs compare, if the server has sent it: the member `code`. A number becomes its text, as in `"404"`.
        code: Option<String>,
        /// Details, if the server has sent any: the member `data`.
        data: Option<Value>,
    },
    /// The arguments of the acknowledgement do not fit the requested type.
    #[error("cannot deserialize the acknowledgement: {0}")]
    Invalid(ArgumentsError),
}

impl AckError {
    /// Deserializes an acknowledgement, or returns the error that the server has sent in its place.
    pub(crate) fn check<R: DeserializeOwned>(arguments: &Arguments<'_>) -> Result<R, Self> {
        let result = arguments.deserialize();
        // Any acknowledgement fits `()`, because arguments that nobody asked for are ignored.
        if result.is_ok() && size_of::<R>() > 0 {
            return result.map_err(Self::Invalid);
        }
        Self::failed(arguments).map_or(result.map_err(Self::Invalid), Err)
    }

    /// Reads the error of a handler of the server, if the acknowledgement is one. A list is none, so this is no derived type,
    /// which would accept a list.
    fn failed(arguments: &Arguments<'_>) -> Option<Self> {
        let Ok(Value::Object(mut failure)) = arguments.deserialize() else { return None };
        let Some(Value::String(message)) = failure.remove("error") else { return None };
        let code = match failure.remove("code") {
            Some(Value::String(code)) => Some(code),
            Some(Value::Number(code)) => Some(code.to_string()),
            _ => None,
        };
        let data = failure.remove("data").filter(|data| !data.is_null());
        Some(Self::Failed { message, code, data })
    }
}

impl From<MachineAckError> for AckError {
    fn from(error: MachineAckError) -> Self {
        match error {
            MachineAckError::Timeout => Self::Timeout,
            MachineAckError::Dropped => Self::Dropped,
            _ => Self::Disconnected,
        }
    }
}
