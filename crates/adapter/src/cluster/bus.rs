//! What a driver implements.

use std::sync::Weak;

use ws_proto::Time;

use super::{ClusterAdapter, Message, Recipient};
use crate::ready::Ready;

/// The connection of a [`ClusterAdapter`] to the message bus between the servers. A driver implements it.
///
/// After [`start`](Self::start), the driver
///
/// - passes every message of the other servers to [`ClusterAdapter::handle_message`];
/// - calls [`ClusterAdapter::handle_timeout`] at the time that [`ClusterAdapter::poll_timeout`] returns;
/// - reports with [`ClusterAdapter::handle_link`] when it loses its link to the bus, and when it has it back.
///
/// All times are those of the server's clock, which [`start`](Self::start) and each [`Request`](crate::Request) read.
pub trait Bus: Send + Sync {
    /// Starts the driver. It keeps `adapter` to pass messages to it.
    fn start(&self, adapter: Weak<ClusterAdapter>, now: Time);

    /// Queues a message. This must neither wait nor call the adapter. It must wake the driver's task, because the
    /// message may have a deadline that is earlier than the one the task waits for.
    ///
    /// Messages from one thread must reach each server in the order in which they were published.
    fn publish(&self, recipient: Recipient, message: &Message);

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
