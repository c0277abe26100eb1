//! How a connection ended.

use std::fmt;
use std::io;

use net::Ended;
use ws_proto::{CloseFrame, ProtocolError};

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// By a closing handshake: the frame with which the peer began it or answered ours, if it had a payload. This is
    /// how connections should end.
    Handshake(Option<CloseFrame>),
    /// The peer ended the stream without a Close frame; browsers call it 1006.
    Eof,
    /// The peer broke the protocol or exceeded a limit. It has been told by a Close frame.
    Protocol(ProtocolError),
    /// We closed, and the peer did not answer in time.
    TimedOut,
    /// The peer gave no sign of life for [`Limits::idle_timeout`](crate::Limits::idle_timeout).
    Idle,
    /// The stream failed.
    Io(io::ErrorKind),
}

impl Closed {
    /// Whether both ends agreed to close.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::Handshake(_))
    }
}

impl From<Ended> for Closed {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Closed(frame) => Self::Handshake(frame),
            Ended::Eof => Self::Eof,
            Ended::Protocol(error) => Self::Protocol(error),
            Ended::Io(error) => Self::Io(error.kind()),
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(None) => f.write_str("closed by handshake, without a code"),
            Self::Handshake(Some(frame)) => write!(f, "closed by handshake: {frame}"),
            Self::Eof => f.write_str("the stream ended without a Close frame"),
            Self::Protocol(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::TimedOut => f.write_str("the peer did not answer our Close in time"),
            Self::Idle => f.write_str("the peer gave no sign of life for too long"),
            Self::Io(kind) => write!(f, "the stream failed: {kind}"),
        }
    }
}
