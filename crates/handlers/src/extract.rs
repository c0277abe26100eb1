//! Extractors: the types of a handler's parameters.

use serde::de::DeserializeOwned;
use socketio_proto::Arguments;

use crate::context::{EventKind, HandlerContext, HandlerKind};
use crate::error::HandlerError;
use crate::state::{MissingState, StateMap};

/// A type that a handler of kind `K` may have as a parameter.
///
/// If an extractor fails, the handler is not called. The error is reported to the program's error hook. If the peer
/// requested an acknowledgement, it receives the error's message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of this handler",
    label = "a parameter of this handler is not an extractor",
    note = "every handler accepts `State<S>`; event handlers also accept `Data<T>`, `RawArguments`, `Ack<T>` and `EventName`; each side adds its own, for instance its `Socket`",
    note = "an argument of the event is taken as `Data<T>`; a type of the program is a parameter if it implements `Extract`",
    note = "an extractor is taken by value: `Socket`, not `&Socket`",
    note = "the extractors of axum have the same names and are other types: import `State` and `Extension` from this library"
)]
pub trait Extract<K: HandlerKind>: Sized {
    /// Extracts the value from the context of a handler call.
    ///
    /// # Errors
    /// Returns an error if the value is missing or invalid.
    fn extract(context: &mut HandlerContext<'_, K::Side>) -> Result<Self, HandlerError>;

    /// Checks whether the program has provided the state that the value is taken from. It is called when a handler is
    /// registered, so a program learns at its start what is missing. The default checks nothing; an extractor that calls
    /// [`State::extract`](crate::State) calls `State::check_state` too.
    ///
    /// # Errors
    /// Returns an error that names the state that is missing.
    fn check_state(states: &StateMap) -> Result<(), MissingState> {
        let _ = states;
        Ok(())
    }

    /// Undoes [`extract`](Self::extract), because another parameter of the same handler could not be extracted.
    #[doc(hidden)]
    fn restore(self, context: &mut HandlerContext<'_, K::Side>) {
        let _ = context;
    }
}

/// The arguments of an event, deserialized as `T`.
///
/// A tuple takes the list of arguments, `()` takes none, and any other type takes the first argument. Additional
/// arguments are ignored. Missing arguments at the end are `None` if `T` has an `Option` for them. Types that take
/// bytes (`Bytes`, `serde_bytes`) receive the attachments of a binary event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<T>(pub T);

impl<K: EventKind, T: DeserializeOwned> Extract<K> for Data<T> {
    fn extract(context: &mut HandlerContext<'_, K::Side>) -> Result<Self, HandlerError> {
        let event = context.received_event()?;
        // The peer sent these arguments, so it may read the reason.
        event.arguments().deserialize().map(Self).map_err(|error| HandlerError::new(error.to_string()))
    }
}

/// The arguments of an event as they were received: JSON text and attachments, not deserialized. Use it in programs
/// that relay or store arguments of unknown types. If they are emitted, or returned in a [`Reply`](crate::Reply), they
/// are sent unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawArguments(pub Arguments<'static>);

impl<K: EventKind> Extract<K> for RawArguments {
    fn extract(context: &mut HandlerContext<'_, K::Side>) -> Result<Self, HandlerError> {
        Ok(Self(context.received_event()?.arguments().clone().into_owned()))
    }
}

/// The name of the event, for handlers of several events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventName(pub String);

impl<K: EventKind> Extract<K> for EventName {
    fn extract(context: &mut HandlerContext<'_, K::Side>) -> Result<Self, HandlerError> {
        Ok(Self(context.received_event()?.name().to_owned()))
    }
}
