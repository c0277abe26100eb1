//! The life of a socket: connecting to and disconnecting from its namespace, and its interface to handlers and adapter.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use adapter::{
    AckWaiter, DeliveryPolicy, JoinError, LocalSocket, MissingReason, RemoteSocketState, Room, SocketId,
};
use engineio::Session;
use engineio_proto::{EncodedMessage, MessageEncoder};
use handlers::{Acknowledge, EventHandler, HandlerError, with_encoder};
use net::SlowReaderPolicy;
use net::metrics::{self, Series};
use socketio_proto::server::{DisconnectReason, Protocol};
use socketio_proto::{Arguments, EncodedEvent, encode};

use super::acks::PendingAcks;
use super::{Socket, SocketInner};
use crate::connection::handler_calls::HandlerCalls;
use crate::handler::{NamespaceHandlers, ServerSide};
use crate::observer::Observation;
use crate::outgoing::Outgoing;

/// The phases of a socket. A disconnected socket has the phase [`DISCONNECTED`] plus [`DisconnectReason::code`].
pub(super) const CONNECTING: u8 = 0;
pub(super) const CONNECTED: u8 = 1;
pub(super) const DISCONNECTED: u8 = 2;

impl Socket {
    pub(crate) fn session(&self) -> &Session {
        &self.0.session
    }

    /// Returns what a log line may contain of the id: of a client of Socket.IO 4, not the secret id of the session.
    pub(crate) fn log_id(&self) -> &str {
        self.0.log_id()
    }

    /// Returns the calls of the handlers of the connection.
    pub(crate) fn calls(&self) -> &HandlerCalls {
        self.0.client.calls()
    }

    pub(crate) fn acks(&self) -> &PendingAcks {
        &self.0.acks
    }

    pub(crate) fn handlers(&self) -> &Arc<NamespaceHandlers> {
        &self.0.handlers
    }

    pub(crate) fn inner(&self) -> &Arc<SocketInner> {
        &self.0
    }

    /// Returns the handler of `event` that is registered on this socket only. Removes it if it is for one event only.
    pub(crate) fn socket_handler(&self, event: &str) -> Option<EventHandler<ServerSide>> {
        let mut own = self.0.extensions.get()?.lists();
        if let Some(index) = own.once.iter().position(|(name, _)| **name == *event) {
            return Some(own.once.swap_remove(index).1);
        }
        own.handlers.iter().find(|(name, _)| **name == *event).map(|(_, handler)| handler.clone())
    }

    pub(super) fn send_disconnect(&self) {
        with_encoder(|encoder| {
            self.0.outgoing().send_or_log(encode::disconnect(encoder, self.0.namespace.name()));
        });
    }

