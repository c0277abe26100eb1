//! The events of one socket: their handlers run one after another.
//!
//! Hot path. A handler is polled once in place. Only if it is not ready then does it become a task, and the events
//! behind it wait here, in memory of their own.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::iter::Sum;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use socketio_proto::Event;

use crate::ack::{Acknowledge, Responder};
use crate::context::{Context, IncomingEvent};
use crate::error::HandlerError;
use crate::side::{Side, Source};
use crate::start::{Spawn, Started, start};

/// Events that had to wait and are started in one turn. Then what they have sent leaves, and others get their turn.
const MAX_EVENTS_PER_POLL: usize = 32;

/// Memory of a waiting event besides its payload.
const OVERHEAD: usize = size_of::<WaitingEvent>();

/// The events of one socket, and the handlers that run for them.
///
/// The next handler starts when the one before has finished, unless that is registered as
/// [`concurrent`](crate::Registration::concurrent) or the table allows more than one
/// ([`EventTable::set_max_parallel`](crate::EventTable::set_max_parallel)). A running handler is never cancelled: when
/// the queue is dropped, its tasks go on.
///
/// The owner of the queue calls [`poll`](Self::poll) whenever its task is woken.
pub struct EventQueue<S: Side> {
    /// The handler that the next event waits for.
    running: Option<Running<S>>,
    /// Handlers that no event waits for. Most sockets never have any.
    concurrent: Vec<Running<S>>,
    /// `running` joins them while they are fewer than this.
    concurrent_limit: usize,
    waiting: VecDeque<WaitingEvent>,
    waiting_bytes: usize,
    dropped: usize,
}

/// A handler that was not ready when it was polled in place.
struct Running<S: Side> {
    task: <S::Spawn as Spawn>::Task<Result<(), HandlerError>>,
    event: Box<str>,
}

/// An event that waits for the handler before it.
struct WaitingEvent {
    event: Event<'static>,
    ack: Option<u64>,
    bytes: usize,
}

/// How many events wait for the handlers before them, and the memory that they take in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaitingEvents {
    /// Their number.
    pub events: usize,
    /// Their memory in bytes.
    pub bytes: usize,
}

impl Sum for WaitingEvents {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, more| Self {
            events: sum.events + more.events,
            bytes: sum.bytes + more.bytes,
        })
    }
}

impl<S: Side> EventQueue<S> {
    /// A queue without events. It takes no memory of its own.
    #[must_use]
    pub fn new() -> Self {
        Self {
            running: None,
            concurrent: Vec::new(),
            concurrent_limit: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            dropped: 0,
        }
    }

