//! What the handles of a session and its task share, and the engine's handler that runs the program's handler.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use engineio_proto::{CloseReason, Transport};
use ws_proto::Time;

use super::error::CloseCause;
use super::handler::BoxFuture;
use super::message::Message;
use crate::handler;
use crate::session::Session;

/// An empty inbox keeps the memory of this many messages.
const KEPT_INBOX_CAPACITY: usize = 16;

/// What the handles and the task of a session share.
pub(super) struct Shared {
    pub(super) session: Session,
    pub(super) address: Option<IpAddr>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Messages that the program has not received yet. The engine reads only while there are none, so these are at most
    /// the messages of one read.
    inbox: VecDeque<Message<'static>>,
    /// The engine does not read, because the inbox is not empty.
    is_paused: bool,
    receiver: Option<Waker>,
    has_upgraded: bool,
    close_cause: Option<CloseCause>,
    /// The tasks that wait for the upgrade or for the end.
    waiters: Vec<Waker>,
}

impl Shared {
    pub(super) fn new(session: Session, address: Option<IpAddr>) -> Self {
        Self { session, address, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No user code runs under the lock, so even a poisoned mutex holds a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<Message<'static>>> {
        let mut state = self.state();
        let Some(message) = state.inbox.pop_front() else {
            if state.close_cause.is_some() {
                return Poll::Ready(None);
            }
            if !state.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.receiver = Some(cx.waker().clone());
            }
            return Poll::Pending;
        };
        let resumes = state.inbox.is_empty() && std::mem::take(&mut state.is_paused);
        if state.inbox.is_empty() && state.inbox.capacity() > KEPT_INBOX_CAPACITY {
            state.inbox = VecDeque::new();
        }
        drop(state);
        if resumes {
            self.session.wake();
        }
        Poll::Ready(Some(message))
    }

    pub(super) fn poll_upgraded(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.state();
        if state.has_upgraded {
            return Poll::Ready(true);
        }
        if state.close_cause.is_some() {
            return Poll::Ready(false);
        }
        state.wait(cx);
        Poll::Pending
    }

    pub(super) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<CloseCause> {
        let mut state = self.state();
        if let Some(cause) = &state.close_cause {
            return Poll::Ready(cause.clone());
        }
        state.wait(cx);
        Poll::Pending
    }

    pub(super) fn close_cause(&self) -> Option<CloseCause> {
        self.state().close_cause.clone()
    }

    /// Stores a message. Returns the waker of the task that waits for it.
    fn push(&self, message: Message<'static>) -> Option<Waker> {
        let mut state = self.state();
        state.inbox.push_back(message);
        state.receiver.take()
    }

    fn set_upgraded(&self) {
        let mut state = self.state();
        state.has_upgraded = true;
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }

    fn set_closed(&self, reason: CloseReason) {
        let mut state = self.state();
        if state.close_cause.is_some() {
            return;
        }
        state.close_cause = Some(CloseCause::new(reason, self.session.close_description()));
        let receiver = state.receiver.take();
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        receiver.into_iter().chain(waiters).for_each(Waker::wake);
    }
}

impl State {
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiters.push(cx.waker().clone());
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("transport", &self.session.transport())
            .field("address", &self.address)
            .field("closed", &self.close_cause())
            .finish_non_exhaustive()
    }
}

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

    fn wants_input(&self) -> bool {
        let mut state = self.shared.state();
        state.is_paused = !state.inbox.is_empty();
        !state.is_paused
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
