//! What is sent on a connection: packets, in the form of the client's parser.
//!
//! Hot path. Packets are encoded and buffered in the form of the default parser. Another parser converts them here.

use std::sync::Arc;

use engineio_proto::{EncodedMessage, MessageBatch, MessageEncoder};
use handlers::with_converted;
use socketio_proto::{EncodeError, Excerpt, Parser};

use crate::platform::ErrorLogLimit;

/// A packet to send.
pub(crate) struct Outgoing<'a> {
    /// The packet in the form of the default parser, which the buffers keep.
    pub(crate) message: EncodedMessage<'a>,
    /// The packet in the form of the client's parser, if that is another one.
    pub(crate) converted: Option<&'a MessageBatch>,
}

impl Outgoing<'_> {
    /// Returns an upper limit of the bytes on the wire.
    pub(crate) fn max_framed_len(&self) -> usize {
        match self.converted {
            None => self.message.max_framed_len(),
            Some(batch) => batch.max_framed_len(),
        }
    }
}

/// Must be called before an event or an acknowledgement is encoded.
pub(crate) fn prepare(parser: Option<&Arc<dyn Parser>>, encoder: &mut MessageEncoder) {
    if parser.is_some() {
        // The limit is a rule of the default parser.
        encoder.lift_attachment_limit();
    }
}

/// Converts a packet to the form of the parser, and passes it to `send`.
pub(crate) fn with_outgoing<R>(
    parser: Option<&Arc<dyn Parser>>,
    message: EncodedMessage<'_>,
    send: impl FnOnce(Outgoing<'_>) -> R,
) -> Result<R, EncodeError> {
    match parser {
        None => Ok(send(Outgoing { message, converted: None })),
        Some(parser) => with_converted(&**parser, message, |message, batch| {
            send(Outgoing { message, converted: Some(batch) })
        }),
    }
}

/// Logs that the parser has no form for a packet that nobody waits for.
pub(crate) fn log_not_encoded(error: &EncodeError) {
    static NOT_ENCODED: ErrorLogLimit = ErrorLogLimit::new();
    NOT_ENCODED.try_log(|suppressed| {
        tracing::error!(error = %Excerpt(error), suppressed, "a packet was not sent");
    });
}
