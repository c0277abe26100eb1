//! How a session ends.

use std::fmt;

use engineio_proto::client::SessionError;
use engineio_proto::{CloseReason, Transport};

use crate::transport::TransportError;

/// How a session has ended, or why it did not open.
#[derive(Debug)]
#[non_exhaustive]
pub struct Closed {
    /// The reason, with the name that the JavaScript client uses.
    pub reason: CloseReason,
    /// What has gone wrong, if the reason alone does not say it.
    pub error: Option<CloseError>,
}

/// What ended a session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The transport failed, or the server ended its connection with an explanation.
    #[error("{}: {error}", transport.name())]
    Transport {
        /// The transport.
        transport: Transport,
        /// The cause.
        error: TransportError,
    },
    /// The server violated the protocol, or sent no open packet in time.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The server reads too slowly: [`Limits::max_write_buffer_size`](crate::Limits::max_write_buffer_size) is reached.
    #[error("the server reads too slowly: `max_write_buffer_size` is reached")]
    Overflow,
    /// The memory budget was exceeded, and this session was among those that held the most.
    #[error("closed to free memory: the budget of {limit} bytes is exceeded (`memory_budget`)")]
    MemoryBudget {
        /// The limit of the budget in bytes.
        limit: usize,
    },
    /// [`Session::close`](crate::Session::close) was called, and the queued messages could not be sent in time.
    #[error("the queued messages were not sent within `close_timeout`")]
    CloseTimedOut,
}

/// Prints the reason and all causes.
impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        match &self.error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}
