//! Splits encoded messages, for all tests of this crate.

use engineio_proto::SharedMessage;

/// Returns the text of a message and its attachments.
pub(crate) fn parts(message: &SharedMessage) -> (String, Vec<Vec<u8>>) {
    (message.text().to_owned(), message.attachments().iter().map(|data| data.to_vec()).collect())
}
