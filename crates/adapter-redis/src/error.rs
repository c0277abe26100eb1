//! What can go wrong before the first message.

use std::error::Error;
use std::sync::Arc;

use adapter::cluster::codec::FormatError;
use redis::RedisError;
use socketio_proto::EncodeError;

/// The settings of an adapter or of an emitter cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The URL is not one of Redis. Its scheme must be `redis`, `rediss` (with the feature `tls`) or `redis+unix`.
    #[error("the URL of Redis is not valid")]
    InvalidUrl(#[source] Arc<dyn Error + Send + Sync>),
    /// The adapter was created outside a Tokio runtime. Its connections live in the runtime in which it is created.
    #[error("the adapter must be created in a Tokio runtime")]
    NoRuntime,
}

impl ConfigError {
    pub(crate) fn invalid_url(error: RedisError) -> Self {
        Self::InvalidUrl(Arc::new(error))
    }
}

/// There is no link to Redis.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Redis cannot be reached, or refuses the connection, for instance because the password is wrong.
    #[error("cannot connect to Redis")]
    Failed(#[source] Arc<dyn Error + Send + Sync>),
    /// The sharded format needs Redis 7 or Valkey.
    #[error("sharded publish and subscribe needs Redis 7, but the server has version {version}")]
    TooOld {
        /// The version of the server.
        version: String,
    },
}

impl From<RedisError> for ConnectError {
    fn from(error: RedisError) -> Self {
        Self::Failed(Arc::new(error))
    }
}

/// An emitter has not sent a message.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EmitterError {
    /// The arguments of the event cannot be encoded, or its name is reserved.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The message has no form in the format of the cluster.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Redis has not accepted the message, or there is no link. If the link was lost meanwhile, servers may have the message.
    #[error("Redis has not accepted the message")]
    Failed(#[source] Arc<dyn Error + Send + Sync>),
}

impl From<RedisError> for EmitterError {
    fn from(error: RedisError) -> Self {
        Self::Failed(Arc::new(error))
    }
}
