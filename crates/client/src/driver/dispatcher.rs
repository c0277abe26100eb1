//! Passes what happens on the connection to the sockets and their handlers.
//!
//! Hot path: every received message passes through [`LinkHandler::on_message`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use engineio_client::Message;
use engineio_proto::Transport;
use handlers::{EventQueueSize, HandlerError};
use socketio_proto::client::{DisconnectReason, Output, SocketKey};
use ws_proto::{Backoff, Time};

use super::disconnected_status;
use crate::client::ClientShared;
use crate::engine::{LinkClosed, LinkHandler, Session};
use crate::error::{AckError, AuthError, ConnectError};
use crate::handler::Lifecycle;
use crate::platform;
use crate::reconnection::ReconnectionSettings;
use crate::retry_queue::GivenUp;
use crate::socket::Status;
use crate::socket_driver::SocketDriver;
use crate::state::{Phase, Waiter};

/// The handlers of all sockets. It handles the messages of the connection.
pub(super) struct Dispatcher {
    shared: Arc<ClientShared>,
    sockets: Vec<SocketDriver>,
    auth_backoff: Backoff,
    /// The phase of the client when the lock was last held.
    phase: Phase,
    /// The connection that is being opened.
    pub(super) opening: Option<Session>,
    /// The connection, or the attempt to open it, has ended.
    pub(super) closed: Option<LinkClosed>,
    /// The connection must be closed.
    pub(super) violation: Option<DisconnectReason>,
    /// The connection was closed, because no socket needs it any more.
    pub(super) is_abandoned: bool,
    /// A connection has opened, and the hook for its end was not called yet.
    is_open: bool,
}

impl LinkHandler for Dispatcher {
    fn on_open(&mut self, now: Time, cx: &mut Context<'_>) {
        let Some(session) = self.opening.take() else { return };
        let attempt = {
            let mut state = self.shared.state();
            state.session = Some(session);
            state.machine.handle_open();
            state.flush();
            state.reconnection.handle_open(now)
        };
        self.is_open = true;
        super::call(|| {
            if let Some(hook) = &self.shared.hooks.open {
                hook();
            }
        });
        if let Some(attempt) = attempt {
            super::call(|| {
                if let Some(hook) = &self.shared.hooks.reconnect {
                    hook(attempt);
                }
            });
        }
        self.process_outputs(now, cx);
        self.poll_auth(now, cx);
    }

    fn on_message(&mut self, message: Message<'_>, now: Time, cx: &mut Context<'_>) {
        let handled = {
            let mut state = self.shared.state();
            self.phase = state.phase;
            let handled = match message {
                Message::Text(text) => state.machine.handle_text(text),
                Message::Binary(data) => state.machine.handle_binary(data),
            };
            // A packet that is neither an event nor an acknowledgement may have something to send, or may have
            // disconnected the last socket. If a handler connects that socket again, it gets a new connection, because
            // the server may be about to close this one.
            if let Ok(None) = handled {
                state.flush();
                self.is_abandoned |= state.close_if_unused();
            }
            handled
        };
        match handled {
            Ok(Some((key, output))) => {
                self.handle_output(key, output, now, cx);
                self.enforce_limits();
            }
            Ok(None) => {
                self.process_outputs(now, cx);
                self.enforce_limits();
            }
            Err(violation) => {
                tracing::debug!(%violation, "the server violated the protocol, closing the connection");
                let reason = violation.disconnect_reason();
                let error = HandlerError::new("the server violated the protocol").with_source(violation);
                for socket in &self.sockets {
                    socket.socket().report_error(&error, None);
                }
                self.violation = Some(reason);
                self.process_outputs(now, cx);
            }
        }
    }

    fn on_close(&mut self, closed: LinkClosed) {
        self.closed = Some(closed);
    }

    fn on_ping(&mut self) {
        if let Some(hook) = &self.shared.hooks.ping {
            super::call(hook);
        }
    }

    fn on_upgrade(&mut self, transport: Transport) {
        if let Some(hook) = &self.shared.hooks.upgrade {
            super::call(|| hook(transport));
        }
    }

    fn wants_input(&self) -> bool {
        let EventQueueSize { events, bytes } = self.queued();
        let limits = &self.shared.limits;
        // If the program awaits an acknowledgement, the client must continue to read. Otherwise a handler that awaits it
        // would wait forever. The hard limits apply in this case.
        (events < limits.max_queued_events && bytes < limits.max_queued_bytes)
            || self.shared.state().machine.sockets().any(|socket| socket.pending_acks() > 0)
    }
}

