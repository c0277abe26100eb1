//! What a handler returns is the acknowledgement.

use serde::Serialize;

use crate::context::Responder;
use crate::error::{ConnectError, HandlerError};

/// Values for the client as an acknowledgement: a tuple is a list of values, anything else is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<T>(pub T);

/// What an event handler may return.
///
/// Not every `T: Serialize` is a reply: a `Result` is one too, and would be sent as a value. Wrap values in [`Reply`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no acknowledgement",
    note = "an event handler returns `()`, `Reply(value)`, or `Result<T, E>` with `T: Serialize` and `E: Into<HandlerError>`"
)]
pub trait IntoReply: Send {
    /// Sends the acknowledgement, if one was asked for.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "only this crate calls it; the type is no part of the API")]
    fn reply(self, responder: Option<Responder>) -> Result<(), HandlerError>;
}

#[allow(private_interfaces, reason = "only this crate calls it; the type is no part of the API")]
impl IntoReply for () {
    fn reply(self, responder: Option<Responder>) -> Result<(), HandlerError> {
        responder.map_or(Ok(()), |responder| responder.send(&()))
    }
}

#[allow(private_interfaces, reason = "only this crate calls it; the type is no part of the API")]
impl<T: Serialize + Send> IntoReply for Reply<T> {
    fn reply(self, responder: Option<Responder>) -> Result<(), HandlerError> {
        responder.map_or(Ok(()), |responder| responder.send(&self.0))
    }
}

#[allow(private_interfaces, reason = "only this crate calls it; the type is no part of the API")]
impl<T: Serialize + Send, E: Into<HandlerError> + Send> IntoReply for Result<T, E> {
    fn reply(self, responder: Option<Responder>) -> Result<(), HandlerError> {
        match self {
            Ok(value) => responder.map_or(Ok(()), |responder| responder.send(&value)),
            Err(error) => {
                let error = error.into();
                if let Some(responder) = responder {
                    responder.fail(&error);
                }
                Err(error)
            }
        }
    }
}

/// What a middleware may return: `()` lets everybody in.
pub trait IntoAdmission: Send {
    #[doc(hidden)]
    fn admission(self) -> Result<(), ConnectError>;
}

impl IntoAdmission for () {
    fn admission(self) -> Result<(), ConnectError> {
        Ok(())
    }
}

impl<E: Into<ConnectError> + Send> IntoAdmission for Result<(), E> {
    fn admission(self) -> Result<(), ConnectError> {
        self.map_err(Into::into)
    }
}

/// What `on_connection` and `on_disconnect` handlers may return.
pub trait IntoOutcome: Send {
    #[doc(hidden)]
    fn outcome(self) -> Result<(), HandlerError>;
}

impl IntoOutcome for () {
    fn outcome(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl<E: Into<HandlerError> + Send> IntoOutcome for Result<(), E> {
    fn outcome(self) -> Result<(), HandlerError> {
        self.map_err(Into::into)
    }
}
