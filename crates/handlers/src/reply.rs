//! Return values of handlers.

use serde::Serialize;
use socketio_proto::Reply;

use crate::ack::{AckSender, Acknowledge};
use crate::error::HandlerError;
use crate::maybe_send::MaybeSend;

/// A type that an event handler may return.
///
/// The trait is not implemented for every `T: Serialize`, because `Result` is `Serialize` too and would be sent as a
/// value. Wrap values in [`Reply`].
#[diagnostic::on_unimplemented(
    message = "an event handler cannot return `{Self}`",
    note = "return `()`, `Reply(value)`, or `Result<T, E>`",
    note = "the value must implement `serde::Serialize`: `#[derive(Serialize)]`",
    note = "the error must implement `std::error::Error + Send + Sync + 'static`, or be a `HandlerError`; for a text that the peer may read, `HandlerError::new(text)`; for other types, `.map_err(HandlerError::internal)`"
)]
pub trait IntoReply: MaybeSend {
    /// Sends the acknowledgement if the peer requested one.
    #[doc(hidden)]
    fn send_reply<A: Acknowledge>(self, ack_sender: Option<AckSender<A>>) -> Result<(), HandlerError>;
}

impl IntoReply for () {
    fn send_reply<A: Acknowledge>(self, ack_sender: Option<AckSender<A>>) -> Result<(), HandlerError> {
        ack_sender.map_or(Ok(()), |ack_sender| ack_sender.send(&()))
    }
}

impl<T: Serialize + MaybeSend> IntoReply for Reply<T> {
    fn send_reply<A: Acknowledge>(self, ack_sender: Option<AckSender<A>>) -> Result<(), HandlerError> {
        ack_sender.map_or(Ok(()), |ack_sender| ack_sender.send(&self.0))
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + MaybeSend, E: Into<HandlerError> + MaybeSend> IntoReply for Result<T, E> {
    fn send_reply<A: Acknowledge>(self, ack_sender: Option<AckSender<A>>) -> Result<(), HandlerError> {
        match self {
            Ok(value) => ack_sender.map_or(Ok(()), |ack_sender| ack_sender.send(&value)),
            Err(error) => {
                let error = error.into();
                Err(match ack_sender {
                    Some(ack_sender) => ack_sender.send_handler_error(error),
                    None => error,
                })
            }
        }
    }
}

/// A type that a handler without an event may return, for instance an `on_connection` handler.
#[diagnostic::on_unimplemented(
    message = "this handler cannot return `{Self}`",
    note = "a handler without an event returns `()` or `Result<(), E>`",
    note = "the error must implement `std::error::Error + Send + Sync + 'static`, or be a `HandlerError`; for other types, `.map_err(HandlerError::internal)`"
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

#[diagnostic::do_not_recommend]
impl<E: Into<HandlerError> + MaybeSend> IntoHandlerResult for Result<(), E> {
    fn into_handler_result(self) -> Result<(), HandlerError> {
        self.map_err(Into::into)
    }
}
