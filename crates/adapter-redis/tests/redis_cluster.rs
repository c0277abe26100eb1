//! Servers over a Redis Cluster of several nodes. `suite.rs` has the tests of one with a single node.

use std::sync::Arc;
use std::time::Duration;

use adapter::testing::{Probe, event, id};
use adapter::{BroadcastOptions, LocalSocket, Replies, Reply, Request};
use tidewire_adapter_redis::{RedisAdapter, RedisAdapterBuilder, SubscriptionMode};

use crate::support::{Clock, LIMIT, RedisServer, Server, runtime, wait_until};

fn all() -> BroadcastOptions {
    BroadcastOptions::new()
}

fn servers_share_a_cluster_of_three_nodes(set: impl Fn(RedisAdapterBuilder) -> RedisAdapterBuilder) {
    let (nodes, runtime, clock) = (RedisServer::start_cluster::<3>(), runtime(), Clock::start());
    let builder = |node: usize| {
        let others = nodes.iter().map(RedisServer::url);
        set(RedisAdapter::builder(nodes[node].url()).redis_cluster(others))
            .count_interval(Duration::from_millis(50))
    };
    let servers = [0, 1].map(|number| {
        let server = Server::start(&runtime, builder(number), clock, 0);
        let probe = Probe::new(id(number as u8));
        server.adapter.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>);
        server.wait_until_ready(&runtime);
        (server, probe)
    });
    let [(one, _), (two, probe)] = &servers;
    for (server, _) in &servers {
        wait_until("the number of servers", || server.adapter.server_count() == Some(2));
    }
    // Their channels belong to different nodes.
    let rooms: Vec<_> = (0..20).map(|number| format!("room {number}")).collect();
    let names: Vec<_> = rooms.iter().map(String::as_str).collect();
    runtime.block_on(two.adapter.add_all(&id(1), &names).expect("the limits allow it"));
    let mut texts = Vec::new();
    for room in &names {
        one.adapter.broadcast(&event(room), &all().to(*room));
    }
    wait_until("the events of the rooms", || {
        texts.extend(probe.texts());
        texts.len() >= names.len()
    });
    texts.sort();
    let mut expected = rooms.clone();
    expected.sort();
    assert_eq!(texts, expected, "one copy of each");
    // Those of one channel keep their order.
    for number in 0..500 {
        one.adapter.broadcast(&event(&number.to_string()), &all());
    }
    let mut texts = Vec::new();
    wait_until("the events of all", || {
        texts.extend(probe.texts());
        texts.len() >= 500
    });
    assert_eq!(texts, (0..500).map(|number: u32| number.to_string()).collect::<Vec<_>>());
    let (send, replies) = std::sync::mpsc::channel();
    let replies_to = Replies::new(move |reply| send.send(reply).expect("the test waits"));
    one.adapter.fetch_sockets(&all(), Request { timeout: LIMIT, now: one.now(), replies: replies_to });
    let replies: Vec<_> = replies.iter().collect();
    assert!(matches!(&replies[..], [Reply::Sockets(sockets)] if sockets.len() == 1), "{replies:?}");
    let stats = one.redis.stats();
    assert_eq!((stats.refused, stats.lost, stats.links_lost), (0, 0, 0));
}

#[test]
fn servers_share_a_cluster_of_three_nodes_in_the_classic_format() {
    servers_share_a_cluster_of_three_nodes(|builder| builder);
}

#[test]
fn servers_share_a_cluster_of_three_nodes_in_the_sharded_format() {
    servers_share_a_cluster_of_three_nodes(|builder| builder.sharded(SubscriptionMode::Dynamic));
}

#[test]
fn an_emitter_reaches_servers_over_a_cluster() {
    let (nodes, runtime) = (RedisServer::start_cluster::<3>(), runtime());
    let builder = |node: usize| RedisAdapter::builder(nodes[node].url()).redis_cluster([nodes[2].url()]);
    let server = Server::start(&runtime, builder(0), Clock::start(), 0);
    let probe = Probe::new(id(1));
    server.adapter.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>);
    server.wait_until_ready(&runtime);
    let emitter = builder(1).build_emitter().expect("the URLs are valid");
    runtime.block_on(emitter.to(&*id(1)).emit("hello", 1)).expect("the cluster takes it");
    let mut texts = Vec::new();
    wait_until("the event", || {
        texts.extend(probe.texts());
        !texts.is_empty()
    });
    assert_eq!(texts.len(), 1);
}
