//! Emits to many sockets.

use std::sync::Arc;

use adapter::{BroadcastOptions, Room, SocketId};
use serde::Serialize;

use super::Namespace;
use crate::socket::{EmitError, Socket, encode_event, log_emit_error};

/// Whom an emit goes to: the sockets of a namespace, or those in some of its rooms, less those in others.
///
/// A socket in several of the rooms gets one copy. The event is encoded once for all. What one thread emits, every
/// socket receives in that order.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `emit`"]
pub struct Broadcast {
    namespace: Namespace,
    options: BroadcastOptions,
}

impl Broadcast {
    pub(crate) fn new(namespace: Namespace) -> Self {
        Self { namespace, options: BroadcastOptions::new() }
    }

    /// Also those in `room`.
    pub fn to(mut self, room: impl Into<Room>) -> Self {
        self.options.rooms.push(room.into());
        self
    }

    /// The same as [`to`](Self::to).
    pub fn in_(self, room: impl Into<Room>) -> Self {
        self.to(room)
    }

    /// Not those in `room`.
    pub fn except(mut self, room: impl Into<Room>) -> Self {
        self.options.except.push(room.into());
        self
    }

    /// Only those that are connected to this server of the cluster.
    pub fn local(mut self) -> Self {
        self.options.local = true;
        self
    }

    /// Those whose connection is not ready for it may miss the event.
    pub fn volatile(mut self) -> Self {
        self.options.volatile = true;
        self
    }

    /// Sends an event; see [`Socket::emit`] for its arguments and for what happens to slow clients.
    pub fn emit<T: Serialize>(self, event: impl AsRef<str>, arguments: T) {
        let event = event.as_ref();
        if let Err(error) = self.try_emit(event, arguments) {
            log_emit_error(event, &error);
        }
    }

    /// Sends an event and tells how many sockets of this server it went to.
    ///
    /// # Errors
    /// The arguments cannot be written.
    pub fn try_emit<T: Serialize>(self, event: impl AsRef<str>, arguments: T) -> Result<usize, EmitError> {
        let event = encode_event(self.namespace.name(), event.as_ref(), &arguments)?;
        Ok(self.namespace.adapter().broadcast(&event, &self.options))
    }

    /// The ids of the sockets that are meant.
    #[must_use]
    pub fn socket_ids(&self) -> Vec<SocketId> {
        self.namespace.adapter().sockets(&self.options)
    }

    /// The sockets that are meant and connected to this server.
    #[must_use]
    pub fn sockets(&self) -> Vec<Socket> {
        let members = self.namespace.adapter().local_sockets(&self.options);
        members
            .into_iter()
            .filter_map(|member| Arc::downcast::<Socket>(member).ok().map(|socket| (*socket).clone()))
            .collect()
    }

    /// Makes them all join `room`. For each whose [`Limits`](crate::Limits) do not allow it, the server's
    /// [`on_error`](crate::Builder::on_error) hook is told.
    pub fn sockets_join(&self, room: impl AsRef<str>) {
        self.namespace.adapter().add_sockets(&self.options, &[room.as_ref()]);
    }

    /// Makes them all leave `room`.
    pub fn sockets_leave(&self, room: impl AsRef<str>) {
        self.namespace.adapter().del_sockets(&self.options, &[room.as_ref()]);
    }

    /// Disconnects them all from the namespace; with `close_connections` their connections close too.
    pub fn disconnect_sockets(&self, close_connections: bool) {
        self.namespace.adapter().disconnect_sockets(&self.options, close_connections);
    }
}
