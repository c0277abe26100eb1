//! Sends a message piece by piece.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;

use bytes::Bytes;
use ws_proto::Opcode;

use crate::connection::waiters::Waiter;
use crate::connection::{Connection, Fragment, State};
use crate::error::IncompleteMessage;
use crate::message::Text;

/// A message that is sent piece by piece, so that it is never in memory as a whole. `P` is [`Text`] for a text message
/// and [`Bytes`] for a binary one. `begin_text` and `begin_binary` create it.
///
/// Each piece is sent as one frame. Use pieces of several kilobytes or more, because a peer may limit the number of
/// fragments. Pings and Pongs can be sent between the pieces. Other messages cannot, so their senders wait until this
/// message is finished. The message is not compressed.
///
/// **Call [`finish`](Self::finish) at the end.** If the writer is dropped after the first piece without `finish`, the
/// connection is closed with code 1011: otherwise the peer would wait for the rest, or could mistake the part for the
/// whole message. If the writer is leaked, with [`std::mem::forget`] or in a reference cycle, no other message can be
/// sent, and all senders wait until the connection ends.
///
/// ```
/// use tidewire_ws::{IncompleteMessage, WebSocket};
/// use tokio::io::AsyncReadExt;
///
/// async fn send_file(socket: &mut WebSocket, mut file: tokio::fs::File) -> Result<(), Box<dyn std::error::Error>> {
///     let mut message = socket.begin_binary();
///     loop {
///         let mut piece = bytes::BytesMut::with_capacity(64 * 1024);
///         if file.read_buf(&mut piece).await? == 0 {
///             break;
///         }
///         message.write(piece).await?;
///     }
///     Ok(message.finish().await?)
/// }
/// ```
#[must_use = "a `MessageWriter` sends nothing until you call `write` or `finish`"]
pub struct MessageWriter<'a, P> {
    connection: &'a Connection,
    opcode: Opcode,
    /// A fragment was queued, and the last one was not.
    is_open: bool,
    _payload: PhantomData<fn(P)>,
}

impl<'a> MessageWriter<'a, Text> {
    pub(crate) fn text(connection: &'a Connection) -> Self {
        Self { connection, opcode: Opcode::Text, is_open: false, _payload: PhantomData }
    }
}

impl<'a> MessageWriter<'a, Bytes> {
    pub(crate) fn binary(connection: &'a Connection) -> Self {
        Self { connection, opcode: Opcode::Binary, is_open: false, _payload: PhantomData }
    }
}

impl<P: Into<Bytes>> MessageWriter<'_, P> {
    /// Sends a piece of the message. It is queued like a message, and waits while the queue is full, see
    /// [`Limits::max_write_buffer_size`](crate::Limits::max_write_buffer_size). The first piece also waits until all
    /// calls that began to wait earlier have sent their messages.
    ///
    /// Cancel safe: if the call is dropped while it waits, the piece is not sent. A piece is never sent in part.
    ///
    /// # Errors
    /// The connection is closing or has ended.
    pub async fn write(&mut self, chunk: impl Into<P>) -> Result<(), IncompleteMessage> {
        let piece: P = chunk.into();
        self.send(&piece.into(), false).await
    }

    /// Ends the message. If no piece was written, this sends an empty message, and may wait like
    /// [`write`](Self::write). Otherwise it does not wait.
    ///
    /// # Errors
    /// The connection is closing or has ended.
    pub async fn finish(mut self) -> Result<(), IncompleteMessage> {
        self.send(&Bytes::new(), true).await
    }

    async fn send(&mut self, payload: &Bytes, is_last: bool) -> Result<(), IncompleteMessage> {
        let fragment = Fragment { opcode: self.opcode, payload, is_first: !self.is_open, is_last };
        let mut waiter = Waiter::new(self.connection);
        let sent =
            poll_fn(|cx| waiter.with(|state, ticket| state.poll_send_fragment(&fragment, ticket, cx))).await;
        self.is_open = sent.is_ok() && !is_last;
        sent.map_err(|()| IncompleteMessage)
    }
}

impl<P> Drop for MessageWriter<'_, P> {
    fn drop(&mut self) {
        if self.is_open {
            self.connection.with(State::abort_message);
        }
    }
}

impl<P> fmt::Debug for MessageWriter<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageWriter").field("opcode", &self.opcode).field("is_open", &self.is_open).finish()
    }
}
