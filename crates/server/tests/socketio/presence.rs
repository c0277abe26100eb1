//! Who is here, as the guide shows it: users with several tabs, on several servers.

use std::collections::BTreeSet;
use std::time::Duration;

use adapter::cluster::LocalDelivery;
use serde::Deserialize;
use serde_json::json;
use tidewire_server::{Auth, Builder, ConnectionStateRecovery, HandlerError, Server, Socket};

use crate::cluster::Cluster;
use crate::support::{Client, program, serve};

#[derive(Deserialize)]
struct Login {
    user: String,
}

/// The handlers of the section "Presence" of the guide.
fn presence(io: &Server) {
    io.on_connection(async |io: Server, socket: Socket, Auth(login): Auth<Login>| {
        let tabs = format!("user:{}", login.user);
        let other_tabs = socket.to(&tabs).fetch_sockets().await;
        socket.join(&tabs).await?;
        if other_tabs.is_ok_and(|tabs| tabs.is_empty()) {
            socket.broadcast().emit("online", &login.user);
        }
        let mut users = BTreeSet::new();
        for other in io.fetch_sockets().await.unwrap_or_else(|error| error.sockets) {
            users.extend(
                other.rooms().iter().filter_map(|room| room.strip_prefix("user:")).map(str::to_owned),
            );
        }
        socket.emit("who is here", users);
        Ok::<_, HandlerError>(())
    });
    io.on_disconnect(async |io: Server, Auth(login): Auth<Login>| {
        let other_tabs = io.to(format!("user:{}", login.user)).fetch_sockets().await;
        if other_tabs.is_ok_and(|tabs| tabs.is_empty()) {
            io.emit("offline", &login.user);
        }
    });
}

/// Opens a tab, and expects the list of users.
async fn tab(cluster: &Cluster, server: usize, user: &str, users: &[&str]) -> Client {
    let mut client = Client::open(cluster.addresses[server]).await;
    client.send(&format!(r#"40{{"user":"{user}"}}"#)).await;
    assert!(cluster.moved(client.recv()).await.expect("a response").starts_with("40{"));
    let list = format!("42{}", json!(["who is here", users]));
    cluster.moved(client.expect(&list)).await;
    client
}

#[tokio::test]
async fn a_user_is_online_while_a_tab_is_open_on_any_server() {
    let cluster = Cluster::start_with(LocalDelivery::AtOnce, |builder: Builder| builder).await;
    cluster.servers.iter().for_each(presence);
    let mut bob = tab(&cluster, 1, "bob", &["bob"]).await;
    let first = tab(&cluster, 0, "ann", &["ann", "bob"]).await;
    cluster.moved(bob.expect(r#"42["online","ann"]"#)).await;

    // A second tab on the other server changes nothing, nor does the end of the first one.
    let second = tab(&cluster, 1, "ann", &["ann", "bob"]).await;
    drop(first);
    let _cid = tab(&cluster, 0, "cid", &["ann", "bob", "cid"]).await;
    cluster.moved(bob.expect(r#"42["online","cid"]"#)).await;

    drop(second);
    cluster.moved(bob.expect(r#"42["offline","ann"]"#)).await;
}

#[tokio::test]
async fn a_user_whose_session_is_recovered_is_online_again() {
    let (builder, _program) = program();
    let recovery = ConnectionStateRecovery {
        max_disconnection_duration: Duration::from_secs(60),
        ..ConnectionStateRecovery::default()
    };
    let io = builder.connection_state_recovery(recovery).build();
    presence(&io);
    let address = serve(&io).await;
    let mut bob = Client::open(address).await;
    bob.send(r#"40{"user":"bob"}"#).await;
    let _connected = bob.recv().await;
    let _users = bob.recv().await;

    let mut ann = Client::open(address).await;
    ann.send(r#"40{"user":"ann"}"#).await;
    let connected = ann.recv().await.expect("a response");
    let (_, pid) = connected.split_once(r#""pid":""#).expect("a session");
    let pid = &pid[..pid.find('"').expect("its end")];
    assert!(bob.recv().await.expect("an event").starts_with(r#"42["online","ann""#));
    let list = ann.recv().await.expect("an event");
    let offset = list.rsplit('"').nth(1).expect("an offset").to_owned();

    drop(ann);
    assert!(bob.recv().await.expect("an event").starts_with(r#"42["offline","ann""#));
    let mut ann = Client::open(address).await;
    ann.send(&format!(r#"40{{"user":"ann","pid":"{pid}","offset":"{offset}"}}"#)).await;
    assert!(ann.recv().await.expect("a response").contains(pid), "the session is recovered");
    assert!(bob.recv().await.expect("an event").starts_with(r#"42["online","ann""#));
}
