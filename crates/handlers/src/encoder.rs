//! The encoder and the batch of messages of each thread.

use std::cell::Cell;

use engineio_proto::{EncodedMessage, MessageBatch, MessageEncoder};
use socketio_proto::parser::encode_with;
use socketio_proto::{EncodeError, Parser};

thread_local! {
    static ENCODER: Cell<Option<Box<MessageEncoder>>> = const { Cell::new(None) };
    static BATCH: Cell<Option<Box<MessageBatch>>> = const { Cell::new(None) };
}

/// Runs `encode` with the thread's encoder.
///
/// The encoder is taken out of the thread-local, not borrowed. If a `Serialize` implementation of the program itself
/// emits an event, the nested call uses a new encoder.
pub fn with_encoder<R>(encode: impl FnOnce(&mut MessageEncoder) -> R) -> R {
    let mut encoder = take_encoder();
    let result = encode(&mut encoder);
    put_encoder(encoder);
    result
}

#[inline]
fn take_encoder() -> Box<MessageEncoder> {
    ENCODER.take().unwrap_or_default()
}

#[inline]
fn put_encoder(encoder: Box<MessageEncoder>) {
    // `LocalKey::set` would also look whether the variable must be initialized.
    ENCODER.with(|spare| spare.set(Some(encoder)));
}

/// Converts a packet to the form of `parser`, and passes the packet and its messages to `send`. The messages are in the
/// thread's batch, whose memory is reused.
///
/// The batch is taken out of the thread-local like the encoder, because the parser is the program's code.
///
/// # Errors
/// Returns the error of the parser. `send` is not called then.
#[cold]
pub fn with_converted<R>(
    parser: &dyn Parser,
    packet: EncodedMessage<'_>,
    send: impl FnOnce(EncodedMessage<'_>, &MessageBatch) -> R,
) -> Result<R, EncodeError> {
    let mut batch = take_batch();
    let sent = match encode_with(parser, &packet, &mut batch) {
        Ok(()) => Ok(send(packet, &batch)),
        Err(error) => Err(error),
    };
    put_batch(batch);
    sent
}

fn take_batch() -> Box<MessageBatch> {
    BATCH.take().unwrap_or_default()
}

fn put_batch(batch: Box<MessageBatch>) {
    BATCH.set(Some(batch));
}
