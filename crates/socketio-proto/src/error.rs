//! The errors of decoding, of reading arguments, and of encoding.

use std::error::Error;
use std::fmt;

use crate::packet::PacketType;
use ws_proto::Excerpt;

/// The reason why a message is not a valid packet. The connection must be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message is empty.
    Empty,
    /// The first character is not a digit from 0 to 6.
    UnknownType(char),
    /// A binary packet does not begin with the number of its attachments, which is at least 1, and `-`.
    InvalidAttachmentCount,
    /// The packet announces more attachments than
    /// [`DecoderLimits::max_attachments`](crate::DecoderLimits::max_attachments).
    TooManyAttachments {
        /// The limit that was exceeded.
        max: usize,
    },
    /// The attachments of one packet together are larger than
    /// [`DecoderLimits::max_attachment_bytes`](crate::DecoderLimits::max_attachment_bytes).
    AttachmentsTooLarge {
        /// The limit that was exceeded.
        max: usize,
    },
    /// An acknowledgement has no id.
    MissingAckId,
    /// The payload is not JSON.
    InvalidJson {
        /// The position of the error in the payload, in bytes.
        offset: usize,
    },
    /// A key of an object is reserved by serde_json.
    ReservedKey {
        /// The position of the key in the payload, in bytes.
        offset: usize,
    },
    /// The payload has more lists and objects than
    /// [`DecoderLimits::max_lists_and_objects`](crate::DecoderLimits::max_lists_and_objects).
    TooManyListsAndObjects {
        /// The limit that was exceeded.
        max: usize,
    },
    /// A connect request of Socket.IO 4 has a query of more than 16 KiB.
    QueryTooLong {
        /// The limit that was exceeded.
        max: usize,
    },
    /// The payload is missing, or it is JSON that this type of packet cannot have.
    InvalidPayload(PacketType),
    /// The name of the event is [reserved](crate::RESERVED_EVENTS).
    ReservedEvent(&'static str),
    /// A placeholder does not refer to one of the announced attachments.
    InvalidPlaceholder {
        /// The number of attachments that the packet announces.
        attachments: usize,
    },
    /// A text message arrived instead of an attachment.
    UnexpectedText {
        /// The number of attachments that are missing.
        awaited: usize,
    },
    /// A binary message arrived, but no packet has announced an attachment.
    UnexpectedBinary,
    /// The namespace does not begin with `/`, or contains a comma. The default parser finds another namespace in such
    /// a packet, so only other parsers have this error.
    InvalidNamespace,
    /// The message is not a packet of the [`MessagePackParser`](crate::MessagePackParser). With the feature `msgpack`.
    #[cfg(feature = "msgpack")]
    MessagePack(crate::message_pack::MessagePackError),
    /// The [parser](crate::Parser) of the program has rejected the message.
    Parser {
        /// The reason that the parser has given.
        reason: String,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the packet is empty"),
            Self::UnknownType(character) => write!(f, "{character:?} is not a packet type"),
            Self::InvalidAttachmentCount => f.write_str(
                "a binary packet must begin with the number of its attachments, at least 1, and '-'",
            ),
            Self::TooManyAttachments { max } => write!(f, "the packet announces more than {max} attachments"),
            Self::AttachmentsTooLarge { max } => {
                write!(f, "the attachments of one packet exceed {max} bytes")
            }
            Self::MissingAckId => f.write_str("the acknowledgement has no id"),
            Self::InvalidJson { offset } => write!(f, "the payload is not valid JSON at byte {offset}"),
            Self::ReservedKey { offset } => {
                write!(f, "the payload has a reserved object key at byte {offset}")
            }
            Self::TooManyListsAndObjects { max } => {
                write!(f, "the payload has more than {max} lists and objects")
            }
            Self::QueryTooLong { max } => write!(f, "the query of a namespace exceeds {max} bytes"),
            Self::InvalidPayload(packet_type) => {
                write!(f, "the payload is not valid for a packet of type {packet_type:?}")
            }
            Self::ReservedEvent(name) => write!(f, "the event name {name:?} is reserved"),
            Self::InvalidPlaceholder { attachments } => {
                write!(f, "a placeholder does not refer to one of the {attachments} attachments")
            }
            Self::UnexpectedText { awaited } => {
                write!(f, "a text message arrived, but {awaited} attachments must come first")
            }
            Self::UnexpectedBinary => {
                f.write_str("a binary message arrived, but no packet has announced an attachment")
            }
            Self::InvalidNamespace => f.write_str("a namespace must begin with '/' and contain no comma"),
            #[cfg(feature = "msgpack")]
            Self::MessagePack(error) => error.fmt(f),
            Self::Parser { reason } => reason.fmt(f),
        }
    }
}

impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            #[cfg(feature = "msgpack")]
            Self::MessagePack(error) => error.source(),
            _ => None,
        }
    }
}

#[cfg(feature = "msgpack")]
impl From<crate::message_pack::MessagePackError> for DecodeError {
    fn from(error: crate::message_pack::MessagePackError) -> Self {
        Self::MessagePack(error)
    }
}

impl DecodeError {
    /// Creates the error of a [parser](crate::Parser) of the program.
    pub fn custom(reason: impl fmt::Display) -> Self {
        Self::Parser { reason: Excerpt(reason).to_string() }
    }
}

/// The reason why arguments cannot be read as the requested type. The packet itself is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgumentsError {
    /// The peer sent fewer arguments than the type requires.
    Missing {
        /// The index of the argument, counted from 0.
        index: usize,
    },
    /// An argument has another type.
    Invalid {
        /// The index of the argument, counted from 0.
        index: usize,
        /// What was expected and what was found. The text is an [`Excerpt`](crate::Excerpt), because it may contain
        /// input of the peer.
        reason: String,
    },
    /// The auth payload of a client or the details of a rejection have another type. These payloads are not lists of
    /// arguments.
    InvalidPayload {
        /// What was expected and what was found, as an [`Excerpt`](crate::Excerpt).
        reason: String,
    },
}

impl fmt::Display for ArgumentsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { index } => write!(f, "argument {index} is missing"),
            Self::Invalid { index, reason } => write!(f, "argument {index}: {reason}"),
            Self::InvalidPayload { reason } => write!(f, "payload: {reason}"),
        }
    }
}

impl Error for ArgumentsError {}

/// Returns the text of an error without the position in the JSON text, such as ` at line 1 column 5`. The peer may read
/// the text, and the position refers to a text that it has not sent in this form.
pub(crate) fn reason_without_position(error: &serde_json::Error) -> String {
    let mut text = Excerpt(error).to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    // The excerpt may end in the middle of the position.
    if let Some(start) = text.rfind(" at line ")
        && position.starts_with(text[start..].trim_end_matches('…'))
    {
        text.truncate(start);
    }
    text
}

/// The reason why a packet cannot be encoded. The encoder can be used again at once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The event name is [reserved](crate::RESERVED_EVENTS).
    ReservedEvent(String),
    /// The arguments contain more binary values than a JavaScript peer accepts. It would close the connection.
    TooManyAttachments {
        /// The maximum number of binary values.
        max: usize,
    },
    /// The arguments cannot be serialized: their [`Serialize`](serde::Serialize) implementation failed, or they have no
    /// JSON form. For example, JSON has no map with a list as a key.
    Serialize {
        /// The error message from serde.
        reason: String,
    },
    /// The arguments have binary values, and also an object with `"_placeholder": true`, which stands for a binary value on
    /// the wire. The receiver could not tell them apart.
    PlaceholderLike,
    /// The [parser](crate::Parser) of the program cannot encode the packet.
    Parser {
        /// The reason that the parser has given.
        reason: String,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedEvent(name) => write!(f, "{name:?} is a reserved event name"),
            Self::TooManyAttachments { max } => write!(f, "more than {max} binary values in one packet"),
            Self::Serialize { reason } => write!(f, "the arguments cannot be written as JSON: {reason}"),
            Self::PlaceholderLike => {
                f.write_str("an object with \"_placeholder\": true stands beside binary values")
            }
            Self::Parser { reason } => write!(f, "the parser cannot encode the packet: {reason}"),
        }
    }
}

impl Error for EncodeError {}

impl EncodeError {
    /// Creates the error of a [parser](crate::Parser) of the program.
    pub fn custom(reason: impl fmt::Display) -> Self {
        Self::Parser { reason: Excerpt(reason).to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_does_not_name_a_position_and_is_otherwise_unchanged() {
        let error = serde_json::from_str::<u8>(r#""seven at line 1 column 2""#).unwrap_err();
        let expected = r#"invalid type: string "seven at line 1 column 2", expected u8"#;
        assert_eq!(reason_without_position(&error), expected);
        for len in 150..200 {
            let text = format!("\"{}\"", "x".repeat(len));
            let error = serde_json::from_str::<u8>(&text).unwrap_err();
            let reason = reason_without_position(&error);
            assert!(
                reason.starts_with("invalid type: string \"xx") && !reason.contains(" at line "),
                "{reason}"
            );
        }
    }
}
