//! What a handler returns is the acknowledgement.

use serde::Serialize;

use crate::ack::{Acknowledge, Responder};
use crate::error::HandlerError;
use crate::send::MaybeSend;

/// Values for the peer as an acknowledgement: a tuple is a list of values, anything else is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<T>(pub T);

/// What an event handler may return.
///
/// Not every `T: Serialize` is a reply: a `Result` is one too, and would be sent as a value. Wrap values in [`Reply`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no acknowledgement",
    note = "an event handler returns `()`, `Reply(value)`, or `Result<T, E>` with `T: Serialize` and `E: Into<HandlerError>`"
)]
pub trait IntoReply: MaybeSend {
    /// Sends the acknowledgement, if one was asked for.
    #[doc(hidden)]
    fn reply<A: Acknowledge>(self, responder: Option<Responder<A>>) -> Result<(), HandlerError>;
}

impl IntoReply for () {
    fn reply<A: Acknowledge>(self, responder: Option<Responder<A>>) -> Result<(), HandlerError> {
        responder.map_or(Ok(()), |responder| responder.send(&()))
    }
}

impl<T: Serialize + MaybeSend> IntoReply for Reply<T> {
    fn reply<A: Acknowledge>(self, responder: Option<Responder<A>>) -> Result<(), HandlerError> {
        responder.map_or(Ok(()), |responder| responder.send(&self.0))
    }
}

impl<T: Serialize + MaybeSend, E: Into<HandlerError> + MaybeSend> IntoReply for Result<T, E> {
    fn reply<A: Acknowledge>(self, responder: Option<Responder<A>>) -> Result<(), HandlerError> {
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

/// What handlers of other occasions than an event may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that this handler may return",
    note = "a handler of another occasion than an event returns `()`, or `Result<(), E>` with `E: Into<HandlerError>`"
)]
pub trait IntoOutcome: MaybeSend {
    #[doc(hidden)]
    fn outcome(self) -> Result<(), HandlerError>;
}

impl IntoOutcome for () {
    fn outcome(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl<E: Into<HandlerError> + MaybeSend> IntoOutcome for Result<(), E> {
    fn outcome(self) -> Result<(), HandlerError> {
        self.map_err(Into::into)
    }
}
