//! The receiving half.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use ws_proto::{CloseCode, CloseFrame};

use crate::connection::Connection;
use crate::error::CloseCause;
use crate::message::Message;
use crate::socket::{MessageReader, Sender, WebSocket};

/// The receiving half of a [`WebSocket`], from [`WebSocket::split`].
///
/// It owns the connection: if it is dropped while the connection is open, it closes the connection, as a [`WebSocket`]
/// does. Without a receiver, the peer's Pings and Close would get no response. A program that only sends therefore
/// keeps the receiver and calls [`recv`](Self::recv) until that returns `None`.
pub struct Receiver {
    connection: Arc<Connection>,
    protocol: Option<Box<str>>,
}

impl Receiver {
    pub(crate) fn new(connection: Arc<Connection>, protocol: Option<Box<str>>) -> Self {
        Self { connection, protocol }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Returns the subprotocol that the server selected, if any.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Receives the next message, see [`WebSocket::recv`]. Cancel safe.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.connection.with(|state| state.poll_recv(cx))
    }

    /// Receives the next message piece by piece, see [`WebSocket::recv_in_chunks`]. Cancel safe.
    pub async fn recv_in_chunks(&mut self) -> Option<MessageReader<'_>> {
        let first = poll_fn(|cx| self.connection.with(|state| state.poll_first_chunk(cx))).await?;
        Some(MessageReader::new(&self.connection, first))
    }

    /// Returns a handle for sending on this connection.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.connection))
    }

    /// Converts the receiver back into a WebSocket. Existing senders remain valid.
    #[must_use]
    pub fn unsplit(self) -> WebSocket {
        WebSocket::from_receiver(self)
    }

    /// Closes the connection, see [`WebSocket::close`]. Cancel safe.
    pub async fn close(&mut self, frame: impl Into<Option<CloseFrame>>) -> CloseCause {
        self.connection.close(frame.into()).await
    }

    /// Returns how the connection ended, or `None` if it has not ended.
    #[must_use]
    pub fn close_cause(&self) -> Option<CloseCause> {
        self.connection.close_cause()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let code = if std::thread::panicking() { CloseCode::INTERNAL_ERROR } else { CloseCode::NORMAL };
        self.connection.with(|state| state.drop_receiver(code));
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("closed", &self.close_cause()).finish_non_exhaustive()
    }
}
