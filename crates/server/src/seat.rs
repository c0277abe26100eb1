//! A socket on its connection: its handlers, one after another.
//!
//! Hot path. A handler is polled once in place. Only if it is not ready then does it move to a task of its own, and
//! the events behind it wait here, in memory of their own.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use socketio_proto::{Event, encode};
use tokio::task::{JoinError, JoinHandle};

use crate::context::{Context, Departure, Incoming, Responder};
use crate::emit::with_encoder;
use crate::error::{ConnectError, HandlerError};
use crate::handler::Running;
use crate::reason::DisconnectReason;
use crate::server::Server;
use crate::socket::Socket;

/// One socket of a connection.
pub(crate) struct Seat {
    socket: Socket,
    stage: Stage,
    /// The handler that the next event waits for.
    job: Option<Job>,
    /// Handlers that no event waits for. Most sockets never have any.
    beside: Vec<Job>,
    /// `job` joins them while they are fewer than this.
    beside_limit: usize,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    dropped: usize,
}

/// Where a socket is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The middlewares before `next` have let the client in.
    Asking { next: usize },
    /// The `on_connection` handler runs.
    Greeting,
    /// Events are handled.
    Serving,
    /// The `on_disconnect` handler runs.
    Leaving,
    /// Nothing is left to do.
    Gone,
}

/// A handler that was not ready when it was polled in place.
enum Job {
    Admission(JoinHandle<Result<(), ConnectError>>),
    /// With the event that it handles, if it is one.
    Handler(JoinHandle<Result<(), HandlerError>>, Option<Box<str>>),
}

/// What a handler or middleware came to.
enum Outcome {
    Admission(Result<(), ConnectError>),
    /// A middleware could not be called, or panicked.
    AdmissionFailed(HandlerError),
    Handler(Result<(), HandlerError>),
}

/// An event that waits for the handler before it.
struct Waiting {
    event: Event<'static>,
    ack: Option<u64>,
    bytes: usize,
}

/// Events that had to wait and are started in one turn. Then what they have sent leaves, and others get their turn.
const EVENTS: usize = 32;

/// Memory of a waiting event besides its payload.
const OVERHEAD: usize = size_of::<Waiting>();

impl Seat {
    /// A client asks for a namespace. [`advance`](Self::advance) does the rest.
    pub(crate) fn new(socket: Socket) -> Self {
        Self {
            socket,
            stage: Stage::Asking { next: 0 },
            job: None,
            beside: Vec::new(),
            beside_limit: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            dropped: 0,
        }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Whether the client has been let in (and may since have left).
    pub(crate) fn has_entered(&self) -> bool {
        !matches!(self.stage, Stage::Asking { .. })
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.stage == Stage::Gone
    }

    /// Events that wait, and their bytes.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.waiting.len(), self.waiting_bytes)
    }

    /// Whether [`advance`](Self::advance) may have something to do although no packet has come.
    pub(crate) fn is_busy(&self) -> bool {
        self.stage != Stage::Gone
            && (self.job.is_some()
                || !self.beside.is_empty()
                || !self.waiting.is_empty()
                || self.socket.disconnect_reason().is_some())
    }

    /// An event has come for a socket that has entered.
    pub(crate) fn handle_event(
        &mut self,
        event: Event<'_>,
        ack: Option<u64>,
        server: &Server,
        cx: &mut TaskContext<'_>,
    ) {
        if self.socket.disconnect_reason().is_some() {
            return;
        }
        if self.stage == Stage::Serving && self.job.is_none() && self.waiting.is_empty() {
            self.run_event(&event, ack, server, cx);
            if self.is_busy() {
                self.advance(server, cx);
            }
            return;
        }
        let bytes = event.size() + OVERHEAD;
        self.waiting_bytes += bytes;
        self.waiting.push_back(Waiting { event: event.into_owned(), ack, bytes });
    }

