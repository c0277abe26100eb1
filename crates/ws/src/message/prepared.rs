//! A message for many.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use ws_proto::copy::append;
use ws_proto::{Deflater, FrameHeader};

use crate::message::Message;

/// A message that many connections send: encoded once, and where connections compress it, compressed once.
///
/// A clone shares all of it.
///
/// ```
/// use tidewire_ws::{PreparedMessage, SendError, WebSocket};
///
/// async fn broadcast(everybody: &mut [WebSocket], text: &str) -> Result<(), SendError> {
///     let message = PreparedMessage::new(text);
///     for socket in everybody {
///         socket.send_prepared(&message).await?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct PreparedMessage(Arc<Shared>);

struct Shared {
    message: Message,
    frame: Bytes,
    /// The window it is compressed with, that of the first connection, and the frame, unless it is better sent as it is.
    /// Whoever has a larger window can read it; clients that want a smaller one are few, and are compressed for.
    compressed: OnceLock<(u8, Option<Bytes>)>,
}

impl fmt::Debug for PreparedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PreparedMessage").field(&self.0.message).finish()
    }
}

impl PreparedMessage {
    /// Encodes a message.
    #[must_use]
    pub fn new(message: impl Into<Message>) -> Self {
        let message = message.into();
        let frame = frame(&message, false, message.as_bytes());
        Self(Arc::new(Shared { message, frame, compressed: OnceLock::new() }))
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.0.message
    }

    /// The frame as a server sends it.
    pub(crate) fn frame(&self) -> &Bytes {
        &self.0.frame
    }

    /// The frame for connections that compress with such a window; `None` if it was compressed with a larger one.
    pub(crate) fn compressed_frame(&self, window_bits: u8, deflater: &mut Deflater) -> Option<Bytes> {
        let (compressed_with, compressed) = self.0.compressed.get_or_init(|| {
            let mut payload = Vec::new();
            let shrinks = deflater.compress(self.message().as_bytes(), &mut payload);
            (window_bits, shrinks.then(|| frame(self.message(), true, &payload)))
        });
        (*compressed_with <= window_bits).then(|| compressed.as_ref().unwrap_or(&self.0.frame).clone())
    }
}

fn frame(message: &Message, rsv1: bool, payload: &[u8]) -> Bytes {
    let header = FrameHeader { rsv1, ..FrameHeader::unfragmented(message.opcode(), payload.len()) }.encode();
    let mut frame = Vec::with_capacity(header.len() + payload.len());
    frame.extend_from_slice(&header);
    append(&mut frame, payload);
    frame.into()
}
