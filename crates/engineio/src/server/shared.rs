//! What the handles and the task of a session share: the messages that wait, the end, and the tasks that wait for them.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use engineio_proto::CloseReason;

use super::error::CloseCause;
use super::message::Message;
use crate::session::Session;

/// An empty inbox keeps the memory of this many messages.
const KEPT_INBOX_CAPACITY: usize = 16;

/// What the handles and the task of a session share.
pub(super) struct Shared {
    pub(super) session: Session,
    pub(super) address: Option<IpAddr>,
    state: Mutex<State>,
    /// The memory of the inbox, in bytes. Changes only under the lock, so that the engine can read it without.
    inbox_memory: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// Messages that the program has not received yet. The engine reads only while there are none, so these are at most
    /// the messages of one read.
    inbox: VecDeque<Message<'static>>,
    /// The memory of their contents.
    content_bytes: usize,
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
        Self { session, address, state: Mutex::default(), inbox_memory: AtomicUsize::new(0) }
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
        state.content_bytes -= message.capacity();
        self.inbox_memory.store(state.inbox_memory(), Ordering::Relaxed);
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
    pub(super) fn push(&self, message: Message<'static>) -> Option<Waker> {
        let mut state = self.state();
        state.content_bytes += message.capacity();
        state.inbox.push_back(message);
        self.inbox_memory.store(state.inbox_memory(), Ordering::Relaxed);
        state.receiver.take()
    }

    /// Drops the messages that the program has not received.
    pub(super) fn discard(&self) {
        let mut state = self.state();
        let discarded = std::mem::take(&mut state.inbox);
        state.content_bytes = 0;
        self.inbox_memory.store(0, Ordering::Relaxed);
        drop(state);
        drop(discarded);
    }

    /// Returns the memory of the messages that the program has not received, in bytes.
    pub(super) fn inbox_memory(&self) -> usize {
        self.inbox_memory.load(Ordering::Relaxed)
    }

    /// Returns whether the program has received all messages. If not, the engine is woken when it has.
    pub(super) fn wants_input(&self) -> bool {
        let mut state = self.state();
        state.is_paused = !state.inbox.is_empty();
        !state.is_paused
    }

    pub(super) fn set_upgraded(&self) {
        let mut state = self.state();
        state.has_upgraded = true;
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }

    pub(super) fn set_closed(&self, reason: CloseReason) {
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
    fn inbox_memory(&self) -> usize {
        self.content_bytes + self.inbox.capacity() * size_of::<Message<'static>>()
    }

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
