//! The encoder that each thread keeps for what it sends.

use std::cell::Cell;

use engineio_proto::MessageEncoder;

thread_local! {
    static ENCODER: Cell<Option<Box<MessageEncoder>>> = const { Cell::new(None) };
}

/// Runs `encode` with the thread's encoder.
///
/// The encoder is taken, not borrowed: a `Serialize` of the program that emits in the middle gets another one.
pub fn with_encoder<R>(encode: impl FnOnce(&mut MessageEncoder) -> R) -> R {
    let mut encoder = ENCODER.take().unwrap_or_default();
    let result = encode(&mut encoder);
    ENCODER.set(Some(encoder));
    result
}
