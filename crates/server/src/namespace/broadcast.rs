//! Operations on many sockets at once.

use std::sync::Arc;
use std::time::Duration;

use adapter::{Adapter, BroadcastOptions, DeliveryPolicy, EncodedEvent, SocketId};
use bytes::Bytes;
use net::TurnBudget;
use serde::Serialize;
use socketio_proto::Excerpt;

use super::Namespace;
use crate::observer::{DropReason, Observation};
use crate::rooms::Rooms;
use crate::socket::{BroadcastOutcomes, EmitError, Socket, encode_event, log_emit_error, observe_broadcast};

/// A selection of sockets that receive an event. It consists of all sockets of a namespace, or of the sockets in some
/// rooms. It can exclude the sockets in other rooms.
///
/// A socket in several of the rooms receives the event once. The event is encoded once for all sockets. If one thread
/// sends several events, each socket receives them in the order in which the thread sent them.
///
/// `N` is the namespace. A [`ParentBroadcast`](crate::ParentBroadcast) selects sockets in all children of a
/// [`ParentNamespace`](crate::ParentNamespace).
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `emit`"]
pub struct Broadcast<N = Namespace> {
    pub(super) namespace: N,
    pub(super) options: BroadcastOptions,
    pub(super) compress: bool,
    /// [`to`](Self::to) was called. Without rooms, nobody is selected then; the adapter would select everyone.
    pub(super) is_limited_to_rooms: bool,
    /// How long to wait for replies. `None` is the default of the server.
    pub(super) timeout: Option<Duration>,
}

impl<N> Broadcast<N> {
    pub(crate) fn new(namespace: N) -> Self {
        let options = BroadcastOptions::new();
        Self { namespace, options, compress: true, is_limited_to_rooms: false, timeout: None }
    }

    /// Selects the sockets in a room, or in one of several rooms. A second call adds rooms. If the list is empty, and
    /// no other call names a room, nobody is selected. In Node, an empty list selects everyone.
    pub fn to(mut self, rooms: impl Rooms) -> Self {
        rooms.append_to(&mut self.options.rooms);
        self.is_limited_to_rooms = true;
        self
    }

    /// The same as [`to`](Self::to).
    pub fn in_(self, rooms: impl Rooms) -> Self {
        self.to(rooms)
    }

    /// Removes the sockets in these rooms from the selection.
    pub fn except(mut self, rooms: impl Rooms) -> Self {
        rooms.append_to(&mut self.options.except);
        self
    }

    /// Limits the selection to sockets that are connected to this server of the cluster.
    pub fn local(mut self) -> Self {
        self.options.local = true;
        self
    }

    /// Makes the event volatile: the server drops it for each socket whose connection is not ready to send it, see
    /// [`Emitter::volatile`](crate::Emitter::volatile).
    pub fn volatile(mut self) -> Self {
        self.options.policy = DeliveryPolicy::Volatile;
        self
    }

    /// Sends only the latest state to clients that read slowly: for each socket whose connection is behind, the event is
    /// kept under `key`, and replaces the one that was kept under this key before, see
    /// [`Emitter::keep_latest`](crate::Emitter::keep_latest). All receivers share the memory of the event.
    ///
    /// ```
    /// # use tidewire_server::Server;
    /// # let io = Server::new();
    /// io.to("stocks").keep_latest("ACME").emit("price", ("ACME", 17.5));
    /// ```
    pub fn keep_latest(mut self, key: impl AsRef<str>) -> Self {
        self.options.policy = DeliveryPolicy::KeepLatest(key.as_ref().into());
        self
    }

    /// Sets whether the event may be compressed, see [`Emitter::compress`](crate::Emitter::compress). Default true.
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// Sets how long to wait for replies, instead of the server's [`Limits`](crate::Limits): for the acknowledgements of
    /// [`emit_with_ack`](Self::emit_with_ack), and for the other servers in [`fetch_sockets`](Self::fetch_sockets).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl Broadcast {
    /// Sends an event. See [`Socket::emit`] for the arguments and for slow clients.
    pub fn emit<T: Serialize>(self, event: impl AsRef<str>, arguments: T) {
        let event = event.as_ref();
        if let Err(error) = self.try_emit(event, arguments) {
            log_emit_error(event, &error);
        }
    }

