//! The context of a handler call, from which extractors read their values.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use socketio_proto::Event;

use crate::ack::{AckSender, Acknowledge};
use crate::error::HandlerError;
use crate::side::{HandlerEnv, Side};

/// The kind of a handler, for instance event handlers ([`OnEvent`]). Some extractors are available in some kinds only.
pub trait HandlerKind: 'static {
    /// The side to which the handlers belong.
    type Side: Side;
}

/// The kind of event handlers.
#[derive(Debug)]
pub struct OnEvent<S>(PhantomData<S>);

impl<S: Side> HandlerKind for OnEvent<S> {
    type Side = S;
}

/// The kind of middleware of events.
#[derive(Debug)]
pub struct BeforeEvent<S>(PhantomData<S>);

impl<S: Side> HandlerKind for BeforeEvent<S> {
    type Side = S;
}

/// A kind whose handlers are called with an event.
#[diagnostic::on_unimplemented(
    message = "this handler is called without an event, so it cannot take `Data`, `RawArguments`, `EventName` or `ReceivedEvent`",
    note = "only the handlers and the middleware of events have an event"
)]
pub trait EventKind: HandlerKind {}

impl<S: Side> EventKind for OnEvent<S> {}

impl<S: Side> EventKind for BeforeEvent<S> {}

/// The context of one handler call. Every extractor reads its value from here.
pub struct HandlerContext<'a, S: Side> {
    env: S::Env<'a>,
    pub(crate) event: Option<IncomingEvent<'a, S::Socket>>,
}

/// A received event.
pub(crate) struct IncomingEvent<'a, A: Acknowledge> {
    pub(crate) event: &'a Event<'a>,
    /// Sends the acknowledgement. `None` if the peer did not request one, or an extractor has taken it.
    pub(crate) ack_sender: Option<AckSender<A>>,
}

impl<'a, S: Side> HandlerContext<'a, S> {
    /// Creates the context of a call without an event, for instance of an `on_disconnect` handler.
    pub fn new(env: S::Env<'a>) -> Self {
        Self { env, event: None }
    }

    pub(crate) fn with_event(env: S::Env<'a>, event: IncomingEvent<'a, S::Socket>) -> Self {
        Self { env, event: Some(event) }
    }

    /// Returns the environment of the handler, from which the extractors of the side read their values.
    pub fn env(&self) -> &S::Env<'a> {
        &self.env
    }

    /// Returns the event.
    pub(crate) fn received_event(&self) -> Result<&'a Event<'a>, HandlerError> {
        let event = self.event.as_ref().map(|incoming| incoming.event);
        event.ok_or_else(|| HandlerError::new("this handler was called without an event"))
    }

    /// Takes the sender of the acknowledgement. `None` if the peer did not request one, or it was taken before.
    pub(crate) fn take_ack_sender(&mut self) -> Option<AckSender<S::Socket>> {
        self.event.as_mut()?.ack_sender.take()
    }

    /// Undoes [`take_ack_sender`](Self::take_ack_sender).
    pub(crate) fn restore_ack_sender(&mut self, id: u64) {
        let socket = self.env.socket();
        if let Some(event) = &mut self.event {
            event.ack_sender = Some(AckSender::new(Arc::clone(socket), id));
        }
    }
}

impl<S: Side> fmt::Debug for HandlerContext<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerContext")
            .field("env", &self.env)
            .field("event", &self.event.as_ref().map(|incoming| incoming.event.name()))
            .finish_non_exhaustive()
    }
}
