//! The errors that a peer can cause.

use std::fmt;

use crate::close::CloseCode;
use crate::frame::Opcode;

/// The peer broke the protocol or exceeded a limit. The connection is over.
///
/// When this error is returned, the Close frame that tells the peer the reason is already queued.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set and no extension gives it a meaning (§5.2). The bits are as in the frame: `0b100` is
    /// RSV1.
    ReservedBits(u8),
    /// The opcode is one of 3–7 and 11–15 (§5.2).
    ReservedOpcode(u8),
    /// A control frame has no FIN bit (§5.5).
    FragmentedControl(Opcode),
    /// The payload of a control frame is longer than 125 bytes (§5.5).
    ControlTooLong(Opcode),
    /// A payload length is encoded in more bytes than it needs (§5.2).
    LengthNotMinimal,
    /// A 64-bit payload length has its highest bit set (§5.2).
    LengthOutOfRange,
    /// A client sent a frame that is not masked (§5.1).
    UnmaskedFrameFromClient,
    /// A server sent a frame that is masked (§5.1).
    MaskedFrameFromServer,
    /// A continuation frame came although no message is unfinished (§5.4).
    UnexpectedContinuation,
    /// A new message began before the previous one was finished (§5.4).
    ExpectedContinuation(Opcode),
    /// The message would be longer than [`Limits::max_message_size`](crate::Limits::max_message_size).
    ///
    /// For a message in chunks: the rest of the message would be longer than
    /// [`set_max_chunked_bytes`](crate::Connection::set_max_chunked_bytes) or [`skip_chunks`](crate::Connection::skip_chunks) allows.
    MessageTooBig {
        /// The number of bytes that count towards the limit, including the rejected frame or chunk.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The message has more fragments than [`Limits::max_fragments`](crate::Limits::max_fragments).
    TooManyFragments {
        /// The limit.
        limit: u32,
    },
    /// Pings and Pongs arrive faster than [`Limits::max_control_frame_burst`](crate::Limits::max_control_frame_burst) allows.
    TooManyControlFrames {
        /// The limit.
        limit: u16,
    },
    /// A text message is not UTF-8 (§8.1).
    InvalidText,
    /// A compressed message cannot be inflated (RFC 7692 §7.2.2).
    InvalidCompression,
    /// A Close frame has a payload of one byte, but a status code has two (§5.5.1).
    CloseTooShort,
    /// A Close frame has a status code that must not be sent (§7.4).
    InvalidCloseCode(u16),
    /// The reason in a Close frame is not UTF-8 (§5.5.1).
    InvalidCloseReason,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits(bits) => {
                write!(f, "reserved bits {bits:03b} are set, but no extension was negotiated")
            }
            Self::ReservedOpcode(opcode) => write!(f, "opcode {opcode:#x} is reserved"),
            Self::FragmentedControl(opcode) => write!(f, "{opcode} frame is fragmented"),
            Self::ControlTooLong(opcode) => write!(f, "{opcode} frame is longer than 125 bytes"),
            Self::LengthNotMinimal => f.write_str("payload length is not encoded in the fewest bytes"),
            Self::LengthOutOfRange => f.write_str("payload length has its highest bit set"),
            Self::UnmaskedFrameFromClient => f.write_str("frame from a client is not masked"),
            Self::MaskedFrameFromServer => f.write_str("frame from a server is masked"),
            Self::UnexpectedContinuation => f.write_str("continuation frame without a message to continue"),
            Self::ExpectedContinuation(opcode) => {
                write!(f, "{opcode} frame before the fragmented message ended")
            }
            Self::MessageTooBig { size, limit } => {
                write!(f, "message of at least {size} bytes exceeds the limit of {limit}")
            }
            Self::TooManyFragments { limit } => write!(f, "message of more than {limit} fragments"),
            Self::TooManyControlFrames { limit } => {
                write!(f, "more than {limit} pings and pongs in ten seconds")
            }
            Self::InvalidText => f.write_str("text message is not valid UTF-8"),
            Self::InvalidCompression => f.write_str("message is marked as compressed but cannot be inflated"),
            Self::CloseTooShort => f.write_str("close frame with a payload of one byte"),
            Self::InvalidCloseCode(code) => write!(f, "close code {code} must not be sent"),
            Self::InvalidCloseReason => f.write_str("close reason is not valid UTF-8"),
        }
    }
}

impl std::error::Error for ProtocolError {}

impl ProtocolError {
    /// Returns the status code that the connection is closed with (§7.4.1).
    pub fn close_code(&self) -> CloseCode {
        match self {
            ProtocolError::MessageTooBig { .. } => CloseCode::MESSAGE_TOO_BIG,
            ProtocolError::TooManyFragments { .. } | ProtocolError::TooManyControlFrames { .. } => {
                CloseCode::POLICY_VIOLATION
            }
            ProtocolError::InvalidText
            | ProtocolError::InvalidCompression
            | ProtocolError::InvalidCloseReason => CloseCode::INVALID_PAYLOAD,
            ProtocolError::ReservedBits(_)
            | ProtocolError::ReservedOpcode(_)
            | ProtocolError::FragmentedControl(_)
            | ProtocolError::ControlTooLong(_)
            | ProtocolError::LengthNotMinimal
            | ProtocolError::LengthOutOfRange
            | ProtocolError::UnmaskedFrameFromClient
            | ProtocolError::MaskedFrameFromServer
            | ProtocolError::UnexpectedContinuation
            | ProtocolError::ExpectedContinuation(_)
            | ProtocolError::CloseTooShort
            | ProtocolError::InvalidCloseCode(_) => CloseCode::PROTOCOL_ERROR,
        }
    }
}
