//! The half that receives.

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
/// The connection is its: dropped while the connection is open, it closes it, as a [`WebSocket`] does. Nobody would answer
/// the peer's Pings and its Close any more. A program that only sends keeps it and calls [`recv`](Self::recv) until that
/// returns `None`.
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

    /// The subprotocol that client and server have agreed on, if there is one.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The next message, see [`WebSocket::recv`]. Cancel safe.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.connection.with(|state| state.poll_recv(cx))
    }

    /// The next message, piece by piece, see [`WebSocket::recv_in_chunks`]. Cancel safe.
    pub async fn recv_in_chunks(&mut self) -> Option<MessageReader<'_>> {
        let first = poll_fn(|cx| self.connection.with(|state| state.poll_first_chunk(cx))).await?;
        Some(MessageReader::new(&self.connection, first))
    }

    /// A handle that sends on this connection.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.connection))
    }

    /// The whole WebSocket again. Senders that exist go on sending.
    #[must_use]
    pub fn unsplit(self) -> WebSocket {
        WebSocket::from_receiver(self)
    }

    /// Closes the connection, see [`WebSocket::close`]. Cancel safe.
    pub async fn close(&mut self, frame: impl Into<Option<CloseFrame>>) -> CloseCause {
        self.connection.close(frame.into()).await
    }

    /// How the connection ended; `None` while it has not.
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
