//! Why the engine opened no session although the request was right: a limit is reached, or the engine is closing.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use net::AddressLimitError;

/// Why the engine opened no session although the request was right. Node has no such limits, so clients know no code for
/// these: they get a status, and try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionRefusal {
    /// The head of the request is longer than [`Options::max_handshake_size`](crate::Options::max_handshake_size). Status
    /// 431.
    HeadTooLong,
    /// [`Options::max_sessions`](crate::Options::max_sessions) is reached. Status 503.
    TooManySessions,
    /// The request heads of all sessions take as much of the memory budget as they may. Status 503.
    HeadMemory,
    /// The request heads of the sessions of one address take as much of the memory budget as they may. Status 429.
    HeadMemoryOfAddress,
    /// A limit on the sessions of one address is reached. Status 429.
    AddressLimit(AddressLimitError),
    /// The engine is closing. Status 503.
    Closing,
    /// The system has no random bytes for the id of the session. Status 503.
    NoRandomBytes,
    /// [`Options::max_pending_allow_requests`](crate::Options::max_pending_allow_requests) is reached. Status 503.
    #[non_exhaustive]
    TooManyChecks {
        /// In this time, each check has ended.
        timeout: Duration,
    },
    /// The check of the program took longer than
    /// [`Options::allow_request_timeout`](crate::Options::allow_request_timeout). Status 503.
    CheckTimedOut,
}

impl SessionRefusal {
    /// Returns the status of the response.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::HeadTooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeadMemoryOfAddress | Self::AddressLimit(_) => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the number of seconds after which the client should try again, if that is known: `Retry-After`.
    #[must_use]
    pub fn retry_after(self) -> Option<u64> {
        match self {
            // Another server takes its place, or it starts again.
            Self::Closing => Some(1),
            Self::TooManyChecks { timeout } => Some(timeout.as_secs().saturating_add(1)),
            Self::AddressLimit(AddressLimitError::TooManyNewSessions { retry_after }) => {
                Some(retry_after.as_secs() + 1)
            }
            _ => None,
        }
    }
}

/// Writes the text of the response.
impl fmt::Display for SessionRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeadTooLong => "the head of the request is too long",
            Self::TooManySessions => "too many sessions",
            Self::HeadMemory => "too little memory for another session",
            Self::HeadMemoryOfAddress => "too much memory for sessions of this address",
            Self::AddressLimit(error) => return fmt::Display::fmt(error, f),
            Self::Closing => "the server is closing",
            Self::NoRandomBytes => "no session id is available",
            Self::TooManyChecks { .. } => "too many sessions wait to be allowed",
            Self::CheckTimedOut => "the session was not allowed in time",
        })
    }
}

impl std::error::Error for SessionRefusal {}
