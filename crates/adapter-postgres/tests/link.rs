//! Links that are lost, databases that are gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter::cluster::PublishError;
use adapter::testing::suite::Cluster;
use adapter::testing::{Probe, event, id};
use adapter::{BroadcastOptions, LinkChange, LocalSocket};
use tidewire_adapter_postgres::{ConfigError, ConnectError, OutgoingLimits, PostgresAdapter};

use crate::cluster::PostgresCluster;
use crate::database::{self, Database};
use crate::relay::State;

fn broadcast(cluster: &PostgresCluster, server: usize, name: &str) {
    cluster.servers[server].adapter.broadcast(&event(name), &BroadcastOptions::new());
}

fn listener(cluster: &PostgresCluster, server: usize) -> Arc<Probe> {
    let probe = Probe::new(id(1));
    cluster.servers[server].adapter.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>);
    probe
}

#[test]
fn a_lost_link_and_its_return_are_reported_and_what_was_sent_meanwhile_arrives() {
    let cluster = PostgresCluster::start(2);
    let probe = listener(&cluster, 1);
    assert!(cluster.set_link(0, false));
    assert_eq!(cluster.servers[0].host.take_links(), [LinkChange::Lost]);
    for name in ["one", "two", "three"] {
        broadcast(&cluster, 0, name);
    }
    assert_eq!(cluster.servers[0].bus.stats().queued, 3);
    assert!(cluster.set_link(0, true));
    assert_eq!(cluster.servers[0].host.take_links(), [LinkChange::Restored { gap: true }]);
    cluster.settle();
    assert_eq!(probe.texts().len(), 3, "{:?}", probe.texts());
    assert_eq!(cluster.servers[0].bus.stats().links_lost, 1);
}

#[test]
fn what_does_not_fit_into_the_queue_is_refused_at_once_and_counted() {
    let mut limits = OutgoingLimits::default();
    limits.max_messages = 2;
    let cluster = PostgresCluster::with(database::shared(), 2, |builder| builder.outgoing_limits(limits));
    let probe = listener(&cluster, 1);
    assert!(cluster.set_link(0, false));
    for name in ["one", "two", "three"] {
        broadcast(&cluster, 0, name);
    }
    let errors = cluster.servers[0].host.take_publish_errors();
    assert!(matches!(errors[..], [(_, PublishError::QueueFull { messages: 2, .. })]), "{errors:?}");
    assert_eq!(cluster.servers[0].bus.stats().refused, 1);
    // The link is back, and asks the others who is there, when there is room again.
    assert!(cluster.set_link(0, true));
    cluster.settle();
    assert_eq!(probe.texts().len(), 2);
}

#[test]
fn a_link_that_is_cut_in_silence_is_noticed() {
    let timeout = Duration::from_millis(400);
    let cluster = PostgresCluster::with(database::shared(), 2, |builder| builder.response_timeout(timeout));
    let probe = listener(&cluster, 1);
    let begin = Instant::now();
    cluster.servers[0].relay.set(State::Frozen);
    cluster.until("it is noticed", || !cluster.servers[0].bus.is_connected());
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(cluster.set_link(0, true));
    broadcast(&cluster, 0, "after");
    cluster.until("it works again", || probe.texts().iter().any(|text| text.contains("after")));
}

#[test]
fn a_database_that_restarts_is_used_again() {
    let mut database = Database::start();
    let cluster = PostgresCluster::with(&database::url(database.address), 2, |builder| builder);
    let probe = listener(&cluster, 1);
    database.stop();
    cluster.until("both links are lost", || cluster.servers.iter().all(|server| !server.bus.is_connected()));
    broadcast(&cluster, 0, "during");
    database.run();
    cluster.until("both links are back", || cluster.servers.iter().all(|server| server.bus.is_connected()));
    broadcast(&cluster, 0, "after");
    // The other server may have come back later than the first of the two.
    cluster.until("events arrive", || probe.texts().iter().any(|text| text.contains("after")));
    for server in &cluster.servers {
        let links = server.host.take_links();
        assert_eq!(links, [LinkChange::Lost, LinkChange::Restored { gap: true }]);
    }
}

