//! Middleware of events, which runs between the arrival of an event and its handler, and the views of an event that
//! middleware and observers get.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::{Arguments, ArgumentsError, Decoder, DecoderLimits, EncodeError, Event, Packet, encode};

use crate::context::{BeforeEvent, EventKind, HandlerContext};
use crate::encoder::with_encoder;
use crate::error::HandlerError;
use crate::extract::Extract;
use crate::handler::{ErasedHandler, Handler, erase_handler};
use crate::maybe_send::MaybeSend;
use crate::side::Side;

/// A middleware of events with its type erased. `Ok(None)` passes the event on unchanged.
pub type EventMiddleware<S> = ErasedHandler<S, Result<Option<ReceivedEvent>, HandlerError>>;

/// Erases the type of a middleware of events.
pub fn event_middleware<S, M, H>(handler: H) -> EventMiddleware<S>
where
    S: Side,
    H: Handler<BeforeEvent<S>, M>,
    H::Output: IntoEventMiddlewareResult,
{
    erase_handler::<BeforeEvent<S>, _, _, _>(handler, IntoEventMiddlewareResult::into_event_middleware_result)
}

/// A received event, with memory of its own: its name and its arguments.
///
/// A middleware of events that takes it as a parameter and returns it can change the name and the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedEvent(pub(crate) Event<'static>);

impl ReceivedEvent {
    /// Creates an event that replaces the received one. A tuple is a list of arguments, `()` is an empty list, and any
    /// other value is one argument.
    ///
    /// # Errors
    /// Returns an error if the name is reserved, or if the arguments cannot be encoded.
    pub fn new<T: Serialize>(name: impl AsRef<str>, arguments: T) -> Result<Self, EncodeError> {
        with_encoder(|encoder| {
            // The event is not sent, so it does not matter how many attachments a packet may have.
            encoder.lift_attachment_limit();
            let message = encode::event(encoder, "/", None, name.as_ref(), &arguments)?;
            decode_event(message.text(), message.attachments())
                .map(Self)
                .ok_or_else(|| EncodeError::Serialize { reason: "a key of an object is reserved".to_owned() })
        })
    }

    /// Returns the name of the event.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Returns the arguments.
    #[must_use]
    pub fn arguments(&self) -> &Arguments<'static> {
        self.0.arguments()
    }

    /// Deserializes the arguments as `T`, by the same rules as [`Data`](crate::Data).
    ///
    /// # Errors
    /// Returns an error if an argument is missing or has another type.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, ArgumentsError> {
        self.0.arguments().deserialize()
    }

    /// Returns the memory of the event, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.memory()
    }

    /// Changes the name.
    ///
    /// # Errors
    /// Returns an error if the name is reserved. The event is then unchanged.
    pub fn set_name(&mut self, name: impl AsRef<str>) -> Result<(), EncodeError> {
        *self = Self::new(name, self.0.arguments())?;
        Ok(())
    }

    /// Replaces the arguments, see [`new`](Self::new).
    ///
    /// # Errors
    /// Returns an error if the arguments cannot be encoded. The event is then unchanged.
    pub fn set_arguments<T: Serialize>(&mut self, arguments: T) -> Result<(), EncodeError> {
        *self = Self::new(self.0.name(), arguments)?;
        Ok(())
    }
}

impl<K: EventKind> Extract<K> for ReceivedEvent {
    fn extract(context: &mut HandlerContext<'_, K::Side>) -> Result<Self, HandlerError> {
        let event = context.received_event()?;
        Ok(Self(event.clone().into_owned()))
    }
}

/// An event that an observer sees, received or sent.
#[derive(Clone, Copy)]
pub struct ObservedEvent<'a> {
    event: &'a Event<'a>,
    is_ack_requested: bool,
}

impl<'a> ObservedEvent<'a> {
    /// Creates the view of an event.
    #[must_use]
    pub fn new(event: &'a Event<'a>, is_ack_requested: bool) -> Self {
        Self { event, is_ack_requested }
    }

    /// Returns the name of the event.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.event.name()
    }

    /// Returns the arguments.
    #[must_use]
    pub fn arguments(&self) -> &'a Arguments<'a> {
        self.event.arguments()
    }

    /// Returns whether the sender requested an acknowledgement.
    #[must_use]
    pub fn is_ack_requested(&self) -> bool {
        self.is_ack_requested
    }
}

