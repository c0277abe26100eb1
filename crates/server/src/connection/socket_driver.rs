//! Drives one socket of a connection through its stages: middlewares, `on_connection`, events, `on_disconnect`.
//!
//! Hot path: every event of a client passes through here to the [`EventQueue`].

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use adapter::{ClaimError, Ready};
use handlers::{
    EventQueue, EventQueueSize, FirstPoll, HandlerError, Spawn, poll_handler, start_handler, with_encoder,
};
use net::metrics::{self, Series};
use serde_json::Value;
use socketio_proto::server::{DisconnectReason, Protocol};
use socketio_proto::{Event, encode};

use super::handler_calls;
use crate::handler::{
    ConnectError, Context, Disconnect, ServerHandlerEnv, ServerSide, TokioSpawn, TokioTask,
};
use crate::namespace::{CheckFuture, INVALID_NAMESPACE, NamespaceRequest, Parent, check};
use crate::observer::Observation;
use crate::recovery::RecoveryRefusal;
use crate::server::{ChildMember, Server};
use crate::socket::{PendingClaim, PendingResume, Socket};

/// One socket of a connection. The connection's task drives it.
pub(crate) struct SocketDriver {
    /// While the namespace is checked, this socket belongs to a namespace of its own.
    socket: Socket,
    /// Keeps the namespace from being removed.
    member: Option<ChildMember>,
    stage: HandlerStage,
    events: EventQueue<ServerSide>,
}

/// The stage of a socket. If a handler was not ready at its first poll, the stage contains its task.
enum HandlerStage {
    /// The parents of namespaces are asked whether the client may create this one. If the client leaves, the check ends.
    Checking(CheckFuture),
    /// The adapter of the namespace is not ready for clients yet.
    Starting(Ready),
    /// The adapter looks for the session that the client wants to recover.
    Claiming(PendingClaim),
    /// The middlewares before index `next` have been called. The last of them may still run.
    Middleware { next: u32, running: Option<TokioTask<Result<(), ConnectError>>> },
    /// The adapter delivers what the client has missed, and connects the socket.
    Resuming(PendingResume),
    /// The adapter has connected the socket with its former session.
    Resumed,
    /// The `on_connection` handler runs.
    Connecting(TokioTask<Result<(), HandlerError>>),
    /// Events are handled.
    Connected,
    /// The `on_disconnect` handler runs.
    Disconnecting(TokioTask<Result<(), HandlerError>>),
    /// All handlers have finished.
    Disconnected,
}

impl HandlerStage {
    const CALL_MIDDLEWARE: Self = Self::Middleware { next: 0, running: None };

    /// No middleware is called.
    const ACCEPT: Self = Self::Middleware { next: u32::MAX, running: None };

    /// Returns the first stage of a socket whose namespace exists, and notifies the observers.
    fn first(socket: &Socket) -> Self {
        let ready = socket.namespace().adapter().ready();
        if socket.is_recoverable() {
            // The observers are notified when it is known which socket the client gets.
            return Self::Starting(ready);
        }
        socket.notify(|| Observation::SocketConnecting { socket });
        if ready.is_now() { Self::CALL_MIDDLEWARE } else { Self::Starting(ready) }
    }
}

/// The result of [`SocketDriver::advance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The socket waits for a handler or a packet.
    Pending,
    /// All middlewares have accepted the client, and the session that it has claimed, if any, has been resumed. Call
    /// [`SocketDriver::call_on_connection`] next, unless the client has disconnected before it was connected.
    Accepted,
}

/// The state of a socket after [`SocketDriver::handle_event`].
#[must_use]
pub(crate) struct EventHandled {
    /// The handler has disconnected the socket. Call [`SocketDriver::advance`] next.
    pub(crate) is_disconnected: bool,
    /// Events wait in the queue.
    pub(crate) is_queued: bool,
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
    /// Creates the driver of a socket whose client requests to connect to a namespace. [`advance`](Self::advance) calls
    /// the middlewares and handlers.
    pub(crate) fn new(socket: Socket, member: Option<ChildMember>) -> Self {
        let stage = HandlerStage::first(&socket);
        Self { socket, member, stage, events: EventQueue::new() }
    }

