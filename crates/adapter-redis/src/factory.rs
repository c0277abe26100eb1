//! What a program has: the adapters of all namespaces of a server.

use std::fmt;
use std::sync::{Arc, Weak};

use adapter::cluster::{BusStats, ClusterAdapter, ClusterOptions, Membership};
use adapter::{Adapter, AdapterFactory, Host};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::builder::{RedisAdapterBuilder, Settings};
use crate::bus::NamespaceBus;
use crate::connect::Redis;
use crate::driver;
use crate::error::{ConfigError, ConnectError};
use crate::shared::{LinkState, Owner, Shared};

/// Creates the adapters of a server in a cluster over Redis. For the `adapter` method of a server's builder.
///
/// All namespaces of the server share two connections: one publishes, the other one receives. Each server needs a `RedisAdapter` of
/// its own, because Redis counts servers by their connections. A clone belongs to the same server; keep one to read the
/// [`stats`](Self::stats). The connections end when all clones and the server are dropped.
///
/// ```no_run
/// # extern crate server as tidewire_server;
/// use tidewire_adapter_redis::RedisAdapter;
/// use tidewire_server::Server;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Fails at once if Redis cannot be reached.
/// let redis = RedisAdapter::connect("redis://127.0.0.1/").await?;
/// let io = Server::builder().adapter(redis.clone()).build();
/// println!("{} messages wait", redis.stats().queued);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisAdapter {
    owner: Arc<Owner>,
}

impl RedisAdapter {
    /// Creates the adapter of a server with the classic format, the default of Node, and connects in the background. The scheme
    /// of `url` is `redis`, `rediss` for TLS, or `redis+unix` for a socket file: `redis://user:password@host:port/`.
    ///
    /// # Errors
    /// Returns an error if the URL is not valid, or if this is not called in a Tokio runtime.
    pub fn new(url: impl Into<String>) -> Result<Self, ConfigError> {
        Self::builder(url).build()
    }

    /// Creates the adapter like [`new`](Self::new), and waits for its first link to Redis.
    ///
    /// # Errors
    /// Returns an error if the first attempt to connect fails.
    pub async fn connect(url: impl Into<String>) -> Result<Self, ConnectError> {
        Self::builder(url).connect().await
    }

    /// Creates a builder, for other settings.
    pub fn builder(url: impl Into<String>) -> RedisAdapterBuilder {
        RedisAdapterBuilder::new(url.into())
    }

    pub(crate) fn start(settings: Settings) -> Result<Self, ConfigError> {
        let redis = Redis::new(&settings)?;
        let runtime = Handle::try_current().map_err(|_| ConfigError::NoRuntime)?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(settings));
        runtime.spawn(driver::run(Arc::clone(&shared), redis, receiver));
        Ok(Self { owner: Arc::new(Owner { shared, commands, runtime }) })
    }

    /// Waits for the first link to Redis, however long that takes. It does not wait if there was one before. Cancel safe.
    pub async fn ready(&self) {
        let mut link = self.owner.shared.link.subscribe();
        // The sender lives as long as this.
        let _ = link.wait_for(LinkState::was_up).await;
    }

    pub(crate) async fn first_attempt(&self) -> Result<(), ConnectError> {
        let mut link = self.owner.shared.link.subscribe();
        match link.wait_for(|link| !matches!(link, LinkState::Connecting)).await.as_deref() {
            Ok(LinkState::Failed(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Returns whether there is a link to Redis now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.owner.shared.is_up()
    }

    /// Returns what the adapter has counted since its start.
    #[must_use]
    pub fn stats(&self) -> BusStats {
        self.owner.shared.stats()
    }
}

impl AdapterFactory for RedisAdapter {
    fn create(&self, namespace: &str, host: Weak<dyn Host>) -> Arc<dyn Adapter> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).expect("the operating system has random bytes");
        let mut options = ClusterOptions::new(random);
        options.membership = Membership::Counted;
        options.heartbeat_interval = self.owner.shared.settings.count_interval;
        let bus = NamespaceBus::new(Arc::clone(&self.owner), namespace, &options.id);
        ClusterAdapter::new(namespace, host, bus, options)
    }

    fn bus_stats(&self) -> Option<BusStats> {
        Some(self.stats())
    }
}

impl fmt::Debug for RedisAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisAdapter")
            .field("is_connected", &self.is_connected())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
