//! The settings of an adapter.

use std::time::Duration;

use adapter::cluster::OutgoingLimits;
use adapter::cluster::codec::{DecodeLimits, RedisCodec, SubscriptionMode};

use crate::error::{ConfigError, ConnectError};
use crate::factory::RedisAdapter;
use crate::format::FormatKind;

/// The settings of a [`RedisAdapter`]. Created by [`RedisAdapter::builder`].
///
/// ```
/// use std::time::Duration;
///
/// use tidewire_adapter_redis::{RedisAdapter, SubscriptionMode};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let adapter = RedisAdapter::builder("redis://:password@redis.example:6379/")
///     .key("game")
///     .sharded(SubscriptionMode::Dynamic)
///     .ping_interval(Duration::from_secs(2))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is connected before `build` or `connect`"]
pub struct RedisAdapterBuilder {
    pub(crate) settings: Settings,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) url: String,
    /// Further nodes, if this is a Redis Cluster.
    pub(crate) cluster: Option<Vec<String>>,
    pub(crate) key: String,
    pub(crate) format: FormatKind,
    pub(crate) outgoing_limits: OutgoingLimits,
    pub(crate) decode_limits: DecodeLimits,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) ping_interval: Duration,
    pub(crate) reconnection_delay: Duration,
    pub(crate) reconnection_delay_max: Duration,
    pub(crate) ready_timeout: Duration,
    pub(crate) count_interval: Duration,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URLs contain the password.
        f.debug_struct("Settings")
            .field("key", &self.key)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl RedisAdapterBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            settings: Settings {
                url,
                cluster: None,
                key: RedisCodec::DEFAULT_KEY.to_owned(),
                format: FormatKind::Classic { has_response_channels: false },
                outgoing_limits: OutgoingLimits::default(),
                decode_limits: DecodeLimits::default(),
                connect_timeout: Duration::from_secs(5),
                response_timeout: Duration::from_secs(5),
                ping_interval: Duration::from_secs(5),
                reconnection_delay: Duration::from_millis(200),
                reconnection_delay_max: Duration::from_secs(5),
                ready_timeout: Duration::from_secs(5),
                count_interval: Duration::from_secs(5),
            },
        }
    }

    /// Connects to a Redis Cluster: a database of several nodes. `urls` are further nodes, in addition to the one of the builder.
    /// One that can be reached suffices, because it knows the others. All URLs must have the same user and password.
    pub fn redis_cluster(mut self, urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.settings.cluster = Some(urls.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the prefix of all channels: the option `key` of `createAdapter`, and `channelPrefix` of `createShardedAdapter`. All
    /// servers of a cluster must have the same. Clusters with different prefixes can share one Redis. Default `socket.io`.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.settings.key = key.into();
        self
    }

    /// Uses the format of `createShardedAdapter`, with sharded publish and subscribe, instead of the one of `createAdapter`. All
    /// servers of a cluster must use the same format and the same mode. It needs Redis 7 or Valkey.
    ///
    /// With [`SubscriptionMode::Dynamic`], the default in Node, a server gets only broadcasts to rooms in which it has a socket.
    /// Awaiting what `join` returns waits until Redis has confirmed the subscription to the channel of the room.
    pub fn sharded(mut self, mode: SubscriptionMode) -> Self {
        self.settings.format = FormatKind::Sharded(mode);
        self
    }

    /// Sends replies only to the server that has asked: the option `publishOnSpecificResponseChannel` of `createAdapter`. Servers
    /// with and without it can be in one cluster. The sharded format always does so. Default `false`, as in Node.
    pub fn publish_on_specific_response_channel(mut self, is_on: bool) -> Self {
        if let FormatKind::Classic { has_response_channels } = &mut self.settings.format {
            *has_response_channels = is_on;
        }
        self
    }

    /// Sets the limits on what waits until Redis takes it, in all namespaces together. While there is no link to Redis, messages
    /// wait here too, and are sent when the link is back; volatile events do not wait. A message that does not fit is refused:
    /// `PublishError::QueueFull`, which the namespace [learns](adapter::Host::on_publish_error). Default
    /// [`OutgoingLimits::default`]: 100,000 messages and 64 MiB.
    pub fn outgoing_limits(mut self, limits: OutgoingLimits) -> Self {
        self.settings.outgoing_limits = limits;
        self
    }

    /// Sets the limits on one message. What exceeds them is dropped and [counted](adapter::cluster::BusStats::invalid) if another
    /// server has sent it, and refused with `PublishError::TooLarge` if this one sends it. Default [`DecodeLimits::default`].
    pub fn message_limits(mut self, limits: DecodeLimits) -> Self {
        self.settings.decode_limits = limits;
        self
    }

    /// Sets how long connecting may take. Default 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// Sets how long Redis may take to reply to a command. After that, the link counts as lost. Default 5 s.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.settings.response_timeout = timeout;
        self
    }

    /// Sets how often the adapter sends PING on the connection on which it receives. A connection that is cut without notice is
    /// noticed after this time and [`response_timeout`](Self::response_timeout). Default 5 s.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.settings.ping_interval = interval;
        self
    }

    /// Sets the delay before the first attempt to reconnect, and the maximum delay. The delay doubles with each attempt, and half
    /// of it is random. Default 200 ms and 5 s.
    pub fn reconnection_delay(mut self, delay: Duration, max: Duration) -> Self {
        self.settings.reconnection_delay = delay;
        self.settings.reconnection_delay_max = max;
        self
    }

    /// Sets how long the first clients of a namespace wait until the server is subscribed. After that they may connect, and do not
    /// reach the clients of other servers until Redis can be reached. When it is subscribed
    /// later, the namespace [learns](adapter::Host::on_link) that messages may have been lost. Default 5 s.
    pub fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.settings.ready_timeout = timeout;
        self
    }

    /// Sets how often the servers of each namespace are counted, in addition to the count for each request. Default 5 s.
    pub fn count_interval(mut self, interval: Duration) -> Self {
        self.settings.count_interval = interval;
        self
    }

    /// Creates the adapter, and connects in the background. If Redis cannot be reached, it tries again until it can, and logs a
    /// warning. See [`RedisAdapter::ready`].
    ///
    /// # Errors
    /// Returns an error if a URL is not valid, or if this is not called in a Tokio runtime.
    pub fn build(self) -> Result<RedisAdapter, ConfigError> {
        RedisAdapter::start(self.settings)
    }

    /// Creates the adapter, and waits for its first link to Redis. Dropping the future drops the adapter.
    ///
    /// # Errors
    /// Returns an error if the first attempt to connect fails. A link that is lost later is an event, and no error.
    pub async fn connect(self) -> Result<RedisAdapter, ConnectError> {
        let adapter = RedisAdapter::start(self.settings)?;
        adapter.first_attempt().await?;
        Ok(adapter)
    }
}
