//! The handlers of a server, and the types that they may return.

use std::fmt::Display;
use std::future::Future;

use http::Request;
use ws_proto::Excerpt;

use crate::socket::WebSocket;

/// An async function that takes a [`WebSocket`], or a `WebSocket` and the [`Request`] of its handshake. The request has
/// the path and the headers, and contains the [`ClientAddress`](crate::ClientAddress) and the
/// [`PeerAddress`](crate::PeerAddress) in its extensions.
///
/// If the handler captures nothing, write `async |socket: WebSocket| { .. }`. If it captures something, write `move
/// |socket: WebSocket| { let shared = shared.clone(); async move { .. } }`. The types of the parameters have to be
/// named. The function returns a [`HandlerOutput`].
#[diagnostic::on_unimplemented(
    message = "this is not a WebSocket handler: check its parameters and its return type, and that it is async",
    note = "a handler is an async function or an `async |..| {{ .. }}` closure that takes a `WebSocket`, or a `WebSocket` and an `http::Request<()>`; its future is `Send`",
    note = "a handler returns `()`, or `Result<(), E>` with `E: Display`",
    note = "if the handler captures something, write `move |..| {{ let x = x.clone(); async move {{ .. }} }}`"
)]
pub trait Handler<M>: Clone + Send + 'static {
    /// The future of one call, which runs for one connection.
    type Future: Future<Output: HandlerOutput> + Send + 'static;

    /// Calls the handler for a new connection.
    fn call(&self, socket: WebSocket, request: Request<()>) -> Self::Future;
}

impl<F, Fut> Handler<(WebSocket,)> for F
where
    F: Fn(WebSocket) -> Fut + Clone + Send + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    type Future = Fut;

    fn call(&self, socket: WebSocket, _: Request<()>) -> Fut {
        self(socket)
    }
}

impl<F, Fut> Handler<(WebSocket, Request<()>)> for F
where
    F: Fn(WebSocket, Request<()>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    type Future = Fut;

    fn call(&self, socket: WebSocket, request: Request<()>) -> Fut {
        self(socket, request)
    }
}

/// The types that a handler may return: `()`, or a `Result`, so that the handler can use `?`.
///
/// When a handler returns, its WebSocket is closed, unless the handler has moved it to another task. The close code is
/// 1000, or 1011 after an error. The error is logged at the debug level and not sent to the peer, because it may
/// contain internal details.
#[diagnostic::on_unimplemented(
    message = "a WebSocket handler cannot return `{Self}`",
    note = "a handler returns `()`, or `Result<(), E>` with `E: Display`"
)]
pub trait HandlerOutput {
    /// Returns `true` if the handler failed.
    fn is_failure(&self) -> bool;
}

impl HandlerOutput for () {
    fn is_failure(&self) -> bool {
        false
    }
}

impl<E: Display> HandlerOutput for Result<(), E> {
    fn is_failure(&self) -> bool {
        // The alternate form of `anyhow` and `eyre` errors includes their causes.
        self.as_ref()
            .inspect_err(
                |error| tracing::debug!(error = %Excerpt(format_args!("{error:#}")), "a WebSocket handler failed"),
            )
            .is_err()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Like an `anyhow` error, it prints its causes only in the alternate form.
    struct Failure;

    impl Display for Failure {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot save")?;
            if f.alternate() { f.write_str(": the disk is full") } else { Ok(()) }
        }
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns what is logged when a handler fails with this error.
    fn logged(error: impl Display) -> String {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG);
        let to = log.clone();
        let subscriber = subscriber.with_writer(move || to.clone()).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || assert!(Err(error).is_failure()));
        String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn the_log_contains_the_causes_of_an_error() {
        let log = logged(Failure);
        assert!(log.contains("a WebSocket handler failed error=cannot save: the disk is full"), "{log}");
    }

    #[test]
    fn text_of_a_peer_in_an_error_is_cut_and_cannot_forge_a_line() {
        let log = logged(format!("no command: \n{}", "x".repeat(1_000)));
        assert!(log.contains("error=no command: \\nxxx") && log.len() < 400, "{log}");
        assert_eq!(log.lines().count(), 1);
    }
}