#[test]
fn servers_that_create_the_table_at_the_same_moment_all_connect() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for round in 0..20 {
        let table = format!("created_{round}");
        let connect = || {
            let adapter = PostgresAdapter::builder(database::shared()).table_name(&*table).connect();
            runtime.spawn(adapter)
        };
        let attempts: Vec<_> = (0..8).map(|_| connect()).collect();
        for attempt in attempts {
            let connected = runtime.block_on(attempt).expect("no panic");
            assert!(connected.is_ok(), "round {round}: {connected:?}");
        }
    }
}

#[test]
fn a_server_starts_without_its_database_and_joins_when_it_is_there() {
    let mut database = Database::start();
    database.stop();
    let url = database::url(database.address);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let attempt = runtime.block_on(PostgresAdapter::connect(&url));
    assert!(matches!(attempt, Err(ConnectError::Connect(_))), "{attempt:?}");

    let bus = {
        let _guard = runtime.enter();
        let timeout = Duration::from_millis(100);
        PostgresAdapter::builder(&url).ready_timeout(timeout).build().expect("the options are valid")
    };
    let host = adapter::testing::TestHost::new(1);
    let weak: std::sync::Weak<adapter::testing::TestHost> = Arc::downgrade(&host);
    let adapter = adapter::AdapterFactory::create(&bus, "/", weak as std::sync::Weak<dyn adapter::Host>);
    adapter.start(adapter::Time::ZERO);
    // Clients do not wait for ever.
    runtime.block_on(adapter.ready());
    assert!(!bus.is_connected());
    database.run();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !bus.is_connected() {
        assert!(Instant::now() < deadline, "it does not connect");
        std::thread::sleep(Duration::from_millis(5));
    }
    runtime.block_on(PostgresAdapter::connect(&url)).expect("the database is there");
}

#[test]
fn a_server_that_is_closed_leaves_and_closes_its_connections() {
    let cluster = PostgresCluster::start(2);
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'leaving'";
    let address = cluster.servers[0].relay.address;
    let bus = {
        let _guard = cluster.runtime.enter();
        let url = format!("{}?application_name=leaving", database::url(address));
        PostgresAdapter::builder(url).channel_prefix(&cluster.prefix).build().expect("the options are valid")
    };
    let connections =
        || cluster.runtime.block_on(cluster.client.query_one(count, &[])).expect("a view").get::<_, i64>(0);
    let (adapter, _host) = cluster.create(&bus, "/", 100);
    cluster.until("it is a member", || cluster.servers[0].adapter.server_count() == Some(3));
    assert_eq!(connections(), 2);
    cluster.runtime.block_on(adapter.close());
    cluster.until("it has left", || {
        cluster.servers.iter().all(|server| server.adapter.server_count() == Some(2))
    });
    cluster.until("its connections are closed", || connections() == 0);
}

#[test]
fn options_that_are_not_valid_are_clear_errors() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _guard = runtime.enter();
    let builder = || PostgresAdapter::builder("postgres://localhost/db");
    assert!(matches!(PostgresAdapter::new("postgres://"), Err(ConfigError::InvalidUrl { .. })));
    let error =
        PostgresAdapter::new("redis://user:secret@localhost").expect_err("another scheme").to_string();
    assert!(!error.contains("secret"), "{error}");
    let table = builder().table_name("a; DROP TABLE b").build();
    assert!(matches!(table, Err(ConfigError::InvalidTableName { .. })), "{table:?}");
    let prefix = builder().channel_prefix("x".repeat(62)).build();
    assert!(matches!(prefix, Err(ConfigError::InvalidChannelPrefix { len: 62 })), "{prefix:?}");
}

#[test]
fn an_adapter_needs_a_runtime() {
    let outside = PostgresAdapter::new("postgres://localhost/db");
    assert!(matches!(outside, Err(ConfigError::NoRuntime)), "{outside:?}");
}

#[test]
fn clients_that_could_connect_before_the_first_link_learn_that_they_may_have_missed_something() {
    let cluster =
        PostgresCluster::with(database::shared(), 1, |builder| builder.ready_timeout(Duration::ZERO));
    cluster.until("the first link", || cluster.servers[0].bus.is_connected());
    let links = cluster.servers[0].host.take_links();
    assert_eq!(links, [LinkChange::Lost, LinkChange::Restored { gap: true }]);
}
