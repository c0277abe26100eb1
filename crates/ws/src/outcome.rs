//! What a handler returns.

use std::fmt::Display;

/// What a handler may return: nothing, or a `Result` that makes `?` usable in it.
///
/// When the handler has returned, a WebSocket that it has not given away is closed: with 1000, or after an error with
/// 1011. The error itself is traced and never sent: it may say what is not for the peer.
#[diagnostic::on_unimplemented(
    message = "a WebSocket handler cannot return `{Self}`",
    note = "it returns `()`, or `Result<(), E>` with `E: Display`"
)]
pub trait Outcome {
    /// Whether the handler failed.
    fn is_failure(&self) -> bool;
}

impl Outcome for () {
    fn is_failure(&self) -> bool {
        false
    }
}

impl<E: Display> Outcome for Result<(), E> {
    fn is_failure(&self) -> bool {
        self.as_ref().inspect_err(|error| tracing::debug!(%error, "a WebSocket handler failed")).is_err()
    }
}