    /// Whether no handler runs and no event waits, so that [`poll`](Self::poll) has nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.running.is_none() && self.concurrent.is_empty() && self.waiting.is_empty()
    }

    /// The events that wait.
    #[must_use]
    pub fn waiting(&self) -> WaitingEvents {
        WaitingEvents { events: self.waiting.len(), bytes: self.waiting_bytes }
    }

    /// How many events [`drop_waiting`](Self::drop_waiting) has dropped.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Calls the handler of an event that has just come, or keeps the event until those before it have finished.
    pub fn handle_event(
        &mut self,
        event: Event<'_>,
        ack: Option<u64>,
        source: &S::Source<'_>,
        cx: &mut TaskContext<'_>,
    ) {
        if self.running.is_some() || !self.waiting.is_empty() {
            return self.push(event, ack);
        }
        self.start(&event, ack, source, cx);
        if !self.is_idle() {
            let _ = self.poll(source, cx);
        }
    }

    /// Keeps an event for a later [`poll`](Self::poll): for a socket whose events may not be handled yet.
    pub fn push(&mut self, event: Event<'_>, ack: Option<u64>) {
        let bytes = event.size() + OVERHEAD;
        self.waiting_bytes += bytes;
        self.waiting.push_back(WaitingEvent { event: event.into_owned(), ack, bytes });
    }

    /// Does all that can be done now: takes the results of handlers that have finished, starts the next one, and so
    /// on. Ready when no handler runs and no event waits.
    ///
    /// Once the socket is disconnected, no handler is started any more, and the events that wait are dropped.
    pub fn poll(&mut self, source: &S::Source<'_>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let mut started = 0;
        loop {
            if source.is_disconnected() {
                self.drop_waiting();
            }
            self.poll_concurrent(source, cx);
            if let Some(running) = &mut self.running {
                match running.poll(cx) {
                    Poll::Ready(result) => {
                        if let Some(running) = self.running.take() {
                            report(result, &running.event, source);
                        }
                    }
                    Poll::Pending if self.concurrent.len() < self.concurrent_limit => {
                        self.concurrent.extend(self.running.take());
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            if source.is_disconnected() {
                self.drop_waiting();
            } else if started == MAX_EVENTS_PER_POLL && !self.waiting.is_empty() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.waiting.pop_front() {
                Some(WaitingEvent { event, ack, bytes }) => {
                    started += 1;
                    self.waiting_bytes -= bytes;
                    self.start(&event, ack, source, cx);
                }
                None if self.concurrent.is_empty() => return Poll::Ready(()),
                None => return Poll::Pending,
            }
        }
    }

    /// Drops the events that wait. [`dropped`](Self::dropped) counts them.
    pub fn drop_waiting(&mut self) {
        if !self.waiting.is_empty() {
            self.dropped += self.waiting.len();
            self.waiting = VecDeque::new();
            self.waiting_bytes = 0;
        }
    }

    /// Starts the handler of an event. If it is not ready, [`poll`](Self::poll) takes its result.
    fn start(
        &mut self,
        event: &Event<'_>,
        ack: Option<u64>,
        source: &S::Source<'_>,
        cx: &mut TaskContext<'_>,
    ) {
        let name = event.name();
        let own = source.own_handler(name);
        let Some(handler) = own.as_ref().or_else(|| source.events().find(name)) else {
            return source.on_unhandled(name);
        };
        let responder = ack.map(|id| Responder::new(Arc::clone(source.socket()), id));
        let event = IncomingEvent { name, arguments: event.arguments(), responder };
        let mut context = Context::with_event(source.reborrow(), event);
        let started = start::<S::Spawn, _>(|| (handler.call)(&mut context), cx);
        // One handler more than the concurrent ones may always run: the one that is waited for.
        self.concurrent_limit = match handler.concurrent {
            true => source.max_concurrent(),
            false => source.events().max_parallel() - 1,
        };
        match started {
            Started::Ready(result) => report(result, name, source),
            Started::Pending(task) => self.running = Some(Running { task, event: name.into() }),
            Started::Failed(error) => {
                if let Some(responder) = context.take_responder() {
                    responder.fail(&error);
                }
                report(Err(error), name, source);
            }
        }
    }

    /// Takes the results of the handlers that no event waits for.
    fn poll_concurrent(&mut self, source: &S::Source<'_>, cx: &mut TaskContext<'_>) {
        let mut position = 0;
        while let Some(running) = self.concurrent.get_mut(position) {
            if let Poll::Ready(result) = running.poll(cx) {
                let running = self.concurrent.swap_remove(position);
                report(result, &running.event, source);
            } else {
                position += 1;
            }
        }
    }
}

impl<S: Side> Running<S> {
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), HandlerError>> {
        Pin::new(&mut self.task).poll(cx).map(|result| result.unwrap_or_else(Err))
    }
}

fn report(result: Result<(), HandlerError>, event: &str, source: &impl Source) {
    if let Err(error) = result {
        Arc::clone(source.socket()).report(&error, Some(event));
    }
}

impl<S: Side> Default for EventQueue<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Side> fmt::Debug for EventQueue<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue")
            .field("running", &self.running.as_ref().map(|running| &running.event))
            .field("concurrent", &self.concurrent.len())
            .field("waiting", &self.waiting())
            .field("dropped", &self.dropped)
            .finish()
    }
}
