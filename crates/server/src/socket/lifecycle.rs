//! A socket as the rest of the server sees it: its connection, its handlers and the adapter of its namespace.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use adapter::{JoinError, LocalSocket, SocketId};
use engineio::Session;
use engineio_proto::EncodedMessage;
use handlers::{Acknowledge, EventHandler, HandlerError, with_encoder};
use socketio_proto::server::DisconnectReason;
use socketio_proto::{EncodedEvent, encode};

use super::acks::PendingAcks;
use super::{Socket, SocketInner};
use crate::handler::{NamespaceHandlers, ServerSide};

/// The phases of a socket. From [`DISCONNECTED`] on, the number is that plus [`DisconnectReason::code`].
pub(super) const CONNECTING: u8 = 0;
pub(super) const CONNECTED: u8 = 1;
const DISCONNECTED: u8 = 2;

impl Socket {
    pub(crate) fn session(&self) -> &Session {
        &self.0.session
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

    /// The handler of `event` that this socket alone has.
    pub(crate) fn socket_handler(&self, event: &str) -> Option<EventHandler<ServerSide>> {
        let own = self.0.extensions.get()?.lock().unwrap_or_else(PoisonError::into_inner);
        own.handlers.iter().find(|(name, _)| **name == *event).map(|(_, handler)| handler.clone())
    }

    pub(super) fn send_disconnect(&self) {
        with_encoder(|encoder| {
            self.0.session.send(encode::disconnect(encoder, self.0.namespace.name()));
        });
    }

    /// The client is let in: it is told so, and from now on it receives what is sent to its rooms.
    pub(crate) fn enter_namespace(&self) {
        with_encoder(|encoder| {
            self.0.session.send(encode::connect(encoder, self.0.namespace.name(), &self.0.id));
        });
        let entered =
            self.0.state.compare_exchange(CONNECTING, CONNECTED, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if entered {
            tracing::debug!(socket = %self.0.id, namespace = self.0.namespace.name(), "joined");
            self.0.namespace.adapter().add(Arc::new(self.clone()));
        }
        // A middleware may have given the socket to another task, which disconnected it just now: before it was added,
        // so that nobody has removed it, and perhaps before the client was told that it is in.
        if let Some(reason) = self.disconnect_reason() {
            self.0.namespace.adapter().del_all(self.0.id);
            if reason == DisconnectReason::ServerNamespaceDisconnect {
                self.send_disconnect();
            }
        }
    }

    /// The socket is gone, at once. `false` when it was gone before.
    pub(crate) fn leave_namespace(&self, reason: DisconnectReason) -> bool {
        let gone = DISCONNECTED + reason.code();
        let left = self
            .0
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |phase| (phase < DISCONNECTED).then_some(gone))
            .is_ok();
        if left {
            tracing::debug!(socket = %self.0.id, namespace = self.0.namespace.name(), %reason, "left");
            self.0.namespace.adapter().del_all(self.0.id);
            self.0.acks.close();
            self.0.disconnected.notify_waiters();
        }
        left
    }

    pub(crate) fn disconnect_reason(&self) -> Option<DisconnectReason> {
        let phase = self.0.state.load(Ordering::Acquire);
        DisconnectReason::from_code(phase.checked_sub(DISCONNECTED)?)
    }
}

impl Acknowledge for SocketInner {
    fn namespace(&self) -> &str {
        self.namespace.name()
    }

    fn send_ack(&self, message: EncodedMessage<'_>) {
        self.session.send(message);
    }

    fn report_error(self: Arc<Self>, error: &HandlerError, event: Option<&str>) {
        let socket = Socket(self);
        socket.namespace().report(error, &socket, event);
    }
}

impl LocalSocket for Socket {
    fn id(&self) -> SocketId {
        self.0.id
    }

    fn deliver(&self, event: &EncodedEvent, volatile: bool) -> Option<Waker> {
        if volatile && !self.0.session.is_writable() {
            return None;
        }
        self.0.session.send_shared(event.message())
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
        self.0.namespace.report(&error.into(), self, None);
    }
}
