//! The formats in which the official adapters send the messages of a cluster.
//!
//! A codec converts a [`Message`] of a namespace to what a driver publishes, and what arrives to a message. It does no I/O.
//! Each codec writes the bytes that the JavaScript adapter writes for the same message, so servers of both kinds can form
//! one cluster.
//!
//! | codec | JavaScript |
//! |---|---|
//! | [`RedisCodec`] | `createAdapter` of `@socket.io/redis-adapter`, and `@socket.io/redis-emitter` |
//! | [`ShardedRedisCodec`] | `createShardedAdapter` of `@socket.io/redis-adapter` |
//! | [`PostgresCodec`] | `@socket.io/postgres-adapter`, and `@socket.io/postgres-emitter` |
//!
//! What arrives may be anything: no input makes a codec panic, and [`DecodeLimits`] bounds the memory that a message may
//! need. A message that is not valid is a [`DecodeError`]. A driver counts it, and drops it.

mod cluster_message;
mod document;
mod fields;
mod postgres;
mod redis;
mod sharded_redis;
mod writer;

use std::error::Error;
use std::fmt;

use socketio_proto::message_pack::MessagePackError;
use socketio_proto::{DecoderLimits, EncodeError};

use super::{Message, NodeId, RequestId};

pub use postgres::{Notification, Notified, PostgresCodec, Row};
pub use redis::RedisCodec;
pub use sharded_redis::{ShardedRedisCodec, SubscriptionMode};

/// What a driver publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The channel.
    pub channel: String,
    /// The content.
    pub payload: Vec<u8>,
}

/// A message that has arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// The server that has sent it. `None` if the message does not say it: it is from an emitter, or it is a reply in a
    /// format whose replies do not name their sender.
    pub sender: Option<NodeId>,
    /// The message.
    pub message: Message,
}

/// Limits on one message of a message bus. Each field names the fault or the attack that it protects against.
///
/// Decoding needs memory in proportion to the size of the message. JSON becomes three copies of its text. MessagePack becomes
/// text of at most 8 bytes for each byte of the message, or 1 MiB for a short message. A room needs about 100 bytes in
/// addition, and a socket 300.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// The maximum size of a message in bytes. Default: 64 MiB.
    ///
    /// Protects against a message that fills the memory of all servers at once. Redis accepts 512 MB.
    pub max_message_bytes: usize,
    /// The maximum number of rooms in a message, those of all its sockets together. Default: 1,000,000.
    ///
    /// Protects against lists of tiny names: three bytes of the message become a name with an allocation of its own.
    pub max_rooms: usize,
    /// The maximum number of sockets in a reply. Default: 100,000.
    ///
    /// Protects against lists of tiny sockets.
    pub max_sockets: usize,
    /// The maximum number of binary values in an event. Default: 10. A JavaScript client closes its connection if it
    /// receives more, except with a parser for MessagePack.
    ///
    /// Protects the clients of all servers against an event that no server sends.
    pub max_attachments: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_message_bytes: 64 * 1024 * 1024,
            max_rooms: 1_000_000,
            max_sockets: 100_000,
            max_attachments: DecoderLimits::DEFAULT_MAX_ATTACHMENTS,
        }
    }
}

