//! The interface between a server and an adapter.

use std::sync::{Arc, Weak};

use socketio_proto::{EncodedEvent, SocketId};
use ws_proto::Time;

use crate::cluster::BusStats;
use crate::host::Host;
use crate::in_memory::InMemoryAdapter;
use crate::limits::JoinError;
use crate::local_socket::LocalSocket;
use crate::options::BroadcastOptions;
use crate::ready::Ready;
use crate::recovery::{Recovery, RecoveryOptions};
use crate::request::Request;

/// Creates the adapter of each namespace.
///
/// Implemented by closures of the form `|namespace: &str, host: Weak<dyn Host>| -> Arc<dyn Adapter>`.
pub trait AdapterFactory: Send + Sync {
    /// Creates the adapter of the namespace with this name. `host` is the namespace. It does not exist yet, so the
    /// adapter keeps it and upgrades it later.
    ///
    /// The server may drop the adapter without using it, if another thread creates the same namespace at the same time.
    /// Therefore, an adapter must have no effect outside this process before [`Adapter::start`].
    fn create(&self, namespace: &str, host: Weak<dyn Host>) -> Arc<dyn Adapter>;

    /// Returns what the connection of this server to a message bus has counted, for the metrics of the cluster. It must not
    /// wait. Default: `None`, for adapters without a message bus. The server asks once when it is built, and with `None` not
    /// again.
    fn bus_stats(&self) -> Option<BusStats> {
        None
    }
}

impl<F> AdapterFactory for F
where
    F: Fn(&str, Weak<dyn Host>) -> Arc<dyn Adapter> + Send + Sync,
{
    fn create(&self, namespace: &str, host: Weak<dyn Host>) -> Arc<dyn Adapter> {
        self(namespace, host)
    }
}

/// The sockets of one namespace in all servers of a cluster.
///
/// An adapter keeps the sockets of its own process in an [`InMemoryAdapter`], which [`local`](Self::local) returns. By
/// default, every method does its work there, which is right for a single process. An adapter of a cluster overrides
/// the methods that concern the other servers. `ClusterAdapter` does that for any message bus, see [`cluster`](crate::cluster).
///
/// No method waits. Unless it says otherwise, a method takes effect on this process before it returns, and the other
/// servers are informed after that. If [`BroadcastOptions::local`] is set, they are not informed.
///
/// This adapter counts the broadcasts of its process:
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use std::sync::{Arc, Weak};
///
/// use tidewire_adapter::{Adapter, BroadcastOptions, EncodedEvent, Host, InMemoryAdapter};
///
/// #[derive(Default)]
/// struct Counting {
///     local: InMemoryAdapter,
///     broadcasts: AtomicUsize,
/// }
///
/// impl Adapter for Counting {
///     fn local(&self) -> &InMemoryAdapter {
///         &self.local
///     }
///
///     fn broadcast(&self, event: &EncodedEvent, options: &BroadcastOptions) -> Option<usize> {
///         self.broadcasts.fetch_add(1, Ordering::Relaxed);
///         Some(self.local.broadcast(event, options))
///     }
/// }
///
/// // For the `adapter` method of a server's builder:
/// let factory = |_namespace: &str, _host: Weak<dyn Host>| -> Arc<dyn Adapter> { Arc::new(Counting::default()) };
/// # let _ = factory;
/// ```
pub trait Adapter: Send + Sync {
    /// Returns the sockets of this process.
    fn local(&self) -> &InMemoryAdapter;

    /// Is called once, when the namespace has been created and clients may connect to it soon. An adapter of a cluster
    /// joins the cluster now. The caller may be outside an async runtime. Default: does nothing.
    fn start(&self, now: Time) {
        let _ = now;
    }

    /// Returns a future that is ready when clients may connect to the namespace. Each client that requests the
    /// namespace waits for one. Default: ready at once.
    ///
    /// An adapter that cannot reach its message bus must not let clients wait for ever: it limits this time and lets
    /// them in.
    fn ready(&self) -> Ready {
        Ready::now()
    }

    /// Is called when the namespace is removed or the server is closed, perhaps more than once. An adapter of a cluster
    /// leaves the cluster. The future is ready when it has done so. Default: does nothing.
    fn close(&self) -> Ready {
        Ready::now()
    }

    /// Adds a socket of this process. See [`InMemoryAdapter::insert`].
    fn insert(&self, socket: Arc<dyn LocalSocket>) {
        self.local().insert(socket);
    }

