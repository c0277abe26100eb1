//! The errors of reading MessagePack.

use std::fmt;

/// The reason why a message is not a packet of the [`MessagePackParser`](crate::MessagePackParser).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessagePackError {
    /// The message is a text.
    UnexpectedText,
    /// The message ends in the middle of a value. A list or a map that announces more elements than bytes follow has
    /// the same error.
    UnexpectedEnd,
    /// Bytes follow the packet.
    TrailingBytes {
        /// The number of bytes.
        count: usize,
    },
    /// The byte 0xc1 stands where a value begins.
    ReservedByte {
        /// The position of the byte.
        offset: usize,
    },
    /// The message is not a map.
    NotAMap,
    /// The member `type` is missing, or it is not an integer from 0 to 4.
    InvalidType,
    /// The member `nsp` is missing, or it is not a text.
    InvalidNamespace,
    /// The member `id` is not an integer, or it is negative.
    InvalidId,
    /// The key of a map is a list, a map or an extension type.
    InvalidKey,
    /// The data is nested too deeply.
    TooDeep {
        /// The maximum number of levels.
        max: usize,
    },
    /// The decoded data needs more memory than a message of this length may need.
    TooLarge {
        /// The maximum number of bytes.
        max: usize,
    },
    /// The data contains binary values, and a map with the key `_placeholder`, which stands for a binary value inside
    /// this library.
    ReservedKey,
}

impl fmt::Display for MessagePackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedText => {
                f.write_str("a text message arrived, but each packet is a binary message")
            }
            Self::UnexpectedEnd => f.write_str("the message ends in the middle of a value"),
            Self::TrailingBytes { count } => write!(f, "{count} bytes follow the packet"),
            Self::ReservedByte { offset } => {
                write!(f, "no value begins with the byte 0xc1, as at byte {offset}")
            }
            Self::NotAMap => f.write_str("the packet is not a map"),
            Self::InvalidType => f.write_str("the type of the packet is not an integer from 0 to 4"),
            Self::InvalidNamespace => f.write_str("the namespace of the packet is not a text"),
            Self::InvalidId => f.write_str("the id of the packet is not an integer of at least 0"),
            Self::InvalidKey => f.write_str("a key of a map is not a text, a number, a boolean or nil"),
            Self::TooDeep { max } => write!(f, "the data is nested deeper than {max} levels"),
            Self::TooLarge { max } => write!(f, "the decoded data exceeds {max} bytes"),
            Self::ReservedKey => {
                f.write_str("the key \"_placeholder\" is reserved in data with binary values")
            }
        }
    }
}

impl std::error::Error for MessagePackError {}
