//! What a driver implements.

use std::sync::Weak;

use ws_proto::Time;

use super::{ClusterAdapter, Message, PublishError, Recipient, RequestId};
use crate::ready::Ready;

/// The connection of a [`ClusterAdapter`] to the message bus between the servers. A driver implements it.
///
/// After [`start`](Self::start), the driver
///
/// - passes every message of the other servers to [`ClusterAdapter::handle_message`];
/// - calls [`ClusterAdapter::handle_timeout`] at the time that [`ClusterAdapter::poll_timeout`] returns;
/// - reports with [`ClusterAdapter::handle_link`] when it loses its link to the bus, and when it has it back.
///
/// All times are those of the server's clock, which [`start`](Self::start) and each [`Request`](crate::Request) read. It does not
/// stand still, so a driver may add the time that has passed since `start`.
///
/// `examples/two_servers.rs` in the repository is a whole driver.
pub trait Bus: Send + Sync {
    /// Starts the driver. It keeps `adapter` to pass messages to it.
    fn start(&self, adapter: Weak<ClusterAdapter>, now: Time);

    /// Queues a message. This must neither wait nor call the adapter. It must wake the driver's task, because the
    /// message may have a deadline that is earlier than the one the task waits for.
    ///
    /// Messages from one thread must reach each server in the order in which they were published.
    ///
    /// # Errors
    /// The bus does not take the message, for instance because it is too large. No server gets it then. A driver that
    /// learns this later calls [`ClusterAdapter::handle_publish_error`] instead.
    fn publish(&self, recipient: Recipient, message: &Message) -> Result<(), PublishError>;

    /// Asks the message bus for the number of servers in this namespace. The driver reports it with
    /// [`ClusterAdapter::handle_server_count`]. Only [`Membership::Counted`](super::Membership::Counted) calls this, and the same
    /// rules apply as to [`publish`](Self::publish). Default: does nothing.
    ///
    /// With a `request`, the number is that of the servers that get this request, which the adapter publishes next. So the driver
    /// keeps the order.
    fn count_servers(&self, request: Option<RequestId>) {
        let _ = request;
    }

    /// Returns whether [`room_changed`](Self::room_changed) is called. The adapter asks once. Default: `false`, which costs
    /// nothing.
    fn observes_rooms(&self) -> bool {
        false
    }

    /// Is called when a room has got its first member on this server, or has lost its last one. A bus that has a channel for each
    /// room then compares its subscriptions with [`InMemoryAdapter::has_room`](crate::InMemoryAdapter::has_room), because the
    /// changes of two threads may be reported in another order. This must neither wait nor call the adapter. Default: does
    /// nothing.
    fn room_changed(&self, room: &str) {
        let _ = room;
    }

    /// Returns a future that is ready when broadcasts of the other servers to these rooms reach this server. Its sockets have
    /// just joined them. Default: ready at once.
    fn joined(&self, rooms: &[&str]) -> Ready {
        let _ = rooms;
        Ready::now()
    }

    /// Wakes the driver's task, because [`ClusterAdapter::poll_timeout`] has become earlier. The same rules apply as to
    /// [`publish`](Self::publish).
    fn wake(&self);

    /// Returns a future that is ready when the driver has subscribed to the messages of the other servers. See
    /// [`Adapter::ready`](crate::Adapter::ready). Default: ready at once.
    fn ready(&self) -> Ready {
        Ready::now()
    }

    /// Ends the driver after everything that was published has been sent. The future is ready then. Default: does
    /// nothing.
    fn close(&self) -> Ready {
        Ready::now()
    }
}
