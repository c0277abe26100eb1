//! The sockets of one Engine.IO session. Passes received packets to the program's handlers.
//!
//! Hot path. The protocol state machine is [`socketio_proto::server`]. This module calls the handlers and sends the
//! responses.

pub(crate) mod claim_limits;
pub(crate) mod handler_calls;
mod handshake;
mod request_head;
mod socket_driver;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context as TaskContext, Poll};

use adapter::SocketId;
use engineio::{CloseReason, Message, Session, SessionHandler, Time, Transport};
use handlers::{EventQueueSize, ObservedEvent, with_encoder};
use net::LogRateLimit;
use net::metrics::{self, Series};
use socketio_proto::server::{
    self as machine, ConnectRequest, DisconnectReason, Protocol, Received, SocketEntry, Violation,
};
use socketio_proto::{Event, Excerpt, encode};

use crate::handler::ConnectError;
use crate::namespace::INVALID_NAMESPACE;
use crate::observer::{Observation, ObservedConnection, ObservedHandler};
use crate::outgoing::Outgoing;
use crate::server::Server;
use crate::socket::Socket;
use claim_limits::ClaimLimits;
use handler_calls::{
    CalledHandler, HandlerCalls, MAX_UNMEASURED_TURNS, MEASURED_TURNS_PER_SAMPLE, too_long, warn_blocked,
};
pub use handshake::Handshake;
pub(crate) use handshake::{KeepExtension, keep_extension};
use socket_driver::{Progress, SocketDriver};

/// The state that the sockets of one connection share.
pub(crate) struct Client {
    handshake: Handshake,
    /// Whether and when the connection closes: [`STAYS_OPEN`], [`CLOSES_WITHOUT_OWED_ACKS`] or [`CLOSES_NOW`].
    close_request: AtomicU8,
    /// The connection has moved from long-polling to another transport.
    has_upgraded: AtomicBool,
    calls: HandlerCalls,
    claim_limits: ClaimLimits,
}

const STAYS_OPEN: u8 = 0;
/// The server shuts down. The connection closes as soon as the client waits for no acknowledgement of a handler.
const CLOSES_WITHOUT_OWED_ACKS: u8 = 1;
const CLOSES_NOW: u8 = 2;

impl Client {
    pub(crate) fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    /// Returns whether the connection has moved from long-polling to another transport.
    pub(crate) fn has_upgraded(&self) -> bool {
        self.has_upgraded.load(Ordering::Acquire)
    }

    pub(crate) fn calls(&self) -> &HandlerCalls {
        &self.calls
    }

    pub(crate) fn claim_limits(&self) -> &ClaimLimits {
        &self.claim_limits
    }

    /// Requests to close the connection with all its sockets. The connection's task does so when it is woken next.
    pub(crate) fn close_connection(&self) {
        self.close_request.store(CLOSES_NOW, Ordering::Release);
    }

