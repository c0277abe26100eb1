//! The peer of a connection, which each of its requests has as an extension.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use http::Request;
use hyper::body::Incoming;
use tower::Service;

use crate::address::{ConnectionSessions, InProxyHeader};

/// The address of the peer of a connection. Every request that a [`Listener`](crate::Listener) serves has it as an
/// extension. With the PROXY protocol it is the address that the proxy reports, and it
/// is missing if the proxy reports none.
///
/// Other HTTP servers must add it to their requests. axum adds an extension of its own, which the feature `axum` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

impl PeerAddress {
    /// Returns the address among the extensions of a request. With the feature `axum`, it may also be in the extension
    /// that axum adds, `ConnectInfo<SocketAddr>`.
    #[must_use]
    pub fn of(extensions: &http::Extensions) -> Option<Self> {
        extensions.get::<Self>().copied().or_else(|| Self::of_axum(extensions))
    }

    #[cfg(feature = "axum")]
    fn of_axum(extensions: &http::Extensions) -> Option<Self> {
        extensions.get::<axum::extract::ConnectInfo<SocketAddr>>().map(|peer| Self(peer.0))
    }

    #[cfg(not(feature = "axum"))]
    fn of_axum(_: &http::Extensions) -> Option<Self> {
        None
    }
}

/// Returns the URI that a client has requested, before axum has stripped a prefix from it.
#[cfg(feature = "axum")]
#[must_use]
pub fn original_uri(extensions: &http::Extensions) -> Option<&http::Uri> {
    extensions.get::<axum::extract::OriginalUri>().map(|original| &original.0)
}

/// Returns `None`: the feature `axum` is off.
#[cfg(not(feature = "axum"))]
#[must_use]
pub fn original_uri(_: &http::Extensions) -> Option<&http::Uri> {
    None
}

/// An extension of the requests that a [`Listener`](crate::Listener) has received over TLS. If a program serves TLS itself,
/// it can add the extension to its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedOverTls;

/// Adds the address of the peer, and what the connection has opened, to each request.
#[derive(Debug, Clone)]
pub(super) struct WithPeer<S> {
    pub(super) service: S,
    /// `None` if a proxy has not reported it.
    pub(super) peer: Option<PeerAddress>,
    /// The address comes from the PROXY protocol.
    pub(super) has_proxy_header: bool,
    pub(super) is_tls: bool,
    pub(super) sessions: ConnectionSessions,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for WithPeer<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        if self.has_proxy_header {
            request.extensions_mut().insert(InProxyHeader);
        }
        if self.is_tls {
            request.extensions_mut().insert(ReceivedOverTls);
        }
        request.extensions_mut().insert(self.sessions.clone());
        self.service.call(request)
    }
}