impl Dispatcher {
    pub(super) fn new(shared: Arc<ClientShared>, settings: &ReconnectionSettings) -> Self {
        let auth_backoff = Backoff::new(
            settings.reconnection_delay,
            settings.reconnection_delay_max,
            settings.randomization_factor,
        );
        Self {
            shared,
            sockets: Vec::new(),
            auth_backoff,
            phase: Phase::Running,
            opening: None,
            closed: None,
            violation: None,
            is_abandoned: false,
            is_open: false,
        }
    }

    /// Calls the program's hook for the end of a connection, if one has opened.
    pub(super) fn call_on_close(&mut self, reason: DisconnectReason) {
        if std::mem::take(&mut self.is_open)
            && let Some(hook) = &self.shared.hooks.close
        {
            super::call(|| hook(reason));
        }
    }

    /// Adds the sockets that the program has created.
    pub(super) fn add_sockets(&mut self) {
        let state = self.shared.state();
        let known = self.sockets.len();
        let new: Vec<_> = state.sockets().skip(known).map(Arc::clone).collect();
        drop(state);
        self.sockets.extend(new.into_iter().map(|socket| SocketDriver::new(socket.key, socket)));
    }

    /// Drives the handlers and the functions that obtain credentials.
    pub(super) fn poll(&mut self, now: Time, cx: &mut Context<'_>) {
        self.process_outputs(now, cx);
        self.poll_auth(now, cx);
        if !self.calls_handlers() {
            return;
        }
        for socket in &mut self.sockets {
            let _ = socket.poll(now, cx);
        }
        // A handler may have disconnected its socket.
        self.process_outputs(now, cx);
    }

    /// Passes the outputs of the state machine on.
    pub(super) fn process_outputs(&mut self, now: Time, cx: &mut Context<'_>) {
        loop {
            let output = {
                let mut state = self.shared.state();
                self.phase = state.phase;
                state.machine.poll_output()
            };
            let Some((key, output)) = output else { return };
            self.handle_output(key, output, now, cx);
        }
    }

