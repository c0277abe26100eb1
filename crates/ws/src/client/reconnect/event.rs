//! The events of a client that reconnects by itself.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Response, StatusCode};

use crate::client::ConnectError;
use crate::error::CloseCause;
use crate::message::Message;

/// The longest delay that `Retry-After` can cause. A longer delay is shortened to this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5 * 60);

/// An event of a [`ReconnectingWebSocket`](crate::ReconnectingWebSocket), returned by
/// [`next_event`](crate::ReconnectingWebSocket::next_event).
#[derive(Debug)]
#[non_exhaustive]
pub enum ReconnectEvent {
    /// An attempt to connect starts.
    Connecting {
        /// The number of the attempt. The first one ever is 0. The count restarts at 1 after a connection that lasted
        /// for [`Reconnection::delay_max`](crate::Reconnection::delay_max).
        attempt: u32,
    },
    /// The client has connected.
    Connected {
        /// The subprotocol that the server selected.
        protocol: Option<String>,
        /// The response of the server to the handshake.
        response: Box<Response<()>>,
    },
    /// A message was received.
    Message(Message),
    /// The connection has ended.
    Disconnected {
        /// How the connection ended.
        cause: CloseCause,
    },
    /// The attempt to connect has failed.
    ConnectFailed {
        /// Why the attempt failed.
        error: Arc<ConnectError>,
    },
    /// The next attempt will start after a delay, which begins now.
    Reconnecting {
        /// The number of the next attempt.
        attempt: u32,
        /// The delay before the next attempt.
        delay: Duration,
    },
    /// There are no more attempts. This is the last event.
    ReconnectFailed {
        /// The failure after which no further attempt is made.
        failure: ConnectionFailure,
    },
}

/// Why there is no connection: it has ended, or an attempt to connect has failed.
#[derive(Debug, Clone)]
pub enum ConnectionFailure {
    /// The connection has ended.
    Disconnected(CloseCause),
    /// An attempt to connect has failed.
    ConnectFailed(Arc<ConnectError>),
}

impl ConnectionFailure {
    /// Returns `true` if another attempt may succeed: always after the end of a connection, and according to
    /// [`ConnectError::is_transient`] after a failed attempt.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Disconnected(_) => true,
            Self::ConnectFailed(error) => error.is_transient(),
        }
    }

    /// Returns the HTTP status if the server rejected the handshake with one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Disconnected(_) => None,
            Self::ConnectFailed(error) => error.status(),
        }
    }

    /// Returns the delay in the `Retry-After` header of the response (RFC 9110 §10.2.3). A date is ignored, because it
    /// would depend on two clocks.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let Self::ConnectFailed(error) = self else { return None };
        let ConnectError::Rejected(response) = &**error else { return None };
        let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
        let is_seconds = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        // The value may have any number of digits. A value that overflows the type is above the maximum anyway.
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