    /// Lets the connection's task close the connection when it owes no acknowledgements.
    fn close_without_owed_acks(&self) {
        // A request to close at once stays.
        let (from, to) = (STAYS_OPEN, CLOSES_WITHOUT_OWED_ACKS);
        let _ = self.close_request.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// The maximum number of lists and objects in one message: one for every six bytes of the largest message, and at least
/// as many as with the default size. Pairs of digits, such as `[[1,2],[3,4]]`, take six bytes each.
fn max_lists_and_objects(max_payload: usize) -> usize {
    max_payload.max(1_000_000) / 6
}

/// The handler of one Engine.IO session.
pub struct Connection {
    server: Server,
    session: Session,
    client: Arc<Client>,
    machine: machine::Connection<SocketDriver>,
    /// Whether the server has observers.
    is_observed: bool,
    /// Whether observers know that the connection is open.
    is_observed_open: bool,
    /// The time of the last poll with a turn in which handlers ran.
    last_poll: Time,
    /// The number of such turns since the last one that was measured.
    unmeasured_turns: u8,
    /// The number of turns that were measured. Only its lowest bits count.
    measured_turns: u8,
    /// The number of events in this turn, for the metrics.
    events_received: u32,
}

impl Connection {
    pub(crate) fn new(server: Server, session: Session, handshake: Handshake, now: Time) -> Self {
        let mut limits = machine::Limits::default();
        limits.connect_timeout = server.limits().connect_timeout;
        limits.attachment_timeout = server.limits().attachment_timeout;
        let protocol = if session.protocol() == 3 { Protocol::V4 } else { Protocol::V5 };
        let mut decoder_limits = socketio_proto::DecoderLimits::default();
        decoder_limits.max_lists_and_objects = max_lists_and_objects(server.max_payload());
        // A program that allows longer messages allows each of them to be an attachment.
        decoder_limits.max_attachment_bytes = decoder_limits.max_attachment_bytes.max(server.max_payload());
        let mut machine = machine::Connection::new(protocol, &limits, &decoder_limits, now);
        if let Some(parser) = server.parser() {
            machine = machine.with_parser(&**parser, &decoder_limits);
        }
        let client = Arc::new(Client {
            handshake,
            close_request: AtomicU8::new(STAYS_OPEN),
            has_upgraded: AtomicBool::new(false),
            calls: HandlerCalls::new(server.observers()),
            claim_limits: ClaimLimits::default(),
        });
        let is_observed = server.observers().is_active();
        let connection = Self {
            server,
            session,
            client,
            machine,
            is_observed,
            is_observed_open: is_observed,
            last_poll: Time::ZERO,
            unmeasured_turns: MAX_UNMEASURED_TURNS,
            measured_turns: 0,
            events_received: 0,
        };
        connection.notify(|connection| Observation::ConnectionOpened { connection });
        connection
    }

    /// Calls the observers of the server, if there are any, with this connection.
    fn notify<'a>(&'a self, observation: impl FnOnce(ObservedConnection<'a>) -> Observation<'a>) {
        let connection = ObservedConnection::new(&self.session, self.client.handshake());
        self.server.observers().notify(|| observation(connection));
    }

    /// Closes the connection if the queued events exceed the hard limits.
    fn enforce_limits(&mut self, cx: &mut TaskContext<'_>) {
        let EventQueueSize { events, bytes } = self.queued();
        let limits = self.server.limits();
        if events > limits.max_queued_events_hard || bytes > limits.max_queued_bytes_hard {
            metrics::count(Series::MaxQueuedEvents);
            static LOG: LogRateLimit = LogRateLimit::new();
            LOG.try_log(|suppressed| {
                tracing::warn!(
                    events,
                    bytes,
                    suppressed,
                    "closing a connection: `max_queued_events_hard` is reached"
                );
            });
            self.close_session(DisconnectReason::ForcedServerClose, cx);
        }
    }

    fn queued(&self) -> EventQueueSize {
        self.machine.sockets().map(SocketDriver::queued).sum()
    }

    /// Closes the connection of a client that violated the protocol.
    fn handle_violation(&mut self, violation: Violation, cx: &mut TaskContext<'_>) {
        tracing::debug!(%violation, "protocol violation by a client, closing the connection");
        let reason = violation.disconnect_reason();
        if let Violation::Decode(error) = violation {
            let error = error.into();
            for task in self.machine.sockets() {
                self.server.report_error(&error, task.socket(), None);
            }
        }
        self.close_session(reason, cx);
    }

    fn close_session(&mut self, reason: DisconnectReason, cx: &mut TaskContext<'_>) {
        self.close(reason, cx);
        self.session.close();
    }

    /// Closes the connection because the program or the server has asked for it.
    #[cold]
    fn handle_close_request(&mut self, close_request: u8, cx: &mut TaskContext<'_>) {
        if close_request == CLOSES_NOW {
            for task in self.machine.sockets() {
                task.socket().disconnect();
            }
            return self.close_session(DisconnectReason::ServerNamespaceDisconnect, cx);
        }
        // Takes the results of the handlers that have finished.
        let server = &self.server;
        self.machine.for_each(|entry| {
            if entry.socket().is_busy() {
                advance(entry, server, cx);
            }
        });
        if !self.owes_acks() {
            self.session.close_for_shutdown();
        }
    }

    fn owes_acks(&self) -> bool {
        self.machine.sockets().any(SocketDriver::owes_acks)
    }

    /// Disconnects all sockets immediately. Running handlers continue, and the `on_disconnect` handlers run after them.
    fn close(&mut self, reason: DisconnectReason, cx: &mut TaskContext<'_>) {
        self.machine.close();
        self.notify_closed(reason);
        let server = &self.server;
        self.machine.for_each(|entry| {
            entry.socket().socket().leave_namespace(reason);
            advance(entry, server, cx);
        });
    }

    /// Calls the observers when the connection is over. Later calls have no effect.
    fn notify_closed(&mut self, reason: DisconnectReason) {
        if !std::mem::take(&mut self.is_observed_open) {
            return;
        }
        let description = self.session.close_description();
        self.notify(|connection| Observation::ConnectionClosed { connection, reason, description });
    }

    /// Calls the observers for a received event.
    #[cold]
    fn notify_received(socket: &Socket, event: &Event<'_>, is_ack_requested: bool) {
        let bytes = event.size();
        let event = ObservedEvent::new(event, is_ack_requested);
        socket.notify(|| Observation::EventReceived { socket, event, bytes });
    }

    #[cold]
    fn notify_ack(socket: &Socket, bytes: usize, is_awaited: bool) {
        socket.notify(|| Observation::AckReceived { socket, bytes, is_awaited });
    }

    /// Measures a turn that has begun at `started`, and in which `count` handlers ran, the last of them `last`.
    #[inline(never)]
    fn measure_turn(&mut self, count: usize, last: CalledHandler, started: Time) {
        self.unmeasured_turns = 0;
        if metrics::IS_ENABLED && self.measured_turns.is_multiple_of(MEASURED_TURNS_PER_SAMPLE) {
            self.client.calls.sample_next();
        }
        self.measured_turns = self.measured_turns.wrapping_add(1);
        let Some(duration) = too_long(started, net::now()) else { return };
        self.client.calls.measure_next();
        if count > 1 {
            return;
        }
        let (socket, handler) = match last {
            handler_calls::MIDDLEWARE => (None, ObservedHandler::Middleware),
            handler_calls::EVENT_MIDDLEWARE => (None, ObservedHandler::EventMiddleware),
            handler_calls::ON_CONNECTION => (None, ObservedHandler::Connection),
            handler_calls::ON_DISCONNECT => (None, ObservedHandler::Disconnect),
            handler_calls::MEASURED => return,
            address => {
                let found = self.machine.sockets().map(SocketDriver::socket).find_map(|socket| {
                    Some((Some(socket), ObservedHandler::Event(socket.handlers().events.event_at(address)?)))
                });
                let Some(found) = found else { return };
                found
            }
        };
        warn_blocked(&self.server, socket, handler, duration);
    }

    /// Handles a request to connect to a namespace.
    fn connect(
        server: &Server,
        session: &Session,
        client: &Arc<Client>,
        request: ConnectRequest<'_, '_, SocketDriver>,
        cx: &mut TaskContext<'_>,
    ) {
        match Self::candidate(server, session, client, &request) {
            Ok(driver) => advance(request.insert(driver), server, cx),
            Err(error) => {
                metrics::count(Series::SocketsRefusedByNamespace);
                let namespace = request.namespace();
                with_encoder(|encoder| {
                    match encode::connect_error(encoder, namespace, error.message(), None::<&()>) {
                        Ok(message) => Outgoing::new(session, server.parser()).send_or_log(message),
                        Err(error) => tracing::error!(%error, "cannot encode a connect error"),
                    }
                });
                server.report_refused(namespace, client.handshake(), None, &error);
            }
        }
    }

    /// Returns the driver of a socket in the requested namespace. If the namespace does not exist, the driver first asks
    /// the parents of namespaces.
    fn candidate(
        server: &Server,
        session: &Session,
        client: &Arc<Client>,
        request: &ConnectRequest<'_, '_, SocketDriver>,
    ) -> Result<SocketDriver, ConnectError> {
        if request.socket_count() >= server.limits().max_sockets {
            metrics::count(Series::MaxSockets);
            return Err(ConnectError::new(TOO_MANY_SOCKETS));
        }
        let namespaces = server.namespaces();
        let name = request.namespace();
        let new_socket = |namespace| {
            let id = match request.protocol() {
                Protocol::V4 => SocketId::of_session(name, session.id()),
                Protocol::V5 => server.new_socket_id().ok_or_else(|| ConnectError::new(INVALID_NAMESPACE))?,
            };
            let auth = request.auth().clone().into_owned();
            Ok::<_, ConnectError>(Socket::new(id, namespace, session.clone(), Arc::clone(client), auth))
        };
        match namespaces.join(name) {
            Some((namespace, member)) => Ok(SocketDriver::new(new_socket(namespace)?, member)),
            None => {
                let parents = namespaces.parents_for(name)?;
                Ok(SocketDriver::new_checked(new_socket(namespaces.detached(name))?, parents, server))
            }
        }
    }
}

#[cold]
fn trace_received(socket: &Socket, event: &Event<'_>) {
    let (socket, bytes) = (socket.log_id(), event.size());
    tracing::trace!(socket, event = %Excerpt(event.name()), bytes, "event received");
}

const TOO_MANY_SOCKETS: &str = "Too many namespaces on one connection";

/// Advances a socket as far as possible without waiting.
fn advance(mut entry: SocketEntry<'_, SocketDriver>, server: &Server, cx: &mut TaskContext<'_>) {
    while entry.socket_mut().advance(server, cx) == Progress::Accepted {
        // Update the state machine first. If the `on_connection` handler disconnects the socket, events that arrive
        // afterwards are not a protocol violation.
        let is_connected = if entry.socket().has_resumed() {
            // The adapter has sent the response.
            entry.set_connected();
            true
        } else {
            entry.accept()
        };
        if is_connected {
            entry.socket().socket().session().set_authenticated();
            entry.socket_mut().call_on_connection(server, cx);
        }
    }
    if entry.socket().is_finished() {
        entry.remove();
    }
}

impl Drop for Connection {
    /// Removes the sockets from their namespaces, even if the runtime stops or the task panics.
    fn drop(&mut self) {
        self.notify_closed(DisconnectReason::ForcedClose);
        for task in self.machine.sockets() {
            task.socket().leave_namespace(DisconnectReason::ForcedClose);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("session", &self.session).finish_non_exhaustive()
    }
}

impl SessionHandler for Connection {
    fn on_message(&mut self, message: Message<'_>, now: Time, cx: &mut TaskContext<'_>) {
        let Self { server, session, client, machine, is_observed, events_received, .. } = self;
        let received = match message {
            Message::Text(text) => machine.handle_text(text, now),
            Message::Binary(data) => machine.handle_binary(data, now),
        };
        match received {
            Ok(None) => {}
            // The event stays where it is: moving it costs twenty instructions.
            Ok(Some(Received::Event { mut socket, ref event, ack })) => {
                *events_received += 1;
                if tracing::enabled!(tracing::Level::TRACE) {
                    trace_received(socket.socket().socket(), event);
                }
                if *is_observed {
                    Self::notify_received(socket.socket().socket(), event, ack.is_some());
                }
                let handled = socket.socket_mut().handle_event(event, ack, server, cx);
                if handled.is_disconnected {
                    advance(socket, server, cx);
                }
                if handled.is_queued {
                    self.enforce_limits(cx);
                }
            }
            Ok(Some(Received::Ack { socket, id, arguments })) => {
                metrics::count(Series::AcksReceived);
                let socket = socket.socket().socket();
                let bytes = if *is_observed { arguments.size() } else { 0 };
                let is_awaited = socket.acks().resolve(id, arguments);
                if *is_observed {
                    Self::notify_ack(socket, bytes, is_awaited);
                }
            }
            Ok(Some(Received::Connect(request))) => Self::connect(server, session, client, request, cx),
            Ok(Some(Received::Disconnect(entry))) => {
                entry.socket().socket().leave_namespace(DisconnectReason::ClientNamespaceDisconnect);
                advance(entry, server, cx);
            }
            Err(violation) => self.handle_violation(violation, cx),
        }
    }

    fn on_close(&mut self, reason: CloseReason, _now: Time, cx: &mut TaskContext<'_>) {
        self.close(reason.into(), cx);
    }

    fn begin_close(&mut self) -> bool {
        let owes_acks = self.owes_acks();
        if owes_acks {
            self.client.close_without_owed_acks();
        }
        !owes_acks
    }

    fn on_upgrade(&mut self, _: Transport) {
        self.notify(|connection| Observation::ConnectionUpgraded { connection });
        self.client.has_upgraded.store(true, Ordering::Release);
        for task in self.machine.sockets() {
            task.socket().handle_upgrade();
        }
    }

    fn on_input_handled(&mut self, now: Time) {
        if self.events_received > 0 {
            metrics::add(Series::EventsReceived, self.events_received as usize);
            self.events_received = 0;
        }
        let (count, last) = self.client.calls.take();
        if count == 0 {
            return;
        }
        // The poll has begun at `now`, and an earlier turn of the same poll may have taken long.
        let is_first = std::mem::replace(&mut self.last_poll, now) != now;
        if is_first && self.unmeasured_turns >= MAX_UNMEASURED_TURNS {
            self.measure_turn(count, last, now);
        } else {
            self.unmeasured_turns = self.unmeasured_turns.saturating_add(1);
        }
    }

    fn poll(&mut self, now: Time, cx: &mut TaskContext<'_>) -> Poll<()> {
        let close_request = self.client.close_request.load(Ordering::Acquire);
        if close_request != STAYS_OPEN && !self.machine.is_closed() {
            self.handle_close_request(close_request, cx);
        }
        let Self { server, session, client, machine, .. } = self;
        if let Some(request) = machine.connect_main() {
            Self::connect(server, session, client, request, cx);
        }
        let server = &self.server;
        self.machine.for_each(|entry| {
            let driver = entry.socket();
            let socket = driver.socket();
            let count = socket.acks().handle_timeout(now);
            if count > 0 {
                metrics::add(Series::AcksTimedOut, count);
                socket.notify(|| Observation::AcksTimedOut { socket, count });
            }
            if driver.is_busy() || driver.is_finished() {
                advance(entry, server, cx);
            }
        });
        // The sockets are advanced before this decision, because the engine reads next.
        let is_paused = self.machine.awaits_attachment() && !self.wants_input();
        self.machine.set_read_paused(is_paused, now);
        if let Some(violation) = self.machine.handle_timeout(now) {
            self.handle_violation(violation, cx);
        }
        if self.machine.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_timeout(&self) -> Option<Time> {
        // In each turn. A chain of iterators would cost twice as much.
        let mut next = self.machine.poll_timeout();
        for task in self.machine.sockets() {
            if let Some(due) = task.socket().acks().poll_timeout() {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        next
    }

    fn received_memory(&self) -> usize {
        let sockets = self.machine.sockets().map(SocketDriver::memory);
        self.machine.attachment_bytes() + sockets.sum::<usize>()
    }

    fn wants_input(&self) -> bool {
        let EventQueueSize { events, bytes } = self.queued();
        let limits = self.server.limits();
        // If a handler awaits an acknowledgement, the connection must continue to read. Otherwise the handler would
        // wait forever. The hard limits apply in this case.
        (events < limits.max_queued_events && bytes < limits.max_queued_bytes)
            || self.machine.sockets().any(|task| task.socket().acks().has_waiters())
    }
}

#[cfg(test)]
mod tests {
    use super::Connection;

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Connection>() <= 216, "{} bytes", size_of::<Connection>());
    }
}
