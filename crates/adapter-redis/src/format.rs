//! The two formats, and the commands that belong to them.

use adapter::cluster::codec::{
    DecodeError, DecodeLimits, FormatError, Publication, Received, RedisCodec, ShardedRedisCodec,
    SubscriptionMode,
};
use adapter::cluster::{Message, NodeId, Recipient};

/// Which format a cluster uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormatKind {
    Classic { has_response_channels: bool },
    Sharded(SubscriptionMode),
}

/// The format of one namespace.
#[derive(Debug)]
pub(crate) enum Codec {
    Classic(RedisCodec),
    Sharded(ShardedRedisCodec),
}

/// What a server subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Subscription {
    pub(crate) kind: SubscriptionKind,
    /// The channel or the pattern.
    pub(crate) name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SubscriptionKind {
    Channel,
    Pattern,
    Shard,
}

impl Subscription {
    /// Only the sharded format has channels of rooms.
    pub(crate) fn of_room(name: String) -> Self {
        Self { kind: SubscriptionKind::Shard, name }
    }
}

impl SubscriptionKind {
    pub(crate) fn subscribe(self) -> &'static str {
        match self {
            Self::Channel => "SUBSCRIBE",
            Self::Pattern => "PSUBSCRIBE",
            Self::Shard => "SSUBSCRIBE",
        }
    }

    pub(crate) fn unsubscribe(self) -> &'static str {
        match self {
            Self::Channel => "UNSUBSCRIBE",
            Self::Pattern => "PUNSUBSCRIBE",
            Self::Shard => "SUNSUBSCRIBE",
        }
    }
}

impl FormatKind {
    pub(crate) fn is_sharded(self) -> bool {
        matches!(self, Self::Sharded(_))
    }

    /// The command that publishes.
    pub(crate) fn publish(self) -> &'static str {
        if self.is_sharded() { "SPUBLISH" } else { "PUBLISH" }
    }

    /// The subcommand of PUBSUB that counts the subscribers of a channel.
    pub(crate) fn count(self) -> &'static str {
        if self.is_sharded() { "SHARDNUMSUB" } else { "NUMSUB" }
    }

    pub(crate) fn codec(self, key: &str, namespace: &str, id: &NodeId) -> Codec {
        match self {
            Self::Classic { has_response_channels } => {
                let codec = RedisCodec::with_key(key, namespace, id);
                Codec::Classic(if has_response_channels { codec.with_response_channels() } else { codec })
            }
            Self::Sharded(mode) => Codec::Sharded(ShardedRedisCodec::with_prefix(key, namespace, id, mode)),
        }
    }
}

impl Codec {
    pub(crate) fn encode(
        &self,
        recipient: &Recipient,
        message: &Message,
    ) -> Result<Publication, FormatError> {
        match self {
            Self::Classic(codec) => codec.encode(recipient, message),
            Self::Sharded(codec) => codec.encode(recipient, message),
        }
    }

    pub(crate) fn decode(
        &self,
        channel: &str,
        payload: &[u8],
        limits: &DecodeLimits,
    ) -> Result<Option<Received>, DecodeError> {
        match self {
            Self::Classic(codec) => codec.decode(channel, payload, limits),
            Self::Sharded(codec) => codec.decode(channel, payload, limits),
        }
    }

    /// Returns the room of a channel if the message need not be decoded without a member of it.
    pub(crate) fn room<'c>(&self, channel: &'c str) -> Option<&'c str> {
        match self {
            Self::Classic(codec) => codec.room(channel),
            // A server subscribes to the channels of its rooms only.
            Self::Sharded(_) => None,
        }
    }

    /// Returns what a server always subscribes to.
    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        let of_kind = |kind| move |name| Subscription { kind, name };
        match self {
            Self::Classic(codec) => {
                let channels = codec.channels().into_iter().map(of_kind(SubscriptionKind::Channel));
                channels.chain([codec.pattern()].map(of_kind(SubscriptionKind::Pattern))).collect()
            }
            Self::Sharded(codec) => codec.channels().map(of_kind(SubscriptionKind::Shard)).into(),
        }
    }

    /// Returns the subscription of a room, if it has one.
    pub(crate) fn room_subscription(&self, room: &str) -> Option<Subscription> {
        match self {
            Self::Classic(_) => None,
            Self::Sharded(codec) => codec.room_channel(room).map(Subscription::of_room),
        }
    }

    /// Returns the channel whose subscribers are the servers.
    pub(crate) fn counted_channel(&self) -> &str {
        match self {
            Self::Classic(codec) => codec.request_channel(),
            Self::Sharded(codec) => codec.main_channel(),
        }
    }
}
