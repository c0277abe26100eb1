//! The event queue of one socket, which runs the handlers one after another.
//!
//! Hot path. A handler is polled once in place. If it is not ready then, it is spawned as a task, and the events after
//! it are queued here. Queued events own their memory.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::iter::Sum;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};

use socketio_proto::Event;
use ws_proto::Time;

use crate::ack::{AckSender, Acknowledge};
use crate::context::{HandlerContext, IncomingEvent};
use crate::error::HandlerError;
use crate::event_table::EventHandler;
use crate::maybe_send::BoxFuture;
use crate::middleware::{ObservedEvent, ReceivedEvent};
use crate::side::{HandlerEnv, Side};
use crate::spawn::{FirstPoll, Spawn, poll_handler, start_handler};

/// The maximum number of queued events that one poll starts. The poll then returns, so that the queued messages are
/// sent and other tasks run.
const MAX_EVENTS_PER_POLL: usize = 32;

/// Memory of a queued event besides its payload.
const QUEUED_EVENT_OVERHEAD: usize = size_of::<QueuedEvent>();

/// The events of one socket, and the handlers that run for them.
///
/// The next handler starts when the previous one has finished. There are two exceptions: the previous handler is
/// registered as [`concurrent`](crate::Registration::concurrent), or the table allows more than one handler at a time
/// ([`EventTable::set_concurrency_limit`](crate::EventTable::set_concurrency_limit)). A running handler is never
/// cancelled: if the queue is dropped, its tasks continue.
///
/// The owner of the queue must call [`poll`](Self::poll) whenever its task is woken.
pub struct EventQueue<S: Side> {
    /// The running handler or middleware for which the next event waits.
    current: Option<Running<S>>,
    /// Running handlers for which no event waits. Most sockets never have one, so the list is one pointer.
    #[allow(clippy::box_collection, reason = "a list without a box has three pointers")]
    concurrent: Option<Box<Vec<RunningHandler<S>>>>,
    /// `None` most of the time, so that an idle socket has one pointer.
    queued: Option<Box<QueuedEvents>>,
    /// `current` moves to `concurrent` if `concurrent` has fewer handlers than this.
    max_concurrent: u32,
    dropped: u32,
}

/// What the next event waits for.
enum Running<S: Side> {
    Handler(RunningHandler<S>),
    Middleware(Box<RunningMiddleware<S>>),
}

/// A middleware that was not ready at its first poll, and the event that it decides about.
struct RunningMiddleware<S: Side> {
    /// Of the same type as the task of a handler, so that the runtime's code for tasks is compiled once.
    task: <S::Spawn as Spawn>::Task<Result<(), HandlerError>>,
    /// Where the task puts the event that replaces the received one.
    replacement: Arc<Mutex<Option<ReceivedEvent>>>,
    /// The index of the middleware after this one.
    next: usize,
    event: Event<'static>,
    ack: Option<u64>,
}

/// A handler that was not ready at its first poll.
struct RunningHandler<S: Side> {
    task: <S::Spawn as Spawn>::Task<Result<(), HandlerError>>,
    event: Box<str>,
    /// When it was called, in microseconds, if its time is measured. Smaller than an `Option<Time>`.
    started: Option<NonZeroU64>,
    is_ack_requested: bool,
}

/// The events that wait until their handlers may start, and their memory.
#[derive(Default)]
struct QueuedEvents {
    events: VecDeque<QueuedEvent>,
    bytes: usize,
}

/// An event that waits until its handler may start.
struct QueuedEvent {
    event: Event<'static>,
    ack: Option<u64>,
    bytes: usize,
}

/// The size of an [`EventQueue`]: the events that wait for a handler to finish, and their memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventQueueSize {
    /// The number of queued events.
    pub events: usize,
    /// The memory of the queued events, in bytes.
    pub bytes: usize,
}

impl QueuedEvents {
    fn owes_acks(&self) -> bool {
        self.events.iter().any(|queued| queued.ack.is_some())
    }

    fn pop(&mut self) -> Option<QueuedEvent> {
        let next = self.events.pop_front()?;
        self.bytes -= next.bytes;
        Some(next)
    }
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
    /// Creates an empty queue. This does not allocate.
    #[must_use]
    pub fn new() -> Self {
        Self { current: None, concurrent: None, queued: None, max_concurrent: 0, dropped: 0 }
    }

