//! The task of a connection: it polls the handler, and writes what that has sent.
//!
//! Hot path. The order is what makes many messages leave in one write: the handler runs until it waits, and only then
//! are its messages written. Nothing is held back longer than that.

use std::future::{Future, Ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use net::{DeadlineTimer, Upgraded};
use ws_proto::{DeflateAgreement, Negotiated};

use crate::connection::Connection;
use crate::limits::Limits;
use crate::server::HandlerOutput;
use crate::socket::WebSocket;

/// The future of a connection, from its upgrade to its last byte. It ends when both the handler and the connection
/// have.
pub(crate) struct Driver<Fut> {
    connection: Arc<Connection>,
    /// Boxed, so that its memory goes with it: a handler may return at once and leave its WebSocket to another task.
    handler: Option<Pin<Box<Fut>>>,
    failed: bool,
    deadline: DeadlineTimer,
}

impl Driver<Ready<()>> {
    /// The task of a client's connection. Its handle lives in the program's own task, like that of a handler which has
    /// given it away.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub(crate) fn spawn_client(upgraded: Upgraded, limits: &Limits, agreed: &Negotiated) -> WebSocket {
        let connection = Arc::new(Connection::client(upgraded, limits, agreed.deflate()));
        let socket = WebSocket::new(Arc::clone(&connection), agreed.protocol().map(Into::into));
        tokio::spawn(Self { connection, handler: None, failed: false, deadline: DeadlineTimer::new() });
        socket
    }
}

impl<Fut: Future<Output: HandlerOutput>> Driver<Fut> {
    pub(crate) fn new(
        upgraded: Upgraded,
        limits: &Limits,
        deflate: Option<&DeflateAgreement>,
        protocol: Option<Box<str>>,
        handler: impl FnOnce(WebSocket) -> Fut,
    ) -> Self {
        let connection = Arc::new(Connection::server(upgraded, limits, deflate));
        let socket = WebSocket::new(Arc::clone(&connection), protocol);
        // A handler may also panic before there is a future of it.
        let handler = catch_unwind(AssertUnwindSafe(|| Box::pin(handler(socket)))).ok();
        Self { connection, failed: handler.is_none(), handler, deadline: DeadlineTimer::new() }
    }

    /// Polls the handler, if it has not returned.
    fn poll_handler(&mut self, cx: &mut Context<'_>) {
        let Some(handler) = &mut self.handler else { return };
        // A panic ends this connection, with a code that says so, and nothing else. The panic hook has told of it, and
        // the handler is never polled again.
        let polled = catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(outcome)) => self.failed = outcome.is_failure(),
            Err(_) => self.failed = true,
        }
        self.handler = None;
    }
}

impl<Fut: Future<Output: HandlerOutput>> Future for Driver<Fut> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = self.get_mut();
        driver.connection.begin_driver_poll(cx);
        driver.poll_handler(cx);
        let connection = driver.connection.end_driver_poll(driver.failed, &mut driver.deadline, cx);
        if driver.handler.is_none() { connection } else { Poll::Pending }
    }
}

impl<Fut> Drop for Driver<Fut> {
    fn drop(&mut self) {
        self.connection.driver_dropped();
    }
}
