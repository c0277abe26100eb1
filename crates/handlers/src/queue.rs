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

use crate::ack::{AckSender, Acknowledge};
use crate::context::{HandlerContext, IncomingEvent};
use crate::error::HandlerError;
use crate::side::{HandlerEnv, Side};
use crate::spawn::{FirstPoll, Spawn, start_handler};

/// Events that had to wait and are started in one turn. Then what they have sent leaves, and others get their turn.
const MAX_EVENTS_PER_POLL: usize = 32;

/// Memory of a waiting event besides its payload.
const QUEUED_EVENT_OVERHEAD: usize = size_of::<QueuedEvent>();

/// The events of one socket, and the handlers that run for them.
///
/// The next handler starts when the one before has finished, unless that is registered as
/// [`concurrent`](crate::Registration::concurrent) or the table allows more than one
/// ([`EventTable::set_concurrency_limit`](crate::EventTable::set_concurrency_limit)). A running handler is never cancelled: when
/// the queue is dropped, its tasks go on.
///
/// The owner of the queue calls [`poll`](Self::poll) whenever its task is woken.
pub struct EventQueue<S: Side> {
    /// The handler that the next event waits for.
    current: Option<RunningHandler<S>>,
    /// Handlers that no event waits for. Most sockets never have any.
    concurrent: Vec<RunningHandler<S>>,
    /// `current` joins them while they are fewer than this.
    max_concurrent: usize,
    queued: VecDeque<QueuedEvent>,
    queued_bytes: usize,
    dropped: usize,
}

/// A handler that was not ready when it was polled in place.
struct RunningHandler<S: Side> {
    task: <S::Spawn as Spawn>::Task<Result<(), HandlerError>>,
    event: Box<str>,
}

/// An event that waits for the handler before it.
struct QueuedEvent {
    event: Event<'static>,
    ack: Option<u64>,
    bytes: usize,
}

/// How many events wait for the handlers before them, and the memory that they take in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventQueueSize {
    /// Their number.
    pub events: usize,
    /// Their memory in bytes.
    pub bytes: usize,
}

impl Sum for EventQueueSize {
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
            current: None,
            concurrent: Vec::new(),
            max_concurrent: 0,
            queued: VecDeque::new(),
            queued_bytes: 0,
            dropped: 0,
        }
    }

    /// Whether no handler runs and no event waits, so that [`poll`](Self::poll) has nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.current.is_none() && self.concurrent.is_empty() && self.queued.is_empty()
    }

    /// The events that wait.
    #[must_use]
    pub fn size(&self) -> EventQueueSize {
        EventQueueSize { events: self.queued.len(), bytes: self.queued_bytes }
    }

    /// How many events [`discard_queued`](Self::discard_queued) has dropped.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Calls the handler of an event that has just come, or keeps the event until those before it have finished.
    pub fn handle_event(
        &mut self,
        event: Event<'_>,
        ack: Option<u64>,
        source: &S::Env<'_>,
        cx: &mut TaskContext<'_>,
    ) {
        if self.current.is_some() || !self.queued.is_empty() {
            return self.push(event, ack);
        }
        self.start(&event, ack, source, cx);
        if !self.is_idle() {
            let _ = self.poll(source, cx);
        }
    }

    /// Keeps an event for a later [`poll`](Self::poll): for a socket whose events may not be handled yet.
    pub fn push(&mut self, event: Event<'_>, ack: Option<u64>) {
        let bytes = event.size() + QUEUED_EVENT_OVERHEAD;
        self.queued_bytes += bytes;
        self.queued.push_back(QueuedEvent { event: event.into_owned(), ack, bytes });
    }

    /// Does all that can be done now: takes the results of handlers that have finished, starts the next one, and so
    /// on. Ready when no handler runs and no event waits.
    ///
    /// Once the socket is disconnected, no handler is started any more, and the events that wait are dropped.
    pub fn poll(&mut self, source: &S::Env<'_>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let mut started = 0;
        loop {
            if source.is_disconnected() {
                self.discard_queued();
            }
            self.poll_concurrent(source, cx);
            if let Some(running) = &mut self.current {
                match running.poll(cx) {
                    Poll::Ready(result) => {
                        if let Some(running) = self.current.take() {
                            report_error(result, &running.event, source);
                        }
                    }
                    Poll::Pending if self.concurrent.len() < self.max_concurrent => {
                        self.concurrent.extend(self.current.take());
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            if source.is_disconnected() {
                self.discard_queued();
            } else if started == MAX_EVENTS_PER_POLL && !self.queued.is_empty() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.queued.pop_front() {
                Some(QueuedEvent { event, ack, bytes }) => {
                    started += 1;
                    self.queued_bytes -= bytes;
                    self.start(&event, ack, source, cx);
                }
                None if self.concurrent.is_empty() => return Poll::Ready(()),
                None => return Poll::Pending,
            }
        }
    }

    /// Drops the events that wait. [`dropped`](Self::dropped) counts them.
    pub fn discard_queued(&mut self) {
        if !self.queued.is_empty() {
            self.dropped += self.queued.len();
            self.queued = VecDeque::new();
            self.queued_bytes = 0;
        }
    }

    /// Starts the handler of an event. If it is not ready, [`poll`](Self::poll) takes its result.
    fn start(&mut self, event: &Event<'_>, ack: Option<u64>, source: &S::Env<'_>, cx: &mut TaskContext<'_>) {
        let name = event.name();
        let own = source.socket_handler(name);
        let Some(handler) = own.as_ref().or_else(|| source.event_table().find(name)) else {
            return source.on_unhandled(name);
        };
        let responder = ack.map(|id| AckSender::new(Arc::clone(source.socket()), id));
        let event = IncomingEvent { name, arguments: event.arguments(), ack_sender: responder };
        let mut context = HandlerContext::with_event(source.reborrow(), event);
        let started = start_handler::<S::Spawn, _>(|| (handler.call)(&mut context), cx);
        // One handler more than the concurrent ones may always run: the one that is waited for.
        self.max_concurrent = match handler.concurrent {
            true => source.max_concurrent_handlers(),
            false => source.event_table().concurrency_limit() - 1,
        };
        match started {
            FirstPoll::Ready(result) => report_error(result, name, source),
            FirstPoll::Pending(task) => self.current = Some(RunningHandler { task, event: name.into() }),
            FirstPoll::Failed(error) => {
                if let Some(responder) = context.take_ack_sender() {
                    responder.send_handler_error(&error);
                }
                report_error(Err(error), name, source);
            }
        }
    }

    /// Takes the results of the handlers that no event waits for.
    fn poll_concurrent(&mut self, source: &S::Env<'_>, cx: &mut TaskContext<'_>) {
        let mut position = 0;
        while let Some(running) = self.concurrent.get_mut(position) {
            if let Poll::Ready(result) = running.poll(cx) {
                let running = self.concurrent.swap_remove(position);
                report_error(result, &running.event, source);
            } else {
                position += 1;
            }
        }
    }
}

impl<S: Side> RunningHandler<S> {
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), HandlerError>> {
        Pin::new(&mut self.task).poll(cx).map(|result| result.unwrap_or_else(Err))
    }
}

fn report_error(result: Result<(), HandlerError>, event: &str, source: &impl HandlerEnv) {
    if let Err(error) = result {
        Arc::clone(source.socket()).report_error(&error, Some(event));
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
            .field("running", &self.current.as_ref().map(|running| &running.event))
            .field("concurrent", &self.concurrent.len())
            .field("waiting", &self.size())
            .field("dropped", &self.dropped)
            .finish()
    }
}
