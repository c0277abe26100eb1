//! The adapter of a server.

use std::fmt;
use std::sync::{Arc, Weak};

use adapter::cluster::{BusStats, ClusterAdapter, ClusterOptions};
use adapter::{Adapter, AdapterFactory, Host};

use crate::builder::PostgresAdapterBuilder;
use crate::bus::NamespaceBus;
use crate::error::{ConfigError, ConnectError};
use crate::shared::{Link, Shared};

/// Makes a server a member of a cluster over PostgreSQL. Cheap to clone: all clones share two connections.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use tidewire_adapter_postgres::PostgresAdapter;
///
/// let cluster = PostgresAdapter::new("postgres://user:password@db.example/app?sslmode=require")?;
/// // let io = Server::builder().adapter(cluster.clone()).build();
/// println!("{} messages wait for the database", cluster.stats().queued);
/// # Ok(())
/// # }
/// ```
///
/// # The URL
/// It has the form `postgres://user:password@host:port/database?option=value`, and the options of
/// [`tokio_postgres::Config`]. With `sslmode=require`, the connection uses TLS, and the certificate must be valid for the host and be issued
/// by an authority that the system trusts. Otherwise, it does not use TLS.
///
/// # If the database is gone
/// The adapter connects again and again, with growing and random delays of at most 5 s. Meanwhile, requests to other servers end
/// at once, and other messages wait, up to the [limits](PostgresAdapterBuilder::outgoing_limits). The namespaces learn both ends of the outage.
/// What the other servers send meanwhile is lost, also if only this server has lost its connection.
#[derive(Clone)]
pub struct PostgresAdapter {
    shared: Arc<Shared>,
}

impl PostgresAdapter {
    /// Creates an adapter with default options. See [`PostgresAdapterBuilder::build`].
    ///
    /// # Errors
    /// Returns an error if the URL is not valid, or outside a Tokio runtime.
    pub fn new(url: impl Into<String>) -> Result<Self, ConfigError> {
        Self::builder(url).build()
    }

    /// Creates an adapter with default options, and checks that the database can be used. See [`PostgresAdapterBuilder::connect`].
    ///
    /// # Errors
    /// Returns an error if the URL is not valid, or if the database cannot be used now.
    pub async fn connect(url: impl Into<String>) -> Result<Self, ConnectError> {
        Self::builder(url).connect().await
    }

    /// Creates a builder, which has all options.
    pub fn builder(url: impl Into<String>) -> PostgresAdapterBuilder {
        PostgresAdapterBuilder::new(url.into())
    }

    pub(crate) fn from_shared(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns whether there is a link to the database now. `false` before the server has created its first namespace.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.link() == Link::Up
    }

    /// Returns what this adapter has counted.
    #[must_use]
    pub fn stats(&self) -> BusStats {
        self.shared.stats()
    }
}

impl AdapterFactory for PostgresAdapter {
    fn create(&self, namespace: &str, host: Weak<dyn Host>) -> Arc<dyn Adapter> {
        let mut random = [0; 16];
        // Without random bytes, the system cannot open connections with TLS or start sessions either.
        getrandom::fill(&mut random).expect("the operating system has random bytes");
        let mut options = ClusterOptions::new(random);
        options.heartbeat_interval = self.shared.options.heartbeat_interval;
        options.heartbeat_timeout = self.shared.options.heartbeat_timeout;
        let bus = NamespaceBus::new(Arc::clone(&self.shared), namespace, &options.id);
        ClusterAdapter::new(namespace, host, bus, options)
    }

    fn bus_stats(&self) -> Option<BusStats> {
        Some(self.stats())
    }
}

impl fmt::Debug for PostgresAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresAdapter").field("shared", &self.shared).finish()
    }
}
