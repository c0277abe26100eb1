//! What a handler is called with, before its extractors have taken it apart.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use socketio_proto::Arguments;

use crate::ack::{Acknowledge, Responder};
use crate::side::{Side, Source};

/// On which occasion a handler is called. Some extractors exist on some occasions only.
pub trait Kind: 'static {
    /// The side whose sockets the occasion concerns.
    type Side: Side;
}

/// The occasion of an event that has come.
#[derive(Debug)]
pub struct OnEvent<S>(PhantomData<S>);

impl<S: Side> Kind for OnEvent<S> {
    type Side = S;
}

/// What happened: the source of all extractors.
pub struct Context<'a, S: Side> {
    source: S::Source<'a>,
    pub(crate) event: Option<IncomingEvent<'a, S::Socket>>,
}

/// An event that has come.
pub(crate) struct IncomingEvent<'a, A: Acknowledge> {
    pub(crate) name: &'a str,
    pub(crate) arguments: &'a Arguments<'a>,
    /// Where the acknowledgement goes, if one was asked for and no extractor has taken it.
    pub(crate) responder: Option<Responder<A>>,
}

impl<'a, S: Side> Context<'a, S> {
    /// Something other than an event has happened.
    pub fn new(source: S::Source<'a>) -> Self {
        Self { source, event: None }
    }

    pub(crate) fn with_event(source: S::Source<'a>, event: IncomingEvent<'a, S::Socket>) -> Self {
        Self { source, event: Some(event) }
    }

    /// What the extractors of the side take their values from.
    pub fn source(&self) -> &S::Source<'a> {
        &self.source
    }

    /// The responder, if the peer asked for an acknowledgement and nobody has taken it yet.
    pub(crate) fn take_responder(&mut self) -> Option<Responder<S::Socket>> {
        self.event.as_mut()?.responder.take()
    }

    /// Undoes [`take_responder`](Self::take_responder).
    pub(crate) fn put_responder(&mut self, id: u64) {
        let socket = self.source.socket();
        if let Some(event) = &mut self.event {
            event.responder = Some(Responder::new(Arc::clone(socket), id));
        }
    }
}

impl<S: Side> fmt::Debug for Context<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("source", &self.source)
            .field("event", &self.event.as_ref().map(|event| event.name))
            .finish_non_exhaustive()
    }
}
