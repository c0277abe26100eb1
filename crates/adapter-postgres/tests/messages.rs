//! What the database carries: long messages, equal ones, and what is none.

use std::time::Duration;

use adapter::cluster::Message;
use adapter::testing::suite::Cluster;
use adapter::testing::{Probe, event, id};
use adapter::{BroadcastOptions, EncodedEvent, LocalSocket, MessageEncoder};
use serde::Serialize;
use std::sync::Arc;

use crate::cluster::PostgresCluster;
use crate::database;

fn encoded(namespace: &str, name: &str, arguments: &impl Serialize) -> EncodedEvent {
    EncodedEvent::encode(&mut MessageEncoder::new(), namespace, None, name, arguments).expect("an event")
}

/// Adds a socket to the second server.
fn listener(cluster: &PostgresCluster) -> Arc<Probe> {
    let probe = Probe::new(id(1));
    cluster.servers[1].adapter.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>);
    probe
}

/// Broadcasts an event of which the notification would have this many bytes.
fn broadcast_of_size(cluster: &PostgresCluster, size: usize) {
    // `uid` has 16 digits.
    let frame = r#"{"type":3,"data":{"packet":{"type":2,"data":["e",""]},"opts":{"rooms":[],"except":[],"flags":{}}},"uid":"0123456789abcdef","nsp":"/"}"#;
    let event = encoded("/", "e", &"x".repeat(size - frame.len()));
    cluster.servers[0].adapter.broadcast(&event, &BroadcastOptions::new());
}

async fn rows(cluster: &PostgresCluster, table: &str) -> i64 {
    let row = cluster.client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await;
    row.expect("the table exists").get(0)
}

#[test]
fn a_message_of_7_999_bytes_is_a_notification_and_longer_ones_are_rows() {
    let table = "boundary";
    let cluster = PostgresCluster::with(database::shared(), 2, |builder| builder.table_name(table));
    let probe = listener(&cluster);
    for (size, expected) in [(7_998, 0), (7_999, 0), (8_000, 1), (8_001, 2)] {
        broadcast_of_size(&cluster, size);
        cluster.settle();
        assert_eq!(cluster.runtime.block_on(rows(&cluster, table)), expected, "{size}");
    }
    let lengths: Vec<_> = probe.texts().iter().map(String::len).collect();
    assert_eq!(lengths.len(), 4);
    assert!(lengths.windows(2).all(|pair| pair[0] < pair[1]), "{lengths:?}");
}

