//! Programs that send to a cluster and are no servers.

use std::net::SocketAddr;
use std::sync::Arc;

use adapter::LocalSocket;
use adapter::testing::suite::Cluster;
use adapter::testing::{Probe, id};
use tidewire_adapter_postgres::{Emitter, EmitterError, PostgresAdapter};

use crate::cluster::PostgresCluster;
use crate::database;
use crate::relay::State;

fn emitter(cluster: &PostgresCluster, address: Option<SocketAddr>) -> Emitter {
    let url = address.map_or_else(|| database::shared().to_owned(), database::url);
    let connected = PostgresAdapter::builder(url).channel_prefix(&cluster.prefix).connect_emitter();
    cluster.runtime.block_on(connected).expect("the database works")
}

/// Adds a socket to each server: number 1 in `a`, number 2 in `b`.
fn sockets(cluster: &PostgresCluster) -> [Arc<Probe>; 2] {
    [(0, "a"), (1, "b")].map(|(index, room)| {
        let id = id(index + 1);
        let probe = Probe::new(id.clone());
        let adapter = &cluster.servers[usize::from(index)].adapter;
        adapter.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>);
        assert!(adapter.add_all(&id, &[room]).is_ok());
        probe
    })
}

#[test]
fn an_emitter_reaches_the_clients_of_all_servers_in_its_order() {
    let cluster = PostgresCluster::start(2);
    let [one, two] = sockets(&cluster);
    let io = emitter(&cluster, None);
    cluster
        .runtime
        .block_on(async {
            io.emit("to all", ("x", 1)).await?;
            io.to("a").emit("long", "x".repeat(20_000)).await?;
            io.except("a").volatile().compress(false).emit("not a", ()).await?;
            io.of("other").emit("elsewhere", ()).await?;
            io.to("a").to("b").emit("last", ()).await
        })
        .expect("the database works");
    cluster.settle();
    let names = |probe: &Probe| {
        let texts = probe.texts();
        texts.iter().map(|text| text.split('"').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&one), ["to all", "long", "last"]);
    assert_eq!(names(&two), ["to all", "not a", "last"]);
}

#[test]
fn an_emitter_moves_and_disconnects_sockets_and_tells_servers() {
    let cluster = PostgresCluster::start(2);
    let _sockets = sockets(&cluster);
    let io = emitter(&cluster, None);
    let rooms = || cluster.servers[1].adapter.local().rooms().into_iter().map(|(room, _)| room.to_string());
    cluster.runtime.block_on(io.in_("b").sockets_join(["x", "y"])).expect("the database works");
    cluster.settle();
    assert!(rooms().any(|room| room == "x"));
    cluster.runtime.block_on(io.broadcast().sockets_leave(["x"])).expect("the database works");
    cluster.runtime.block_on(io.server_side_emit("hello", 1)).expect("the database works");
    cluster.settle();
    assert!(!rooms().any(|room| room == "x") && rooms().any(|room| room == "y"));
    for server in &cluster.servers {
        let events = server.host.take_events();
        assert_eq!(events.iter().map(|event| &*event.json).collect::<Vec<_>>(), [r#"["hello",1]"#]);
    }
}

#[test]
fn an_emitter_that_has_lost_its_connection_says_so_and_connects_again() {
    let cluster = PostgresCluster::start(2);
    let [one, _two] = sockets(&cluster);
    let database = database::address_of(database::shared());
    let relay = crate::relay::Relay::start(cluster.runtime.handle(), database);
    let io = emitter(&cluster, Some(relay.address));
    relay.set(State::Closed);
    let lost = cluster.runtime.block_on(io.emit("lost", ()));
    assert!(matches!(lost, Err(EmitterError::Database(_) | EmitterError::Connect(_))), "{lost:?}");
    relay.set(State::Open);
    cluster.runtime.block_on(io.emit("found", ())).expect("the database works");
    cluster.settle();
    assert_eq!(one.texts().len(), 1);
}
