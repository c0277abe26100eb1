//! The handle that a program holds.

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

/// One WebSocket connection, of a server or of a client.
///
/// A server's belongs to the handler that it was given to, and works as well in any other task that the handler gives it
/// to; the task of the connection then goes on writing for it, at the price of a wake for what is sent. A client's, from
/// [`connect`](crate::connect()), is like that from the beginning.
///
/// Other tasks send on it by a [`Sender`], which [`sender`](Self::sender) makes as many of as are wanted; [`split`](Self::split)
/// makes two halves of it.
///
/// Dropped while the connection is open, it closes it in the background: with code 1000 after what was sent before, or
/// with 1011 if the handler failed or the drop is part of a panic.
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

    /// What its `Sink` is made of.
    pub(crate) fn sink(&mut self) -> (&Connection, &mut FlushPosition) {
        (self.receiver.connection(), &mut self.flush_position)
    }

    /// The subprotocol that client and server have agreed on, if there is one.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.receiver.protocol()
    }

    /// A handle that sends on this connection, for other tasks. It can be cloned, and does not keep the connection open.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.receiver.sender()
    }

    /// The two halves, for two tasks: a [`Sender`] that can be cloned, and the [`Receiver`], with which the connection
    /// closes. Both wait on their own: a `send` that waits for room does not keep the other task from receiving.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender(), self.receiver)
    }

    /// The next message; `None` when there will be no more. How the connection ended is then in
    /// [`close_cause`](Self::close_cause): most programs do the same in every case, and those that do not can ask.
    ///
    /// Messages come in order, and all that arrived before the end come before `None`. The peer's Pings are answered
    /// and its Close is answered without any help, but only while somebody is in `recv`: nothing is read ahead, so
    /// that a program which does not keep up slows its peer down instead of filling its own memory.
    ///
    /// Cancel safe: a message is either returned or still there.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.receiver.poll_recv(cx)).await
    }

    /// The next message, piece by piece as it comes, however long it is: [`Limits::max_message_size`] and
    /// [`Limits::max_fragments`] do not hold for it. `None` as for [`recv`](Self::recv), which receives the message after it.
    ///
    /// A reader that is dropped before the end of the message has the rest of it dropped by the next call that receives; a
    /// rest that is longer than [`Limits::max_message_size`] closes the connection with 1009.
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
    /// Cancel safe: what has come of a message is either in a reader or still there.
    ///
    /// [`Limits::max_message_size`]: crate::Limits::max_message_size
    /// [`Limits::max_fragments`]: crate::Limits::max_fragments
    pub async fn recv_in_chunks(&mut self) -> Option<MessageReader<'_>> {
        self.receiver.recv_in_chunks().await
    }

    send_methods!(mut);

    /// Closes the connection and waits for the peer's answer, at most for
    /// [`Limits::close_timeout`](crate::Limits::close_timeout). What was sent before still leaves; what the peer sends
    /// until it answers is dropped, so receive first what you want.
    ///
    /// Without a frame, by `close(None)`, the peer is told no code; with one, it is told that:
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
    /// Closing what is closed changes nothing and says how it ended.
    /// Cancel safe: the close goes on without the call, and a second call waits for it.
    pub async fn close(&mut self, frame: impl Into<Option<CloseFrame>>) -> CloseCause {
        self.connection().close(frame.into()).await
    }

    /// How the connection ended. `None` before [`recv`](Self::recv) has returned `None` or [`close`](Self::close) has
    /// returned.
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
