//! The handles of a session.

use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::task::Poll;

use engineio_proto::Transport;
use net::PushError;
use net::metrics::{self, Series};

use super::error::{CloseCause, SendError, TrySendError};
use super::message::Message;
use super::shared::Shared;

/// A session with a client. It dereferences to its [`Sender`], so it has all methods of it: `socket.send(..)`.
///
/// The handler owns its `Socket`, and may move it to another task. Dropping the `Socket` closes the session, after the
/// messages that were sent before.
pub struct Socket {
    sender: Sender,
}

impl Socket {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { sender: Sender(shared) }
    }

    /// Receives the next message. Returns `None` after the end of the session; [`close_cause`](Sender::close_cause) then
    /// returns how it ended.
    ///
    /// Messages arrive in order, also across the upgrade, and all that arrived before the end are returned before
    /// `None`, unless the memory budget has ended the session. While the program receives nothing, the engine stops to read from the client. Only what one read has
    /// delivered waits in memory.
    ///
    /// Cancel safe: if the call is dropped, no message is lost.
    pub async fn recv(&mut self) -> Option<Message<'static>> {
        poll_fn(|cx| self.sender.0.poll_recv(cx)).await
    }

    /// Returns a handle for other tasks. It can be cloned, and does not keep the session open.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }
}

impl Deref for Socket {
    type Target = Sender;

    fn deref(&self) -> &Sender {
        &self.sender
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !self.sender.is_closed() {
            self.sender.close();
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sender.0.fmt(f)
    }
}

/// Sends to a session from any task, and has its properties. Create it with [`Socket::sender`]. Cloning it only
/// increments a reference count.
///
/// The messages of one sender keep their order. All senders of a session share one queue and its limit
/// ([`ServerBuilder::max_write_buffer_size`](super::ServerBuilder::max_write_buffer_size)).
#[derive(Clone)]
pub struct Sender(Arc<Shared>);

impl Sender {
    /// Sends a message. The call only queues it, and there is nothing to flush. Waits while the queue is full: until
    /// the message fits, and at most half of the limit is used.
    ///
    /// If the client takes nothing from the queue, the heartbeat ends the session with `ping timeout`, and the call
    /// returns an error.
    ///
    /// Cancel safe: if the call is dropped while it waits, the message is not sent.
    ///
    /// # Errors
    /// The session is over.
    pub async fn send<'a>(&self, message: impl Into<Message<'a>>) -> Result<(), SendError> {
        let message = message.into();
        let session = &self.0.session;
        poll_fn(|cx| {
            loop {
                match session.try_send_packet(message.as_packet()) {
                    Ok(()) => {
                        metrics::count(Series::EngineMessagesSent);
                        return Poll::Ready(Ok(()));
                    }
                    Err(PushError::Closed) => return Poll::Ready(Err(SendError)),
                    Err(PushError::Full) => {}
                }
                match session.poll_capacity(message.max_framed_len(), cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(SendError)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Sends a message like [`send`](Self::send), but fails instead of waiting.
    ///
    /// # Errors
    /// The queue is full, or the session is over.
    pub fn try_send<'a>(&self, message: impl Into<Message<'a>>) -> Result<(), TrySendError> {
        let pushed = self.0.session.try_send_packet(message.into().as_packet());
        if pushed.is_ok() {
            metrics::count(Series::EngineMessagesSent);
        }
        pushed.map_err(|error| match error {
            PushError::Full => TrySendError::Full,
            PushError::Closed => TrySendError::Closed,
        })
    }

    /// Closes the session, after the messages that were sent before. Node calls this `close()`. A polling client gets
    /// them with its next polls, for which the session waits at most for
    /// [`ServerBuilder::close_timeout`](super::ServerBuilder::close_timeout).
    pub fn close(&self) {
        self.0.session.close();
    }

    /// Closes the session at once, and drops the messages that are queued. Node calls this `close(true)`. If a WebSocket
    /// client has not yet read all that was sent before, its connection ends without a close frame.
    pub fn close_discarding(&self) {
        self.0.session.close_discarding();
    }

    /// Records that the client is authenticated. The session no longer counts for the limits on those that are not, see
    /// [`ServerBuilder::authenticates`](super::ServerBuilder::authenticates).
    pub fn set_authenticated(&self) {
        self.0.session.set_authenticated();
    }

    /// Waits until the session is over, and returns how it ended. Cancel safe.
    pub async fn closed(&self) -> CloseCause {
        poll_fn(|cx| self.0.poll_closed(cx)).await
    }

    /// Returns how the session ended, or `None` if it is open.
    #[must_use]
    pub fn close_cause(&self) -> Option<CloseCause> {
        self.0.close_cause()
    }

    /// Returns whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.session.is_closed()
    }

    /// Returns the session id. It is a secret of this client: do not show it to other clients.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.session.id().as_str()
    }

    /// Returns the transport that is in use now.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.0.session.transport()
    }

    /// Waits until the session has upgraded to WebSocket. Returns `false` if it ends before. A session that started on
    /// WebSocket never upgrades. Cancel safe.
    pub async fn upgraded(&self) -> bool {
        poll_fn(|cx| self.0.poll_upgraded(cx)).await
    }

    /// Returns the address of the client, if the HTTP server provides it; the server's own listener does. If the client
    /// connects through one of the [trusted proxies](super::ServerBuilder::trusted_proxies), this is the address that the
    /// proxy reports. If it connects through any other proxy, this is the address of the proxy.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    /// Returns the revision of the protocol: 4, or 3 if the server allows it
    /// ([`ServerBuilder::allow_eio3`](super::ServerBuilder::allow_eio3)).
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.0.session.protocol()
    }

    /// Returns the number of bytes that are queued and not yet written.
    #[must_use]
    pub fn buffered_amount(&self) -> usize {
        self.0.session.buffered()
    }

    /// Returns whether both senders send to the same session.
    #[must_use]
    pub fn same_session(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
