//! What a handler returns is the acknowledgement.

use serde::Serialize;

use crate::ack::{AckSender, Acknowledge};
use crate::error::HandlerError;
use crate::maybe_send::MaybeSend;

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
    fn send_reply<A: Acknowledge>(self, responder: Option<AckSender<A>>) -> Result<(), HandlerError>;
}

impl IntoReply for () {
    fn send_reply<A: Acknowledge>(self, responder: Option<AckSender<A>>) -> Result<(), HandlerError> {
        responder.map_or(Ok(()), |responder| responder.send(&()))
    }
}

impl<T: Serialize + MaybeSend> IntoReply for Reply<T> {
    fn send_reply<A: Acknowledge>(self, responder: Option<AckSender<A>>) -> Result<(), HandlerError> {
        responder.map_or(Ok(()), |responder| responder.send(&self.0))
    }
}

impl<T: Serialize + MaybeSend, E: Into<HandlerError> + MaybeSend> IntoReply for Result<T, E> {
    fn send_reply<A: Acknowledge>(self, responder: Option<AckSender<A>>) -> Result<(), HandlerError> {
        match self {
            Ok(value) => responder.map_or(Ok(()), |responder| responder.send(&value)),
            Err(error) => {
                let error = error.into();
                if let Some(responder) = responder {
                    responder.send_handler_error(&error);
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
pub trait IntoHandlerResult: MaybeSend {
    #[doc(hidden)]
    fn into_handler_result(self) -> Result<(), HandlerError>;
}

impl IntoHandlerResult for () {
    fn into_handler_result(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl<E: Into<HandlerError> + MaybeSend> IntoHandlerResult for Result<(), E> {
    fn into_handler_result(self) -> Result<(), HandlerError> {
        self.map_err(Into::into)
    }
}
