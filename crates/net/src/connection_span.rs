//! The span of a connection, for programs that trace.

use std::net::IpAddr;

use http::Extensions;
use tracing::Span;
use tracing::span::EnteredSpan;

use crate::address::ClientAddress;
use crate::http::PeerAddress;

/// The span in which the task of a connection runs. If nobody wants it, it takes the memory of one pointer and no time.
#[derive(Debug, Default)]
pub struct ConnectionSpan(Option<Box<Span>>);

impl ConnectionSpan {
    /// Keeps the span, unless it is disabled.
    #[must_use]
    pub fn new(span: Span) -> Self {
        Self((!span.is_disabled()).then(|| Box::new(span)))
    }

    /// Enters the span for one poll of the task.
    #[inline]
    pub fn enter(&self) -> Option<EnteredSpan> {
        self.0.as_ref().map(|span| enter(span))
    }
}

#[cold]
fn enter(span: &Span) -> EnteredSpan {
    span.clone().entered()
}

/// Returns the address of the client for a span: that of the [`ClientAddress`] if it is known, and of the peer otherwise.
#[must_use]
pub fn address_for_span(extensions: &Extensions) -> Option<IpAddr> {
    let client = extensions.get::<ClientAddress>().map(|address| address.ip());
    client.or_else(|| extensions.get::<PeerAddress>().map(|peer| peer.0.ip()))
}
