//! What happens to a client that connects again by itself.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Response, StatusCode};

use crate::client::ConnectError;
use crate::error::CloseCause;
use crate::message::Message;

/// The longest that a server may ask for by `Retry-After`. What it asks for beyond is not granted.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5 * 60);

/// What [`ReconnectingWebSocket::next_event`](crate::ReconnectingWebSocket::next_event) tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReconnectEvent {
    /// An attempt begins.
    Connecting {
        /// Its number: 0 is the very first. The next after a connection that has lasted is 1 again.
        attempt: u32,
    },
    /// There is a connection.
    Connected {
        /// The subprotocol that was agreed on.
        protocol: Option<String>,
        /// The server's answer.
        response: Box<Response<()>>,
    },
    /// A message.
    Message(Message),
    /// The connection has ended.
    Disconnected {
        /// How.
        cause: CloseCause,
    },
    /// The attempt has failed.
    ConnectFailed {
        /// Who is to blame.
        error: Arc<ConnectError>,
    },
    /// The next attempt comes after a delay that begins now.
    Reconnecting {
        /// The number of that attempt.
        attempt: u32,
        /// How long it is until then.
        delay: Duration,
    },
    /// There will be no other attempt, and no other event.
    ReconnectFailed {
        /// What this follows from.
        failure: ConnectionFailure,
    },
}

/// What was lost: a connection, or an attempt to make one.
#[derive(Debug, Clone)]
pub enum ConnectionFailure {
    /// A connection has ended, in this way.
    Disconnected(CloseCause),
    /// No connection came about.
    ConnectFailed(Arc<ConnectError>),
}

impl ConnectionFailure {
    /// Whether it makes sense to try again, as far as can be known: always after a connection, and after an attempt as
    /// [`ConnectError::is_transient`] says.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Disconnected(_) => true,
            Self::ConnectFailed(error) => error.is_transient(),
        }
    }

    /// The status with which the server refused, if it did.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Disconnected(_) => None,
            Self::ConnectFailed(error) => error.status(),
        }
    }

    /// How long the server wants to be left alone (RFC 9110 §10.2.3). As a date it is not looked at: that would depend on
    /// two clocks.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let Self::ConnectFailed(error) = self else { return None };
        let ConnectError::Rejected(response) = &**error else { return None };
        let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
        let is_seconds = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        // Of any number of digits; those that are too many for the type are too many seconds as well.
        let seconds = is_seconds.then(|| value.parse().unwrap_or(u64::MAX))?;
        Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
    }
}

impl fmt::Display for ConnectionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected(closed) => closed.fmt(f),
            Self::ConnectFailed(error) => error.fmt(f),
        }
    }
}

impl Error for ConnectionFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Disconnected(_) => None,
            Self::ConnectFailed(error) => error.source(),
        }
    }
}
