//! Joins Socket.IO servers to a cluster over Redis or Valkey.
//!
//! A [`RedisAdapter`] speaks the formats of `@socket.io/redis-adapter` 8, the classic one and the sharded one. So Tidewire servers
//! and Node servers can be members of one cluster: a broadcast reaches the clients of all of them.
//!
//! ```no_run
//! # extern crate server as tidewire_server;
//! use tidewire_adapter_redis::RedisAdapter;
//! use tidewire_server::Server;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let io = Server::builder().adapter(RedisAdapter::new("redis://127.0.0.1/")?).build();
//! io.listen("0.0.0.0:3000").await?;
//! # Ok(())
//! # }
//! ```
//!
//! An [`Emitter`] sends events to the clients of such a cluster from a program that is no server.
//!
//! # What a cluster over Redis promises
//!
//! Redis forgets a message when it has sent it to the subscribers. While a server has no link to Redis, it misses the messages
//! of the others, and [learns it](adapter::Host::on_link). What it sends itself waits in a bounded queue until the link is back,
//! see [`RedisAdapterBuilder::outgoing_limits`]. Connection state recovery is not possible over Redis Pub/Sub.
//!
//! The messages of one thread reach each server in their order. In a Redis Cluster with the sharded format, this holds for those
//! of one channel only, because each room has its channel, and different nodes of Redis carry them.

mod builder;
mod bus;
mod connect;
mod driver;
mod emitter;
mod error;
mod factory;
mod format;
mod namespace;
mod publisher;
mod shared;
mod subscriber;

pub use adapter::cluster::codec::{DecodeLimits, SubscriptionMode};
pub use adapter::cluster::{BusStats, OutgoingLimits};
pub use builder::RedisAdapterBuilder;
pub use emitter::{Emitter, EmitterBroadcast, EmitterConnection};
pub use error::{ConfigError, ConnectError, EmitterError};
pub use factory::RedisAdapter;
