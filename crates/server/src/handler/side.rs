//! The server's side of a handler: what it is called with, on which occasion, and how it becomes a task.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use handlers::{
    BoxFuture, EventHandler, EventTable, HandlerEnv, HandlerError, HandlerKind, Side, Spawn, StateMap,
};
use socketio_proto::server::DisconnectReason;
use tokio::task::JoinHandle;

use crate::server::Server;
use crate::socket::{Socket, SocketInner};

/// The server's side of the wire, for the handlers that both sides share.
#[derive(Debug)]
pub enum ServerSide {}

impl Side for ServerSide {
    type Socket = SocketInner;
    type Env<'a> = ServerHandlerEnv<'a>;
    type Spawn = TokioSpawn;
}

/// What happened: the source of all extractors.
pub type Context<'a> = handlers::HandlerContext<'a, ServerSide>;

/// An event has come.
pub type OnEvent = handlers::OnEvent<ServerSide>;

/// The handler of an event, just registered; [`concurrent`](handlers::Registration::concurrent) says more about it.
pub type Registration<'a> = handlers::Registration<'a, ServerSide>;

/// A client joins: middleware and `on_connection` handlers.
#[derive(Debug)]
pub enum OnConnection {}

impl HandlerKind for OnConnection {
    type Side = ServerSide;
}

/// A socket is gone.
#[derive(Debug)]
pub enum OnDisconnect {}

impl HandlerKind for OnDisconnect {
    type Side = ServerSide;
}

/// What handlers of a server are called with besides the event.
#[derive(Debug, Clone, Copy)]
pub struct ServerHandlerEnv<'a> {
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

    fn is_disconnected(&self) -> bool {
        self.socket.disconnect_reason().is_some()
    }

    fn max_concurrent_handlers(&self) -> usize {
        self.server.limits().max_concurrent_handlers
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
                Ok(panic) => HandlerError::from_panic(&*panic),
                Err(error) => error.into(),
            })
        })
    }
}