    /// Returns whether no handler runs and no event is queued. Then [`poll`](Self::poll) has nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.current.is_none() && self.concurrent().is_empty() && !self.has_queued()
    }

    /// Returns the number and the memory of the queued events. The events of running handlers do not count.
    #[must_use]
    pub fn size(&self) -> EventQueueSize {
        self.queued.as_ref().map_or_else(EventQueueSize::default, |queued| EventQueueSize {
            events: queued.events.len(),
            bytes: queued.bytes,
        })
    }

    fn concurrent(&self) -> &[RunningHandler<S>] {
        self.concurrent.as_deref().map_or(&[], Vec::as_slice)
    }

    fn has_queued(&self) -> bool {
        self.queued.as_ref().is_some_and(|queued| !queued.events.is_empty())
    }

    /// Returns how many queued events were dropped, see [`discard_queued`](Self::discard_queued).
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped as usize
    }

    /// Returns whether the peer waits for the acknowledgement of an event whose handler runs, or that is queued. An
    /// acknowledgement that has been sent counts until the handler has finished.
    #[must_use]
    pub fn owes_acks(&self) -> bool {
        let current = match &self.current {
            Some(Running::Handler(running)) => running.is_ack_requested,
            Some(Running::Middleware(running)) => running.ack.is_some(),
            None => false,
        };
        current
            || self.concurrent().iter().any(|running| running.is_ack_requested)
            || self.queued.as_ref().is_some_and(|queued| queued.owes_acks())
    }

    /// Calls the handler of a received event, or queues a copy of the event until the handlers before it have finished.
    pub fn handle_event(
        &mut self,
        event: &Event<'_>,
        ack: Option<u64>,
        env: &S::Env<'_>,
        cx: &mut TaskContext<'_>,
    ) {
        if self.current.is_some() || self.has_queued() {
            return self.push(event, ack);
        }
        self.start(event, ack, env, cx);
        if !self.is_idle() {
            let _ = self.poll(env, cx);
        }
    }

    /// Queues a copy of an event until the next [`poll`](Self::poll), for a socket that may not handle events yet.
    pub fn push(&mut self, event: &Event<'_>, ack: Option<u64>) {
        let bytes = event.memory() + QUEUED_EVENT_OVERHEAD;
        let queued = self.queued.get_or_insert_default();
        queued.bytes += bytes;
        // A text that is borrowed from the read buffer is copied once. The text of a packet with attachments is copied too,
        // but not the attachments.
        queued.events.push_back(QueuedEvent { event: event.clone().into_owned(), ack, bytes });
    }

    /// Drives the queue: takes the results of finished handlers and starts the handlers of queued events. Ready when no
    /// handler runs and no event is queued.
    ///
    /// After the socket is disconnected, no handler is started, and all queued events are dropped.
    pub fn poll(&mut self, env: &S::Env<'_>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let mut started = 0;
        loop {
            if env.is_disconnected() {
                self.discard_queued();
            }
            self.poll_concurrent(env, cx);
            match self.current.take() {
                Some(Running::Handler(mut running)) => match running.poll(cx) {
                    Poll::Ready(result) => running.finish(result, env),
                    Poll::Pending if self.concurrent().len() < self.max_concurrent as usize => {
                        self.concurrent.get_or_insert_default().push(running);
                    }
                    Poll::Pending => {
                        self.current = Some(Running::Handler(running));
                        return Poll::Pending;
                    }
                },
                Some(Running::Middleware(mut running)) => {
                    let Poll::Ready(result) = Pin::new(&mut running.task).poll(cx) else {
                        self.current = Some(Running::Middleware(running));
                        return Poll::Pending;
                    };
                    self.continue_event(*running, result.unwrap_or_else(Err), env, cx);
                    started += 1;
                    continue;
                }
                None => {}
            }
            if env.is_disconnected() {
                self.discard_queued();
            } else if let Some(next) = self.queued.as_ref().and_then(|queued| queued.events.front())
                && (started >= MAX_EVENTS_PER_POLL || env.must_yield_before(next.bytes))
            {
                S::Spawn::defer_wake(cx);
                return Poll::Pending;
            }
            match self.queued.as_mut().and_then(|queued| queued.pop()) {
                Some(QueuedEvent { event, ack, .. }) => {
                    started += 1;
                    self.start(&event, ack, env, cx);
                }
                None => {
                    self.queued = None;
                    return if self.concurrent().is_empty() { Poll::Ready(()) } else { Poll::Pending };
                }
            }
        }
    }

    /// Drops all queued events. [`dropped`](Self::dropped) counts them.
    pub fn discard_queued(&mut self) {
        if let Some(queued) = self.queued.take() {
            self.dropped =
                self.dropped.saturating_add(u32::try_from(queued.events.len()).unwrap_or(u32::MAX));
        }
    }

    /// Starts the handler of an event. If it is not ready at once, [`poll`](Self::poll) takes its result.
    #[inline]
    fn start(&mut self, event: &Event<'_>, ack: Option<u64>, env: &S::Env<'_>, cx: &mut TaskContext<'_>) {
        if env.has_event_hooks() {
            env.observe(ObservedEvent::new(event, ack.is_some()));
            return self.call_middleware(event, 0, ack, env, cx);
        }
        self.call_handler(event, ack, env, cx);
    }

    /// Calls the middlewares from the index `next` on, and then the handler. If one of them is not ready at once,
    /// [`poll`](Self::poll) takes its result.
    #[cold]
    fn call_middleware(
        &mut self,
        event: &Event<'_>,
        mut next: usize,
        ack: Option<u64>,
        env: &S::Env<'_>,
        cx: &mut TaskContext<'_>,
    ) {
        let mut replacement = None::<ReceivedEvent>;
        loop {
            if env.is_disconnected() {
                self.dropped = self.dropped.saturating_add(1);
                return;
            }
            let current = replacement.as_ref().map_or(event, |event| &event.0);
            let Some(middleware) = env.event_middleware(next) else {
                return self.call_handler(current, ack, env, cx);
            };
            next += 1;
            env.on_middleware_start();
            let started = {
                let incoming = IncomingEvent { event: current, ack_sender: None };
                let mut context = HandlerContext::with_event(env.reborrow(), incoming);
                poll_handler(&middleware, &mut context, cx)
            };
            match started {
                FirstPoll::Ready(Ok(None)) => {}
                FirstPoll::Ready(Ok(changed)) => replacement = changed,
                FirstPoll::Ready(Err(error)) | FirstPoll::Failed(error) => {
                    return refuse(current, ack, error, env);
                }
                FirstPoll::Pending(future) => {
                    let replacement = Arc::default();
                    let task = spawn_middleware::<S>(future, Arc::clone(&replacement));
                    let event = current.clone().into_owned();
                    let running = RunningMiddleware { task, replacement, next, event, ack };
                    self.current = Some(Running::Middleware(Box::new(running)));
                    return;
                }
            }
        }
    }

    /// Continues with an event whose middleware has finished.
    fn continue_event(
        &mut self,
        running: RunningMiddleware<S>,
        result: Result<(), HandlerError>,
        env: &S::Env<'_>,
        cx: &mut TaskContext<'_>,
    ) {
        let RunningMiddleware { next, event, ack, replacement, .. } = running;
        match result {
            Ok(()) => {
                let replacement = replacement.lock().unwrap_or_else(PoisonError::into_inner).take();
                let event = replacement.map_or(event, |replacement| replacement.0);
                self.call_middleware(&event, next, ack, env, cx);
            }
            Err(error) => refuse(&event, ack, error, env),
        }
    }

    /// Calls the handler of an event. If it is not ready at once, [`poll`](Self::poll) takes its result.
    #[inline]
    fn call_handler(
        &mut self,
        event: &Event<'_>,
        ack: Option<u64>,
        env: &S::Env<'_>,
        cx: &mut TaskContext<'_>,
    ) {
        let (name, table) = (event.name(), env.event_table());
        let own = env.socket_handler(name);
        let fallback;
        let mut address = None;
        let handler = match own.as_ref() {
            Some(own) => own,
            None => match table.find(name) {
                Some(handler) => {
                    address = Some(handler.address());
                    handler
                }
                None => {
                    fallback = env.socket_fallback();
                    match fallback.as_ref().or_else(|| table.fallback()) {
                        Some(handler) => handler,
                        None => return env.on_unhandled(name),
                    }
                }
            },
        };
        self.run_handler(handler, address, event, ack, env, cx);
    }

    #[inline]
    fn run_handler(
        &mut self,
        handler: &EventHandler<S>,
        address: Option<usize>,
        event: &Event<'_>,
        ack: Option<u64>,
        env: &S::Env<'_>,
        cx: &mut TaskContext<'_>,
    ) {
        let (name, table) = (event.name(), env.event_table());
        let ack_sender = ack.map(|id| AckSender::new(Arc::clone(env.socket()), id));
        let event = IncomingEvent { event, ack_sender };
        let mut context = HandlerContext::with_event(env.reborrow(), event);
        let started = env.on_handler_start(address);
        let polled = start_handler(&handler.call, &mut context, cx);
        if let Some(started) = started {
            env.on_handler_polled(name, started);
        }
        // The limit does not count the current handler, which may always run in addition to the concurrent ones.
        let max_concurrent = match handler.concurrent {
            true => env.max_concurrent_handlers(),
            false => table.concurrency_limit() - 1,
        };
        self.max_concurrent = u32::try_from(max_concurrent).unwrap_or(u32::MAX);
        match polled {
            FirstPoll::Ready(result) => finish(result, name, started, env),
            FirstPoll::Pending(task) => {
                let started = started.and_then(|started| NonZeroU64::new(started.as_micros()));
                let (event, is_ack_requested) = (name.into(), ack.is_some());
                let running = RunningHandler { task, event, started, is_ack_requested };
                self.current = Some(Running::Handler(running));
            }
            FirstPoll::Failed(error) => {
                let error = match context.take_ack_sender() {
                    Some(ack_sender) => ack_sender.send_handler_error(error),
                    None => error,
                };
                finish(Err(error), name, started, env);
            }
        }
    }

    /// Takes the results of the concurrent handlers that have finished.
    fn poll_concurrent(&mut self, env: &S::Env<'_>, cx: &mut TaskContext<'_>) {
        let Some(concurrent) = &mut self.concurrent else { return };
        let mut position = 0;
        while let Some(running) = concurrent.get_mut(position) {
            if let Poll::Ready(result) = running.poll(cx) {
                let running = concurrent.swap_remove(position);
                running.finish(result, env);
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

    fn finish(&self, result: Result<(), HandlerError>, env: &impl HandlerEnv) {
        let started = self.started.map(|started| Time::from_micros(started.get()));
        finish(result, &self.event, started, env);
    }
}

/// Ends an event that a middleware has refused: the peer gets the error if it requested an acknowledgement.
fn refuse<E: HandlerEnv>(event: &Event<'_>, ack: Option<u64>, error: HandlerError, env: &E) {
    let error = match ack {
        Some(id) => AckSender::new(Arc::clone(env.socket()), id).send_handler_error(error),
        None => error,
    };
    report_error(Err(error), event.name(), env);
}

/// Reports the end of a handler. `started` is set if its time is measured.
fn finish(result: Result<(), HandlerError>, event: &str, started: Option<Time>, env: &impl HandlerEnv) {
    if let Some(started) = started {
        env.on_handler_finished(event, started, result.is_err());
    }
    report_error(result, event, env);
}

fn spawn_middleware<S: Side>(
    middleware: BoxFuture<Result<Option<ReceivedEvent>, HandlerError>>,
    replacement: Arc<Mutex<Option<ReceivedEvent>>>,
) -> <S::Spawn as Spawn>::Task<Result<(), HandlerError>> {
    S::Spawn::spawn(Box::pin(async move {
        let replaced = middleware.await?;
        *replacement.lock().unwrap_or_else(PoisonError::into_inner) = replaced;
        Ok(())
    }))
}

fn report_error(result: Result<(), HandlerError>, event: &str, env: &impl HandlerEnv) {
    if let Err(error) = result {
        let socket = Arc::clone(env.socket());
        let error = socket.map_error(error);
        socket.report_error(&error, Some(event));
    }
}

impl<S: Side> Default for EventQueue<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Side> fmt::Debug for Running<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler(running) => f.debug_tuple("Handler").field(&running.event).finish(),
            Self::Middleware(running) => f.debug_tuple("Middleware").field(&running.event.name()).finish(),
        }
    }
}

impl<S: Side> fmt::Debug for EventQueue<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue")
            .field("running", &self.current)
            .field("concurrent", &self.concurrent().len())
            .field("waiting", &self.size())
            .field("dropped", &self.dropped)
            .finish()
    }
}