/// The reason why what has arrived is not a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message came over a channel that this namespace does not subscribe to.
    UnknownChannel,
    /// The message is larger than [`DecodeLimits::max_message_bytes`].
    TooLarge {
        /// The size in bytes.
        size: usize,
        /// The limit that was exceeded.
        max: usize,
    },
    /// The payload of a notification does not begin like JSON.
    NotJson,
    /// The id of a row is not a number.
    InvalidRowId,
    /// The message begins like JSON and is not UTF-8.
    InvalidUtf8,
    /// The message is not MessagePack, or needs too much memory.
    MessagePack(MessagePackError),
    /// The message is not JSON, or a member is missing or has another type.
    InvalidForm {
        /// What was expected and what was found, as an [`Excerpt`](socketio_proto::Excerpt).
        reason: String,
    },
    /// The message has a type that this version does not know.
    UnknownType {
        /// The type.
        number: u64,
    },
    /// The message has no type, and does not have the form of one that has none.
    MissingType,
    /// A member that this type of message must have is missing.
    Missing {
        /// The name of the message, as [`Message::name`] returns it.
        message: &'static str,
        /// The member.
        member: &'static str,
    },
    /// The packet of a broadcast is not an event.
    NotAnEvent {
        /// The type of the packet.
        number: u64,
    },
    /// The event or the argument in the message is not valid.
    InvalidData(socketio_proto::DecodeError),
    /// The id of a request is longer than [`RequestId::MAX_LEN`].
    RequestIdTooLong {
        /// The length in bytes.
        len: usize,
    },
    /// The name of a server is longer than 64 bytes.
    NodeIdTooLong {
        /// The length in bytes.
        len: usize,
    },
    /// The message has more rooms than [`DecodeLimits::max_rooms`].
    TooManyRooms {
        /// The limit that was exceeded.
        max: usize,
    },
    /// The message has more sockets than [`DecodeLimits::max_sockets`].
    TooManySockets {
        /// The limit that was exceeded.
        max: usize,
    },
    /// The event has more binary values than [`DecodeLimits::max_attachments`].
    TooManyAttachments {
        /// The limit that was exceeded.
        max: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownChannel => f.write_str("the channel does not belong to the namespace"),
            Self::TooLarge { size, max } => {
                write!(f, "the message has {size} bytes, but the maximum is {max}")
            }
            Self::NotJson => f.write_str("the payload of the notification is not JSON"),
            Self::InvalidRowId => f.write_str("the id of the row is not a number"),
            Self::InvalidUtf8 => f.write_str("the message is not UTF-8 text"),
            Self::MessagePack(error) => error.fmt(f),
            Self::InvalidForm { reason } => {
                write!(f, "the message does not have the form of its type: {reason}")
            }
            Self::UnknownType { number } => write!(f, "the message has the unknown type {number}"),
            Self::MissingType => f.write_str("the message has no type"),
            Self::Missing { message, member } => write!(f, "the {message} message has no {member:?}"),
            Self::NotAnEvent { number } => {
                write!(f, "the packet of a broadcast has the type {number}, which is not that of an event")
            }
            Self::InvalidData(_) => f.write_str("the data of the message is not valid"),
            Self::RequestIdTooLong { len } => {
                write!(f, "the id of the request has {len} bytes, but the maximum is {}", RequestId::MAX_LEN)
            }
            Self::NodeIdTooLong { len } => {
                write!(f, "the name of the server has {len} bytes, but the maximum is {MAX_NODE_ID_LEN}")
            }
            Self::TooManyRooms { max } => write!(f, "the message has more than {max} rooms"),
            Self::TooManySockets { max } => write!(f, "the message has more than {max} sockets"),
            Self::TooManyAttachments { max } => write!(f, "the event has more than {max} binary values"),
        }
    }
}

impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::MessagePack(error) => error.source(),
            Self::InvalidData(error) => Some(error),
            _ => None,
        }
    }
}

impl From<MessagePackError> for DecodeError {
    fn from(error: MessagePackError) -> Self {
        Self::MessagePack(error)
    }
}

impl From<socketio_proto::DecodeError> for DecodeError {
    fn from(error: socketio_proto::DecodeError) -> Self {
        Self::InvalidData(error)
    }
}

/// The longest name of a server that is accepted. Those of the official adapters have at most 16 bytes.
const MAX_NODE_ID_LEN: usize = 64;

/// The name under which an emitter sends: a program that is no server.
const EMITTER: &str = "emitter";

/// The reason why a message cannot be published.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// The format has no such message. Servers of this format can do without it.
    NoForm {
        /// The name of the message, as [`Message::name`] returns it.
        message: &'static str,
    },
    /// The data of the message cannot be written: binary values deeper than 127 levels, or beside an object that looks like
    /// a placeholder.
    Data(EncodeError),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoForm { message } => write!(f, "the format has no {message} message"),
            Self::Data(_) => f.write_str("the data of the message cannot be written"),
        }
    }
}

impl Error for FormatError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Data(error) => Some(error),
            Self::NoForm { .. } => None,
        }
    }
}

impl From<EncodeError> for FormatError {
    fn from(error: EncodeError) -> Self {
        Self::Data(error)
    }
}

impl FormatError {
    fn no_form(message: &Message) -> Self {
        Self::NoForm { message: message.name() }
    }
}

#[cfg(test)]
mod tests;
