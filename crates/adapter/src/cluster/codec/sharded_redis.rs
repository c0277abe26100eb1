//! The format of `createShardedAdapter` of `@socket.io/redis-adapter`: sharded publish and subscribe of Redis 7.

use socketio_proto::message_pack::Dialect;

use super::cluster_message::Origin;
use super::document::Document;
use super::writer::{Binary, Writer};
use super::{DecodeError, DecodeLimits, FormatError, Publication, Received};
use crate::cluster::{Message, NodeId, Recipient};

/// The format of `createShardedAdapter` of `@socket.io/redis-adapter`, for one namespace.
///
/// A driver subscribes to the [channels](Self::channels), and to the [channel of each room](Self::room_channel) that has a
/// socket on this server. It publishes what [`encode`](Self::encode) returns, and passes what arrives to
/// [`decode`](Self::decode). A message is JSON, or MessagePack if it has binary values.
///
/// Node asks Redis for the number of subscribers of the [main channel](Self::main_channel), and waits for so many replies.
/// It sends no heartbeats, and ignores those of other servers.
///
/// The channels have the same names as those of [`RedisCodec`](super::RedisCodec), so servers of both formats must not share a
/// prefix.
///
/// ```
/// use tidewire_adapter::cluster::codec::{DecodeLimits, ShardedRedisCodec, SubscriptionMode};
/// use tidewire_adapter::cluster::{Message, NodeId, Recipient};
/// use tidewire_adapter::{BroadcastOptions, EncodedEvent, MessageEncoder};
///
/// let codec = |name: &str| ShardedRedisCodec::new("/", &NodeId::from(name), SubscriptionMode::default());
/// let (one, two) = (codec("one"), codec("two"));
/// let event = EncodedEvent::encode(&mut MessageEncoder::new(), "/", None, "hello", &1)?;
/// let options = BroadcastOptions::new().to("news");
/// let message = Message::Broadcast { event, options, ack: None, sequence: None };
///
/// let published = one.encode(&Recipient::All, &message)?;
/// assert_eq!(Some(&published.channel), two.room_channel("news").as_ref());
/// let received = two.decode(&published.channel, &published.payload, &DecodeLimits::default())?.unwrap();
/// assert_eq!(received.sender, Some(NodeId::from("one")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ShardedRedisCodec {
    origin: Origin,
    /// It ends with `#`.
    channel: Box<str>,
    mode: SubscriptionMode,
}

/// Which rooms have channels of their own. All servers must use the same mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SubscriptionMode {
    /// None: every server gets every broadcast.
    Static,
    /// Rooms whose names do not have the length of a socket id.
    #[default]
    Dynamic,
    /// All rooms, also those of the sockets' own ids.
    DynamicPrivate,
}

/// The version of `notepack.io` that the adapter uses.
const DIALECT: Dialect = Dialect::Notepack3;

/// The length of a socket id. Node takes every room of this length for one.
const SOCKET_ID_LEN: usize = 20;

impl ShardedRedisCodec {
    /// The default of the option `channelPrefix`.
    pub const DEFAULT_PREFIX: &'static str = "socket.io";

    /// Creates the codec of a server in a namespace, with the default prefix.
    #[must_use]
    pub fn new(namespace: &str, id: &NodeId, mode: SubscriptionMode) -> Self {
        Self::with_prefix(Self::DEFAULT_PREFIX, namespace, id, mode)
    }

    /// Creates the codec of a server in a namespace. `prefix` is the option `channelPrefix`.
    #[must_use]
    pub fn with_prefix(prefix: &str, namespace: &str, id: &NodeId, mode: SubscriptionMode) -> Self {
        let origin = Origin::new(namespace, Some(id.clone()));
        Self { origin, channel: format!("{prefix}#{namespace}#").into(), mode }
    }

    /// Returns the channel of messages to all servers. Each server subscribes to it, so `PUBSUB SHARDNUMSUB` counts the
    /// servers.
    #[must_use]
    pub fn main_channel(&self) -> &str {
        &self.channel
    }

    /// Returns the channels to which a server always subscribes, for `SSUBSCRIBE`: the main channel, and that of replies to
    /// this server. Subscribe to each once, because Node counts the subscribers.
    #[must_use]
    pub fn channels(&self) -> [String; 2] {
        [self.channel.to_string(), self.sub_channel(self.origin.uid())]
    }

    /// Returns the channel of broadcasts to this room only. `None` if the room has none in this mode. A server subscribes to
    /// it while it has sockets in the room.
    #[must_use]
    pub fn room_channel(&self, room: &str) -> Option<String> {
        let has_channel = match self.mode {
            SubscriptionMode::Static => false,
            // JavaScript counts UTF-16 units.
            SubscriptionMode::Dynamic => room.encode_utf16().count() != SOCKET_ID_LEN,
            SubscriptionMode::DynamicPrivate => true,
        };
        has_channel.then(|| self.sub_channel(room))
    }

    fn sub_channel(&self, name: &str) -> String {
        format!("{}{name}#", self.channel)
    }

    /// Encodes a message.
    ///
    /// # Errors
    /// Returns an error if the format has no such message: those of connection state recovery, and those that only
    /// [`RedisCodec`](super::RedisCodec) has.
    pub fn encode(&self, recipient: &Recipient, message: &Message) -> Result<Publication, FormatError> {
        let mut writer = Writer::new(Binary::Attachments);
        self.origin.write(message, &mut writer)?;
        let channel = match (recipient, message) {
            (Recipient::Node(id), _) => self.sub_channel(id.as_str()),
            (Recipient::All, Message::Broadcast { options, ack: None, .. }) => match &options.rooms[..] {
                [room] => self.room_channel(room),
                _ => None,
            }
            .unwrap_or_else(|| self.channel.to_string()),
            (Recipient::All, _) => self.channel.to_string(),
        };
        let payload = if writer.has_binary() { writer.to_message_pack(DIALECT)? } else { writer.into_json() };
        Ok(Publication { channel, payload })
    }

    /// Decodes what has arrived on a channel. Returns `None` if the message is this server's own, or belongs to another
    /// namespace: the channel of a room may be that of a namespace whose name contains `#`.
    ///
    /// # Errors
    /// Returns an error if it is not a message of this format, or if it exceeds a limit.
    pub fn decode(
        &self,
        channel: &str,
        payload: &[u8],
        limits: &DecodeLimits,
    ) -> Result<Option<Received>, DecodeError> {
        if !channel.starts_with(&*self.channel) {
            return Err(DecodeError::UnknownChannel);
        }
        self.origin.read(&Document::read(payload, DIALECT, limits)?, limits)
    }
}
