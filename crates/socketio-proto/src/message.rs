//! An encoded message that waits, in memory of its own.

use engineio_proto::EncodedMessage;

/// A message that has been encoded and is kept until it can be sent. The only place that knows its type.
pub type OwnedMessage = engineio_proto::Frame;

/// Takes a message out of its encoder.
pub(crate) fn keep(message: EncodedMessage<'_>) -> OwnedMessage {
    message.to_frame()
}

/// What a message takes in memory, without its frame.
pub(crate) fn size(message: EncodedMessage<'_>) -> usize {
    message.as_wire().len()
}

#[cfg(test)]
#[path = "../tests/support/parts.rs"]
pub(crate) mod parts;