    /// Does all that can be done now: takes the result of a handler that has finished, starts the next one, and so on.
    pub(crate) fn advance(&mut self, server: &Server, cx: &mut TaskContext<'_>) {
        let mut started = 0;
        loop {
            if self.socket.disconnect_reason().is_some() {
                self.drop_waiting();
            }
            self.poll_beside(server, cx);
            if let Some(job) = &mut self.job {
                match job.poll(cx) {
                    Poll::Ready(outcome) => {
                        let job = self.job.take();
                        self.settle(outcome, job.as_ref().and_then(Job::event), server);
                    }
                    Poll::Pending if self.beside.len() < self.beside_limit => {
                        self.beside.extend(self.job.take());
                    }
                    Poll::Pending => return,
                }
            }
            match self.stage {
                Stage::Asking { .. } if self.socket.disconnect_reason().is_some() => self.stage = Stage::Gone,
                Stage::Asking { next } => self.ask(next, server, cx),
                Stage::Greeting => self.stage = Stage::Serving,
                Stage::Serving => match self.socket.disconnect_reason() {
                    // The last handler runs after all others.
                    Some(_) if !self.beside.is_empty() => return,
                    Some(reason) => self.say_goodbye(reason, server, cx),
                    None if started == EVENTS => return cx.waker().wake_by_ref(),
                    None => match self.waiting.pop_front() {
                        Some(Waiting { event, ack, bytes }) => {
                            started += 1;
                            self.waiting_bytes -= bytes;
                            self.run_event(&event, ack, server, cx);
                        }
                        None => return,
                    },
                },
                Stage::Leaving => self.stage = Stage::Gone,
                Stage::Gone => return,
            }
        }
    }

    /// Asks the next middleware, or lets the client in.
    fn ask(&mut self, next: usize, server: &Server, cx: &mut TaskContext<'_>) {
        let handlers = self.socket.handlers().clone();
        let mut context = Context { server, socket: &self.socket, event: None, departure: None };
        if let Some(middleware) = handlers.middleware.get(next) {
            self.stage = Stage::Asking { next: next + 1 };
            match start(|| middleware(&mut context), cx) {
                Started::Ready(admission) => self.settle(Outcome::Admission(admission), None, server),
                Started::Pending(task) => self.job = Some(Job::Admission(task)),
                Started::Failed(error) => self.settle(Outcome::AdmissionFailed(error), None, server),
            }
            return;
        }
        self.socket.enter_namespace();
        self.stage = Stage::Greeting;
        if let Some(connection) = &handlers.connection {
            let started = start(|| connection(&mut context), cx);
            self.run(started, None, server);
        }
    }

    /// Starts the handler of an event. If it is not ready, [`advance`](Self::advance) sees to it.
    fn run_event(&mut self, event: &Event<'_>, ack: Option<u64>, server: &Server, cx: &mut TaskContext<'_>) {
        let Some(registered) = self.socket.handler(event.name()) else {
            tracing::debug!(socket = %self.socket.id(), event = event.name(), "no handler");
            return;
        };
        let responder = ack.map(|id| Responder::new(self.socket.clone(), id));
        let incoming = Incoming { name: event.name(), arguments: event.arguments(), responder };
        let mut context = Context { server, socket: &self.socket, event: Some(incoming), departure: None };
        let started = start(|| (registered.handler)(&mut context), cx);
        if let (Started::Failed(error), Some(Incoming { responder: Some(responder), .. })) =
            (&started, context.event)
        {
            responder.fail(error);
        }
        // One handler more than those beside it may always run: the one that is waited for.
        let beside_limit = match registered.concurrent {
            true => server.limits().concurrent_handlers,
            false => self.socket.handlers().parallel.saturating_sub(1),
        };
        self.run(started, Some(event.name()), server);
        self.beside_limit = beside_limit;
    }

    /// Takes the results of the handlers that no event waits for.
    fn poll_beside(&mut self, server: &Server, cx: &mut TaskContext<'_>) {
        let mut position = 0;
        while let Some(job) = self.beside.get_mut(position) {
            if let Poll::Ready(outcome) = job.poll(cx) {
                let job = self.beside.swap_remove(position);
                self.settle(outcome, job.event(), server);
            } else {
                position += 1;
            }
        }
    }