    pub(super) fn handle_timeouts(&mut self, now: Time, cx: &mut Context<'_>) {
        loop {
            let output = self.shared.state().machine.handle_timeout(now);
            let Some((key, output)) = output else { break };
            self.handle_output(key, output, now, cx);
        }
        for socket in &mut self.sockets {
            if socket.auth_retry.is_some_and(|at| at <= now) {
                socket.auth_retry = None;
                // A new connection asks for the credentials itself.
                if self.shared.state().session.is_some() {
                    socket.auth = Some(socket.socket().obtain_auth());
                }
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        if !self.calls_handlers() {
            return None;
        }
        self.sockets.iter().flat_map(|socket| [socket.poll_timeout(), socket.auth_retry]).flatten().min()
    }

    /// Tells the sockets that need a connection that there is none.
    pub(super) fn handle_connect_error(&mut self, error: &ConnectError, now: Time, cx: &mut Context<'_>) {
        if !self.calls_handlers() {
            return;
        }
        for socket in &mut self.sockets {
            let is_active = self.shared.state().machine[socket.key].is_active();
            if is_active {
                socket.handle_lifecycle(Lifecycle::ConnectError(error.clone()), now, cx);
            }
        }
    }

    /// Records that the client does not try to connect any more.
    pub(super) fn set_inactive(&self, error: &ConnectError) {
        for socket in &self.sockets {
            let is_active = self.shared.state().machine[socket.key].is_active();
            if is_active {
                socket.socket().set_status(Status::Inactive(Some(error.clone())));
            }
        }
    }

    /// Disconnects all sockets, because the client is being closed.
    pub(super) fn disconnect_all(&mut self) {
        for socket in &mut self.sockets {
            let (waiters, _) = self.shared.state().disconnect(socket.key);
            for waiter in waiters {
                let _ = waiter.send(Err(AckError::Disconnected));
            }
            socket.auth = None;
            socket.auth_retry = None;
            socket.discard_events();
        }
    }

    pub(super) fn notify_capacity(&self) {
        for socket in &self.sockets {
            socket.socket().notify_capacity();
        }
    }

    /// Returns whether no handler runs or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.sockets.iter().all(SocketDriver::is_idle)
    }

    fn calls_handlers(&self) -> bool {
        self.phase != Phase::Closing { calls_handlers: false }
    }

    fn handle_output(&mut self, key: SocketKey, output: Output<'_, Waiter>, now: Time, cx: &mut Context<'_>) {
        if !self.sockets.iter().any(|socket| socket.key == key) {
            self.add_sockets();
        }
        let Some(socket) = self.sockets.iter_mut().find(|socket| socket.key == key) else { return };
        let lifecycle = match output {
            Output::Event { event, ack, has_offset } => {
                let event = if has_offset { event.with_offset() } else { event };
                if self.phase == Phase::Running {
                    socket.handle_event(event, ack, cx);
                }
                return;
            }
            Output::Ack { waiter, arguments } => {
                let waiter = match waiter {
                    Waiter::Program(waiter) => Some(waiter),
                    Waiter::RetryQueue => self.shared.state().handle_retry_ack(key),
                };
                if let Some(waiter) = waiter {
                    let _ = waiter.send(Ok(arguments.into_owned()));
                }
                return;
            }
            Output::AckFailed { waiter: Waiter::Program(waiter), error } => {
                let _ = waiter.send(Err(error.into()));
                return;
            }
            Output::AckFailed { waiter: Waiter::RetryQueue, error } => {
                let given_up = self.shared.state().handle_retry_failure(key, error.into());
                if let Some(GivenUp { event, waiter, error }) = given_up {
                    match waiter {
                        Some(waiter) => {
                            let _ = waiter.send(Err(error));
                        }
                        None => {
                            let error = HandlerError::new("the event was given up").with_source(error);
                            socket.socket().report_error(&error, Some(event.name()));
                        }
                    }
                }
                return;
            }
            Output::AuthNeeded => {
                socket.auth = Some(socket.socket().obtain_auth());
                socket.auth_retry = None;
                return;
            }
            Output::Connected { .. } => {
                self.auth_backoff.reset();
                socket.socket().set_status(Status::Connected);
                self.shared.state().send_next_retry(key);
                Lifecycle::Connect
            }
            Output::ConnectError(error) => {
                let error = ConnectError::from(error);
                socket.socket().set_status(Status::Inactive(Some(error.clone())));
                Lifecycle::ConnectError(error)
            }
            Output::Disconnected { reason } => {
                let is_active = self.shared.state().machine[key].is_active();
                socket.socket().set_status(disconnected_status(is_active));
                Lifecycle::Disconnect { reason, dropped: 0 }
            }
            _ => return,
        };
        if self.calls_handlers() {
            let socket = self.sockets.iter_mut().find(|socket| socket.key == key);
            if let Some(socket) = socket {
                socket.handle_lifecycle(lifecycle, now, cx);
            }
        }
    }

    /// Takes the credentials that the program's functions have obtained.
    fn poll_auth(&mut self, now: Time, cx: &mut Context<'_>) {
        let mut failures = Vec::new();
        for socket in &mut self.sockets {
            let Some(auth) = &mut socket.auth else { continue };
            let obtained = match catch_unwind(AssertUnwindSafe(|| auth.as_mut().poll(cx))) {
                Ok(Poll::Pending) => continue,
                Ok(Poll::Ready(obtained)) => obtained,
                Err(panic) => Err(AuthError::from_panic(&*panic)),
            };
            socket.auth = None;
            match obtained {
                Ok(json) => {
                    let mut state = self.shared.state();
                    state.machine[socket.key].authenticate(json.as_ref());
                    state.flush();
                }
                Err(error) => {
                    socket.auth_retry = Some(now + self.auth_backoff.next_delay(platform::random()));
                    failures.push((socket.key, error));
                }
            }
        }
        for (key, error) in failures {
            if let Some(socket) = self.sockets.iter_mut().find(|socket| socket.key == key)
                && self.shared.state().machine[key].is_active()
            {
                socket.handle_lifecycle(Lifecycle::ConnectError(ConnectError::Auth(error)), now, cx);
            }
        }
    }

    fn queued(&self) -> EventQueueSize {
        self.sockets.iter().map(SocketDriver::queued).sum()
    }

    /// Requests to close the connection if a message has made the queued events exceed the hard limits.
    fn enforce_limits(&mut self) {
        if self.violation.is_some() {
            return;
        }
        let EventQueueSize { events, bytes } = self.queued();
        let limits = &self.shared.limits;
        let limit = match (events > limits.max_queued_events_hard, bytes > limits.max_queued_bytes_hard) {
            (false, false) => return,
            (true, _) => "max_queued_events_hard",
            (false, true) => "max_queued_bytes_hard",
        };
        self.violation = Some(DisconnectReason::ForcedClose);
        let error = HandlerError::new(format!(
            "closing the connection: {events} events with {bytes} bytes wait for their handlers (`{limit}`)"
        ));
        if let Some(socket) = self.sockets.iter().max_by_key(|socket| socket.queued().bytes) {
            socket.socket().report_error(&error, None);
        }
    }
}
