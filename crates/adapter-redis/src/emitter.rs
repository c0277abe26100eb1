//! Sends events to the clients of a cluster from a program that is no server.

use std::fmt;

use adapter::cluster::codec::{Publication, RedisCodec};
use adapter::cluster::{self, Connect, Message, Publish, Recipient};
use tokio::sync::Mutex;

use crate::builder::{RedisAdapterBuilder, Settings};
use crate::connect::{ChannelCommand, Connection, Redis};
use crate::error::{ConfigError, ConnectError, EmitterError};

/// Sends to the clients and the servers of a cluster from a program that is no server: what `@socket.io/redis-emitter` 5 does.
/// The servers must use the classic format.
///
/// Each method waits until Redis has accepted the message. If there is no link, the next call connects; it does not try again.
/// The methods are not cancel safe: if a future is dropped, the message may have been sent or not.
///
/// ```no_run
/// use tidewire_adapter_redis::{Emitter, RedisAdapter};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let emitter = Emitter::connect("redis://127.0.0.1/").await?;
/// emitter.emit("news", "hello").await?;
/// emitter.of("/chat").to("general").except("muted").volatile().emit("message", ("Ann", "hi")).await?;
/// emitter.in_("user 42").disconnect_sockets(true).await?;
///
/// // With the settings of the servers. It connects when it sends its first message.
/// let emitter: Emitter = RedisAdapter::builder("redis://127.0.0.1/").key("game").build_emitter()?;
/// # Ok(())
/// # }
/// ```
pub type Emitter = cluster::Emitter<EmitterConnection>;

/// Sends to the sockets that it selects. Created by [`Emitter::to`](cluster::Emitter::to) and similar methods.
pub type EmitterBroadcast = cluster::EmitterBroadcast<EmitterConnection>;

/// The connection of an [`Emitter`] to Redis.
pub struct EmitterConnection {
    redis: Redis,
    settings: Settings,
    connection: Mutex<Option<Connection>>,
}

impl RedisAdapterBuilder {
    /// Creates an emitter, which uses the [`key`](Self::key), the [nodes](Self::redis_cluster) and the timeouts. It connects when
    /// it sends its first message.
    ///
    /// # Errors
    /// Returns an error if a URL is not valid.
    pub fn build_emitter(self) -> Result<Emitter, ConfigError> {
        EmitterConnection::new(self).map(Emitter::new)
    }

    /// Creates an emitter like [`build_emitter`](Self::build_emitter), and connects.
    ///
    /// # Errors
    /// Returns an error if a URL is not valid, or if Redis cannot be reached.
    pub async fn connect_emitter(self) -> Result<Emitter, ConnectError> {
        let connection = EmitterConnection::new(self)?;
        connection.open().await?;
        Ok(Emitter::new(connection))
    }
}

impl EmitterConnection {
    fn new(RedisAdapterBuilder { settings }: RedisAdapterBuilder) -> Result<Self, ConfigError> {
        let redis = Redis::new(&settings)?;
        Ok(Self { redis, settings, connection: Mutex::new(None) })
    }

    async fn open(&self) -> Result<Connection, redis::RedisError> {
        let mut current = self.connection.lock().await;
        if let Some(connection) = &*current {
            return Ok(connection.clone());
        }
        let connection = self.redis.connect(&self.settings).await?;
        Ok(current.insert(connection).clone())
    }
}

impl Connect for EmitterConnection {
    type ConnectError = ConnectError;

    async fn connect(url: String) -> Result<Self, ConnectError> {
        let connection = Self::new(RedisAdapterBuilder::new(url))?;
        connection.open().await?;
        Ok(connection)
    }
}

impl Publish for EmitterConnection {
    type Error = EmitterError;

    async fn publish(&self, namespace: &str, message: &Message) -> Result<(), EmitterError> {
        let codec = RedisCodec::emitter(&self.settings.key, namespace);
        let Publication { channel, payload } = codec.encode(&Recipient::All, message)?;
        let mut connection = self.open().await?;
        let command = ChannelCommand { name: "PUBLISH", channel, payload: Some(payload) };
        match connection.send(vec![command]).await {
            Ok(values) => match values.into_iter().next() {
                Some(redis::Value::ServerError(error)) => Err(redis::RedisError::from(error).into()),
                _ => Ok(()),
            },
            Err(error) => {
                // The next call connects again.
                *self.connection.lock().await = None;
                Err(error.into())
            }
        }
    }
}

impl fmt::Debug for EmitterConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmitterConnection").field("settings", &self.settings).finish_non_exhaustive()
    }
}
