//! A socket on its connection: the stages of its life, and its events in between.
//!
//! Hot path: every event of a client passes here on its way to the [`EventQueue`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use handlers::{BoxFuture, EventQueue, EventQueueSize, FirstPoll, HandlerError, start_handler, with_encoder};
use socketio_proto::server::DisconnectReason;
use socketio_proto::{Event, encode};

use crate::handler::{
    ConnectError, Context, Disconnect, ServerHandlerEnv, ServerSide, TokioSpawn, TokioTask,
};
use crate::server::Server;
use crate::socket::Socket;

/// One socket of a connection. The connection's task drives it.
pub(crate) struct SocketDriver {
    socket: Socket,
    stage: HandlerStage,
    events: EventQueue<ServerSide>,
}

/// Where a socket is in its life. A handler of the stage that was not ready at once is a task.
enum HandlerStage {
    /// The middlewares before `next` have been called. The last of them may still run.
    Middleware { next: u32, running: Option<TokioTask<Result<(), ConnectError>>> },
    /// The `on_connection` handler runs.
    Connecting(TokioTask<Result<(), HandlerError>>),
    /// Events are handled.
    Connected,
    /// The `on_disconnect` handler runs.
    Disconnecting(TokioTask<Result<(), HandlerError>>),
    /// Nothing is left to do.
    Disconnected,
}

/// What [`SocketDriver::advance`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing more can be done now.
    Pending,
    /// The middlewares have let the client in: [`SocketDriver::call_on_connection`] is next, unless it has left meanwhile.
    Accepted,
}

impl socketio_proto::server::Socket for SocketDriver {
    fn namespace(&self) -> &str {
        self.socket.namespace().name()
    }

    fn is_disconnected(&self) -> bool {
        self.socket.disconnect_reason() == Some(DisconnectReason::ServerNamespaceDisconnect)
    }
}

