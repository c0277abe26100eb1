//! The function that handles the sessions of a server, and the types that it may return.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;

use http::Request;
use ws_proto::Excerpt;

use super::socket::Socket;

/// An async function that takes a [`Socket`], or a `Socket` and the [`Request`] that opened the session. The request
/// has the path, the query and the headers, and whatever layers in front of the server put into its extensions.
///
/// A request costs about 200 bytes for each header besides its text: 2 to 4 KiB for one of a browser. Drop it as soon as
/// you have read it, unless you need it as long as the session lives. With a handler that takes the request, this memory
/// counts in [`max_half_open_bytes`](super::ServerBuilder::max_half_open_bytes) and
/// [`memory_budget`](super::ServerBuilder::memory_budget) until the session ends, also if the handler has dropped it.
///
/// If the handler captures nothing, write `async |socket: Socket| { .. }`. If it captures something, write `move
/// |socket: Socket| { let shared = shared.clone(); async move { .. } }`. The types of the parameters have to be named.
/// The function returns a [`HandlerOutput`].
#[diagnostic::on_unimplemented(
    message = "this is not a handler of sessions: check its parameters and its return type, and that it is async",
    note = "a handler is an async function or an `async |..| {{ .. }}` closure that takes a `Socket`, or a `Socket` and an `http::Request<()>`; its future is `Send`",
    note = "a handler returns `()`, or `Result<(), E>` with `E: Display`",
    note = "if the handler captures something, write `move |..| {{ let x = x.clone(); async move {{ .. }} }}`"
)]
pub trait Handler<M>: Send + Sync + 'static {
    /// The future of one call, which runs for one session.
    type Future: Future<Output: HandlerOutput> + Send + 'static;

    /// Whether the handler may keep the request. If so, the memory of the request counts as long as the session lives.
    const KEEPS_REQUEST: bool = true;

    /// Calls the handler for a new session.
    fn call(&self, socket: Socket, request: Request<()>) -> Self::Future;
}

impl<F, Fut> Handler<(Socket,)> for F
where
    F: Fn(Socket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    type Future = Fut;

    const KEEPS_REQUEST: bool = false;

    fn call(&self, socket: Socket, _: Request<()>) -> Fut {
        self(socket)
    }
}

impl<F, Fut> Handler<(Socket, Request<()>)> for F
where
    F: Fn(Socket, Request<()>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    type Future = Fut;

    fn call(&self, socket: Socket, request: Request<()>) -> Fut {
        self(socket, request)
    }
}

/// The types that a handler may return: `()`, or a `Result`, so that the handler can use `?`.
///
/// When a handler returns, its session is closed, unless the handler has moved the [`Socket`] to another task. An error
/// is logged at the debug level. The client does not learn of it.
#[diagnostic::on_unimplemented(
    message = "a handler of sessions cannot return `{Self}`",
    note = "a handler returns `()`, or `Result<(), E>` with `E: Display`"
)]
pub trait HandlerOutput {
    /// Logs the error, if there is one.
    fn log_failure(&self);
}

impl HandlerOutput for () {
    fn log_failure(&self) {}
}

impl<E: Display> HandlerOutput for Result<(), E> {
    fn log_failure(&self) {
        if let Err(error) = self {
            // The alternate form of `anyhow` and `eyre` errors includes their causes.
            tracing::debug!(error = %Excerpt(format_args!("{error:#}")), "a handler of an Engine.IO session failed");
        }
    }
}

/// A handler whose type does not show in the type of the server.
pub(super) type BoxHandler = Box<dyn Fn(Socket, Request<()>) -> BoxFuture + Send + Sync>;
pub(super) type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) fn boxed<H: Handler<M>, M>(handler: H) -> BoxHandler {
    Box::new(move |socket, request| {
        let future = handler.call(socket, request);
        Box::pin(async move { future.await.log_failure() })
    })
}
