//! The messages of other servers of a cluster, in the formats of the official adapters.

use adapter::cluster::codec::{
    DecodeError, DecodeLimits, FormatError, Notification, Notified, PostgresCodec, Received, RedisCodec,
    ShardedRedisCodec, SubscriptionMode,
};
use adapter::cluster::{Message, NodeId, Recipient};

use crate::memory;

/// The first byte selects the format and the channel. The rest is a message.
pub fn cluster_messages(data: &[u8]) {
    let Some((choice, payload)) = data.split_first() else { return };
    let format = Format::new(*choice);
    let mut result = Ok(None);
    let held = memory::peak(|| result = format.decode(payload));
    // A room of one byte becomes a name with an allocation of its own, in a list that doubles. The text that MessagePack becomes
    // may have 1 MiB, and there are copies of it.
    let fixed = if payload.first() == Some(&b'{') { 64 * 1024 } else { 8 * 1024 * 1024 };
    assert!(held <= 128 * payload.len() + fixed, "{held} bytes are held for {}", payload.len());
    match result {
        Ok(Some(received)) => check(&format, &received.message),
        Ok(None) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A format of the server "me".
enum Format {
    Redis { codec: RedisCodec, channel: String },
    Sharded(ShardedRedisCodec),
    Postgres { codec: PostgresCodec, is_row: bool },
}

fn sharded(id: &str) -> ShardedRedisCodec {
    ShardedRedisCodec::new("/", &NodeId::from(id), SubscriptionMode::Dynamic)
}

impl Format {
    fn new(choice: u8) -> Self {
        let redis = |channel: &str| Self::Redis {
            codec: RedisCodec::new("/", &NodeId::from("me")),
            channel: channel.to_owned(),
        };
        match choice % 6 {
            0 => redis("socket.io#/#"),
            1 => redis("socket.io-request#/#"),
            2 => redis("socket.io-response#/#"),
            3 => Self::Sharded(sharded("me")),
            row => Self::Postgres { codec: PostgresCodec::new("/", &NodeId::from("me")), is_row: row == 5 },
        }
    }

    fn decode(&self, payload: &[u8]) -> Result<Option<Received>, DecodeError> {
        let limits = DecodeLimits::default();
        match self {
            Self::Redis { codec, channel } => codec.decode(channel, payload, &limits),
            Self::Sharded(codec) => codec.decode(codec.main_channel(), payload, &limits),
            Self::Postgres { codec, is_row: true } => codec.decode_row(payload, &limits),
            Self::Postgres { codec, is_row: false } => match codec.decode(payload, &limits)? {
                Some(Notified::Message(received)) => Ok(Some(received)),
                Some(Notified::Row { id, .. }) => {
                    assert!(id.bytes().all(|byte| byte.is_ascii_digit()), "a driver may put it into a query");
                    Ok(None)
                }
                None => Ok(None),
            },
        }
    }

    /// Encodes a message as another server, and decodes it.
    fn relay(&self, message: &Message) -> Result<(Vec<u8>, Received), FormatError> {
        let limits = DecodeLimits::default();
        let (payload, received) = match self {
            Self::Redis { codec, .. } => {
                let other = RedisCodec::new("/", &NodeId::from("other"));
                let published = other.encode(&Recipient::All, message)?;
                let received = codec.decode(&published.channel, &published.payload, &limits);
                (published.payload, received)
            }
            Self::Sharded(codec) => {
                let published = sharded("other").encode(&Recipient::All, message)?;
                let received = codec.decode(&published.channel, &published.payload, &limits);
                (published.payload, received)
            }
            Self::Postgres { codec, .. } => {
                match PostgresCodec::new("/", &NodeId::from("other")).encode(message)? {
                    Notification::Payload(published) => {
                        let received = self.decode(&published.payload);
                        (published.payload, received)
                    }
                    Notification::Row(row) => {
                        let received = codec.decode_row(&row.content, &limits);
                        (row.content, received)
                    }
                }
            }
        };
        Ok((payload, received.expect("what is written is valid").expect("it is from another server")))
    }
}

/// What is read can be written, and is then read as before.
fn check(format: &Format, message: &Message) {
    let (payload, again) = match format.relay(message) {
        Ok(relayed) => relayed,
        // Binary values that are too deep to get other placeholders, or to become lists of numbers.
        Err(FormatError::Data(_)) => return,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(again.message.name(), message.name());
    let (second, _) = format.relay(&again.message).expect("it was written before");
    assert_eq!(payload.escape_ascii().to_string(), second.escape_ascii().to_string());
}