impl SocketDriver {
    /// A client asks for a namespace. [`advance`](Self::advance) does the rest.
    pub(crate) fn new(socket: Socket) -> Self {
        let stage = HandlerStage::Middleware { next: 0, running: None };
        Self { socket, stage, events: EventQueue::new() }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Whether the last handler has finished.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.stage, HandlerStage::Disconnected)
    }

    /// Events that wait, and their bytes.
    pub(crate) fn queued(&self) -> EventQueueSize {
        self.events.size()
    }

    /// Whether [`advance`](Self::advance) may have something to do although no packet has come.
    pub(crate) fn is_busy(&self) -> bool {
        match self.stage {
            HandlerStage::Middleware { .. }
            | HandlerStage::Connecting(_)
            | HandlerStage::Disconnecting(_) => true,
            HandlerStage::Connected => !self.events.is_idle() || self.is_disconnected(),
            HandlerStage::Disconnected => false,
        }
    }

    /// An event has come for a socket that has been let in. `true` if its handler has disconnected the socket, so that
    /// [`advance`](Self::advance) has something to do.
    #[must_use]
    pub(crate) fn handle_event(
        &mut self,
        event: Event<'_>,
        ack: Option<u64>,
        server: &Server,
        cx: &mut TaskContext<'_>,
    ) -> bool {
        if self.is_disconnected() {
            return false;
        }
        if !matches!(self.stage, HandlerStage::Connected) {
            self.events.push(event, ack);
            return false;
        }
        let source = ServerHandlerEnv { server, socket: &self.socket, disconnect: None };
        self.events.handle_event(event, ack, &source, cx);
        self.is_disconnected()
    }

    /// Does all that can be done now: takes the result of a handler that has finished, starts the next one, and so on.
    pub(crate) fn advance(&mut self, server: &Server, cx: &mut TaskContext<'_>) -> Progress {
        loop {
            let is_disconnected = self.is_disconnected();
            if is_disconnected {
                self.events.discard_queued();
            }
            match &mut self.stage {
                HandlerStage::Middleware { running: Some(task), next } => {
                    let Poll::Ready(admission) = Pin::new(task).poll(cx) else { return Progress::Pending };
                    self.stage = HandlerStage::Middleware { next: *next, running: None };
                    self.handle_middleware_result(admission, server);
                }
                HandlerStage::Middleware { .. } if is_disconnected => self.stage = HandlerStage::Disconnected,
                HandlerStage::Middleware { next, .. } => {
                    let next = *next;
                    if !self.call_middleware(next, server, cx) {
                        return Progress::Accepted;
                    }
                }
                HandlerStage::Connecting(task) => {
                    let Poll::Ready(result) = Pin::new(task).poll(cx) else { return Progress::Pending };
                    self.finish(HandlerStage::Connected, result.unwrap_or_else(Err), server);
                }
                HandlerStage::Connected => {
                    let source = ServerHandlerEnv { server, socket: &self.socket, disconnect: None };
                    // The last handler runs after all others.
                    if self.events.poll(&source, cx).is_pending() {
                        return Progress::Pending;
                    }
                    let Some(reason) = self.socket.disconnect_reason() else { return Progress::Pending };
                    self.call_on_disconnect(reason, server, cx);
                }
                HandlerStage::Disconnecting(task) => {
                    let Poll::Ready(result) = Pin::new(task).poll(cx) else { return Progress::Pending };
                    self.finish(HandlerStage::Disconnected, result.unwrap_or_else(Err), server);
                }
                HandlerStage::Disconnected => return Progress::Pending,
            }
        }
    }

    /// Calls the next middleware. `false` if there is none.
    fn call_middleware(&mut self, next: u32, server: &Server, cx: &mut TaskContext<'_>) -> bool {
        let handlers = self.socket.handlers().clone();
        let Some(middleware) = handlers.middleware.get(next as usize) else { return false };
        let source = ServerHandlerEnv { server, socket: &self.socket, disconnect: None };
        let mut context = Context::new(source);
        let started = start_handler::<TokioSpawn, _>(|| middleware(&mut context), cx);
        self.stage = HandlerStage::Middleware { next: next + 1, running: None };
        match started {
            FirstPoll::Ready(admission) => self.handle_middleware_result(Ok(admission), server),
            FirstPoll::Pending(task) => {
                self.stage = HandlerStage::Middleware { next: next + 1, running: Some(task) };
            }
            FirstPoll::Failed(error) => self.handle_middleware_result(Err(error), server),
        }
        true
    }

    /// Lets the client in and calls the `on_connection` handler.
    pub(crate) fn call_on_connection(&mut self, server: &Server, cx: &mut TaskContext<'_>) {
        self.socket.enter_namespace();
        let handlers = self.socket.handlers().clone();
        let Some(connection) = &handlers.connection else {
            self.stage = HandlerStage::Connected;
            return;
        };
        let mut context = Context::new(ServerHandlerEnv { server, socket: &self.socket, disconnect: None });
        match start_handler::<TokioSpawn, _>(|| connection(&mut context), cx) {
            FirstPoll::Pending(task) => self.stage = HandlerStage::Connecting(task),
            FirstPoll::Ready(result) => self.finish(HandlerStage::Connected, result, server),
            FirstPoll::Failed(error) => self.finish(HandlerStage::Connected, Err(error), server),
        }
    }

    /// Calls the `on_disconnect` handler.
    fn call_on_disconnect(&mut self, reason: DisconnectReason, server: &Server, cx: &mut TaskContext<'_>) {
        let handlers = self.socket.handlers().clone();
        let Some(on_disconnect) = &handlers.disconnect else {
            self.stage = HandlerStage::Disconnected;
            return;
        };
        let disconnect = Some(Disconnect { reason, dropped: self.events.dropped() });
        let mut context = Context::new(ServerHandlerEnv { server, socket: &self.socket, disconnect });
        let limit = server.limits().on_disconnect_timeout;
        let call = || -> Result<BoxFuture<Result<(), HandlerError>>, HandlerError> {
            let future = on_disconnect(&mut context)?;
            Ok(Box::pin(async move { tokio::time::timeout(limit, future).await? }))
        };
        match start_handler::<TokioSpawn, _>(call, cx) {
            FirstPoll::Pending(task) => self.stage = HandlerStage::Disconnecting(task),
            FirstPoll::Ready(result) => self.finish(HandlerStage::Disconnected, result, server),
            FirstPoll::Failed(error) => self.finish(HandlerStage::Disconnected, Err(error), server),
        }
    }

    /// The handler of a stage has finished.
    fn finish(&mut self, next: HandlerStage, result: Result<(), HandlerError>, server: &Server) {
        self.stage = next;
        if let Err(error) = result {
            server.report(&error, &self.socket, None);
        }
    }

    /// What a middleware has decided, or why it could not be called.
    fn handle_middleware_result(
        &mut self,
        admission: Result<Result<(), ConnectError>, HandlerError>,
        server: &Server,
    ) {
        let refusal = match admission {
            Ok(Ok(())) => return,
            Ok(Err(refusal)) => refusal,
            Err(error) => {
                server.report(&error, &self.socket, None);
                // An extractor's words are for the client: what it authenticated with was not understood.
                ConnectError::new(error.message().to_owned())
            }
        };
        self.stage = HandlerStage::Disconnected;
        // A program that has kept the socket learns that it is not coming.
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

    fn is_disconnected(&self) -> bool {
        self.socket.disconnect_reason().is_some()
    }
}