    /// Connects the socket: tells the client, and adds the socket to the adapter, so that it receives broadcasts.
    pub(crate) fn enter_namespace(&self) {
        if let Some((session, recovery)) = self.session_and_recovery() {
            recovery.begin(&session.pid, Arc::new(self.clone()));
            return self.finish_entering(None);
        }
        with_encoder(|encoder| {
            let namespace = self.0.namespace.name();
            self.0.outgoing().send_or_log(match self.0.protocol() {
                Protocol::V4 => encode::protocol4::connect(encoder, namespace),
                Protocol::V5 => encode::connect(encoder, namespace, &self.0.id),
            });
        });
        let entered =
            self.0.state.compare_exchange(CONNECTING, CONNECTED, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if entered {
            tracing::debug!(socket = self.log_id(), namespace = self.0.namespace.name(), "socket connected");
            self.0.namespace.socket_count().connected();
            self.notify(|| Observation::SocketConnected { socket: self });
            self.0.namespace.adapter().insert(Arc::new(self.clone()));
        }
        // A middleware or an observer may have passed the socket to another task, and that task may have disconnected it
        // before this function added it to the adapter. Then this function must remove it from the adapter. If the socket
        // was not connected yet, the disconnect packet of that task was sent before the connect packet, or is ignored, so
        // this function sends it again.
        if let Some(reason) = self.disconnect_reason() {
            if !entered {
                self.notify(|| Observation::SocketAbandoned { socket: self, reason });
            }
            self.0.namespace.adapter().del_all(&self.0.id);
            if reason == DisconnectReason::ServerNamespaceDisconnect && !entered {
                self.send_disconnect();
            }
        }
    }

    /// Disconnects the socket immediately. Returns `false` if it was already disconnected.
    pub(crate) fn leave_namespace(&self, reason: DisconnectReason) -> bool {
        let Some(former) = self.begin_disconnect(reason) else { return false };
        self.leave_adapter(reason);
        // A later socket of the client in this namespace must not get events that were kept for this one.
        match reason {
            DisconnectReason::ClientNamespaceDisconnect => {
                self.0.session.discard_latest(self.0.namespace.name());
            }
            _ => self.0.session.release_latest(self.0.namespace.name()),
        }
        self.finish_disconnect(former, reason);
        true
    }

    /// Disconnects the socket for the program. The client is told when it has got all events that were sent before, and
    /// then the connection is closed if the program wants that. Returns `false` if the socket was already disconnected.
    pub(super) fn leave_by_program(&self, closes_connection: bool) -> bool {
        let reason = DisconnectReason::ServerNamespaceDisconnect;
        let Some(former) = self.begin_disconnect(reason) else { return false };
        let socket = self.clone();
        let finish = move || {
            socket.0.awaits_events.store(false, Ordering::Release);
            socket.0.session.release_latest(socket.0.namespace.name());
            socket.send_disconnect();
            if closes_connection {
                socket.request_close();
            }
            socket.0.session.wake();
        };
        if self.has_never_entered() {
            finish();
        } else {
            self.0.awaits_events.store(true, Ordering::Release);
            self.0.namespace.adapter().del_all_and_then(&self.0.id, Box::new(finish));
        }
        self.finish_disconnect(former, reason);
        true
    }

    /// Makes the connection's task close the connection, because that task owns its other sockets.
    pub(super) fn request_close(&self) {
        self.0.client.close_connection();
        self.0.session.wake();
    }

    /// Marks the socket as disconnected, and returns its state before. `None` if it was already disconnected. The caller
    /// removes the socket from the adapter, and then calls [`finish_disconnect`](Self::finish_disconnect).
    fn begin_disconnect(&self, reason: DisconnectReason) -> Option<u8> {
        let gone = DISCONNECTED + reason.code();
        let former = self.0.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |phase| {
            (phase < DISCONNECTED).then_some(gone)
        });
        let former = former.ok()?;
        // A socket that a middleware has refused was never connected.
        if former == CONNECTED {
            tracing::debug!(socket = self.log_id(), namespace = self.0.namespace.name(), %reason, "socket disconnected");
            self.call_on_disconnecting(reason);
        }
        self.0.has_left_rooms.store(true, Ordering::Release);
        Some(former)
    }

    fn finish_disconnect(&self, former: u8, reason: DisconnectReason) {
        self.0.acks.close();
        self.end_stream();
        self.0.changed.notify_waiters();
        if former == CONNECTED {
            self.0.namespace.socket_count().disconnected();
            metrics::count(disconnected_series(reason));
            self.notify(|| Observation::SocketDisconnected { socket: self, reason });
        }
    }

    /// Tells the program that the connection has moved to another transport.
    pub(crate) fn handle_upgrade(&self) {
        self.0.changed.notify_waiters();
        if self.is_connected() {
            self.call_on_upgrade();
        }
    }

    /// Calls the observers of the server, if there are any.
    #[inline]
    pub(crate) fn notify<'a>(&self, observation: impl FnOnce() -> Observation<'a>) {
        let observers = self.0.namespace.observers();
        if observers.is_active() {
            observers.call(&observation());
        }
    }

    pub(crate) fn disconnect_reason(&self) -> Option<DisconnectReason> {
        let phase = self.0.state.load(Ordering::Acquire);
        DisconnectReason::from_code(phase.checked_sub(DISCONNECTED)?)
    }
}

impl SocketInner {
    /// Returns where the packets of the socket go.
    #[inline]
    pub(crate) fn outgoing(&self) -> Outgoing<'_> {
        Outgoing::new(&self.session, self.namespace.parser())
    }

    pub(crate) fn protocol(&self) -> Protocol {
        protocol_of(&self.session)
    }

    pub(super) fn log_id(&self) -> &str {
        /// The number of characters at the end that only the client may know.
        const SECRET: usize = SocketId::LEN - 4;
        let id = self.id.as_str();
        match self.protocol() {
            Protocol::V4 => &id[..id.len() - SECRET],
            Protocol::V5 => id,
        }
    }
}

