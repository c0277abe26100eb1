//! A message that is sent piece by piece.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;

use bytes::Bytes;
use ws_proto::Opcode;

use crate::connection::waiters::Waiter;
use crate::connection::{Connection, Fragment, State};
use crate::error::IncompleteMessage;
use crate::message::Text;

/// A message that is sent piece by piece, so that it never has to be in memory as a whole: text, or bytes, as `P` says. It
/// comes from `begin_text` and `begin_binary`.
///
/// Each piece is a frame, so pieces of some kilobytes or more are best: a peer may have a limit on the number of fragments.
/// Pings and Pongs go between them, other messages cannot: their senders wait until this one is finished. It is not
/// compressed.
///
/// **It has to be [finished](Self::finish).** Dropped before, it closes the connection with code 1011, unless nothing of it was
/// written: the peer would wait for the rest, and must not take what it has for the whole. Leaked, by [`std::mem::forget`] or
/// in a cycle of reference counts, it does neither: nothing else can be sent on the connection, and all who send wait, until
/// the connection ends.
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
#[must_use = "a message has to be written and finished"]
pub struct MessageWriter<'a, P> {
    connection: &'a Connection,
    opcode: Opcode,
    /// Something of it was written, and its end not.
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
    /// Sends a piece. It is queued as a message is, and waits as a message does while more than
    /// [`Limits::max_write_buffer_size`](crate::Limits::max_write_buffer_size) bytes wait to be written; the first one waits for its turn as
    /// well.
    ///
    /// Cancel safe: a piece is sent whole or not at all, and a dropped call that was waiting has not sent it.
    ///
    /// # Errors
    /// The connection is closing or has ended.
    pub async fn write(&mut self, piece: impl Into<P>) -> Result<(), IncompleteMessage> {
        let piece: P = piece.into();
        self.send(&piece.into(), false).await
    }

    /// Ends the message. Only a message of which nothing was written may have to wait, and then it is empty.
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
