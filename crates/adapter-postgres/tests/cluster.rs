//! Servers in a cluster over a real database.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use adapter::testing::TestHost;
use adapter::testing::suite::Cluster;
use adapter::{Adapter, AdapterFactory, Host, Time};
use tidewire_adapter_postgres::{PostgresAdapter, PostgresAdapterBuilder};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use crate::database;
use crate::relay::{Relay, State};

/// Every wait of a test has this limit.
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct PostgresCluster {
    pub(crate) runtime: Runtime,
    pub(crate) servers: Vec<Server>,
    pub(crate) prefix: String,
    start: Instant,
    /// A connection of the test.
    pub(crate) client: Client,
}

pub(crate) struct Server {
    pub(crate) bus: PostgresAdapter,
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) host: Arc<TestHost>,
    pub(crate) relay: Relay,
}

impl PostgresCluster {
    /// Starts servers in a cluster of their own, on the shared database.
    pub(crate) fn start(count: u64) -> Self {
        Self::with(database::shared(), count, |builder| builder)
    }

    /// Starts servers on this database, with these options.
    pub(crate) fn with(
        url: &str,
        count: u64,
        set: impl Fn(PostgresAdapterBuilder) -> PostgresAdapterBuilder,
    ) -> Self {
        static CLUSTERS: AtomicU64 = AtomicU64::new(0);
        let prefix = format!("test{}", CLUSTERS.fetch_add(1, Ordering::Relaxed));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let client = runtime.block_on(connect(url));
        let address = database::address_of(url);
        let mut cluster = Self { runtime, servers: Vec::new(), prefix, start: Instant::now(), client };
        for number in 0..count {
            let relay = Relay::start(cluster.runtime.handle(), address);
            let builder = PostgresAdapter::builder(database::url(relay.address))
                .channel_prefix(&cluster.prefix)
                .ready_timeout(LIMIT);
            let bus = {
                let _guard = cluster.runtime.enter();
                set(builder).build().expect("the options are valid")
            };
            let (adapter, host) = cluster.create(&bus, "/", 10 * (number + 1));
            cluster.servers.push(Server { bus, adapter, host, relay });
        }
        cluster.until("all servers know each other", || {
            cluster.servers.iter().all(|server| server.adapter.server_count() == Some(count as usize))
        });
        cluster
    }

    /// Creates a namespace of a server.
    pub(crate) fn create(
        &self,
        bus: &PostgresAdapter,
        namespace: &str,
        first_ack_id: u64,
    ) -> (Arc<dyn Adapter>, Arc<TestHost>) {
        let host = TestHost::new(first_ack_id);
        let weak: Weak<TestHost> = Arc::downgrade(&host);
        let adapter = bus.create(namespace, weak as Weak<dyn Host>);
        adapter.start(self.now());
        (adapter, host)
    }

    /// Waits for a condition.
    pub(crate) fn until(&self, what: &str, is_met: impl Fn() -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !is_met() {
            assert!(Instant::now() < deadline, "waited {LIMIT:?} until {what}: {:?}", self.stats());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends a notification as another program.
    pub(crate) fn notify(&self, payload: &str) {
        let channel = format!("{}#/", self.prefix);
        let sent = async { self.client.execute("SELECT pg_notify($1, $2)", &[&channel, &payload]).await };
        self.runtime.block_on(sent).expect("the database works");
    }

    fn stats(&self) -> Vec<tidewire_adapter_postgres::BusStats> {
        self.servers.iter().map(|server| server.bus.stats()).collect()
    }

    fn connected(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|server| server.bus.is_connected())
    }
}

impl Cluster for PostgresCluster {
    fn servers(&self) -> Vec<(Arc<dyn Adapter>, Arc<TestHost>)> {
        self.servers.iter().map(|server| (Arc::clone(&server.adapter), Arc::clone(&server.host))).collect()
    }

    fn recovers(&self) -> bool {
        false
    }

    fn keeps_messages(&self) -> bool {
        true
    }

    /// Sends notifications that are no messages: when they have arrived, so has everything before them.
    fn settle(&self) {
        let published = || self.stats().iter().map(|stats| stats.published).sum::<u64>();
        loop {
            self.until("everything is sent", || {
                self.connected().all(|server| server.bus.stats().queued == 0)
            });
            let (before, counts) = (published(), self.stats());
            self.notify("a barrier");
            self.until("the barrier arrives", || {
                self.servers.iter().zip(&counts).all(|(server, before)| {
                    !server.bus.is_connected() || server.bus.stats().invalid > before.invalid
                })
            });
            let is_idle = self.connected().all(|server| server.bus.stats().queued == 0);
            if is_idle && published() == before {
                return;
            }
        }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    fn advance(&self, by: Duration) {
        // The deadlines of the adapters are those of a real clock.
        std::thread::sleep(by);
        self.settle();
    }

    fn set_link(&self, server: usize, is_up: bool) -> bool {
        let Server { bus, relay, .. } = &self.servers[server];
        relay.set(if is_up { State::Open } else { State::Closed });
        self.until("the link changes", || bus.is_connected() == is_up);
        true
    }
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the database works");
    tokio::spawn(connection);
    client
}
