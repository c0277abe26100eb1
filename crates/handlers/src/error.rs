//! What goes wrong in handlers, and what the peer is told of it.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use serde::Serialize;
use ws_proto::ErrorChain;

/// A handler failed, or could not be called.
///
/// It goes to the program's error hook (`on_error`). If the peer asked for an acknowledgement, it gets
/// `{"error": <message>}`. The text of an error that comes in by `?` is not sent to the peer, which learns only that the
/// handler failed: such texts name tables and files. [`HandlerError::new`] makes an error with words for the peer.
pub struct HandlerError {
    message: Cow<'static, str>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl HandlerError {
    /// All that a peer learns of an error that is not meant for it.
    pub(crate) const INTERNAL_MESSAGE: &str = "handler failed";

    /// An error that the peer may read.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// An error that the peer may not read, of any type: `.map_err(HandlerError::internal)?` for those that `?` alone
    /// does not take (`anyhow::Error`, boxed errors, texts).
    pub fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { message: Self::INTERNAL_MESSAGE.into(), source: Some(error.into()) }
    }

    /// Adds what the peer is not told.
    #[must_use]
    pub fn with_source(mut self, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(error.into());
        self
    }

    /// What the peer is told.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The underlying error, which is not sent to the peer.
    #[must_use]
    pub fn source(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.source.as_deref()
    }

    /// A handler has panicked with this payload. The peer may not read it.
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

/// What an acknowledgement carries when its handler failed.
#[derive(Serialize)]
pub(crate) struct ErrorReply<'a> {
    pub(crate) error: &'a str,
}

// `HandlerError` is no `Error` itself: that is what lets every error become one with `?`.
impl<E: Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self { message: Self::INTERNAL_MESSAGE.into(), source: Some(Box::new(error)) }
    }
}

/// What the peer is told, then what it is not told with all its causes.
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
    fn a_hidden_error_is_for_the_program_alone() {
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
