//! A message that is received piece by piece.

use std::fmt;
use std::future::poll_fn;

use crate::connection::Connection;
use crate::error::IncompleteMessage;
use crate::message::{Chunk, Message};

/// A message that is received piece by piece, from [`WebSocket::recv_in_chunks`](crate::WebSocket::recv_in_chunks). It takes
/// the memory of a chunk, and while a compressed one is under way another 100 KiB.
#[must_use = "what is not read of a message is dropped"]
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

    /// Whether it is text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    /// Allows at most so many further bytes: more close the connection with 1009, and [`chunk`](Self::chunk) fails. What has
    /// come of the message when its reader is made, which is the first chunk, does not count. Default: no limit, for a long
    /// message needs no more memory than a short one.
    pub fn limit(self, bytes: u64) -> Self {
        if self.next.as_ref().is_none_or(|next| !next.is_last) {
            self.connection.with(|state| state.limit_chunks(bytes));
        }
        self
    }

    /// What comes next of the message, of the same kind as the message; `None` at its end. It is never empty, and cut where
    /// the network or the decompressor cut it, after some 64 KiB at most; text is cut between characters. (The first one is
    /// longer where a [`recv`](crate::WebSocket::recv) that was dropped had begun to put the message together.)
    ///
    /// Cancel safe: a chunk is either returned or still there.
    ///
    /// # Errors
    /// The connection has ended before the message has, or the message is not what it says: not UTF-8, or not compressed.
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
