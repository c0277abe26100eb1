//! The handle of a connection.

mod reader;
mod receiver;
mod send_methods;
mod sender;
mod stream_sink;
mod writer;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use ws_proto::CloseFrame;

pub use self::reader::MessageReader;
pub use self::receiver::Receiver;
pub use self::sender::Sender;
pub use self::writer::MessageWriter;

use self::send_methods::send_methods;
use crate::connection::Connection;
use crate::connection::flush_position::FlushPosition;
use crate::error::{CloseCause, SendError, TrySendError};
use crate::message::{Message, PreparedMessage, Text};

/// A WebSocket connection of a server or a client.
///
/// A server's handler owns its `WebSocket`, and may move it to another task. The connection's own task continues to
/// write. It is then woken for each batch of messages that the other task sends, which costs some time. A `WebSocket`
/// of a client, from [`connect`](crate::connect()), is always used from another task.
///
/// To send from other tasks, create any number of [`Sender`]s with [`sender`](Self::sender), or split the WebSocket
/// into two halves with [`split`](Self::split).
///
/// Dropping the `WebSocket` while the connection is open closes the connection in the background, after the messages
/// that were sent before. The close code is 1000, or 1011 if the handler failed or the drop happens during a panic.
pub struct WebSocket {
    receiver: Receiver,
    flush_position: FlushPosition,
}

impl WebSocket {
    pub(crate) fn new(connection: Arc<Connection>, protocol: Option<Box<str>>) -> Self {
        Self::from_receiver(Receiver::new(connection, protocol))
    }

    pub(crate) fn from_receiver(receiver: Receiver) -> Self {
        Self { receiver, flush_position: FlushPosition::default() }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        self.receiver.connection()
    }

    pub(crate) fn receiver_mut(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    /// Returns the connection and the flush position, for the `Sink` implementation.
    pub(crate) fn sink(&mut self) -> (&Connection, &mut FlushPosition) {
        (self.receiver.connection(), &mut self.flush_position)
    }

    /// Returns the subprotocol that the server selected, if any.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.receiver.protocol()
    }

    /// Returns a handle for sending from other tasks. It can be cloned, and does not keep the connection open.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.receiver.sender()
    }

    /// Splits the WebSocket into two halves for two tasks: a [`Sender`], which can be cloned, and the [`Receiver`].
    /// Dropping the `Receiver` closes the connection. The halves wait independently: while a `send` waits for capacity,
    /// the other task can still receive.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender(), self.receiver)
    }

    /// Receives the next message. Returns `None` after the end of the connection; [`close_cause`](Self::close_cause)
    /// then returns how it ended. Most programs do not need to check it.
    ///
    /// Messages arrive in order, and all that arrived before the end of the connection are returned before `None`.
    /// Pings and the peer's Close are handled automatically, but only while a task is in `recv`. Nothing is read ahead,
    /// so a program that does not keep up slows down its peer instead of filling its own memory.
    ///
    /// Cancel safe: if the call is dropped, no message is lost.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.receiver.poll_recv(cx)).await
    }

    /// Receives the next message piece by piece, with no limit on its length: [`Limits::max_message_size`] and
    /// [`Limits::max_fragments`] do not apply. Returns `None` as [`recv`](Self::recv) does. A later `recv` receives the
    /// message after this one.
    ///
    /// If the reader is dropped before the end of its message, the next call that receives skips the rest. If that rest
    /// is longer than [`Limits::max_message_size`], the connection is closed with code 1009.
    ///
    /// ```
    /// # use tidewire_ws::WebSocket;
    /// # async fn store(_: &[u8]) {}
    /// # async fn run(mut socket: WebSocket) -> Result<(), tidewire_ws::IncompleteMessage> {
    /// while let Some(mut message) = socket.recv_in_chunks().await {
    ///     while let Some(chunk) = message.chunk().await? {
    ///         store(chunk.as_bytes()).await;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Cancel safe: if the call is dropped, no part of the message is lost.
    ///
    /// [`Limits::max_message_size`]: crate::Limits::max_message_size
    /// [`Limits::max_fragments`]: crate::Limits::max_fragments
    pub async fn recv_in_chunks(&mut self) -> Option<MessageReader<'_>> {
        self.receiver.recv_in_chunks().await
    }

    send_methods!(mut);

    /// Closes the connection, and waits for the peer's response for at most
    /// [`Limits::close_timeout`](crate::Limits::close_timeout). Messages that were sent before are still written.
    /// Messages that the peer sends before its response are dropped; to get them, receive them before you close.
    ///
    /// `close(None)` sends no code. A [`CloseFrame`] sends its code and reason:
    ///
    /// ```
    /// # async fn example(mut socket: tidewire_ws::WebSocket) {
    /// use tidewire_ws::{CloseCode, CloseFrame};
    ///
    /// socket.close(CloseFrame::from(CloseCode::GOING_AWAY)).await;
    /// socket.close(CloseFrame::new(CloseCode::POLICY_VIOLATION, "not logged in")).await;
    /// # }
    /// ```
    ///
    /// If the connection has already ended, returns how it ended.
    ///
    /// Cancel safe: closing continues if the call is dropped, and a second call waits for it.
    pub async fn close(&mut self, frame: impl Into<Option<CloseFrame>>) -> CloseCause {
        self.connection().close(frame.into()).await
    }

    /// Returns how the connection ended. Returns `None` before [`recv`](Self::recv) has returned `None` or
    /// [`close`](Self::close) has returned.
    #[must_use]
    pub fn close_cause(&self) -> Option<CloseCause> {
        self.connection().close_cause()
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("buffered", &self.buffered_amount())
            .field("closed", &self.close_cause())
            .finish()
    }
}
