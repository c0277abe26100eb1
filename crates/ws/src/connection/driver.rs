//! The task of a connection. It polls the handler, and writes what the handler has sent.
//!
//! Hot path. The handler first runs until it waits, and then all its messages are written. This order puts many
//! messages into one write, and delays none of them beyond that poll.

use std::future::{Future, Ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use net::{ConnectionSpan, DeadlineTimer, MemoryBudget, Upgraded};
use ws_proto::{DeflateAgreement, Negotiated};

use crate::connection::Connection;
use crate::limits::Limits;
use crate::server::HandlerOutput;
use crate::socket::WebSocket;

/// The future of a connection, from its upgrade to its last byte. It completes when both the handler and the connection
/// have ended.
pub(crate) struct Driver<Fut> {
    connection: Arc<Connection>,
    /// Boxed, so that its memory is freed when it returns: a handler may return early and leave its WebSocket to
    /// another task.
    handler: Option<Pin<Box<Fut>>>,
    failed: bool,
    deadline: DeadlineTimer,
}

impl Driver<Ready<()>> {
    /// Spawns the task of a client's connection. The driver polls no handler: the program uses the WebSocket from its
    /// own tasks.
    ///
    /// # Panics
    /// Panics if it is called outside of a Tokio runtime.
    pub(crate) fn spawn_client(upgraded: Upgraded, limits: &Limits, negotiated: &Negotiated) -> WebSocket {
        let connection = Arc::new(Connection::client(upgraded, limits, negotiated.deflate()));
        let socket = WebSocket::new(Arc::clone(&connection), negotiated.protocol().map(Into::into));
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
        budget: MemoryBudget,
        span: ConnectionSpan,
        handler: impl FnOnce(WebSocket) -> Fut,
    ) -> Self {
        let connection = Arc::new(Connection::server(upgraded, limits, deflate, budget, span));
        let socket = WebSocket::new(Arc::clone(&connection), protocol);
        // A handler may also panic before it returns its future.
        let entered = connection.span().enter();
        let handler = catch_unwind(AssertUnwindSafe(|| Box::pin(handler(socket)))).ok();
        drop(entered);
        Self { connection, failed: handler.is_none(), handler, deadline: DeadlineTimer::new() }
    }

    /// Polls the handler unless it has returned.
    fn poll_handler(&mut self, cx: &mut Context<'_>) {
        let Some(handler) = &mut self.handler else { return };
        // A panic of the handler ends only this connection, with code 1011. The panic hook has already reported it, and
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
        let _entered = driver.connection.span().enter();
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
