//! Extractors: what a handler's parameters may be.

use serde::de::DeserializeOwned;
use socketio_proto::Arguments;

use crate::context::{HandlerContext, HandlerKind, OnEvent};
use crate::error::HandlerError;
use crate::side::Side;

/// A type that a handler of kind `K` may have as a parameter.
///
/// A failed extractor is never silent: the handler is not called, the error goes to the program's error hook, and a peer
/// that asked for an acknowledgement is told.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of this handler",
    note = "event handlers take `Socket`, `Server`, `Namespace`, `Data<T>`, `RawArguments`, `Ack<T>`, `Auth<T>`, `State<S>`, `EventName`",
    note = "`on_connection` and middleware take `Socket`, `Server`, `Namespace`, `Auth<T>`, `State<S>`",
    note = "`on_disconnect` takes these, `DisconnectReason` and `DroppedEvents`"
)]
pub trait Extract<K: HandlerKind>: Sized {
    /// Takes the value out of what happened.
    ///
    /// # Errors
    /// Why there is no such value.
    fn extract(context: &mut HandlerContext<'_, K::Side>) -> Result<Self, HandlerError>;

    /// Undoes [`extract`](Self::extract): another parameter of the same handler could not be extracted.
    #[doc(hidden)]
    fn restore(self, context: &mut HandlerContext<'_, K::Side>) {
        let _ = context;
    }
}

/// The arguments of an event, read as `T`.
///
/// A tuple is the list of arguments, `()` is none, anything else is the first argument. Arguments that `T` does not
/// name are ignored, and missing ones at the end are `None` where `T` has an `Option`. Types that take bytes
/// (`Bytes`, `serde_bytes`) get the attachments of a binary event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<T>(pub T);

impl<S: Side, T: DeserializeOwned> Extract<OnEvent<S>> for Data<T> {
    fn extract(context: &mut HandlerContext<'_, S>) -> Result<Self, HandlerError> {
        let Some(event) = &context.event else { return Err(HandlerError::new("no event")) };
        // The peer sent these arguments, so it may read what is wrong with them.
        event.arguments.deserialize().map(Self).map_err(|error| HandlerError::new(error.to_string()))
    }
}

/// The arguments of an event as they came: JSON text and attachments, not read yet. For programs that relay or store
/// what they do not understand: emitted or returned in a [`Reply`](crate::Reply), they arrive as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawArguments(pub Arguments<'static>);

impl<S: Side> Extract<OnEvent<S>> for RawArguments {
    fn extract(context: &mut HandlerContext<'_, S>) -> Result<Self, HandlerError> {
        let Some(event) = &context.event else { return Err(HandlerError::new("no event")) };
        Ok(Self(event.arguments.clone().into_owned()))
    }
}

/// The name of the event, for handlers of more than one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventName(pub String);

impl<S: Side> Extract<OnEvent<S>> for EventName {
    fn extract(context: &mut HandlerContext<'_, S>) -> Result<Self, HandlerError> {
        Ok(Self(context.event.as_ref().map_or_else(String::new, |event| event.name.to_owned())))
    }
}
