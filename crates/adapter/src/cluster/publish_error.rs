//! Why a message does not arrive.

use std::error::Error;
use std::sync::Arc;

#[cfg(feature = "cluster")]
use crate::request::MissingReason;

/// Why other servers do not get a message of this server.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The message is larger than the message bus accepts.
    #[error("the message has {size} bytes, but the message bus accepts only {max}")]
    TooLarge {
        /// The size of the message in bytes, as the driver has encoded it.
        size: usize,
        /// The maximum size in bytes.
        max: usize,
    },
    /// So much waits for the message bus that the driver takes no more. The bus is slow, or has been gone for some time.
    #[error(
        "{messages} messages with {bytes} bytes wait for the message bus, and there is no room for another one"
    )]
    QueueFull {
        /// The messages that wait.
        messages: usize,
        /// Their size in bytes.
        bytes: usize,
    },
    /// The link to the message bus was lost while the message was on its way. Other servers may have it.
    #[error("the link to the message bus was lost while the message was on its way")]
    LinkLost,
    /// The message bus has refused the message for another reason.
    #[error("the message bus has refused the message")]
    Refused(#[source] Arc<dyn Error + Send + Sync>),
    /// The message bus has not returned an event in time (`ClusterOptions::log_timeout`), or has returned a later one
    /// instead. Other servers may have it.
    #[error("the message bus has not returned the event")]
    NotReturned,
}

#[cfg(feature = "cluster")]
impl PublishError {
    /// Returns why the reply to a message, or the message as a reply, does not come.
    pub(crate) fn missing_reason(&self) -> MissingReason {
        match self {
            Self::TooLarge { .. } | Self::QueueFull { .. } => MissingReason::Limit,
            Self::Refused(_) | Self::NotReturned | Self::LinkLost => MissingReason::Disconnected,
        }
    }
}
