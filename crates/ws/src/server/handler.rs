//! What a server runs for each connection.

use std::future::Future;

use http::Request;

use crate::server::Outcome;
use crate::socket::WebSocket;

/// An async function of a [`WebSocket`], or of a `WebSocket` and the [`Request`] that it began with: its path, its
/// headers, and among its extensions the [`PeerAddress`](crate::PeerAddress).
///
/// `async |socket: WebSocket| { .. }` is one, if it captures nothing; what captures is written
/// `move |socket: WebSocket| { let shared = shared.clone(); async move { .. } }`. The types of the parameters have to be
/// named. It returns what an [`Outcome`] can be.
#[diagnostic::on_unimplemented(
    message = "this is no handler of a WebSocket: check its parameters, what it returns, and that it is async",
    note = "a handler is an async function, or `async |..| {{ .. }}`, of a `WebSocket`, or of a `WebSocket` and an `http::Request<()>`, and its future is `Send`",
    note = "it returns `()`, or `Result<(), E>` with `E: Display`",
    note = "an async closure that captures something is written `move |..| {{ let x = x.clone(); async move {{ .. }} }}`"
)]
pub trait Handler<Wants>: Clone + Send + 'static {
    /// What it does.
    type Future: Future<Output: Outcome> + Send + 'static;

    /// Begins with a connection.
    fn call(&self, socket: WebSocket, request: Request<()>) -> Self::Future;
}

impl<F, Fut> Handler<(WebSocket,)> for F
where
    F: Fn(WebSocket) -> Fut + Clone + Send + 'static,
    Fut: Future<Output: Outcome> + Send + 'static,
{
    type Future = Fut;

    fn call(&self, socket: WebSocket, _: Request<()>) -> Fut {
        self(socket)
    }
}

impl<F, Fut> Handler<(WebSocket, Request<()>)> for F
where
    F: Fn(WebSocket, Request<()>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output: Outcome> + Send + 'static,
{
    type Future = Fut;

    fn call(&self, socket: WebSocket, request: Request<()>) -> Fut {
        self(socket, request)
    }
}
