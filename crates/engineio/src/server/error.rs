//! The errors of sending, and how a session ended.

use std::fmt;

use engineio_proto::CloseReason;

/// The session is over, so the message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendError;

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the session is over")
    }
}

impl std::error::Error for SendError {}

/// Why [`try_send`](super::Sender::try_send) did not queue a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError {
    /// The message would exceed the limit of queued bytes, because the client reads too slowly.
    Full,
    /// The session is over.
    Closed,
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the queue of the session is full",
            Self::Closed => "the session is over",
        })
    }
}

impl std::error::Error for TrySendError {}

/// How a session ended: the two arguments of Node's event `close`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseCause {
    reason: CloseReason,
    description: Option<Box<str>>,
}

impl CloseCause {
    pub(super) fn new(reason: CloseReason, description: Option<&str>) -> Self {
        let is_error = match reason {
            CloseReason::TransportError | CloseReason::TransportClose | CloseReason::ParseError => true,
            CloseReason::PingTimeout | CloseReason::ForcedClose | CloseReason::ServerShuttingDown => false,
        };
        // A description belongs to an error. One may also be recorded while the session ends for another reason.
        Self { reason, description: description.filter(|_| is_error).map(Into::into) }
    }

    /// Returns the reason. Its `Display` is the text that Node uses, such as `transport close`.
    #[must_use]
    pub fn reason(&self) -> CloseReason {
        self.reason
    }

    /// Returns what went wrong, for a log: which rule the client violated, or how its connection failed. Returns `None`
    /// if nothing went wrong, and if the reason says everything. The text may change between versions.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        match &self.description {
            Some(description) => write!(f, ": {description}"),
            None => Ok(()),
        }
    }
}