    /// Creates the driver of a socket whose client requests a namespace that does not exist. The `socket` takes part in
    /// the connection until one of the parents has created the namespace.
    pub(crate) fn new_checked(socket: Socket, parents: Arc<[Arc<Parent>]>, server: &Server) -> Self {
        let request = NamespaceRequest::new(server.clone(), socket.clone());
        let pending_checks = Arc::clone(&server.namespaces().pending_checks);
        let check = check(parents, request, pending_checks, server.limits().namespace_check_timeout);
        Self { socket, member: None, stage: HandlerStage::Checking(check), events: EventQueue::new() }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Returns whether all handlers of the socket have finished.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.stage, HandlerStage::Disconnected)
    }

    /// Returns the number of queued events and their bytes.
    pub(crate) fn queued(&self) -> EventQueueSize {
        self.events.size()
    }

    /// Returns whether the client waits for the acknowledgement of an event whose handler runs or is about to start.
    pub(crate) fn owes_acks(&self) -> bool {
        !self.is_disconnected() && self.events.owes_acks()
    }

    /// Returns the memory of what the client has sent and the server keeps, in bytes: queued events, the events in
    /// its stream, and the auth payload.
    pub(crate) fn memory(&self) -> usize {
        self.events.size().bytes + self.socket.auth_len() + self.socket.stream_bytes()
    }

    /// Returns whether [`advance`](Self::advance) may make progress without a new packet.
    pub(crate) fn is_busy(&self) -> bool {
        match self.stage {
            HandlerStage::Checking(_)
            | HandlerStage::Starting(_)
            | HandlerStage::Claiming(_)
            | HandlerStage::Middleware { .. }
            | HandlerStage::Resuming(_)
            | HandlerStage::Resumed
            | HandlerStage::Connecting(_)
            | HandlerStage::Disconnecting(_) => true,
            HandlerStage::Connected => !self.events.is_idle() || self.is_disconnected(),
            HandlerStage::Disconnected => false,
        }
    }

    /// Handles an event of a connected socket.
    #[inline]
    pub(crate) fn handle_event(
        &mut self,
        event: &Event<'_>,
        ack: Option<u64>,
        server: &Server,
        cx: &mut TaskContext<'_>,
    ) -> EventHandled {
        let mut is_disconnected = false;
        if self.is_disconnected() {
            // Its queue is discarded soon.
        } else if self.may_handle_events() {
            let env = ServerHandlerEnv { server, socket: &self.socket, disconnect: None };
            self.events.handle_event(event, ack, &env, cx);
            is_disconnected = self.is_disconnected();
        } else {
            self.events.push(event, ack);
        }
        EventHandled { is_disconnected, is_queued: self.events.size().events > 0 }
    }

    /// Advances the socket as far as possible: takes the results of finished handlers and starts the next ones.
    pub(crate) fn advance(&mut self, server: &Server, cx: &mut TaskContext<'_>) -> Progress {
        loop {
            let is_disconnected = self.is_disconnected();
            if is_disconnected {
                self.events.discard_queued();
            }
            match &mut self.stage {
                HandlerStage::Checking(_) if is_disconnected => self.stage = HandlerStage::Disconnected,
                HandlerStage::Checking(check) => {
                    let checked = match catch_unwind(AssertUnwindSafe(|| check.as_mut().poll(cx))) {
                        Ok(Poll::Pending) => return Progress::Pending,
                        Ok(Poll::Ready(checked)) => Ok(checked),
                        Err(panic) => Err(HandlerError::from_panic(&*panic)),
                    };
                    self.handle_checked(checked, server);
                }
                HandlerStage::Starting(_) | HandlerStage::Claiming(_)
                    if is_disconnected && self.socket.is_recoverable() =>
                {
                    // The observers do not know it yet.
                    self.stage = HandlerStage::Disconnected;
                }
                HandlerStage::Starting(_) | HandlerStage::Middleware { running: None, .. }
                    if is_disconnected =>
                {
                    self.stage = HandlerStage::Disconnected;
                    let socket = &self.socket;
                    if let Some(reason) = socket.disconnect_reason() {
                        socket.notify(|| Observation::SocketAbandoned { socket, reason });
                    }
                }
                HandlerStage::Starting(ready) => {
                    // The adapter is the program's code: if it panics, the namespace works on this server.
                    match catch_unwind(AssertUnwindSafe(|| Pin::new(ready).poll(cx))) {
                        Ok(Poll::Pending) => return Progress::Pending,
                        Ok(Poll::Ready(())) | Err(_) if self.socket.is_recoverable() => self.claim_session(),
                        Ok(Poll::Ready(())) | Err(_) => self.stage = HandlerStage::CALL_MIDDLEWARE,
                    }
                }
                HandlerStage::Claiming(claim) => {
                    let Poll::Ready(claimed) = Pin::new(claim).poll(cx) else { return Progress::Pending };
                    self.handle_claimed(claimed.unwrap_or(Err(ClaimError::ServerUnavailable)));
                }
                HandlerStage::Resuming(resume) => {
                    let Poll::Ready(resumed) = Pin::new(resume).poll(cx) else { return Progress::Pending };
                    match resumed.unwrap_or(Err(ClaimError::ServerUnavailable)) {
                        Ok(()) => self.stage = HandlerStage::Resumed,
                        Err(error) => self.begin_new_session(error, server),
                    }
                }
                HandlerStage::Resumed => return Progress::Accepted,
                HandlerStage::Middleware { running: Some(task), next } => {
                    let Poll::Ready(result) = Pin::new(task).poll(cx) else { return Progress::Pending };
                    self.stage = HandlerStage::Middleware { next: *next, running: None };
                    self.handle_middleware_result(result, server);
                }
                HandlerStage::Middleware { next, .. } => {
                    let next = *next;
                    if self.call_middleware(next, server, cx) {
                        continue;
                    }
                    // The client is not accepted before it is known that it gets its session.
                    let Some(resume) = self.socket.resume_session() else { return Progress::Accepted };
                    self.stage = HandlerStage::Resuming(resume);
                }
                HandlerStage::Connecting(task) => {
                    if let Poll::Ready(result) = Pin::new(task).poll(cx) {
                        self.finish_on_connection(result.unwrap_or_else(Err), server);
                        continue;
                    }
                    // The handler may read the events from a stream.
                    if self.may_handle_events() {
                        let env = ServerHandlerEnv { server, socket: &self.socket, disconnect: None };
                        let _ = self.events.poll(&env, cx);
                    }
                    return Progress::Pending;
                }
                HandlerStage::Connected => {
                    let env = ServerHandlerEnv { server, socket: &self.socket, disconnect: None };
                    // `on_disconnect` runs only after all other handlers have finished.
                    if self.events.poll(&env, cx).is_pending() {
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

    /// Moves the socket into the namespace that its client may create, or rejects the client.
    fn handle_checked(
        &mut self,
        checked: Result<Result<Arc<Parent>, ConnectError>, HandlerError>,
        server: &Server,
    ) {
        let joined = checked.and_then(|allowed| match allowed {
            // The adapter of the namespace is the program's code.
            Ok(parent) => catch_unwind(AssertUnwindSafe(|| {
                server.namespaces().join_child(self.socket.namespace().name(), &parent)
            }))
            .map_err(|panic| HandlerError::from_panic(&*panic)),
            Err(rejection) => Ok(Err(rejection)),
        });
        match joined {
            Ok(Ok((namespace, member))) => {
                self.socket = self.socket.in_namespace(namespace);
                self.member = member;
                self.stage = HandlerStage::first(&self.socket);
            }
            Ok(Err(rejection)) => self.handle_middleware_result(Ok(Err(rejection)), server),
            Err(error) => self.handle_middleware_result(Err(error), server),
        }
    }

    /// Calls the next middleware. Returns `false` if there is none.
    fn call_middleware(&mut self, next: u32, server: &Server, cx: &mut TaskContext<'_>) -> bool {
        let handlers = self.socket.handlers().clone();
        let Some(middleware) = handlers.middleware.get(next as usize) else { return false };
        let env = ServerHandlerEnv { server, socket: &self.socket, disconnect: None };
        let mut context = Context::new(env);
        self.socket.calls().count(handler_calls::MIDDLEWARE);
        let started = start_handler(middleware, &mut context, cx);
        self.stage = HandlerStage::Middleware { next: next + 1, running: None };
        match started {
            FirstPoll::Ready(result) => self.handle_middleware_result(Ok(result), server),
            FirstPoll::Pending(task) => {
                self.stage = HandlerStage::Middleware { next: next + 1, running: Some(task) };
            }
            FirstPoll::Failed(error) => self.handle_middleware_result(Err(error), server),
        }
        true
    }

    /// Looks for the session that the client wants to recover.
    fn claim_session(&mut self) {
        // The adapter is the program's code: if it panics, the client connects as a new one.
        let claim = catch_unwind(AssertUnwindSafe(|| self.socket.claim_session()));
        match claim {
            Ok(Some(claim)) => self.stage = HandlerStage::Claiming(claim),
            Ok(None) => self.call_first_middleware(),
            Err(_) => self.handle_claimed(Err(ClaimError::ServerUnavailable)),
        }
    }

    fn handle_claimed(&mut self, claimed: Result<adapter::Session, ClaimError>) {
        match claimed {
            Ok(session) => {
                self.socket = self.socket.with_claimed_session(session);
                self.call_first_middleware();
                let settings = self.socket.namespace().recovery_settings();
                if settings.is_some_and(|settings| settings.skip_middlewares) {
                    self.stage = HandlerStage::ACCEPT;
                }
            }
            Err(error) => {
                self.socket.handle_recovery_refused(error.into());
                self.call_first_middleware();
            }
        }
    }

    fn call_first_middleware(&mut self) {
        self.stage = HandlerStage::CALL_MIDDLEWARE;
        let socket = &self.socket;
        socket.notify(|| Observation::SocketConnecting { socket });
    }

    /// Replaces the socket, because the session that it has claimed could not be resumed. The client connects as a new
    /// one, so all middlewares are called.
    fn begin_new_session(&mut self, error: ClaimError, server: &Server) {
        let claimed = &self.socket;
        // The program may have kept the socket: tell it that the socket never connects.
        claimed.leave_namespace(DisconnectReason::ForcedServerClose);
        let reason = claimed.disconnect_reason().unwrap_or(DisconnectReason::ForcedServerClose);
        claimed.notify(|| Observation::SocketAbandoned { socket: claimed, reason });
        let Some(id) = server.new_socket_id() else {
            return self.handle_middleware_result(Ok(Err(ConnectError::new(INVALID_NAMESPACE))), server);
        };
        self.socket = self.socket.with_new_session(id);
        self.handle_claimed(Err(error));
    }

    /// Returns whether the adapter has connected the socket with its former session.
    pub(crate) fn has_resumed(&self) -> bool {
        matches!(self.stage, HandlerStage::Resumed)
    }

    /// Connects the socket to the namespace, if its session was not resumed, and calls the `on_connection` handler.
    pub(crate) fn call_on_connection(&mut self, server: &Server, cx: &mut TaskContext<'_>) {
        if !self.has_resumed() {
            self.socket.enter_namespace();
        }
        let handlers = self.socket.handlers().clone();
        let Some(connection) = &handlers.connection else {
            self.stage = HandlerStage::Connected;
            return;
        };
        let mut context = Context::new(ServerHandlerEnv { server, socket: &self.socket, disconnect: None });
        self.socket.calls().count(handler_calls::ON_CONNECTION);
        match start_handler(connection, &mut context, cx) {
            FirstPoll::Pending(task) => self.stage = HandlerStage::Connecting(task),
            FirstPoll::Ready(result) => self.finish_on_connection(result, server),
            FirstPoll::Failed(error) => self.finish_on_connection(Err(error), server),
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
        self.socket.calls().count(handler_calls::ON_DISCONNECT);
        match poll_handler(on_disconnect, &mut context, cx) {
            FirstPoll::Pending(future) => {
                let timeout = tokio::time::timeout(server.limits().on_disconnect_timeout, future);
                let task = TokioSpawn::spawn(Box::pin(async move { timeout.await? }));
                self.stage = HandlerStage::Disconnecting(task);
            }
            FirstPoll::Ready(result) => self.finish(HandlerStage::Disconnected, result, server),
            FirstPoll::Failed(error) => self.finish(HandlerStage::Disconnected, Err(error), server),
        }
    }

    /// Moves to the next stage after the `on_connection` handler has finished. If it failed, the socket may be set up in
    /// part only, so it is disconnected.
    fn finish_on_connection(&mut self, result: Result<(), HandlerError>, server: &Server) {
        let is_failed = result.is_err();
        self.finish(HandlerStage::Connected, result, server);
        if is_failed {
            self.socket.disconnect();
        }
    }

    /// Moves to the next stage after the handler of this one has finished.
    fn finish(&mut self, next: HandlerStage, result: Result<(), HandlerError>, server: &Server) {
        self.stage = next;
        if let Err(error) = result {
            server.report_error(&error, &self.socket, None);
        }
    }

    /// Handles the result of a middleware, or the error if it could not be called.
    fn handle_middleware_result(
        &mut self,
        result: Result<Result<(), ConnectError>, HandlerError>,
        server: &Server,
    ) {
        let rejection = match result {
            Ok(Ok(())) => return,
            Ok(Err(rejection)) => {
                let rejection = self.socket.namespace().map_error(rejection);
                // Otherwise, the middleware has done what it is for.
                if rejection.is_internal() {
                    server.report_error(&rejection, &self.socket, None);
                }
                rejection
            }
            // An extractor failed, for instance because the auth payload is invalid, or the middleware panicked.
            Err(error) => {
                let error = self.socket.namespace().map_error(error);
                if error.is_internal() {
                    server.report_error(&error, &self.socket, None);
                } else {
                    // `report_refused` below logs it.
                    server.report_middleware_error(&error, &self.socket);
                }
                error
            }
        };
        let is_candidate = matches!(self.stage, HandlerStage::Checking(_));
        self.stage = HandlerStage::Disconnected;
        if self.socket.recovered() {
            self.socket.handle_recovery_refused(RecoveryRefusal::Middleware);
        }
        // The program may have kept the socket: tell it that the socket never connects.
        self.socket.leave_namespace(DisconnectReason::ForcedServerClose);
        let namespace = self.socket.namespace().name();
        with_encoder(|encoder| {
            let (message, data) = (rejection.message(), rejection.connect_error_data());
            let encoded = match (self.socket.inner().protocol(), data.as_deref()) {
                (Protocol::V5, data) => encode::connect_error(encoder, namespace, message, data),
                // As in Node, this is an object in Socket.IO 4 too.
                (Protocol::V4, None) if message == INVALID_NAMESPACE => {
                    encode::connect_error(encoder, namespace, message, None::<&()>)
                }
                (Protocol::V4, Some(data)) if is_truthy(data) => {
                    encode::protocol4::error(encoder, namespace, data)
                }
                (Protocol::V4, _) => encode::protocol4::error(encoder, namespace, message),
            };
            match encoded {
                Ok(message) => self.socket.inner().outgoing().send_or_log(message),
                // A `Value` can always be encoded.
                Err(error) => tracing::error!(%error, "cannot encode a connect error"),
            }
        });
        metrics::count(Series::SocketsRefusedByMiddleware);
        // The program does not see the socket of a namespace that does not exist.
        let socket = (!is_candidate).then_some(&self.socket);
        server.report_refused(namespace, self.socket.handshake(), socket, &rejection);
    }

    fn is_disconnected(&self) -> bool {
        self.socket.disconnect_reason().is_some()
    }

    /// Returns whether handlers of events may start: the `on_connection` handler has finished, or it has taken the
    /// stream of events.
    fn may_handle_events(&self) -> bool {
        match self.stage {
            HandlerStage::Connected => true,
            HandlerStage::Connecting(_) => self.socket.has_taken_stream(),
            _ => false,
        }
    }
}

/// Whether JavaScript takes the value for true. Node sends `err.data || err.message` to a client of Socket.IO 4.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}
