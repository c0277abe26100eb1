//! One message encoder per thread, so that its buffers are reused.

use std::cell::Cell;

use engineio_proto::MessageEncoder;

thread_local! {
    static ENCODER: Cell<Option<Box<MessageEncoder>>> = const { Cell::new(None) };
}

/// Runs `encode` with the thread's encoder.
///
/// The encoder is taken out of the thread-local, not borrowed. If a `Serialize` implementation of the program itself
/// emits an event, the nested call uses a new encoder.
pub fn with_encoder<R>(encode: impl FnOnce(&mut MessageEncoder) -> R) -> R {
    let mut encoder = ENCODER.take().unwrap_or_default();
    let result = encode(&mut encoder);
    ENCODER.set(Some(encoder));
    result
}
