//! The server's implementation of [`Side`]: its handler kinds, the environment of its handlers, and how they are
//! spawned.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use engineio::Time;
use handlers::{
    BoxFuture, EventHandler, EventMiddleware, EventTable, HandlerEnv, HandlerError, HandlerKind,
    ObservedEvent, Side, Spawn, StateMap,
};
use net::TurnBudget;
use net::metrics::{self, Series};
use socketio_proto::Excerpt;
use socketio_proto::server::DisconnectReason;
use tokio::task::JoinHandle;

use crate::connection::handler_calls::{self, too_long, warn_blocked};
use crate::observer::{Observation, ObservedHandler};
use crate::server::Server;
use crate::socket::{Socket, SocketInner};

/// The server's implementation of [`Side`], a type parameter of the types that server and client share.
#[derive(Debug)]
pub enum ServerSide {}

impl Side for ServerSide {
    type Socket = SocketInner;
    type Env<'a> = ServerHandlerEnv<'a>;
    type Spawn = TokioSpawn;
}

/// The context of one handler call. Extractors read their values from it.
pub type Context<'a> = handlers::HandlerContext<'a, ServerSide>;

/// The kind of event handlers.
pub type OnEvent = handlers::OnEvent<ServerSide>;

/// The kind of middleware of events, see [`Namespace::event_middleware`](crate::Namespace::event_middleware).
pub type BeforeEvent = handlers::BeforeEvent<ServerSide>;

/// Sets further options of an event handler that was just registered, see
/// [`concurrent`](handlers::Registration::concurrent).
pub type Registration<'a> = handlers::Registration<'a, ServerSide>;

/// The kind of middlewares and `on_connection` handlers.
#[derive(Debug)]
pub enum OnConnection {}

impl HandlerKind for OnConnection {
    type Side = ServerSide;
}

/// The kind of `on_disconnect` handlers.
#[derive(Debug)]
pub enum OnDisconnect {}

impl HandlerKind for OnDisconnect {
    type Side = ServerSide;
}

/// The environment of a handler call of a server, from which extractors read everything but the event.
#[derive(Debug, Clone, Copy)]
pub struct ServerHandlerEnv<'a> {
    pub(crate) server: &'a Server,
    pub(crate) socket: &'a Socket,
    /// Set for `on_disconnect` only.
    pub(crate) disconnect: Option<Disconnect>,
}

/// The disconnect of a socket, for its `on_disconnect` handler.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disconnect {
    pub(crate) reason: DisconnectReason,
    /// The number of received events whose handlers were not started.
    pub(crate) dropped: usize,
}

impl HandlerEnv for ServerHandlerEnv<'_> {
    type Side = ServerSide;

    fn reborrow(&self) -> ServerHandlerEnv<'_> {
        *self
    }

    fn socket(&self) -> &Arc<SocketInner> {
        self.socket.inner()
    }

    fn states(&self) -> &StateMap {
        self.server.states()
    }

    fn event_table(&self) -> &EventTable<ServerSide> {
        &self.socket.handlers().events
    }

    fn socket_handler(&self, event: &str) -> Option<EventHandler<ServerSide>> {
        self.socket.socket_handler(event)
    }

    fn socket_fallback(&self) -> Option<EventHandler<ServerSide>> {
        self.socket.stream_handler()
    }

    fn has_event_hooks(&self) -> bool {
        self.socket.handlers().has_event_hooks() || self.socket.has_event_hooks()
    }

    fn observe(&self, event: ObservedEvent<'_>) {
        self.socket.observe_event(event);
    }

    fn event_middleware(&self, index: usize) -> Option<EventMiddleware<ServerSide>> {
        let shared = &self.socket.handlers().event_middleware;
        match index.checked_sub(shared.len()) {
            None => Some(Arc::clone(&shared[index])),
            Some(own) => self.socket.own_event_middleware(own),
        }
    }

    fn is_disconnected(&self) -> bool {
        self.socket.disconnect_reason().is_some()
    }

    fn max_concurrent_handlers(&self) -> usize {
        self.server.limits().max_concurrent_handlers
    }

    #[inline]
    fn must_yield_before(&self, bytes: usize) -> bool {
        let is_spent = TurnBudget::is_spent();
        TurnBudget::charge_received(bytes);
        is_spent
    }

    fn on_handler_start(&self, address: Option<usize>) -> Option<Time> {
        self.socket.calls().begin(address.unwrap_or(handler_calls::OTHER_EVENT))
    }

    fn on_middleware_start(&self) {
        self.socket.calls().count(handler_calls::EVENT_MIDDLEWARE);
    }

    #[cold]
    fn on_handler_polled(&self, event: &str, started: Time) {
        if let Some(duration) = too_long(started, net::now()) {
            warn_blocked(self.server, Some(self.socket), ObservedHandler::Event(event), duration);
        }
    }

    #[cold]
    fn on_handler_finished(&self, event: &str, started: Time, is_failed: bool) {
        let socket = self.socket;
        if metrics::IS_ENABLED && socket.calls().take_sample(started) {
            metrics::record_handler_duration(net::now().saturating_since(started));
        }
        socket.notify(|| {
            let elapsed = net::now().saturating_since(started);
            Observation::HandlerFinished { socket, event, elapsed, is_failed }
        });
    }

    fn on_unhandled(&self, event: &str) {
        let socket = self.socket;
        metrics::count(Series::EventsUnhandled);
        socket.notify(|| Observation::EventUnhandled { socket, event });
        let event = Excerpt(event);
        tracing::debug!(socket = socket.log_id(), %event, "ignored an event that has no handler");
    }
}

/// Spawns handlers on the Tokio runtime of the connection.
#[derive(Debug)]
pub enum TokioSpawn {}

impl Spawn for TokioSpawn {
    type Task<T: Send + 'static> = TokioTask<T>;

    fn spawn<T: Send + 'static>(future: BoxFuture<T>) -> TokioTask<T> {
        TokioTask(tokio::spawn(future))
    }

    fn defer_wake(cx: &TaskContext<'_>) {
        net::defer_wake(cx);
    }
}

/// The handle of a handler that runs as its own task.
#[derive(Debug)]
pub struct TokioTask<T>(JoinHandle<T>);

impl<T> Future for TokioTask<T> {
    type Output = Result<T, HandlerError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|joined| {
            joined.map_err(|error| match error.try_into_panic() {
                Ok(panic) => HandlerError::from_panic(&*panic),
                Err(error) => error.into(),
            })
        })
    }
}
