//! The engine's handler that runs the program's handler.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use engineio_proto::{CloseReason, Transport};
use net::metrics::{self, Series};
use ws_proto::Time;

use super::handler::BoxFuture;
use super::message::Message;
use super::shared::Shared;
use crate::handler;

/// Runs the program's handler on the task of its session. So the messages that the handler sends while it handles one
/// read leave in one write, and nothing is woken for them.
pub struct Connection {
    shared: Arc<Shared>,
    /// `None` after the handler has returned.
    program: Option<BoxFuture>,
}

impl Connection {
    /// `program` calls the program's handler, which returns its future or panics.
    pub(super) fn new(shared: Arc<Shared>, program: impl FnOnce() -> BoxFuture) -> Self {
        Self { shared, program: catch_unwind(AssertUnwindSafe(program)).ok() }
    }

    fn poll_program(&mut self, cx: &mut Context<'_>) {
        let Some(program) = &mut self.program else { return };
        // A panic ends the handler. Its socket is dropped, which closes the session in order.
        let polled = catch_unwind(AssertUnwindSafe(|| program.as_mut().poll(cx)));
        if !matches!(polled, Ok(Poll::Pending)) {
            self.program = None;
        }
    }
}

impl handler::SessionHandler for Connection {
    fn on_message(&mut self, message: handler::Message<'_>, _: Time, cx: &mut Context<'_>) {
        metrics::count(Series::EngineMessagesReceived);
        match self.shared.push(Message::from(message).into_owned()) {
            // The handler itself waits, not a task to which it has moved its socket.
            Some(waker) if self.program.is_some() && waker.will_wake(cx.waker()) => self.poll_program(cx),
            Some(waker) => waker.wake(),
            None => {}
        }
    }

    fn on_close(&mut self, reason: CloseReason, _: Time, _: &mut Context<'_>) {
        self.shared.set_closed(reason);
    }

    fn on_upgrade(&mut self, _: Transport) {
        self.shared.set_upgraded();
    }

    fn poll(&mut self, _: Time, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_program(cx);
        if self.program.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }

    fn received_memory(&self) -> usize {
        self.shared.inbox_memory()
    }

    fn discard_received(&mut self) {
        self.shared.discard();
    }

    fn wants_input(&self) -> bool {
        self.shared.wants_input()
    }
}

impl Drop for Connection {
    /// The task may end early, for instance with its runtime. A receiver in another task must not wait for ever.
    fn drop(&mut self) {
        self.shared.set_closed(CloseReason::TransportError);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("shared", &self.shared).finish_non_exhaustive()
    }
}