    /// Puts a socket of this process into rooms. See [`InMemoryAdapter::add_all`]. The future is ready when broadcasts
    /// of all servers to these rooms reach the socket.
    ///
    /// # Errors
    /// Returns an error for the first room that the limits of the socket do not allow. The socket has then joined the
    /// rooms before it in `rooms`, and none after it.
    fn add_all(&self, id: &SocketId, rooms: &[&str]) -> Result<Ready, JoinError> {
        self.local().add_all(id, rooms).map(|()| Ready::now())
    }

    /// Takes a socket of this process out of a room. See [`InMemoryAdapter::del`].
    fn del(&self, id: &SocketId, room: &str) {
        self.local().del(id, room);
    }

    /// Removes a socket of this process and takes it out of all its rooms.
    fn del_all(&self, id: &SocketId) {
        self.local().del_all(id);
    }

    /// Removes a socket like [`del_all`](Self::del_all), and calls `then` when all events that this process has sent before
    /// were delivered to it. The server calls it with a socket that the program disconnects. Default: calls `then` at once,
    /// which is right if [`broadcast`](Self::broadcast) delivers at once.
    fn del_all_and_then(&self, id: &SocketId, then: Box<dyn FnOnce() + Send>) {
        self.del_all(id);
        then();
    }

    /// Returns whether events that this process has sent are not delivered to its sockets yet. Default: `false`, which is right
    /// if [`broadcast`](Self::broadcast) delivers at once.
    fn has_undelivered_events(&self) -> bool {
        false
    }

    /// Calls `then` when all events that this process has sent before were delivered to its sockets. If some are undelivered, the
    /// server sends an event for one socket in `then`, so that the event does not overtake them. Default: calls `then` at once.
    fn after_earlier_events(&self, then: Box<dyn FnOnce() + Send>) {
        then();
    }

    /// Delivers an event to the sockets that the options select. Each socket receives one copy. Returns the number of
    /// receivers in this process.
    ///
    /// An adapter whose message bus orders the events of all servers delivers the event later, when the bus returns it.
    /// It returns `None`.
    fn broadcast(&self, event: &EncodedEvent, options: &BroadcastOptions) -> Option<usize> {
        Some(self.local().broadcast(event, options))
    }

    /// Delivers an event to the sockets that the options select, and passes their acknowledgements to
    /// [`Request::replies`], as [`Reply::Ack`](crate::Reply::Ack). A client or a server that does not reply is reported
    /// as [`Reply::Missing`](crate::Reply::Missing), as soon as that is certain.
    ///
    /// `event` was encoded with the acknowledgement id `ack_id`. Other servers encode it again with an id of their own.
    fn broadcast_with_ack(
        &self,
        event: &EncodedEvent,
        ack_id: u64,
        options: &BroadcastOptions,
        request: Request,
    ) {
        self.local().broadcast_with_ack(event, ack_id, options, &request);
    }

    /// Puts the sockets that the options select into rooms. See [`InMemoryAdapter::add_sockets`].
    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[&str]) {
        self.local().add_sockets(options, rooms);
    }

    /// Takes the sockets that the options select out of rooms.
    fn del_sockets(&self, options: &BroadcastOptions, rooms: &[&str]) {
        self.local().del_sockets(options, rooms);
    }

    /// Disconnects the sockets that the options select. See [`LocalSocket::disconnect`].
    fn disconnect_sockets(&self, options: &BroadcastOptions, close_connection: bool) {
        self.local().disconnect_sockets(options, close_connection);
    }

    /// Asks the *other* servers for the sockets that the options select. Each one replies with
    /// [`Reply::Sockets`](crate::Reply::Sockets). Default: there is no other server.
    fn fetch_sockets(&self, options: &BroadcastOptions, request: Request) {
        let _ = (options, request);
    }

    /// Sends an event to the *other* servers, which call [`Host::on_server_side_emit`]. With a `request`, each one
    /// replies with [`Reply::Server`](crate::Reply::Server). Default: there is no other server.
    fn server_side_emit(&self, event: &EncodedEvent, request: Option<Request>) {
        let _ = (event, request);
    }

    /// Returns the number of servers that share the namespace, including this one, as far as the adapter knows it now.
    /// `None` if it does not know. Default: 1.
    fn server_count(&self) -> Option<usize> {
        Some(1)
    }

    /// Makes the adapter keep the sessions of disconnected clients and a log of events, see [`Recovery`]. The server calls
    /// this at most once, before [`start`](Self::start). Returns `false` if the adapter does not support recovery. Default:
    /// `false`.
    fn enable_recovery(&self, options: RecoveryOptions, host: Weak<dyn Host>) -> bool {
        let _ = (options, host);
        false
    }

    /// Returns the part of the adapter that keeps the sessions of disconnected clients, if recovery is enabled. Default:
    /// `None`.
    fn recovery(&self) -> Option<&dyn Recovery> {
        None
    }
}
