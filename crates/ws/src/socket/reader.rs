//! Receives a message piece by piece.

use std::fmt;
use std::future::poll_fn;

use crate::connection::Connection;
use crate::error::IncompleteMessage;
use crate::message::{Chunk, Message};

/// A message that is received piece by piece, from [`WebSocket::recv_in_chunks`](crate::WebSocket::recv_in_chunks). It
/// needs memory for one chunk, and about 100 KiB more while a compressed message is being received.
#[must_use = "dropping a `MessageReader` discards the rest of its message"]
pub struct MessageReader<'a> {
    connection: &'a Connection,
    next: Option<Chunk>,
    is_text: bool,
    is_finished: bool,
}

impl<'a> MessageReader<'a> {
    pub(crate) fn new(connection: &'a Connection, first: Chunk) -> Self {
        let is_text = matches!(first.content, Message::Text(_));
        Self { connection, next: Some(first), is_text, is_finished: false }
    }

    /// Returns `true` if the message is text, and `false` if it is binary.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    /// Limits the number of further bytes. If the message is longer, the connection is closed with code 1009, and
    /// [`chunk`](Self::chunk) fails. The first chunk does not count, because it was received before the reader was
    /// created. Default: no limit, because a long message needs no more memory than a short one.
    pub fn limit(self, bytes: u64) -> Self {
        if self.next.as_ref().is_none_or(|next| !next.is_last) {
            self.connection.with(|state| state.set_max_chunked_bytes(bytes));
        }
        self
    }

    /// Receives the next piece of the message, as text or binary like the message itself. Returns `None` at the end of
    /// the message.
    ///
    /// A piece is never empty. Its length depends on the network and the decompressor, and is about 64 KiB at most.
    /// Text is cut only between characters. The first piece can be longer, if an earlier
    /// [`recv`](crate::WebSocket::recv) was dropped after it had begun to assemble the message.
    ///
    /// Cancel safe: if the call is dropped, no chunk is lost.
    ///
    /// # Errors
    /// The connection ended before the message was complete, or the message is invalid: text that is not UTF-8, or data
    /// that cannot be decompressed.
    pub async fn chunk(&mut self) -> Result<Option<Message>, IncompleteMessage> {
        while !self.is_finished {
            let chunk = match self.next.take() {
                Some(chunk) => chunk,
                None => {
                    let received = poll_fn(|cx| self.connection.with(|state| state.poll_chunk(cx))).await;
                    received.ok_or(IncompleteMessage)?
                }
            };
            self.is_finished = chunk.is_last;
            if !chunk.content.is_empty() {
                return Ok(Some(chunk.content));
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for MessageReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageReader")
            .field("is_text", &self.is_text)
            .field("is_over", &self.is_finished)
            .finish_non_exhaustive()
    }
}
