//! Errors of handlers, and the part of them that the peer receives.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use serde::Serialize;
use serde_json::Value;
use ws_proto::ErrorChain;

/// The error of a handler or a middleware that failed or could not be called.
///
/// There are two kinds of errors:
///
/// - An *internal* error is one that `?` converts, or that [`HandlerError::internal`] makes. Its own text is not sent to
///   the peer, because such texts can name tables and files. The peer receives the message `handler failed`, unless the
///   program has registered with `map_errors`, on the builder, what peers learn of errors of this type. The program's
///   error hook (`on_error`) is called with it.
/// - An error of [`HandlerError::new`] has a message for the peer, and may have a [code](Self::code) and
///   [data](Self::data).
///
/// If the peer requested an acknowledgement, the acknowledgement is `{"error": message}`, with the members `code` and
/// `data` if they are set. If a middleware returns the error, `err.message` of the client's `connect_error` is the
/// message. `err.data` is the data, or `{"code": code, "data": data}` if there is a code.
///
/// ```
/// use tidewire_handlers::HandlerError;
///
/// let error = HandlerError::new("the room is full").code("room_full").data(30);
/// assert_eq!((error.message(), error.error_code()), ("the room is full", Some("room_full")));
/// ```
pub struct HandlerError(Box<Inner>);

/// Boxed, so that the result of a handler is one pointer.
struct Inner {
    message: Cow<'static, str>,
    code: Option<Cow<'static, str>>,
    data: Option<Value>,
    source: Option<Box<dyn Error + Send + Sync>>,
    is_internal: bool,
}

impl HandlerError {
    /// The message for the peer if the real error is not meant for it.
    pub(crate) const INTERNAL_MESSAGE: &str = "handler failed";

    /// Creates an error with a message that is sent to the peer.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            message: message.into(),
            code: None,
            data: None,
            source: None,
            is_internal: false,
        }))
    }

    /// Creates an error from a value of any error type. The peer does not receive its text. Use
    /// `.map_err(HandlerError::internal)?` for types that `?` alone does not convert: boxed errors, strings, `anyhow::Error`.
    ///
    /// An `anyhow::Error` that becomes a box hides the type of the error that it was created from, so `map_errors` sees only
    /// the causes of that error. Pass `error.reallocate_into_boxed_dyn_error_without_backtrace()` instead, which keeps it. The
    /// guide has a type for handlers that does this.
    pub fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::from_source(error.into())
    }

    fn from_source(source: Box<dyn Error + Send + Sync>) -> Self {
        Self(Box::new(Inner {
            message: Self::INTERNAL_MESSAGE.into(),
            code: None,
            data: None,
            source: Some(source),
            is_internal: true,
        }))
    }

    /// Sets a code for the programs of peers, which should not compare messages: `"room_full"`, for instance.
    #[must_use]
    pub fn code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Sets data for the peer. It is any JSON value, for instance of `serde_json::json!`.
    #[must_use]
    pub fn data(mut self, data: impl Into<Value>) -> Self {
        self.0.data = Some(data.into());
        self
    }

    /// Sets the underlying error. It is not sent to the peer.
    #[must_use]
    pub fn with_source(mut self, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(error.into());
        self
    }

    /// Returns the message that is sent to the peer.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the code that is sent to the peer.
    #[must_use]
    pub fn error_code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// Returns the data that are sent to the peer.
    #[must_use]
    pub fn error_data(&self) -> Option<&Value> {
        self.0.data.as_ref()
    }

    /// Returns the underlying error. It is not sent to the peer.
    #[must_use]
    pub fn source(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.0.source.as_deref()
    }

    /// Returns whether the peer does not learn what has failed: `?` has converted the error, and `map_errors` does not
    /// know its type, or the handler has panicked. An error that is not internal has a message for the peer, and is often
    /// the peer's own doing.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.0.is_internal
    }

    /// Creates the error of a handler that panicked with this payload. The payload is not sent to the peer.
    #[must_use]
    pub fn from_panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Self::internal(format!("panicked: {text}"))
    }

    /// Returns what the peer learns as data of a refused request to connect, where a message has no code beside it.
    #[must_use]
    pub fn connect_error_data(&self) -> Option<Cow<'_, Value>> {
        match (&self.0.code, &self.0.data) {
            (None, data) => data.as_ref().map(Cow::Borrowed),
            (Some(code), data) => {
                let mut object = serde_json::Map::new();
                object.insert("code".to_owned(), code.as_ref().into());
                object.extend(data.clone().map(|data| ("data".to_owned(), data)));
                Some(Cow::Owned(object.into()))
            }
        }
    }

    /// Sets the underlying error to that of `original`, if there is none.
    pub(crate) fn with_source_of(mut self, original: Self) -> Self {
        if self.0.source.is_none() {
            self.0.source = original.0.source;
        }
        self
    }

    /// Returns the argument of the acknowledgement.
    pub(crate) fn reply(&self) -> ErrorReply<'_> {
        ErrorReply { error: self.message(), code: self.error_code(), data: self.error_data() }
    }
}

/// The argument of the acknowledgement of a handler that failed.
#[derive(Serialize)]
pub(crate) struct ErrorReply<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
}

impl ErrorReply<'_> {
    /// The reply if the real error is not meant for the peer.
    pub(crate) const INTERNAL: Self = Self { error: HandlerError::INTERNAL_MESSAGE, code: None, data: None };
}

// `HandlerError` does not implement `Error`. Otherwise this blanket `From` would conflict with `From<T> for T`.
impl<E: Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::internal(error)
    }
}

/// Writes the message for the peer with its code, then the underlying error with all its causes. An underlying error of
/// the same text is left out.
impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(code) = &self.0.code {
            write!(f, " ({code})")?;
        }
        let Some(source) = &self.0.source else { return Ok(()) };
        // A function of `map_errors` often takes the message from the error.
        let next = if source.to_string() == self.0.message { source.source() } else { Some(&**source as _) };
        match next {
            Some(next) => write!(f, ": {}", ErrorChain(next)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { message, code, data, source, is_internal: _ } = &*self.0;
        f.debug_struct("HandlerError")
            .field("message", message)
            .field("code", code)
            .field("data", data)
            .field("source", source)
            .finish()
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
        let source = NotSaved(std::io::Error::other("the disk is full"));
        let error = HandlerError::new("cannot save the note").code("not_saved").with_source(source);
        assert_eq!(error.to_string(), "cannot save the note (not_saved): the disk is full");
        let error = HandlerError::new("the room is full").with_source("the room is full");
        assert_eq!(error.to_string(), "the room is full");
    }
}