#[test]
fn the_order_of_a_sender_holds_also_between_notifications_and_rows() {
    let cluster = PostgresCluster::start(2);
    let probe = listener(&cluster);
    let mut expected = Vec::new();
    for number in 0..300_usize {
        let length = if number % 3 == 0 { 20_000 } else { 5 };
        let event = encoded("/", "e", &(number, "x".repeat(length)));
        expected.push(format!(r#"e",{number},"{}"#, "x".repeat(length)));
        cluster.servers[0].adapter.broadcast(&event, &BroadcastOptions::new());
    }
    cluster.settle();
    assert!(probe.texts() == expected, "an event is missing or at another place");
}

#[test]
fn equal_events_arrive_as_often_as_they_were_sent() {
    let cluster = PostgresCluster::start(2);
    let probe = listener(&cluster);
    for name in ["a", "b", "a", "a", "a", "b"] {
        cluster.servers[0].adapter.broadcast(&event(name), &BroadcastOptions::new());
    }
    cluster.settle();
    assert_eq!(probe.texts(), ["a", "b", "a", "a", "a", "b"]);
}

#[test]
fn what_is_no_message_is_counted_and_dropped() {
    let cluster = PostgresCluster::start(2);
    let probe = listener(&cluster);
    let before = cluster.servers[1].bus.stats().invalid;
    let garbage = [
        "",
        "no JSON",
        "{",
        "{}",
        r#"{"type":3,"uid":"x","nsp":"/"}"#,
        r#"{"type":99,"uid":"x","nsp":"/"}"#,
        r#"{"type":3,"uid":"x","attachmentId":"not a number"}"#,
        r#"{"type":3,"uid":"x","attachmentId":"9223372036854775808"}"#,
        r#"{"type":3,"uid":"x","attachmentId":"123456789"}"#,
    ];
    for payload in garbage {
        cluster.notify(payload);
    }
    cluster.servers[0].adapter.broadcast(&event("after"), &BroadcastOptions::new());
    // Without `settle`, whose barriers count like garbage.
    cluster.until("the event arrives", || probe.texts().len() == 1);
    let counted = || cluster.servers[1].bus.stats().invalid - before;
    cluster.until("all is counted", || counted() >= garbage.len() as u64);
    assert_eq!(counted(), garbage.len() as u64);
    assert!(cluster.servers[1].bus.is_connected());
}

#[test]
fn a_row_that_is_missing_or_is_no_message_does_not_stop_the_others() {
    let table = "damaged";
    let cluster = PostgresCluster::with(database::shared(), 2, |builder| builder.table_name(table));
    let probe = listener(&cluster);
    let insert = format!("INSERT INTO {table} (payload) VALUES ($1), (NULL) RETURNING id");
    let inserted = cluster.runtime.block_on(cluster.client.query(&insert, &[&&b"garbage"[..]]));
    let ids: Vec<i64> = inserted.expect("the table exists").iter().map(|row| row.get(0)).collect();
    for id in ids.into_iter().chain([987_654]) {
        cluster.notify(&format!(r#"{{"type":3,"uid":"x","attachmentId":"{id}"}}"#));
    }
    broadcast_of_size(&cluster, 10_000);
    // What was dropped counts like the barriers of `settle`.
    cluster.until("the event arrives", || probe.texts().len() == 1);
}

#[test]
fn a_locked_table_does_not_stop_messages_that_do_not_need_it() {
    let table = "locked";
    let cluster = PostgresCluster::with(database::shared(), 2, |builder| builder.table_name(table));
    let probe = listener(&cluster);
    let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    cluster.runtime.block_on(cluster.client.batch_execute(&lock)).expect("the table exists");
    broadcast_of_size(&cluster, 10_000);
    cluster.servers[0].adapter.broadcast(&event("short"), &BroadcastOptions::new());
    cluster.until("the short event arrives", || probe.texts().len() == 1);
    // The long one was refused, which its server knows.
    let errors = cluster.servers[0].host.take_publish_errors();
    assert!(matches!(&errors[..], [(Message::Broadcast { .. }, _)]), "{errors:?}");
    assert_eq!(cluster.servers[0].bus.stats().refused, 1);
    cluster.runtime.block_on(cluster.client.batch_execute("COMMIT")).expect("the lock is released");
    broadcast_of_size(&cluster, 10_000);
    cluster.settle();
    assert_eq!(probe.texts().len(), 1, "`texts` takes them");
}

#[test]
fn rows_are_deleted_when_they_are_older_than_the_interval() {
    let table = "cleaned";
    let interval = Duration::from_secs(1);
    let cluster = PostgresCluster::with(database::shared(), 2, |builder| {
        builder.table_name(table).cleanup_interval(interval)
    });
    for _ in 0..3 {
        broadcast_of_size(&cluster, 10_000);
    }
    cluster.settle();
    cluster.until("the table is empty", || cluster.runtime.block_on(rows(&cluster, table)) == 0);
}

#[test]
fn a_namespace_with_a_channel_that_is_too_long_says_so_and_works_alone() {
    let cluster = PostgresCluster::start(1);
    let server = &cluster.servers[0];
    let longest = format!("/{}", "n".repeat(62 - cluster.prefix.len() - 1));
    let too_long = format!("{longest}n");
    for (namespace, fits) in [(&longest, true), (&too_long, false)] {
        let (adapter, host) = cluster.create(&server.bus, namespace, 1);
        let probe = Probe::new(id(1));
        adapter.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>);
        cluster.runtime.block_on(adapter.ready());
        adapter.broadcast(&encoded(namespace, "e", &1), &BroadcastOptions::new());
        assert_eq!(probe.texts().len(), 1, "{namespace}");
        let errors = host.take_publish_errors();
        assert_eq!(errors.is_empty(), fits, "{errors:?}");
        if let [(_, error)] = &errors[..] {
            let error = std::error::Error::source(error).expect("it has a cause").to_string();
            assert!(error.contains("64 bytes") && error.contains("63 bytes"), "{error}");
        }
    }
}

#[test]
fn a_namespace_with_quotes_in_its_name_is_one_namespace() {
    let cluster = PostgresCluster::start(2);
    let name = r#"/"; DROP"#;
    let [(one, _kept), (two, _host)] =
        [0, 1].map(|index| cluster.create(&cluster.servers[index].bus, name, 1));
    cluster.until("both know each other", || one.server_count() == Some(2) && two.server_count() == Some(2));
    let probe = Probe::new(id(1));
    two.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>);
    one.broadcast(&encoded(name, "e", &1), &BroadcastOptions::new());
    cluster.until("the event arrives", || probe.texts().len() == 1);
}