fn disconnected_series(reason: DisconnectReason) -> Series {
    match reason {
        DisconnectReason::ServerNamespaceDisconnect => Series::DisconnectedByServer,
        DisconnectReason::ClientNamespaceDisconnect => Series::DisconnectedByClient,
        DisconnectReason::TransportClose => Series::DisconnectedTransportClose,
        DisconnectReason::TransportError => Series::DisconnectedTransportError,
        DisconnectReason::PingTimeout => Series::DisconnectedPingTimeout,
        DisconnectReason::ParseError => Series::DisconnectedParseError,
        DisconnectReason::ForcedServerClose => Series::DisconnectedForcedServerClose,
        DisconnectReason::ServerShuttingDown => Series::DisconnectedShutdown,
        // The enum may get more reasons.
        _ => Series::DisconnectedForcedClose,
    }
}

/// Returns the revision of Socket.IO that the client of a session uses.
pub(super) fn protocol_of(session: &Session) -> Protocol {
    if session.protocol() == 3 { Protocol::V4 } else { Protocol::V5 }
}

impl Acknowledge for SocketInner {
    fn namespace(&self) -> &str {
        self.namespace.name()
    }

    fn prepare_encoder(&self, encoder: &mut MessageEncoder) {
        self.outgoing().prepare(encoder);
    }

    fn send_ack(&self, message: EncodedMessage<'_>) {
        let observers = self.namespace.observers();
        let bytes = if observers.is_active() { size(&message) } else { 0 };
        self.outgoing().send_or_log(message);
        observers.notify(|| Observation::AckSent { namespace: &self.namespace, socket_id: &self.id, bytes });
    }

    fn is_disconnected(&self) -> bool {
        self.state.load(Ordering::Acquire) >= DISCONNECTED
    }

    fn map_error(&self, error: HandlerError) -> HandlerError {
        self.namespace.map_error(error)
    }

    fn report_error(self: Arc<Self>, error: &HandlerError, event: Option<&str>) {
        let socket = Socket(self);
        socket.namespace().report_error(error, &socket, event);
    }
}

/// Returns the length of the text of a message and its attachments.
pub(crate) fn size(message: &EncodedMessage<'_>) -> usize {
    message.text().len() + message.attachments().map(<[u8]>::len).sum::<usize>()
}

impl LocalSocket for Socket {
    fn id(&self) -> &SocketId {
        &self.0.id
    }

    fn is_connected(&self) -> bool {
        Socket::is_connected(self)
    }

    fn deliver(&self, event: &EncodedEvent, policy: &DeliveryPolicy) -> Option<Waker> {
        // While `on_disconnecting` runs, the adapter still has the socket.
        if !self.is_connected() && !self.0.awaits_events.load(Ordering::Acquire) {
            return None;
        }
        let pushed = self.0.outgoing().send_shared(event, self.policy_of(policy))?;
        self.record_delivery(pushed.outcome);
        pushed.waker
    }

    fn wake_receivers(&self, wakers: Vec<Waker>) {
        net::wake_in_batches(wakers);
    }

    fn deliver_with_ack(&self, event: &EncodedEvent, ack_id: u64, timeout: Duration, waiter: AckWaiter) {
        if !self.is_connected() {
            return;
        }
        if self.0.acks.len() >= self.0.namespace.limits().max_pending_broadcast_acks {
            return waiter.fail(MissingReason::Limit);
        }
        let is_first = self.0.acks.insert_broadcast(ack_id, timeout, waiter);
        let Some(pushed) = self.0.outgoing().send_shared(event, SlowReaderPolicy::Disconnect) else {
            // It cannot be sent, so there will be no acknowledgement.
            return self.0.acks.remove(ack_id);
        };
        self.record_delivery(pushed.outcome);
        if let Some(waker) = pushed.waker {
            waker.wake();
        } else if is_first {
            // The connection's task must update its timer.
            self.0.session.wake();
        }
    }

    fn accept(&self, missed: &[EncodedEvent], generation: u64) -> Option<Waker> {
        self.accept_session(missed, generation)
    }

    fn evict(&self) -> bool {
        self.end_unnoticed_connection()
    }

    fn session_data(&self) -> Option<Arc<Arguments<'static>>> {
        self.stored_data()
    }

    fn state(&self, rooms: Vec<Room>) -> RemoteSocketState {
        self.remote_state(rooms)
    }

    fn disconnect(&self, close_connection: bool) {
        if close_connection {
            self.close_connection();
        } else {
            Socket::disconnect(self);
        }
    }

    fn limits(&self) -> adapter::Limits {
        let limits = self.0.namespace.limits();
        adapter::Limits { max_rooms: limits.max_rooms, max_room_name_len: limits.max_room_name_len }
    }

    fn on_join_error(&self, error: JoinError) {
        self.0.namespace.report_error(&error.into(), self, None);
    }
}
