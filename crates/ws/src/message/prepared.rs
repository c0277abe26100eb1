//! A message that is encoded once and sent on many connections.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use ws_proto::copy::append;
use ws_proto::{Deflater, FrameHeader};

use crate::message::Message;

/// A message to send on many connections. It is encoded once, and compressed once for all connections that use
/// compression.
///
/// Cloning it is cheap: clones share the message and its encodings.
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
    /// The window size of the first connection that compressed the message, and the compressed frame. The frame is
    /// `None` if compression does not make it shorter. A connection with a larger window can use the same frame.
    /// Connections with a smaller window are rare, and compress the message again.
    compressed: OnceLock<(u8, Option<Bytes>)>,
}

impl fmt::Debug for PreparedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PreparedMessage").field(&self.0.message).finish()
    }
}

impl PreparedMessage {
    /// Encodes `message`.
    #[must_use]
    pub fn new(message: impl Into<Message>) -> Self {
        let message = message.into();
        let frame = frame(&message, false, message.as_bytes());
        Self(Arc::new(Shared { message, frame, compressed: OnceLock::new() }))
    }

    /// Returns the message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.0.message
    }

    /// Returns the uncompressed, unmasked frame, as a server sends it.
    pub(crate) fn frame(&self) -> &Bytes {
        &self.0.frame
    }

    /// Returns the frame for connections with this window size, or `None` if the shared frame was compressed with a
    /// larger window.
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
