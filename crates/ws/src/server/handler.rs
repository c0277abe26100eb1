//! What a server runs for each connection, and what that may return.

use std::fmt::Display;
use std::future::Future;

use http::Request;

use crate::socket::WebSocket;

/// An async function of a [`WebSocket`], or of a `WebSocket` and the [`Request`] that it began with: its path, its
/// headers, and among its extensions the [`PeerAddress`](crate::PeerAddress).
///
/// `async |socket: WebSocket| { .. }` is one, if it captures nothing; what captures is written
/// `move |socket: WebSocket| { let shared = shared.clone(); async move { .. } }`. The types of the parameters have to be
/// named. It returns a [`HandlerOutput`].
#[diagnostic::on_unimplemented(
    message = "this is no handler of a WebSocket: check its parameters, what it returns, and that it is async",
    note = "a handler is an async function, or `async |..| {{ .. }}`, of a `WebSocket`, or of a `WebSocket` and an `http::Request<()>`, and its future is `Send`",
    note = "it returns `()`, or `Result<(), E>` with `E: Display`",
    note = "an async closure that captures something is written `move |..| {{ let x = x.clone(); async move {{ .. }} }}`"
)]
pub trait Handler<Wants>: Clone + Send + 'static {
    /// What it does.
    type Future: Future<Output: HandlerOutput> + Send + 'static;

    /// Begins with a connection.
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

/// What a handler may return: nothing, or a `Result` that makes `?` usable in it.
///
/// When the handler has returned, a WebSocket that it has not given away is closed: with 1000, or after an error with
/// 1011. The error itself is traced and never sent: it may say what is not for the peer.
#[diagnostic::on_unimplemented(
    message = "a WebSocket handler cannot return `{Self}`",
    note = "it returns `()`, or `Result<(), E>` with `E: Display`"
)]
pub trait HandlerOutput {
    /// Whether the handler failed.
    fn is_failure(&self) -> bool;
}

impl HandlerOutput for () {
    fn is_failure(&self) -> bool {
        false
    }
}

impl<E: Display> HandlerOutput for Result<(), E> {
    fn is_failure(&self) -> bool {
        // In its alternate form, in which `anyhow` and `eyre` show the causes as well.
        self.as_ref()
            .inspect_err(
                |error| tracing::debug!(error = %format_args!("{error:#}"), "a WebSocket handler failed"),
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

    /// As `anyhow`'s: the causes are in the alternate form alone.
    struct Failure;

    impl Display for Failure {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no room")?;
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

    #[test]
    fn the_log_has_the_causes_of_an_error_as_well() {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG);
        let to = log.clone();
        let subscriber = subscriber.with_writer(move || to.clone()).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || assert!(Err(Failure).is_failure()));
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains("a WebSocket handler failed error=no room: the disk is full"), "{log}");
    }
}
