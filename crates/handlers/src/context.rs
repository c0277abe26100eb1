//! What a handler is called with, before its extractors have taken it apart.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use socketio_proto::Arguments;

use crate::ack::{AckSender, Acknowledge};
use crate::side::{HandlerEnv, Side};

/// On which occasion a handler is called. Some extractors exist on some occasions only.
pub trait HandlerKind: 'static {
    /// The side whose sockets the occasion concerns.
    type Side: Side;
}

/// The occasion of an event that has come.
#[derive(Debug)]
pub struct OnEvent<S>(PhantomData<S>);

impl<S: Side> HandlerKind for OnEvent<S> {
    type Side = S;
}

/// What happened: the source of all extractors.
pub struct HandlerContext<'a, S: Side> {
    env: S::Env<'a>,
    pub(crate) event: Option<IncomingEvent<'a, S::Socket>>,
}

/// An event that has come.
pub(crate) struct IncomingEvent<'a, A: Acknowledge> {
    pub(crate) name: &'a str,
    pub(crate) arguments: &'a Arguments<'a>,
    /// Where the acknowledgement goes, if one was asked for and no extractor has taken it.
    pub(crate) ack_sender: Option<AckSender<A>>,
}

impl<'a, S: Side> HandlerContext<'a, S> {
    /// Something other than an event has happened.
    pub fn new(source: S::Env<'a>) -> Self {
        Self { env: source, event: None }
    }

    pub(crate) fn with_event(source: S::Env<'a>, event: IncomingEvent<'a, S::Socket>) -> Self {
        Self { env: source, event: Some(event) }
    }

    /// What the extractors of the side take their values from.
    pub fn env(&self) -> &S::Env<'a> {
        &self.env
    }

    /// The responder, if the peer asked for an acknowledgement and nobody has taken it yet.
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
        f.debug_struct("Context")
            .field("source", &self.env)
            .field("event", &self.event.as_ref().map(|event| event.name))
            .finish_non_exhaustive()
    }
}
