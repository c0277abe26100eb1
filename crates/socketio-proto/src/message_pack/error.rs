//! The errors of reading MessagePack.

/// The reason why a message is not a packet of the [`MessagePackParser`](crate::MessagePackParser).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessagePackError {
    /// The message is a text.
    #[error("a text message arrived, but each packet is a binary message")]
    UnexpectedText,
    /// The message ends in the middle of a value. A list or a map that announces more elements than bytes follow has
    /// the same error.
    #[error("the message ends in the middle of a value")]
    UnexpectedEnd,
    /// Bytes follow the packet.
    #[error("{count} bytes follow the packet")]
    TrailingBytes {
        /// The number of bytes.
        count: usize,
    },
    /// The byte 0xc1 stands where a value begins.
    #[error("no value begins with the byte 0xc1, as at byte {offset}")]
    ReservedByte {
        /// The position of the byte.
        offset: usize,
    },
    /// The message is not a map.
    #[error("the packet is not a map")]
    NotAMap,
    /// The member `type` is missing, or it is not an integer from 0 to 4.
    #[error("the type of the packet is not an integer from 0 to 4")]
    InvalidType,
    /// The member `nsp` is missing, or it is not a text.
    #[error("the namespace of the packet is not a text")]
    InvalidNamespace,
    /// The member `id` is not an integer, or it is negative.
    #[error("the id of the packet is not an integer of at least 0")]
    InvalidId,
    /// The key of a map is a list, a map or an extension type.
    #[error("a key of a map is not a text, a number, a boolean or nil")]
    InvalidKey,
    /// The data is nested too deeply.
    #[error("the data is nested deeper than {max} levels")]
    TooDeep {
        /// The maximum number of levels.
        max: usize,
    },
    /// The decoded data needs more memory than a message of this length may need.
    #[error("the decoded data exceeds {max} bytes")]
    TooLarge {
        /// The maximum number of bytes.
        max: usize,
    },
    /// The data contains binary values, and a map with the key `_placeholder`, which stands for a binary value inside
    /// this library.
    #[error("the key \"_placeholder\" is reserved in data with binary values")]
    ReservedKey,
}