impl fmt::Debug for ObservedEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedEvent")
            .field("name", &self.name())
            .field("is_ack_requested", &self.is_ack_requested)
            .finish_non_exhaustive()
    }
}

/// Reads an event from the message that sends it: the text of a Socket.IO packet, and its attachments. `None` if it is
/// not an event that this decoder accepts.
pub fn decode_event<'m>(
    text: &str,
    mut attachments: impl Iterator<Item = &'m [u8]>,
) -> Option<Event<'static>> {
    decode_event_with(text, &mut || attachments.next())
}

fn decode_event_with<'m>(
    text: &str,
    next_attachment: &mut dyn FnMut() -> Option<&'m [u8]>,
) -> Option<Event<'static>> {
    let (mut decoder, mut packet) = decode_text(text)?;
    while let Some(attachment) = next_attachment() {
        packet = decoder.decode_binary(attachment).ok()?;
    }
    match packet? {
        Packet::Event { event, .. } => Some(event),
        _ => None,
    }
}

/// Reads the text of a packet. The decoder accepts any number of attachments.
fn decode_text(text: &str) -> Option<(Decoder, Option<Packet<'static>>)> {
    let mut limits = DecoderLimits::default();
    limits.max_attachments = usize::MAX;
    limits.max_attachment_bytes = usize::MAX;
    let mut decoder = Decoder::new(&limits);
    let packet = decoder.decode_text(text).ok()?.map(Packet::into_owned);
    Some((decoder, packet))
}

/// A type that a middleware of events may return.
#[diagnostic::on_unimplemented(
    message = "a middleware of events cannot return `{Self}`",
    note = "return `()` to pass the event on, a `ReceivedEvent` to replace it, or a `Result` of one of them, with an error that converts to `HandlerError`"
)]
pub trait IntoEventMiddlewareResult: MaybeSend {
    #[doc(hidden)]
    fn into_event_middleware_result(self) -> Result<Option<ReceivedEvent>, HandlerError>;
}

impl IntoEventMiddlewareResult for () {
    fn into_event_middleware_result(self) -> Result<Option<ReceivedEvent>, HandlerError> {
        Ok(None)
    }
}

impl IntoEventMiddlewareResult for ReceivedEvent {
    fn into_event_middleware_result(self) -> Result<Option<ReceivedEvent>, HandlerError> {
        Ok(Some(self))
    }
}

#[diagnostic::do_not_recommend]
impl<E: Into<HandlerError> + MaybeSend> IntoEventMiddlewareResult for Result<(), E> {
    fn into_event_middleware_result(self) -> Result<Option<ReceivedEvent>, HandlerError> {
        self.map(|()| None).map_err(Into::into)
    }
}

#[diagnostic::do_not_recommend]
impl<E: Into<HandlerError> + MaybeSend> IntoEventMiddlewareResult for Result<ReceivedEvent, E> {
    fn into_event_middleware_result(self) -> Result<Option<ReceivedEvent>, HandlerError> {
        self.map(Some).map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use bytes_free::sends;

    use super::*;

    /// Binary arguments without a dependency: serde writes this type as bytes.
    mod bytes_free {
        use serde::{Serialize, Serializer};

        pub(super) struct Blob(&'static [u8]);

        impl Serialize for Blob {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(self.0)
            }
        }

        pub(super) fn sends(bytes: &'static [u8]) -> Blob {
            Blob(bytes)
        }
    }

    #[test]
    fn an_event_is_made_and_changed_with_any_arguments() {
        let mut event = ReceivedEvent::new("say", ("hello", 2)).unwrap();
        assert_eq!((event.name(), event.data().unwrap()), ("say", ("hello".to_owned(), 2)));
        event.set_name("shout").unwrap();
        assert_eq!((event.name(), event.arguments().json_elements()), ("shout", r#""hello",2"#));
        event.set_arguments((sends(&[1, 2]), 7)).unwrap();
        assert_eq!((event.name(), event.arguments().len()), ("shout", 2));
        assert_eq!(event.arguments().attachments()[0], [1, 2][..]);
        event.set_name("whisper").unwrap();
        assert_eq!(event.arguments().attachments()[0], [1, 2][..]);
    }

    #[test]
    fn a_reserved_name_is_refused_and_changes_nothing() {
        let mut event = ReceivedEvent::new("say", ()).unwrap();
        assert_eq!(event.set_name("disconnect"), Err(EncodeError::ReservedEvent("disconnect".to_owned())));
        assert_eq!(event.name(), "say");
    }
}
