//! A socket of this process, as an adapter sees it.

use std::any::Any;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use socketio_proto::{Arguments, EncodedEvent, SocketId};

use crate::limits::{JoinError, Limits};
use crate::options::DeliveryPolicy;
use crate::remote_socket::RemoteSocketState;
use crate::request::AckWaiter;
use crate::room::Room;

/// A socket of this process, as an adapter sees it.
///
/// The supertrait [`Any`] lets the server downcast a `dyn LocalSocket` from the adapter to its own socket type.
pub trait LocalSocket: Any + Send + Sync {
    /// Returns the id of the socket. It never changes.
    fn id(&self) -> &SocketId;

    /// Returns whether the socket is connected. [`InMemoryAdapter::del_all`](crate::InMemoryAdapter::del_all) keeps such a
    /// socket: then a former socket with the same id leaves late. A socket that leaves is disconnected first. The adapter holds
    /// its locks during this call. Default: `false`, which is right if no two sockets have the same id.
    fn is_connected(&self) -> bool {
        false
    }

    /// Queues an event for the socket.
    ///
    /// If the connection must be woken, this returns its waker and does not call it, because the adapter holds its
    /// locks. For the same reason, this method must not block and must not call the adapter.
    ///
    /// `policy` is for a connection that is behind.
    fn deliver(&self, event: &EncodedEvent, policy: &DeliveryPolicy) -> Option<Waker>;

    /// Wakes the connections of a broadcast that many sockets have received. The adapter calls this for one of them, and
    /// holds no lock during this call. Default: wakes all of them at once.
    fn wake_receivers(&self, wakers: Vec<Waker>) {
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Queues an event that requests an acknowledgement. `ack_id` is the id that the event was encoded with. The socket
    /// passes the acknowledgement to `waiter`, or the reason why there is none. The adapter holds no lock during this
    /// call.
    fn deliver_with_ack(&self, event: &EncodedEvent, ack_id: u64, timeout: Duration, waiter: AckWaiter);

    /// Connects the socket of a session: queues the response to the CONNECT of its client, and then the events that the
    /// client has missed. They are in the order of the log, with their offsets. `generation` belongs to
    /// [`Recovery::suspend`](crate::Recovery::suspend).
    ///
    /// The waker and what this method must not do are as for [`deliver`](Self::deliver). Default: delivers the events.
    fn accept(&self, missed: &[EncodedEvent], generation: u64) -> Option<Waker> {
        let _ = generation;
        missed.iter().fold(None, |waker, event| waker.or(self.deliver(event, &DeliveryPolicy::Queue)))
    }

    /// Ends the connection of the socket, because its client has come back on another one. Returns whether the session may
    /// be recovered: it may not if the client or the program has disconnected the socket meanwhile. The adapter holds no
    /// lock during this call. Default: disconnects the socket, and returns `true`.
    fn evict(&self) -> bool {
        self.disconnect(true);
        true
    }

    /// Returns the data of the socket, to keep it with its session. The adapter holds its locks during this call. Default:
    /// `None`.
    fn session_data(&self) -> Option<Arc<Arguments<'static>>> {
        None
    }

    /// Disconnects the socket. With `close_connection`, also closes its connection, which disconnects every other
    /// socket of the connection. The adapter holds no lock during this call.
    fn disconnect(&self, close_connection: bool);

    /// Returns what other servers may know about the socket, which is in these rooms. The adapter holds no lock during
    /// this call.
    fn state(&self, rooms: Vec<Room>) -> RemoteSocketState;

    /// Returns the limits on what the adapter stores for this socket. The adapter holds its locks during this call.
    /// Default: [`Limits::default`].
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Is called when [`Adapter::add_sockets`](crate::Adapter::add_sockets) or another server puts the socket into a
    /// room that its limits do not allow. The adapter holds no lock during this call. Default: does nothing.
    fn on_join_error(&self, error: JoinError) {
        let _ = error;
    }
}