    /// Sends an event, or returns an error if it cannot be encoded.
    ///
    /// # Errors
    /// Returns [`EmitError::Encode`] if the arguments cannot be encoded.
    pub fn try_emit<T: Serialize>(self, event: impl AsRef<str>, arguments: T) -> Result<(), EmitError> {
        let name = event.as_ref();
        let event = encode_event(&self.namespace, None, name, &arguments, self.compress)?;
        if self.selects_nobody() {
            return Ok(());
        }
        if !self.namespace.has_outgoing_listeners() {
            self.deliver(name, &event);
            return Ok(());
        }
        // The observers are the program's code, so they must not run while the adapter holds its lock.
        let receivers = self.sockets();
        self.deliver(name, &event);
        observe_broadcast(&receivers, &event);
        Ok(())
    }

    fn deliver(&self, name: &str, event: &EncodedEvent) {
        // An adapter that delivers the event later does not know the number of receivers yet.
        if tracing::enabled!(tracing::Level::TRACE) {
            tracing::trace!(namespace = self.namespace.name(), event = %Excerpt(name), "broadcasting an event");
        }
        self.observed(name, event, |adapter| {
            let receivers = adapter.broadcast(event, &self.options).unwrap_or(0);
            TurnBudget::charge_deliveries(receivers);
            receivers
        });
    }

    /// Calls `deliver`, which passes the event to the adapter and returns the number of selected sockets. Then tells the
    /// observers of the server how many of them received it.
    pub(super) fn observed(
        &self,
        name: &str,
        event: &EncodedEvent,
        deliver: impl FnOnce(&dyn Adapter) -> usize,
    ) {
        let adapter = self.namespace.adapter();
        if !self.namespace.observers().is_active() {
            deliver(adapter);
            return;
        }
        let _ = BroadcastOutcomes::take();
        let selected = deliver(adapter);
        self.notify(name, event, selected, BroadcastOutcomes::take());
    }

    #[cold]
    fn notify(&self, event: &str, encoded: &EncodedEvent, selected: usize, outcomes: BroadcastOutcomes) {
        let (namespace, message) = (&self.namespace, encoded.message());
        let bytes = message.text().len() + message.attachments().iter().map(Bytes::len).sum::<usize>();
        let receivers = selected.saturating_sub(outcomes.dropped + outcomes.overflowed);
        namespace.observers().notify(|| Observation::EventBroadcast { namespace, event, bytes, receivers });
        for (reason, receivers) in [
            (DropReason::Volatile, outcomes.dropped),
            (DropReason::Replaced, outcomes.replaced),
            (DropReason::Overflow, outcomes.overflowed),
        ] {
            if receivers > 0 {
                let socket = None;
                namespace.observers().notify(|| Observation::EventDropped {
                    namespace,
                    socket,
                    event,
                    reason,
                    receivers,
                });
            }
        }
    }

    /// Returns the ids of the selected sockets that are connected to this server.
    #[must_use]
    pub fn socket_ids(&self) -> Vec<SocketId> {
        if self.selects_nobody() {
            return Vec::new();
        }
        self.namespace.adapter().local().sockets(&self.options)
    }

    /// Returns the selected sockets that are connected to this server. [`fetch_sockets`](Self::fetch_sockets) returns
    /// those of all servers of the cluster.
    #[must_use]
    pub fn sockets(&self) -> Vec<Socket> {
        if self.selects_nobody() {
            return Vec::new();
        }
        let mut sockets = Vec::new();
        for member in self.namespace.adapter().local().local_sockets(&self.options) {
            if let Ok(socket) = Arc::downcast::<Socket>(member) {
                sockets.push((*socket).clone());
            }
        }
        sockets
    }

    /// Makes all selected sockets join a room, or a list of rooms, on all servers of the cluster. If the
    /// [`Limits`](crate::Limits) do not allow a socket to join, the [`on_error`](crate::Builder::on_error) hook of its
    /// server is called for it.
    pub fn sockets_join(&self, rooms: impl Rooms) {
        if !self.selects_nobody() {
            rooms.with_names(|names| self.namespace.adapter().add_sockets(&self.options, names));
        }
    }

    /// Makes all selected sockets leave a room, or a list of rooms, on all servers of the cluster.
    pub fn sockets_leave(&self, rooms: impl Rooms) {
        if !self.selects_nobody() {
            rooms.with_names(|names| self.namespace.adapter().del_sockets(&self.options, names));
        }
    }

    /// Disconnects all selected sockets from the namespace, on all servers of the cluster. If `close_connections` is
    /// true, also closes their connections.
    pub fn disconnect_sockets(&self, close_connections: bool) {
        if !self.selects_nobody() {
            self.namespace.adapter().disconnect_sockets(&self.options, close_connections);
        }
    }

    pub(super) fn selects_nobody(&self) -> bool {
        self.is_limited_to_rooms && self.options.rooms.is_empty()
    }
}