    fn say_goodbye(&mut self, reason: DisconnectReason, server: &Server, cx: &mut TaskContext<'_>) {
        self.stage = Stage::Leaving;
        self.beside_limit = 0;
        let handlers = self.socket.handlers().clone();
        if let Some(disconnect) = &handlers.disconnect {
            let departure = Some(Departure { reason, dropped: self.dropped });
            let mut context = Context { server, socket: &self.socket, event: None, departure };
            let limit = server.limits().disconnect_timeout;
            let started = start(
                || {
                    let future = disconnect(&mut context)?;
                    Ok(Box::pin(async move { tokio::time::timeout(limit, future).await? }))
                },
                cx,
            );
            self.run(started, None, server);
        }
    }

    fn run(&mut self, started: Started<Result<(), HandlerError>>, event: Option<&str>, server: &Server) {
        match started {
            Started::Ready(result) => self.settle(Outcome::Handler(result), event, server),
            Started::Failed(error) => server.report(&error, &self.socket, event),
            Started::Pending(task) => self.job = Some(Job::Handler(task, event.map(Into::into))),
        }
    }

    fn settle(&mut self, outcome: Outcome, event: Option<&str>, server: &Server) {
        match outcome {
            Outcome::Handler(Ok(())) | Outcome::Admission(Ok(())) => {}
            Outcome::Handler(Err(error)) => server.report(&error, &self.socket, event),
            Outcome::AdmissionFailed(error) => {
                // An extractor's words are for the client: what it authenticated with was not understood.
                let refusal = ConnectError::new(error.message().to_owned());
                server.report(&error, &self.socket, None);
                self.settle(Outcome::Admission(Err(refusal)), None, server);
            }
            Outcome::Admission(Err(refusal)) => {
                self.stage = Stage::Gone;
                // Whoever has kept the socket learns that it is not coming.
                self.socket.leave_namespace(DisconnectReason::ForcedServerClose);
                let namespace = self.socket.namespace().name();
                with_encoder(|encoder| {
                    match encode::connect_error(encoder, namespace, &refusal.message, refusal.data.as_ref()) {
                        Ok(message) => self.socket.session().send(message),
                        // A `Value` can always be written.
                        Err(error) => tracing::error!(%error, "a refusal was not sent"),
                    }
                });
            }
        }
    }

    /// Events that were received and not started are dropped when the socket is gone.
    fn drop_waiting(&mut self) {
        if !self.waiting.is_empty() {
            self.dropped += self.waiting.len();
            self.waiting = VecDeque::new();
            self.waiting_bytes = 0;
        }
    }
}

impl Job {
    fn event(&self) -> Option<&str> {
        match self {
            Self::Handler(_, event) => event.as_deref(),
            Self::Admission(_) => None,
        }
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Outcome> {
        match self {
            Self::Admission(task) => Pin::new(task).poll(cx).map(|joined| match joined {
                Ok(admission) => Outcome::Admission(admission),
                Err(error) => Outcome::AdmissionFailed(panicked(error)),
            }),
            Self::Handler(task, _) => Pin::new(task)
                .poll(cx)
                .map(|joined| Outcome::Handler(joined.unwrap_or_else(|error| Err(panicked(error))))),
        }
    }
}

fn panicked(error: JoinError) -> HandlerError {
    match error.try_into_panic() {
        Ok(panic) => HandlerError::panicked(&*panic),
        Err(error) => error.into(),
    }
}

/// A handler after its first poll.
enum Started<T> {
    Ready(T),
    Pending(JoinHandle<T>),
    /// An extractor failed, or the handler panicked.
    Failed(HandlerError),
}

/// Calls a handler and polls its future once, here; if it is not ready, a task goes on with it.
fn start<T: Send + 'static>(
    call: impl FnOnce() -> Result<Running<T>, HandlerError>,
    cx: &mut TaskContext<'_>,
) -> Started<T> {
    let polled = catch_unwind(AssertUnwindSafe(|| {
        let mut future = call()?;
        Ok(match future.as_mut().poll(cx) {
            Poll::Ready(value) => Ok(value),
            Poll::Pending => Err(future),
        })
    }));
    match polled {
        Ok(Ok(Ok(value))) => Started::Ready(value),
        Ok(Ok(Err(future))) => Started::Pending(tokio::spawn(future)),
        Ok(Err(error)) => Started::Failed(error),
        Err(panic) => Started::Failed(HandlerError::panicked(&*panic)),
    }
}
