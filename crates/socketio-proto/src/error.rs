//! What can be wrong, one type for each question.

use crate::packet::PacketType;

/// Why a message of the peer is not a packet. The connection it came on has to be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message has no character at all.
    #[error("the packet is empty")]
    Empty,
    /// The first character is not a digit from 0 to 6.
    #[error("{0:?} is not a packet type")]
    UnknownType(char),
    /// A binary packet does not begin with how many attachments it has, at least one, and `-`.
    #[error("a binary packet must announce its attachments as a number from 1 and '-'")]
    InvalidAttachmentCount,
    /// More attachments are announced than [`Limits::max_attachments`](crate::DecoderLimits::max_attachments).
    #[error("more than {max} attachments announced")]
    TooManyAttachments {
        /// The limit that was exceeded.
        max: usize,
    },
    /// The attachments are larger than [`Limits::max_attachment_bytes`](crate::DecoderLimits::max_attachment_bytes).
    #[error("the attachments of one packet exceed {max} bytes")]
    AttachmentsTooLarge {
        /// The limit that was exceeded.
        max: usize,
    },
    /// The acknowledgement id does not fit 64 bits.
    #[error("the acknowledgement id does not fit 64 bits")]
    InvalidAckId,
    /// An acknowledgement does not say what it acknowledges.
    #[error("an acknowledgement without an id")]
    MissingAckId,
    /// The payload is not JSON.
    #[error("the payload is not JSON at byte {offset}")]
    InvalidJson {
        /// Where in the payload, counted from its first byte.
        offset: usize,
    },
    /// A member of an object has a name that serde_json keeps for itself.
    #[error("a reserved name at byte {offset} of the payload")]
    ReservedKey {
        /// Where in the payload, counted from its first byte.
        offset: usize,
    },
    /// The payload is missing, or is JSON of a shape that this type of packet cannot have.
    #[error("the payload does not suit a packet of type {0:?}")]
    InvalidPayload(PacketType),
    /// The event has a name that is [reserved](crate::RESERVED_EVENTS).
    #[error("the event name {0:?} is reserved")]
    ReservedEvent(&'static str),
    /// A placeholder does not stand for one of the announced attachments.
    #[error("a placeholder stands for none of the {attachments} attachments")]
    InvalidPlaceholder {
        /// How many attachments the packet announces.
        attachments: usize,
    },
    /// A text arrived where an attachment was due.
    #[error("a text arrived while {awaited} attachments are awaited")]
    UnexpectedText {
        /// How many attachments are missing.
        awaited: usize,
    },
    /// Binary data arrived that no packet has announced.
    #[error("binary data arrived that no packet has announced")]
    UnexpectedBinary,
}

/// Why the arguments of a packet are not what the program asked for. The packet itself is valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentsError {
    /// The peer sent fewer arguments.
    #[error("argument {index} is missing")]
    Missing {
        /// Which one, counted from 0.
        index: usize,
    },
    /// An argument is of another type.
    #[error("argument {index}: {reason}")]
    Invalid {
        /// Which one, counted from 0.
        index: usize,
        /// What was expected and what was found, as an [`Excerpt`](crate::Excerpt): the peer has a hand in it.
        reason: String,
    },
    /// A payload that is no list of arguments (what a client authenticates with, a refusal's details) is of another
    /// type.
    #[error("payload: {reason}")]
    InvalidPayload {
        /// The same.
        reason: String,
    },
}

/// Why something cannot be sent. The encoder may be used again at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The event name is [reserved](crate::RESERVED_EVENTS).
    #[error("{0:?} is a reserved event name")]
    ReservedEvent(String),
    /// The arguments contain more binary values than a JavaScript peer takes; it would close the connection.
    #[error("more than {max} binary values in one packet")]
    TooManyAttachments {
        /// How many there may be.
        max: usize,
    },
    /// The arguments refuse to be serialised, or have no JSON form (a map whose keys are not text, for one).
    #[error("the arguments cannot be written as JSON: {reason}")]
    Serialize {
        /// What serde says.
        reason: String,
    },
}
