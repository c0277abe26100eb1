//! Why a message does not arrive.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

#[cfg(feature = "cluster")]
use crate::request::MissingReason;

/// Why other servers do not get a message of this server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PublishError {
    /// The message is larger than the message bus accepts.
    TooLarge {
        /// The size of the message in bytes, as the driver has encoded it.
        size: usize,
        /// The maximum size in bytes.
        max: usize,
    },
    /// So much waits for the message bus that the driver takes no more. The bus is slow, or has been gone for some time.
    QueueFull {
        /// The messages that wait.
        messages: usize,
        /// Their size in bytes.
        bytes: usize,
    },
    /// The link to the message bus was lost while the message was on its way. Other servers may have it.
    LinkLost,
    /// The message bus has refused the message for another reason.
    Refused(Arc<dyn Error + Send + Sync>),
    /// The message bus has not returned an event in time (`ClusterOptions::log_timeout`), or has returned a later one
    /// instead. Other servers may have it.
    NotReturned,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, max } => {
                write!(f, "the message has {size} bytes, but the message bus accepts only {max}")
            }
            Self::QueueFull { messages, bytes } => write!(
                f,
                "{messages} messages with {bytes} bytes wait for the message bus, \
                 and there is no room for another one"
            ),
            Self::LinkLost => {
                f.write_str("the link to the message bus was lost while the message was on its way")
            }
            Self::Refused(_) => f.write_str("the message bus has refused the message"),
            Self::NotReturned => f.write_str("the message bus has not returned the event"),
        }
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused(error) => Some(error),
            _ => None,
        }
    }
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
