//! Extractors: what a handler's parameters may be.

use std::any::TypeId;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::Arguments;

use crate::context::{Context, Kind, OnDisconnect, OnEvent, Responder};
use crate::error::HandlerError;
use crate::namespace::Namespace;
use crate::reason::DisconnectReason;
use crate::server::Server;
use crate::socket::Socket;

/// A type that a handler of kind `K` may have as a parameter.
///
/// A failed extractor is never silent: the handler is not called, the error goes to the server's hook, and a client
/// that asked for an acknowledgement is told.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of this handler",
    note = "event handlers take `Socket`, `Server`, `Namespace`, `Data<T>`, `Ack<T>`, `Auth<T>`, `State<S>`, `EventName`",
    note = "`on_connection` and middleware take `Socket`, `Server`, `Namespace`, `Auth<T>`, `State<S>`",
    note = "`on_disconnect` takes these, `DisconnectReason` and `DroppedEvents`"
)]
pub trait Extract<K: Kind>: Sized {
    /// Takes the value out of what happened.
    ///
    /// # Errors
    /// Why there is no such value.
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError>;

    /// Undoes [`extract`](Self::extract): another parameter of the same handler could not be extracted.
    #[doc(hidden)]
    fn give_back(self, context: &mut Context<'_>) {
        let _ = context;
    }
}

impl<K: Kind> Extract<K> for Socket {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        Ok(context.socket.clone())
    }
}

impl<K: Kind> Extract<K> for Server {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        Ok(context.server.clone())
    }
}

impl<K: Kind> Extract<K> for Namespace {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        Ok(context.socket.namespace().clone())
    }
}

/// The arguments of an event, read as `T`.
///
/// A tuple is the list of arguments, `()` is none, anything else is the first argument. Arguments that `T` does not
/// name are ignored, and missing ones at the end are `None` where `T` has an `Option`. Types that take bytes
/// ([`Bytes`](bytes::Bytes), `serde_bytes`) get the attachments of a binary event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<T>(pub T);

impl<T: DeserializeOwned> Extract<OnEvent> for Data<T> {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        let Some(event) = &context.event else { return Err(HandlerError::new("no event")) };
        // The client sent these arguments, so it may read what is wrong with them.
        event.arguments.deserialize().map(Self).map_err(|error| HandlerError::new(error.to_string()))
    }
}

/// The arguments of an event as they came: JSON text and attachments, not read yet. For programs that relay or store
/// what they do not understand: emitted or returned in a [`Reply`](crate::Reply), they arrive as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawArguments(pub Arguments<'static>);

impl Extract<OnEvent> for RawArguments {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        let Some(event) = &context.event else { return Err(HandlerError::new("no event")) };
        Ok(Self(event.arguments.clone().into_owned()))
    }
}

/// The name of the event, for handlers of more than one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventName(pub String);

impl Extract<OnEvent> for EventName {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        Ok(Self(context.event.as_ref().map_or_else(String::new, |event| event.name.to_owned())))
    }
}

/// The acknowledgement of an event, to be sent when the handler wants; its return value is ignored then.
///
/// Where the client did not ask for an acknowledgement, sending does nothing. An `Ack` that is dropped unsent although
/// the client waits is reported to the server's error hook.
#[derive(Debug)]
pub struct Ack<T = ()> {
    responder: Option<Responder>,
    sends: PhantomData<fn(T)>,
}

impl<T: Serialize> Ack<T> {
    /// Sends the acknowledgement. A tuple is a list of values, `()` is none.
    pub fn send(mut self, value: T) {
        if let Some(responder) = self.responder.take() {
            let socket = responder.socket().clone();
            if let Err(error) = responder.send(&value) {
                socket.namespace().report(&error, &socket, None);
            }
        }
    }
}

impl<T> Ack<T> {
    /// Whether the client asked for an acknowledgement.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.responder.is_some()
    }
}

impl<T> Drop for Ack<T> {
    fn drop(&mut self) {
        // A panic is reported as such, and told to the client by the responder.
        if let Some(responder) = self.responder.take()
            && !std::thread::panicking()
        {
            let socket = responder.socket();
            let error = HandlerError::new("an acknowledgement was dropped unsent");
            socket.namespace().report(&error, socket, None);
        }
    }
}

impl<T: 'static> Extract<OnEvent> for Ack<T> {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        let responder = context.event.as_mut().and_then(|event| event.responder.take());
        Ok(Self { responder, sends: PhantomData })
    }

    fn give_back(mut self, context: &mut Context<'_>) {
        if let Some(event) = &mut context.event {
            event.responder = self.responder.take();
        }
    }
}

/// What the client authenticated with (the `auth` option), read as `T`; `{}` if it sent nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auth<T>(pub T);

impl<K: Kind, T: DeserializeOwned> Extract<K> for Auth<T> {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        context.socket.auth().map(Self).map_err(|error| HandlerError::new(error.to_string()))
    }
}

/// A value that the program gave to [`Builder::state`](crate::Builder::state), shared by all handlers.
#[derive(Debug)]
pub struct State<S>(pub Arc<S>);

impl<S> Clone for State<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Deref for State<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

impl<K: Kind, S: Send + Sync + 'static> Extract<K> for State<S> {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        let state = context.server.states().get(&TypeId::of::<S>()).cloned();
        state.and_then(|state| state.downcast().ok()).map(Self).ok_or_else(|| {
            let name = std::any::type_name::<S>();
            std::io::Error::other(format!("the server was built without the state `{name}`")).into()
        })
    }
}

impl Extract<OnDisconnect> for DisconnectReason {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        Ok(context.departure.map_or(Self::ForcedClose, |departure| departure.reason))
    }
}

/// How many events had been received when the socket was disconnected, and were dropped because no handler had been
/// started for them yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedEvents(pub usize);

impl Extract<OnDisconnect> for DroppedEvents {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        Ok(Self(context.departure.map_or(0, |departure| departure.dropped)))
    }
}
