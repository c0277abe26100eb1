//! Errors of handlers, and the part of them that the peer receives.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use serde::Serialize;
use ws_proto::ErrorChain;

/// The error of a handler that failed or could not be called.
///
/// The program's error hook (`on_error`) is called with it. If the peer requested an acknowledgement, the
/// acknowledgement is `{"error": <message>}`.
///
/// The message of an error that `?` converts is always `handler failed`. Its own text is not sent to the peer, because
/// such texts can name tables and files. Use [`HandlerError::new`] for a message that the peer may read.
pub struct HandlerError {
    message: Cow<'static, str>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl HandlerError {
    /// The message for the peer if the real error is not meant for it.
    pub(crate) const INTERNAL_MESSAGE: &str = "handler failed";

    /// Creates an error with a message that is sent to the peer.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// Creates an error from a value of any error type. The peer does not receive its text. Use
    /// `.map_err(HandlerError::internal)?` for types that `?` alone does not convert: `anyhow::Error`, boxed errors,
    /// strings.
    pub fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { message: Self::INTERNAL_MESSAGE.into(), source: Some(error.into()) }
    }

    /// Sets the underlying error. It is not sent to the peer.
    #[must_use]
    pub fn with_source(mut self, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(error.into());
        self
    }

    /// Returns the message that is sent to the peer.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the underlying error. It is not sent to the peer.
    #[must_use]
    pub fn source(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.source.as_deref()
    }

    /// Creates the error of a handler that panicked with this payload. The payload is not sent to the peer.
    #[must_use]
    pub fn from_panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Self { message: Self::INTERNAL_MESSAGE.into(), source: Some(format!("panicked: {text}").into()) }
    }
}

/// The argument of the acknowledgement of a handler that failed.
#[derive(Serialize)]
pub(crate) struct ErrorReply<'a> {
    pub(crate) error: &'a str,
}

// `HandlerError` does not implement `Error`. Otherwise this blanket `From` would conflict with `From<T> for T`.
impl<E: Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self { message: Self::INTERNAL_MESSAGE.into(), source: Some(Box::new(error)) }
    }
}

/// Writes the message for the peer, then the underlying error with all its causes.
impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {}", ErrorChain(&**source)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerError").field("message", &self.message).field("source", &self.source).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_internal_error_is_not_sent_to_the_peer() {
        let error = HandlerError::internal("the table is locked");
        assert_eq!(
            (error.message(), error.to_string().as_str()),
            ("handler failed", "handler failed: the table is locked")
        );
        let error = HandlerError::new("try again").with_source("the table is locked");
        assert_eq!(
            (error.message(), error.source().unwrap().to_string().as_str()),
            ("try again", "the table is locked")
        );
    }

    #[test]
    fn an_error_is_shown_with_all_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot save the note")]
        struct NotSaved(#[source] std::io::Error);

        let error = HandlerError::from(NotSaved(std::io::Error::other("the disk is full")));
        assert_eq!(error.to_string(), "handler failed: cannot save the note: the disk is full");
    }
}
