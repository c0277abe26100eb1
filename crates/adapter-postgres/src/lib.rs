//! Tidewire servers in a cluster over PostgreSQL, in the format of `@socket.io/postgres-adapter`. Servers of Node can be
//! members of the same cluster.
//!
//! [`PostgresAdapter`] is the adapter of a server. [`Emitter`] is for programs that send to the clients of the cluster and are
//! no servers, like `@socket.io/postgres-emitter`.
//!
//! Messages are notifications (`LISTEN`, `NOTIFY`). What is too long for one, or has binary values, is a row of a table. All servers
//! must use the same database, or at least the same primary: replicas do not pass on notifications.

mod adapter_factory;
mod builder;
mod bus;
mod connection;
mod driver;
mod emitter;
mod error;
mod publisher;
mod receiver;
mod shared;
mod sql;

pub use adapter::cluster::codec::DecodeLimits;
pub use adapter::cluster::{BusStats, OutgoingLimits};
pub use adapter_factory::PostgresAdapter;
pub use builder::PostgresAdapterBuilder;
pub use emitter::{Emitter, EmitterBroadcast, EmitterConnection};
pub use error::{ConfigError, ConnectError, EmitterError};
