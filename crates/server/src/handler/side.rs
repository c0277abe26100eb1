//! The server's side of a handler: what it is called with, on which occasion, and how it becomes a task.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use handlers::{BoxFuture, EventHandler, EventTable, HandlerError, Kind, Side, Source, Spawn, States};
use socketio_proto::server::DisconnectReason;
use tokio::task::JoinHandle;

use crate::server::Server;
use crate::socket::{Shared, Socket};

/// The server's side of the wire, for the handlers that both sides share.
#[derive(Debug)]
pub enum ServerSide {}

impl Side for ServerSide {
    type Socket = Shared;
    type Source<'a> = ServerSource<'a>;
    type Spawn = TokioSpawn;
}

/// What happened: the source of all extractors.
pub type Context<'a> = handlers::Context<'a, ServerSide>;

/// An event has come.
pub type OnEvent = handlers::OnEvent<ServerSide>;

/// The handler of an event, just registered; [`concurrent`](handlers::Registration::concurrent) says more about it.
pub type Registration<'a> = handlers::Registration<'a, ServerSide>;

/// A client joins: middleware and `on_connection` handlers.
#[derive(Debug)]
pub enum OnConnection {}

impl Kind for OnConnection {
    type Side = ServerSide;
}

/// A socket is gone.
#[derive(Debug)]
pub enum OnDisconnect {}

impl Kind for OnDisconnect {
    type Side = ServerSide;
}

/// What handlers of a server are called with besides the event.
#[derive(Debug, Clone, Copy)]
pub struct ServerSource<'a> {
    pub(crate) server: &'a Server,
    pub(crate) socket: &'a Socket,
    /// Only for `on_disconnect`.
    pub(crate) disconnect: Option<Disconnect>,
}

/// How a socket was disconnected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disconnect {
    pub(crate) reason: DisconnectReason,
    /// Events that were received and not started.
    pub(crate) dropped: usize,
}

impl Source for ServerSource<'_> {
    type Side = ServerSide;

    fn reborrow(&self) -> ServerSource<'_> {
        *self
    }

    fn socket(&self) -> &Arc<Shared> {
        self.socket.shared()
    }

    fn states(&self) -> &States {
        self.server.states()
    }

    fn events(&self) -> &EventTable<ServerSide> {
        &self.socket.handlers().events
    }

    fn own_handler(&self, event: &str) -> Option<EventHandler<ServerSide>> {
        self.socket.own_handler(event)
    }

    fn is_disconnected(&self) -> bool {
        self.socket.disconnect_reason().is_some()
    }

    fn max_concurrent(&self) -> usize {
        self.server.limits().concurrent_handlers
    }

    fn on_unhandled(&self, event: &str) {
        tracing::debug!(socket = %self.socket.id(), event, "no handler");
    }
}

/// Handlers become tasks of the Tokio runtime that the connection runs on.
#[derive(Debug)]
pub enum TokioSpawn {}

impl Spawn for TokioSpawn {
    type Task<T: Send + 'static> = TokioTask<T>;

    fn spawn<T: Send + 'static>(future: BoxFuture<T>) -> TokioTask<T> {
        TokioTask(tokio::spawn(future))
    }
}

/// A handler that runs as a task of its own.
#[derive(Debug)]
pub struct TokioTask<T>(JoinHandle<T>);

impl<T> Future for TokioTask<T> {
    type Output = Result<T, HandlerError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|joined| {
            joined.map_err(|error| match error.try_into_panic() {
                Ok(panic) => HandlerError::panicked(&*panic),
                Err(error) => error.into(),
            })
        })
    }
}
